"""The table of cases: what stands in each cell, how it is sorted, filtered and shown."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from ..core.cases import Case
from ..core.exploration import CaseSummary
from ..core.words import grouped

COLUMNS = {
    "Case": "Name of the case.",
    "Site": "TCGA's code of the hospital.",
    "Slices": "Number of slices.",
    "Tumour\nslices": "Slices with tumour in the manual mask.",
    "Tumour\nvoxels": "Voxels of the manual mask.",
    "Missing": "Sequences that the case does not have; FLAIR stands in for them.",
    "Problems": "What is wrong with the files; ⚠ marks a case that cannot be opened.",
}
CASE, SITE, SLICES, TUMOUR_SLICES, TUMOUR_VOXELS, MISSING, PROBLEMS = range(len(COLUMNS))

_WIDEST = {
    PROBLEMS: "⚠ broken",
    TUMOUR_VOXELS: "999 999",
    MISSING: "pre, post",
    TUMOUR_SLICES: "Tumour",
    SLICES: "Slices",
    SITE: "Site",
}
"""What a column has to hold, those first that are wanted most; the lines under the table say it all."""
_NAME = "TCGA_CS_4941_19960909"
"""The longest name that is shown in full even where it takes more than half of the table."""

Index = QModelIndex
Role = Qt.ItemDataRole


@dataclass(slots=True)
class CaseRow:
    """One case and what is known of it so far."""

    case: Case
    summary: CaseSummary | None = None
    error: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether the case has been looked into, with success or not."""
        return self.summary is not None or self.error is not None

    @property
    def problems(self) -> str:
        """What is wrong, as sentences."""
        if self.error:
            return f"⚠ {self.error.replace(f'{self.case.folder}{os.sep}', '')}"
        return "; ".join(map(str, self.case.problems))

    def sort_keys(self) -> tuple[Any, ...]:
        """Numbers or words by which each column is sorted; names keep the order in which they are listed."""
        known = self.summary
        return (
            0,
            self.case.site,
            known.shape[0] if known else len(self.case.numbers),
            -1 if known is None or known.tumour_slices is None else known.tumour_slices,
            -1 if known is None or known.tumour_voxels is None else known.tumour_voxels,
            ", ".join(known.missing) if known else "",
            (self.error is not None, len(self.case.problems), self.problems),
        )

    def texts(self) -> tuple[str, ...]:
        """What stands in each column."""
        slices, tumour_slices, tumour_voxels, missing, problems = self.sort_keys()[SLICES:]
        return (
            self.case.name,
            self.case.site,
            str(slices) if slices else "",
            "" if tumour_slices < 0 else str(tumour_slices),
            "" if tumour_voxels < 0 else grouped(tumour_voxels),
            missing.replace("-contrast", ""),
            "⚠ broken" if self.error else problems[-1],
        )


class CaseTable(QAbstractTableModel):
    """Cases in natural order, filled in as they are read."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[CaseRow] = []

    def set_cases(self, cases: Sequence[Case]) -> None:
        """List other cases; those that cannot be used say so at once."""
        self.beginResetModel()
        self.rows = [CaseRow(case, error=case.error) for case in cases]
        self.endResetModel()

    def fill_in(self, row: int, found: CaseSummary | str) -> None:
        """Enter what was found in a case, or why it cannot be read."""
        if isinstance(found, str):
            self.rows[row].error = found
        else:
            self.rows[row].summary = found
        self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's default
        """Return the number of cases."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's default
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Return the column's name, or its explanation as tooltip."""
        if orientation == Qt.Orientation.Horizontal and role in (Role.DisplayRole, Role.ToolTipRole):
            return list(COLUMNS)[section] if role == Role.DisplayRole else list(COLUMNS.values())[section]
        return None

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows, or its tooltip."""
        row = self.rows[index.row()]
        if role == Role.DisplayRole:
            return row.texts()[index.column()]
        if role == Role.ToolTipRole:
            return "\n".join(filter(None, (row.case.name, row.problems)))
        if role == Role.TextAlignmentRole and SLICES <= index.column() <= TUMOUR_VOXELS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


class CaseFilter(QSortFilterProxyModel):
    """The cases that match every word of a text, sorted by number where a column holds numbers."""

    def __init__(self, table: CaseTable) -> None:
        super().__init__(table)
        self.table = table
        """All cases."""
        self._words: list[str] = []
        self.setSourceModel(table)

    def set_text(self, text: str) -> None:
        """Show only cases whose name, site, missing sequences or problems hold each word."""
        self._words = text.lower().split()
        self.invalidate()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        """Return whether a row matches."""
        row = self.table.rows[source_row]
        missing = " ".join(row.summary.missing) if row.summary else ""
        text = f"{row.case.name} {row.case.site} {missing} {row.problems}".lower()
        return all(word in text for word in self._words)

    def lessThan(self, left: Index, right: Index) -> bool:
        """Return whether one cell comes before another; equal ones stay in natural order."""
        rows, column = self.table.rows, left.column()
        keys = [(rows[index.row()].sort_keys()[column], index.row()) for index in (left, right)]
        return keys[0] < keys[1]


class CaseView(QTableView):
    """Shows whole names and as many columns as there is room for; they can be dragged until the room changes.

    Parameters
    ----------
    shown : CaseFilter
        What to show.
    """

    chosen = Signal()
    """Enter was pressed, or a row double-clicked."""

    def __init__(self, shown: CaseFilter) -> None:
        super().__init__()
        self._table = shown.table
        self.setModel(shown)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setMinimumHeight(120)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        self._lay_out_header()
        self.sortByColumn(CASE, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.doubleClicked.connect(lambda _: self.chosen.emit())
        shown.table.modelReset.connect(self._share_room)
        shown.table.dataChanged.connect(self._look_for_content)

    def _lay_out_header(self) -> None:
        header = self.horizontalHeader()
        header.setStyleSheet("QHeaderView::section { padding: 2px; }")
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        self._filled: set[int] = set()
        self._share_room()

    def _look_for_content(self, first: Index, last: Index) -> None:
        """Make room for a column in which something stands for the first time."""
        if not self._filled_in(range(first.row(), last.row() + 1)) <= self._filled:
            self._share_room()

    def _filled_in(self, rows: Iterable[int]) -> set[int]:
        """Columns in which something stands in these rows."""
        texts = [self._table.rows[row].texts() for row in rows]
        return {column for column in _WIDEST if any(text[column] for text in texts)}

    def _share_room(self) -> None:
        """Give the names what they need, and leave out columns for which there is no room, empty ones first."""
        rows = self._table.rows
        self._filled = self._filled_in(range(len(rows)))
        wide = self.fontMetrics().horizontalAdvance
        room = self.viewport().width()
        longest = max((wide(row.case.name) for row in rows), default=0)
        names = max(min(longest, max(room // 2, wide(_NAME))), wide("Case")) + 24
        self.setColumnWidth(CASE, names)
        room -= names
        for column in sorted(_WIDEST, key=lambda column: column not in self._filled):
            width = wide(_WIDEST[column]) + 8
            self.setColumnHidden(column, width > room)
            if width <= room:
                self.setColumnWidth(column, width)
                room -= width

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose the current row with Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.chosen.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the room out anew where the table got wider or narrower."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._share_room()
