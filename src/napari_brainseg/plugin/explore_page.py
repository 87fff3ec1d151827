"""What is in the opened data set: numbers, figures, and what is odd, from where a click leads to the slice."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QProgressBar, QSplitter, QWidget

from ..core.cases import Case
from ..core.exploration import Exploration, explore_cases
from ..core.progress import Progress
from ..core.words import counted, grouped
from .buttons import allow, make_button, side_by_side
from .columns import Column, stack, text_line
from .explore_figures import ExploreFigures
from .opened_case import show_slice
from .sentences import as_sentence
from .task import Task, Tasks

if TYPE_CHECKING:
    import napari

    from ..core.findings import Finding

_SIGNS = {"error": "⛔", "warning": "⚠", "note": "·"}
_FINDING = Qt.ItemDataRole.UserRole


class ExplorePage(QWidget):
    """Explores the cases of the table, off the GUI thread.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose theme is used, and where slices are shown.
    go_back : callable
        Shows the table again.
    go_to : callable
        Opens a case by its name, and then calls a function.
    """

    def __init__(
        self,
        viewer: "napari.viewer.Viewer",
        go_back: Callable[[], object],
        go_to: Callable[[str, Callable[[], object]], object],
    ) -> None:
        super().__init__()
        self.viewer = viewer
        self.exploration: Exploration | None = None
        self._go_to_case = go_to
        self._folder = Path()
        self._cases: Sequence[Case] = ()
        self._tasks = Tasks(self)
        self._build(go_back)
        viewer.events.theme.connect(self._follow_theme)
        self._follow_theme()

    @property
    def is_busy(self) -> bool:
        """Whether cases are being explored, or a report is being written."""
        return bool(self._tasks)

    def _build(self, go_back: Callable[[], object]) -> None:
        self.title = text_line("The folder that is explored.")
        self.back_button = make_button("◀ Cases", go_back, "Back to the table of cases.")
        self.summary = text_line("What is in the data set.")
        self.figures = ExploreFigures()
        self.findings = QListWidget()
        self.findings.setWordWrap(True)
        self.findings.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.findings.setToolTip("What is odd, worst first; a click opens the case at that slice.")
        self.findings.setMinimumHeight(90)
        self.findings.itemClicked.connect(self._go_to)
        self.findings.itemActivated.connect(self._go_to)
        self.findings_title = QLabel()
        self.bar = QProgressBar()
        self.bar.setToolTip("How many cases have been explored.")
        self.cancel_button = make_button("Cancel", self._cancel, "Stop exploring.")
        self.busy = side_by_side(self.bar, self.cancel_button, stretch=(1, 0))
        self.again_button = make_button("Explore again", self._begin)
        self.report_button = make_button("Open report", self.open_report)
        self.message = text_line("What was done last, or what went wrong.")
        column = Column()
        column.set_parts(self.summary, self.figures)
        column.setMinimumWidth(200)  # the tab has margins around it
        odd = QWidget()
        stack(odd, self.findings_title, self.findings)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(column)
        parts.addWidget(odd)
        parts.setSizes([380, 200])
        parts.setChildrenCollapsible(False)
        layout = stack(self)
        layout.addWidget(side_by_side(self.back_button, self.title, stretch=(0, 1)))
        layout.addWidget(parts, stretch=1)
        layout.addWidget(self.busy)
        layout.addWidget(side_by_side(self.again_button, self.report_button, stretch=(1, 1)))
        layout.addWidget(self.message)
        self._update()

    def show_folder(self, folder: Path, cases: Sequence[Case]) -> None:
        """Explore these cases, unless that was done already or is being done."""
        if list(cases) != list(self._cases) or (self.exploration is None and not self.is_busy):
            self._folder, self._cases = folder, cases
            self.title.setText(folder.name)
            self._begin()

    def open_report(self) -> None:
        """Write the report into a new temporary folder and open it in the browser."""
        assert self.exploration
        work = partial(_write_report, self.exploration, self._folder)
        self.message.setText("Writing the report …")
        self._start("report", work, self._show_report)

    def close_tasks(self) -> None:
        """Stop all work, and follow the window no more."""
        self.viewer.events.theme.disconnect(self._follow_theme)
        self.figures.let_go()
        self._tasks.close()

    def _begin(self) -> None:
        self.exploration = None
        self.summary.setText("")
        self.findings.clear()
        self.findings_title.setText("")
        self.figures.show_exploration(None)
        self.bar.setRange(0, 0)
        self.message.setText("")
        self._start("explore", partial(_explore, self._cases), self._show)

    def _start(self, name: str, work: Callable[[Task], Any], returned: Callable[[Any], object]) -> None:
        self._tasks.begin(
            name, work, lambda _: self._update(), progressed=self._progress, returned=returned, failed=self._fail
        )
        self._update()

    def _cancel(self) -> None:
        for name in list(self._tasks):
            self._tasks.drop(name)
        self.message.setText("Stopped.")
        self._update()

    def _progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.bar.setFormat("%v of %m " + ("cases" if progress.stage == "exploring" else "figures"))

    def _fail(self, error: Exception) -> None:
        self.message.setText(f"⚠ {as_sentence(error)}")

    def _show(self, found: Exploration) -> None:
        self.exploration = found
        self.summary.setText("\n".join(summary_lines(found)))
        self.figures.show_exploration(found)
        many = len(found.findings)
        self.findings_title.setText(counted(many, "finding") if many else "Nothing odd was found.")
        for finding in found.findings:
            where = "" if finding.slice_number is None else f", slice {finding.slice_number}"
            named = f"{finding.case}{where}: " if finding.case else ""
            item = QListWidgetItem(f"{_SIGNS[finding.severity]} {named}{finding.sentence}")
            item.setToolTip(f"{finding.severity}: {finding.kind}")
            item.setData(_FINDING, finding)
            self.findings.addItem(item)

    def _go_to(self, item: QListWidgetItem) -> None:
        finding: Finding = item.data(_FINDING)
        for case in self._cases:
            there = partial(show_slice, self.viewer, case, finding.slice_number)
            if case.name == finding.case and not there():
                self._go_to_case(case.name, there)

    def _show_report(self, page: Path) -> None:
        self.message.setText(f"The report is in {page.parent}")
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))

    def _update(self) -> None:
        self.busy.setVisible(self.is_busy)
        nothing = "It is being worked on." if self.is_busy else None
        allow(self.again_button, nothing, "Read all cases once more, after something was put right.")
        has_some = self.exploration is not None and bool(self.exploration.cases)
        allow(
            self.report_button,
            nothing or (None if has_some else "There is nothing to report yet."),
            "One page with all figures, findings and some slices, in the browser.",
        )

    def _follow_theme(self, _: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.figures.set_theme(theme.background.as_hex(), theme.text.as_hex())


def summary_lines(found: Exploration) -> list[str]:
    """The numbers of a data set in a few lines."""
    totals = found.totals
    with_tumour, without = totals["tumour slices"], totals["tumour-free slices"]
    lines = [
        f"{_count(totals['patients'], 'patient')}, {_count(totals['cases'], 'case')}, "
        f"{_count(totals['slices'], 'slice')}",
        f"{grouped(with_tumour)} slices with tumour, {grouped(without)} without"
        if with_tumour + without
        else "No slice has a manual mask",
    ]
    told = ("unreadable cases", "cases with missing sequences", "cases without tumour", "cases without mask")
    lines += [f"{name.capitalize()}: {totals[name]}" for name in told if totals[name]]
    return lines


def _count(number: int, noun: str) -> str:
    return counted(number, noun, "\u00a0")


def _explore(cases: Sequence[Case], task: Task) -> Exploration:
    return explore_cases(cases, on_progress=task.report)


def _write_report(exploration: Exploration, folder: Path, task: Task) -> Path:
    from ..core.exploration_reports import write_exploration  # loads matplotlib, which takes long the first time

    target = tempfile.mkdtemp(prefix="brainseg-explore-")
    return write_exploration(exploration, target, source=str(folder), on_progress=task.report)
