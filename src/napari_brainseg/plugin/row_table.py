"""A small table of text that is as high as its rows, up to some."""

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem

_ROW = 22


class RowTable(QTableWidget):
    """Rows of text below headings; one column takes the width that the others leave.

    Parameters
    ----------
    tooltip : str
        What the table shows.
    most : int
        Rows shown at once; more are scrolled to.
    wide : int
        The column that takes what is left.
    selectable : bool
        Whether a row can be selected.
    """

    def __init__(self, tooltip: str, *, most: int, wide: int = 0, selectable: bool = False) -> None:
        super().__init__(0, 0)
        self._most, self._wide = most, wide
        self.setToolTip(tooltip)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.verticalHeader().setMinimumSectionSize(_ROW)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        modes = QAbstractItemView.SelectionMode
        self.setSelectionMode(modes.SingleSelection if selectable else modes.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def show_rows(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show these rows, or nothing at all where there are none; figures stand to the right."""
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(list(headings))
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(row):
                item = QTableWidgetItem(text)
                if column and column != self._wide:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(number, column, item)
        self.setVisible(bool(rows))
        header = self.horizontalHeader()
        header.setSectionResizeMode(header.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(self._wide, header.ResizeMode.Stretch)
        height = header.sizeHint().height() + _ROW * min(len(rows), self._most) + 2 * self.frameWidth()
        self.setFixedHeight(height)
