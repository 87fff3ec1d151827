"""The table of the Cases tab, with a filter, what is known of the selected case, and the buttons that open one."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QLineEdit, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ..core.cases import Case
from ..core.volumes import Volume
from .buttons import allow, make_button, side_by_side
from .case_details import CaseDetails
from .case_table import CaseFilter, CaseRow, CaseTable, CaseView
from .opened_case import places_of

OPEN_FOLDER = (
    "Choose a folder of cases, one case folder, or a folder that holds kaggle_3m; it can also be dropped here."
)


class CasesPage(QWidget):
    """Shows the cases of a folder and keeps the choice of one; what a person wants with it, it only tells."""

    open_wanted = Signal()
    """The selected case is to be opened."""
    step_wanted = Signal(int)
    """The case before (-1) or after (1) the selected one is to be opened."""
    largest_wanted = Signal()
    """The slice with the largest tumour is to be shown."""
    explore_wanted = Signal()
    """The data set is to be explored."""
    folder_wanted = Signal()
    """Another folder is to be chosen."""
    unmatched = Signal(str)
    """No case matches this filter."""

    def __init__(self) -> None:
        super().__init__()
        self.folder_label = QElidingLabel()
        self.folder_label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter: name, site, problem")
        self.filter.setToolTip("Show only cases whose name, site, missing sequences or problems hold each word.")
        self.filter.setClearButtonEnabled(True)
        self.table = CaseTable(self)
        self.shown = CaseFilter(self.table)
        self.filter.textChanged.connect(self._filter)
        self.view = CaseView(self.shown)
        self.view.selectionModel().currentRowChanged.connect(self.refresh)
        self.view.chosen.connect(self.open_wanted)
        QShortcut(QKeySequence("J"), self.view, self.largest_wanted.emit, context=Qt.ShortcutContext.WidgetShortcut)
        self.details = CaseDetails()
        self.open_button = make_button("Open case", self.open_wanted.emit)
        self.previous_button = make_button("◀ Previous", partial(self.step_wanted.emit, -1))
        self.next_button = make_button("Next ▶", partial(self.step_wanted.emit, 1))
        self.largest_button = make_button(
            "Largest tumour slice (J)",
            self.largest_wanted.emit,
            "Go to the slice with the most tumour in the manual mask, or else in the prediction.",
        )
        self.explore_button = make_button(
            "Explore…",
            self.explore_wanted.emit,
            "What is in this data set, in numbers and figures, and what is odd about it.",
        )
        again = make_button("Open folder…", self.folder_wanted.emit, OPEN_FOLDER)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(side_by_side(self.folder_label, again, stretch=(1, 0)))
        layout.addWidget(side_by_side(self.filter, self.explore_button, stretch=(1, 0)))
        layout.addWidget(self.view, stretch=1)
        layout.addWidget(self.details)
        layout.addWidget(self.open_button)
        layout.addWidget(side_by_side(self.previous_button, self.next_button, stretch=(1, 1)))
        layout.addWidget(self.largest_button)
        self.refresh()

    @property
    def cases(self) -> list[Case]:
        """All cases of the folder."""
        return [row.case for row in self.table.rows]

    @property
    def current(self) -> int | None:
        """Number of the selected case among all; None if none is."""
        index = self.shown.mapToSource(self.view.currentIndex())
        return index.row() if index.isValid() else None

    @property
    def current_row(self) -> CaseRow | None:
        """What is known of the selected case."""
        return None if self.current is None else self.table.rows[self.current]

    def show_cases(self, folder: Path, cases: Sequence[Case]) -> None:
        """List the cases of a folder."""
        self.folder_label.setText(folder.name)
        self.folder_label.setToolTip(str(folder))
        self.filter.clear()
        self.table.set_cases(list(cases))

    def neighbour(self, step: int, of: Volume | None = None) -> int | None:
        """Number of the case before (-1) or after (1) that of a volume in the table; broken ones are passed.

        Counted from the selected one where no volume is given, or one that is not listed.
        """
        rows = (row for row, case in enumerate(self.cases) if of is not None and of.source in places_of([case]))
        start = self.shown.mapFromSource(self.table.index(next(rows, -1), 0))
        position = (start if start.isValid() else self.view.currentIndex()).row() + step
        while 0 <= position < self.shown.rowCount():
            number = self.shown.mapToSource(self.shown.index(position, 0)).row()
            if not self.table.rows[number].error:
                return number
            position += step
        return None

    def find(self, name: str) -> int | None:
        """Number of a case by its name; None if there is none such."""
        return next((number for number, case in enumerate(self.cases) if case.name == name), None)

    def select(self, number: int) -> None:
        """Select a case by its number among all."""
        index = self.shown.mapFromSource(self.table.index(number, 0))
        self.view.setCurrentIndex(index)
        self.view.scrollTo(index)

    def refresh(self, *_: object) -> None:
        """Show what is known of the selected case by now, and what can be done with it."""
        row = self.current_row
        self.details.show_row(row)
        nothing = None if row else "Select a case first."
        allow(
            self.open_button, nothing or (row.error if row else None), "Show the selected case in the viewer (Enter)."
        )
        for button, step, word in ((self.previous_button, -1, "before"), (self.next_button, 1, "after")):
            last = None if self.neighbour(step) is not None else f"There is no case {word} this one in the table."
            allow(button, nothing or last, f"Open the case {word} this one, as the table is sorted.")

    def _filter(self, text: str) -> None:
        self.shown.set_text(text)
        if self.current is None:
            self.view.setCurrentIndex(self.shown.index(0, 0))
        if self.table.rows and not self.shown.rowCount():
            self.unmatched.emit(text)
        self.refresh()
