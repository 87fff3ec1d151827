"""The Cases tab: a data set as a table, and the way from a row to its images."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QMessageBox,
    QProgressBar,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ..core.cases import Case, find_cases
from ..core.exploration import summarise_case
from ..core.phantom import write_phantom_cases
from ..core.progress import Progress
from ..core.volumes import Volume
from ..core.words import counted, plain
from .buttons import make_button, side_by_side
from .cases_page import OPEN_FOLDER, CasesPage
from .columns import text_line
from .correction_layer import save_corrections
from .explore_page import ExplorePage
from .layers import sample_folder
from .opened_case import edited_masks, layers_of, make_layers, places_of, show_case, show_largest_tumour
from .preferences import CASES_FOLDER, preferences
from .tabs import is_closing, raise_tab, without_proxy
from .task import Task, Tasks

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

EMPTY = "Open a folder of patients, or try the sample data set."
_CASE = "cases/case"


class CasesWidget(QWidget):
    """Lists the cases of a folder, says what is in each, and opens them in the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where cases are opened.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        viewer = without_proxy(viewer)
        super().__init__()
        self.viewer = viewer
        self.folder: Path | None = None
        self._places: set[Path] = set()
        """Of all cases that were listed: one of them makes room for the next."""
        self._tasks = Tasks(self)
        self._settings = preferences()
        self._build()
        self.setAcceptDrops(True)
        viewer.bind_key("J", _largest_tumour, overwrite=True)
        self._update_controls()
        self._open_remembered()

    @property
    def is_busy(self) -> bool:
        """Whether cases are being listed, looked into or opened."""
        return bool(self._tasks)

    # What it is made of

    def _build(self) -> None:
        self.pages = QStackedWidget()
        self.pages.addWidget(self._empty_page())
        self.cases_page = CasesPage()
        self.explore_page = ExplorePage(
            self.viewer, go_back=lambda: self.pages.setCurrentWidget(self.cases_page), go_to=self.open_case
        )
        for page in (self.cases_page, self.explore_page):
            self.pages.addWidget(page)
        self.bar = QProgressBar()
        self.bar.setToolTip("How many folders or cases have been looked into; the table can be used meanwhile.")
        self.cancel_button = make_button("Cancel", self._cancel_or_continue)
        self.busy = side_by_side(self.bar, self.cancel_button, stretch=(1, 0))
        self.message = text_line("What was done last, or what went wrong.")
        layout = QVBoxLayout(self)
        layout.addWidget(self.pages, stretch=1)
        layout.addWidget(self.busy)
        layout.addWidget(self.message)
        self.setMinimumWidth(300)
        page = self.cases_page
        page.open_wanted.connect(self.open_current)
        page.step_wanted.connect(self.open_neighbour)
        page.largest_wanted.connect(self._show_largest)
        page.explore_wanted.connect(self._explore)
        page.folder_wanted.connect(self._choose_folder)
        page.unmatched.connect(lambda text: self._say(f"No case matches {text!r}."))

    def _empty_page(self) -> QWidget:
        page = QWidget()
        words = QLabel(EMPTY)
        words.setWordWrap(True)
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        words.setToolTip("A folder can also be dropped here.")
        self.sample_button = make_button(
            "Try the sample data set", self.open_sample, "Make four phantom patients on this computer and list them."
        )
        layout = QVBoxLayout(page)
        layout.addStretch()
        layout.addWidget(words)
        layout.addWidget(make_button("Open folder…", self._choose_folder, OPEN_FOLDER))
        layout.addWidget(self.sample_button)
        layout.addStretch()
        return page

    # Folders

    def open_folder(self, folder: Path | str) -> None:
        """List the cases of a folder, and look into them one after another, both without holding up the window."""
        folder = Path(folder)
        self._tasks.drop("fill")
        self._say(f"Looking for cases in {folder} …")
        self._start("list", lambda task: find_cases(folder, on_progress=task.report), partial(self._list, folder))

    def open_sample(self) -> None:
        """List made-up patients, which are written first if this user has none yet."""
        folder = sample_folder()

        def cases(task: Task) -> list[Case]:
            write_phantom_cases(folder)
            return find_cases(folder, on_progress=task.report)

        self._tasks.drop("fill")
        self._say("Making the sample data set …")
        self._start("list", cases, partial(self._list, folder))

    def _open_remembered(self) -> None:
        folder = self._settings.value(CASES_FOLDER, "")
        if folder and Path(folder).exists():
            self.open_folder(folder)
        elif folder:
            self._say(f"The folder of last time is not there any more: {folder}")

    def _choose_folder(self) -> None:
        start = str(self.folder or self._settings.value(CASES_FOLDER, ""))
        if folder := QFileDialog.getExistingDirectory(self, "Open a folder of patients", start):
            self.open_folder(folder)

    def _list(self, folder: Path, cases: list[Case]) -> None:
        last = self._settings.value(_CASE, "")
        self.folder = folder
        self._places |= places_of(cases)
        self._settings.setValue(CASES_FOLDER, str(folder))
        self.cases_page.show_cases(folder, cases)
        self.pages.setCurrentWidget(self.cases_page)
        self.cases_page.select(self.cases_page.find(last) or 0)
        self._fill()

    def _fill(self) -> None:
        """Look into the cases that are not known yet."""
        rows = self.cases_page.table.rows
        unknown = [(number, row.case) for number, row in enumerate(rows) if not row.is_known]
        if unknown:
            self._say(f"{counted(len(rows), 'case')}; looking into them …")
            self.cases_page.shown.setDynamicSortFilter(False)  # no row moves away under the mouse
            self._start("fill", partial(_summarise, unknown, len(rows)), self._filled, sent=self._fill_in)
        else:
            self._filled()

    def _fill_in(self, found: tuple[int, Any]) -> None:
        number, _ = found
        self.cases_page.table.fill_in(*found)
        if number == self.cases_page.current:
            self.cases_page.refresh()

    def _filled(self, _: object = None) -> None:
        rows = self.cases_page.table.rows
        odd = sum(bool(row.problems) for row in rows)
        self.cases_page.shown.setDynamicSortFilter(True)
        self._say(counted(len(rows), "case") + (f", {odd} with a problem ⚠" if odd else ""))

    def _cancel_or_continue(self) -> None:
        self.cases_page.shown.setDynamicSortFilter(True)
        if "list" in self._tasks:
            self._tasks.drop("list")
            still = f" The table still shows {self.folder.name}." if self.folder else ""
            self._say(f"Stopped looking for cases.{still}")
        elif "fill" in self._tasks:
            self._tasks.drop("fill")
            rows = self.cases_page.table.rows
            self._say(f"Stopped; {sum(row.is_known for row in rows)} of {len(rows)} cases were looked into.")
        else:
            self._fill()
        self._update_controls()

    # Cases

    def open_current(self) -> None:
        """Open the selected case in place of the former one, and bring the Segment tab forward."""
        number = self.cases_page.current
        if number is not None:
            self._open(number, then=partial(raise_tab, self.viewer, "Segment"))

    def open_case(self, name: str, then: Callable[[], object] = lambda: None) -> bool:
        """Open a case of the table by its name in place of the former one, and do something once it is open.

        Returns
        -------
        bool
            False if that was not begun: there is no such case, it is broken, or a person wants to keep the former one.
        """
        self.cases_page.filter.clear()  # which may hide it
        number = self.cases_page.find(name)
        if number is None:
            return False
        self.cases_page.select(number)
        return self._open(number, then)

    def _explore(self) -> None:
        assert self.folder
        self.pages.setCurrentWidget(self.explore_page)
        self.explore_page.show_folder(self.folder, self.cases_page.cases)

    def open_neighbour(self, step: int, of: Volume | None = None) -> None:
        """Open the case before (-1) or after (1) another in the table, see `CasesPage.neighbour`."""
        number = self.cases_page.neighbour(step, of)
        if number is not None and self._open(number):
            self.cases_page.select(number)

    def _open(self, number: int, then: Callable[[], object] = lambda: None) -> bool:
        row = self.cases_page.table.rows[number]
        if row.error:  # which stands in full under the table
            show_error(row.error)
            return False
        if not self._may_replace():
            return False
        self._say(f"Opening {row.case.name} …")
        self._start("open", lambda _: make_layers(row.case), partial(self._show, row.case, then))
        return True

    def _may_replace(self) -> bool:
        """Whether the case in the viewer may go; asks if a person has changed its mask."""
        layers = layers_of(self.viewer, self._places)
        save_corrections(layers)
        edited = edited_masks(layers)
        if not edited:
            return True
        were, them = ("was", "it") if len(edited) == 1 else ("were", "them")
        answer = QMessageBox.question(
            self,
            "Edited mask",
            f"{', '.join(edited)} {were} edited. Opening another case takes {them} out of the viewer, and edits that "
            "were not saved are lost.",
            QMessageBox.StandardButton.Discard | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        return bool(answer == QMessageBox.StandardButton.Discard)

    def _show(self, case: Case, then: Callable[[], object], layers: "list[Layer]") -> None:
        show_case(self.viewer, self.window() or self, layers, instead_of=layers_of(self.viewer, self._places))
        self._settings.setValue(_CASE, case.name)
        self._say(f"{case.name} is open.")
        then()

    def _show_largest(self) -> None:
        if not show_largest_tumour(self.viewer):
            self._say("There is no mask with tumour in the viewer; open a case that has one, or segment it.")

    # What it says and allows

    def _update_controls(self) -> None:
        self.cases_page.refresh()
        running = bool(self._tasks.keys() & {"list", "fill"})
        self.busy.setVisible(running or any(not row.is_known for row in self.cases_page.table.rows))
        self.cancel_button.setText("Cancel" if running else "Continue")
        self.cancel_button.setToolTip("Stop looking into the cases." if running else "Look into the other cases too.")
        if "list" in self._tasks:
            self.bar.setRange(0, 0)

    def _progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.bar.setFormat("%v of %m " + ("folders" if progress.stage == "looking for cases" else "cases"))

    def _say(self, words: str) -> None:
        self.message.setText(words)

    def _fail(self, error: Exception | str) -> None:
        self._say(f"⚠ {plain(error)}")
        show_error(plain(error))

    # Work off the GUI thread

    def _start(
        self,
        name: str,
        function: Callable[[Task], Any],
        returned: Callable[[Any], object],
        **slots: Callable[..., object],
    ) -> None:
        """Begin work in place of the former of the same name, whose results no longer count."""
        slots |= {"progressed": self._progress, "returned": returned, "failed": self._fail}
        self._tasks.begin(name, function, lambda _: self._update_controls(), **slots)
        self._update_controls()

    def event(self, event: QEvent) -> bool:
        """Stop all work when the tab is closed."""
        if is_closing(self, event):
            self._tasks.close()  # what is listed by now would be looked into
            self.explore_page.close_tasks()
        return bool(super().event(event))

    def sizeHint(self) -> QSize:
        """Wide enough for most columns."""
        return QSize(440, 700)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders of this computer."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """List the cases of what was dropped, if that is one thing."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if len(paths) > 1:
            self._fail(f"{len(paths)} files or folders were dropped: drop one, such as the folder that they are in.")
        else:
            self.open_folder(paths[0])


def _summarise(cases: list[tuple[int, Case]], total: int, task: Task) -> None:
    for done, (number, case) in enumerate(cases, start=total - len(cases)):
        task.report(Progress("looking into cases", done, total))
        try:
            found: Any = summarise_case(case)
        except (ValueError, OSError) as error:
            found = str(error)
        task.send((number, found))


def _largest_tumour(viewer: "napari.Viewer") -> None:
    """Go to the slice with the largest tumour."""
    show_largest_tumour(viewer)
