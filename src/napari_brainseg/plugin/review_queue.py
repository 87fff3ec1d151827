"""What to correct next, over the case or the whole data set, as a list in the Review tab."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QProgressBar, QWidget

from ..core.cases import find_cases, patient_of
from ..core.config import QueueConfig, SegmentConfig
from ..core.durations import in_words
from ..core.ledgers import TRUE_STATES
from ..core.progress import Progress
from ..core.queues import QueueItem, rank_slices, read_queue, write_queue
from ..core.rounds import model_in_use
from ..core.signals import find_signals
from ..core.words import counted
from ..core.workspaces import Workspace
from .buttons import allow, make_button, side_by_side
from .columns import stack, text_line
from .correction_layer import manual_layer
from .layer_metadata import notes
from .preferences import CASES_FOLDER, preferences
from .result_layer import ResultLayer
from .row_table import RowTable
from .sentences import as_sentence
from .tabs import find_tab
from .task import Task, Tasks
from .workspace_choice import workspace_for

if TYPE_CHECKING:
    from ..core.queue_search import FoundQueue
    from .review_widget import ReviewWidget

THIS_CASE, ALL_CASES = "This case", "All cases"
FIND, STOP, STOPPING = "Find slices to correct", "Stop", "Stopping..."
_TOOLTIP = "Rank the slices by what speaks against them: doubt, mirror image, neighbours, manual mask."
_TABLE = "Slices to correct, the most rewarding first; a click goes there."


class ReviewQueue(QWidget):
    """A list of slices with the reasons; a click goes there.

    Parameters
    ----------
    review : ReviewWidget
        The tab that it belongs to.
    """

    def __init__(self, review: "ReviewWidget") -> None:
        super().__init__()
        self.items: list[QueueItem] = []
        self._review = review
        self._settings = preferences()
        self._tasks = Tasks(self)
        self._started = 0.0
        """When the first case was begun with."""
        self._place: Path | None = None
        """Where the cases of the list lie: a case of the same name elsewhere is another one."""
        self._stored_in: Workspace | None = None
        """Whose stored list was read last."""
        self.scope = QComboBox()
        self.scope.addItems((THIS_CASE, ALL_CASES))
        self.scope.setToolTip("Look for slices in the case at hand, or in all that the Cases tab lists.")
        self.find_button = make_button(FIND, self.find, _TOOLTIP)
        self.bar = QProgressBar()
        self.bar.setToolTip("Cases that were looked into.")
        self.bar.hide()
        self.why_line = text_line("Why nothing can be looked for.")
        self.line = text_line("What was found.")
        self.line.hide()
        self.table = RowTable(_TABLE, most=7, wide=1, selectable=True)
        self.table.hide()  # until there is something in it
        self.table.cellClicked.connect(lambda row, _: self.go_to(self.items[row]))
        self.table.cellActivated.connect(lambda row, _: self.go_to(self.items[row]))
        search = side_by_side(self.scope, self.find_button, stretch=(0, 1))
        stack(self, search, self.why_line, self.table, self.line, self.bar)
        self.scope.currentTextChanged.connect(lambda _: self._update())
        review.changed.connect(self._follow)
        self._follow()

    def find(self) -> None:
        """Look for slices to correct, or stop looking."""
        if "find" in self._tasks:
            self._tasks["find"].stop()
            self._update()
            return
        result = self._review.result
        if self.scope.currentText() == ALL_CASES:
            folder, workspace = self._data_folder(), self._data_workspace()
            assert folder
            assert workspace
            self._begin(lambda task: _find_in_all(folder, workspace, task), partial(self._found, workspace))
        elif result:
            done = [z for z, state in enumerate(self._review.states()) if state in TRUE_STATES]
            manual = manual_layer(self._review.viewer.layers, result.volume)
            self._show(_find_in_case(result, done, manual), result.volume.source)
            self._follow()

    def go_to(self, item: QueueItem) -> None:
        """Show a slice of the list, and open its case first if it is another one."""
        volume, tab = self._review.volume, find_tab(self._review.viewer, "Cases")
        listed = tab.cases_page.cases if tab is not None else ()
        if volume is not None and self._is_of(item, volume.name, volume.source):
            self._arrive(item)
        elif not any(self._is_of(item, case.name, *case.images[:1]) for case in listed):
            self._say(f"{item.case} is not open: open its folder in the Cases tab first.")
        elif tab.open_case(item.case, partial(self._arrive, item)):
            self._say(f"Opening {item.case}…")

    def close_tasks(self) -> None:
        """Stop all work."""
        self._tasks.close()

    def showEvent(self, event: QShowEvent) -> None:
        """Look whether the Cases tab lists another data set by now."""
        super().showEvent(event)
        self._follow()

    def _arrive(self, item: QueueItem) -> None:
        self._review.go_to(item.z)
        self._say("")

    def _is_of(self, item: QueueItem, name: str, place: Path | None = None) -> bool:
        """Whether an item of the list is of the case of this name that lies there."""
        return name == item.case and self._place in ((place, *place.parents) if place else (None,))

    def _begin(self, work: "Callable[[Task], FoundQueue]", found: "Callable[[FoundQueue], object]") -> None:
        self._tasks.begin(
            "find",
            work,
            self._ended,
            progressed=self._show_progress,
            returned=found,
            failed=lambda error: self._say(as_sentence(error)),
        )
        self._started = 0.0
        self.bar.setRange(0, 0)
        self._update()

    def _ended(self, task: Task) -> None:
        if task.was_stopped:
            self._say("Stopped; the former list stays.")
        self._update()

    def _show_progress(self, progress: Progress) -> None:
        if progress.total and not self._started:
            self._started = time.monotonic()
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.bar.setFormat(f"%v of %m cases{self._left(progress)}")

    def _left(self, progress: Progress) -> str:
        if not progress.done:
            return ""
        seconds = (time.monotonic() - self._started) / progress.done * (progress.total - progress.done)
        return f", {in_words(seconds)} left"

    def _found(self, workspace: Workspace, found: "FoundQueue") -> None:
        if workspace != self._data_workspace():
            return  # it is stored for when that data set is listed again
        self._show(found.items, self._data_folder())
        if found.failed:
            name, reason = next(iter(found.failed.items()))
            self._say(f"{len(found.failed)} cases could not be looked into; {name}: {reason}")
        self._follow()

    def _follow(self) -> None:
        """Take the list of the data set, and let the tab step through what is queued of its case."""
        if self._data_workspace() != self._stored_in:
            self._read_stored()
        volume = self._review.volume
        if volume is not None:
            order = tuple(item.z for item in self.items if self._is_of(item, volume.name, volume.source))
            if order != self._review.order:
                self._review.set_order(order)
        self._mark_done()
        self._update()

    def _read_stored(self) -> None:
        self._stored_in = workspace = self._data_workspace()
        self._show((), None)
        self._say("")
        if workspace and workspace.queue.is_file():
            try:
                self._show(read_queue(workspace.queue), self._data_folder())
            except (OSError, ValueError) as error:
                self._say(as_sentence(error))

    def _show(self, items: Sequence[QueueItem], place: Path | None) -> None:
        """List slices of the cases that lie at a place."""
        self.items, self._place = list(items), place.parent if place and place.is_file() else place
        why = ["; ".join(item.reasons) for item in items]
        names = [f"{patient_of(item.case).removeprefix('TCGA_')}, {item.slice_number}" for item in items]
        self.table.show_rows(("Slice", "Why"), list(zip(names, why, strict=True)))
        for row, item in enumerate(items):
            for column in range(2):
                self.table.item(row, column).setToolTip(f"{item.case}, slice {item.slice_number}: {why[row]}")
        cases = len({item.case for item in items})
        self._say(f"{len(items)} slices of {counted(cases, 'case')}." if items else "Nothing is left to correct.")
        self._mark_done()

    def _mark_done(self) -> None:
        """Strike out what was reviewed since."""
        volume, states = self._review.volume, self._review.states()
        for row, item in enumerate(self.items):
            cell = self.table.item(row, 0)
            is_here = volume is not None and self._is_of(item, volume.name, volume.source)
            if is_here and item.z < len(states) and cell is not None:
                font = cell.font()
                font.setStrikeOut(states[item.z] != "auto")
                cell.setFont(font)

    def _update(self) -> None:
        task = self._tasks.get("find")
        is_stopping = task is not None and task.stopping
        why_not = self._why_not() if task is None else ""
        self.bar.setVisible(task is not None)
        self.why_line.setText(why_not)
        self.why_line.setVisible(bool(why_not))
        self.find_button.setText(FIND if task is None else STOPPING if is_stopping else STOP)
        allow(self.find_button, "The slices at hand are finished first." if is_stopping else why_not, _TOOLTIP)

    def _why_not(self) -> str:
        if self.scope.currentText() == ALL_CASES:
            return "" if self._data_folder() else "Open a folder in the Cases tab first."
        if self._review.corrections is None:
            return "Open a case first."
        if self._review.result is None:
            return "Segment this case first."
        return "Wait until the case is segmented." if self._review.result.is_filling else ""

    def _data_folder(self) -> Path | None:
        folder = str(self._settings.value(CASES_FOLDER, ""))
        return Path(folder).absolute() if folder and Path(folder).exists() else None

    def _data_workspace(self) -> Workspace | None:
        folder = self._data_folder()
        return workspace_for(folder) if folder else None

    def _say(self, words: str) -> None:
        self.line.setText(words)
        self.line.setVisible(bool(words))


def _find_in_case(result: ResultLayer, done: list[int], manual: Labels | None) -> list[QueueItem]:
    """From what is known of the case already, without the network."""
    name = result.volume.name
    signals = find_signals(
        result.probability,
        result.predicted,
        result.volume.slice_numbers,
        manual=None if manual is None else np.asarray(manual.data) > 0,
        known=None if manual is None else notes(manual.metadata).get("known"),
    )
    return rank_slices({name: signals}, QueueConfig(), {name: done})


def _find_in_all(folder: Path, workspace: Workspace, task: Task) -> "FoundQueue":
    from ..core.models import load_model
    from ..core.queue_search import find_queue

    scan = Progress("looking for cases", 0, 0)  # how long that takes says nothing of the segmenting after it
    cases = [case for case in find_cases(folder, on_progress=lambda _: task.report(scan)) if case.error is None]
    model = load_model(model_in_use(workspace))
    found = find_queue(cases, model, workspace, QueueConfig(), SegmentConfig(), on_progress=task.report)
    with workspace.locked("queue"):
        write_queue(workspace.queue, found.items)
    return found
