"""The Train tab: set a training up, start it as a process of its own, follow its folder, and use what came of it."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_info
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QShowEvent
from qtpy.QtWidgets import QDockWidget, QMessageBox, QWidget

from ..core.rounds import adopt, model_in_use, workspace_of
from ..core.runs import REPORT_FILE, ask_to_stop
from .buttons import copy_text
from .columns import Column
from .preferences import CASES_FOLDER, preferences
from .sentences import as_sentence
from .tabs import find_tab, is_closing, show_tab, without_proxy
from .task import Tasks
from .train_command import TrainingRequest, data_folder, resume_arguments
from .train_farewell import CloseQuestion, ask
from .train_process import end_at_once, start_training
from .train_run_page import TrainRunPage, status_words
from .train_setup import TrainSetup
from .train_watch import RunReader, RunView

_EVERY = 500
"""Milliseconds between two looks at a run that is under way."""
_RUN, _PID, _SINCE = "train/run", "train/pid", "train/since"


class TrainWidget(Column):
    """Train a model while napari stays free.

    The training is the command that a person could type into a terminal. What it is doing stands in its folder, which
    is looked at in a thread; so it makes no difference whether this tab, another one or a terminal has started it.

    Parameters
    ----------
    viewer : Viewer
        Whose theme is used.
    """

    def __init__(self, viewer: Viewer) -> None:
        viewer = without_proxy(viewer)
        super().__init__()
        self.viewer = viewer
        self.view: RunView | None = None
        """The run as it was found last; None while none is watched."""
        self._reader: RunReader | None = None
        self._stopping = False
        self._was_under_way = False
        self._question: CloseQuestion | None = None
        self._dock: QDockWidget | None = None
        self._settings = preferences()
        self._tasks = Tasks(self)
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY)
        self.setup = TrainSetup()
        self.run_page = TrainRunPage()
        self.set_parts(self.setup, self.run_page)
        self.run_page.hide()
        self._connect()
        self._follow_theme()
        self._watch_remembered()

    @property
    def is_under_way(self) -> bool:
        """Whether the training that is watched has not ended."""
        return self.view is not None and self.view.is_under_way

    def start(self, request: TrainingRequest) -> None:
        """Start a training and follow it."""
        self._launch(request.arguments(), request.output)

    def watch(self, folder: Path, pid: int = 0, since: datetime | None = None) -> None:
        """Follow the run in a folder, which may have ended long ago, or be that of a process just started."""
        self._tasks.drop("look")  # whose answer would be of what was before
        self._reader = RunReader(folder, pid, since)
        self.view, self._stopping, self._was_under_way = None, False, False
        self._settings.setValue(_RUN, str(folder))
        self._settings.setValue(_PID, pid)
        self._settings.setValue(_SINCE, since.isoformat() if since else "")
        self._timer.start()
        self._show_page()
        self.verticalScrollBar().setValue(0)
        self.look()

    def look(self) -> None:
        """Look at the run once, in a thread; a look that is still under way is enough."""
        if self._reader is not None and "look" not in self._tasks:
            look = self._reader.look
            self._tasks.begin("look", lambda _: look(), lambda _: None, returned=self._show, failed=self._fail)

    def stop(self) -> None:
        """Ask the training to save and end; asked once more, offer to end it at once."""
        if not self.is_under_way:
            return
        if self._stopping:
            self._offer_to_end_at_once()
            return
        self._stopping = True
        self._ask_to_stop()
        self._show_page()

    def resume(self) -> None:
        """Go on with the run that is shown."""
        if self.view is None or self.view.run is None:
            return
        try:
            arguments = resume_arguments(self.view.run.command)
        except ValueError as error:
            self._fail(error)
        else:
            self._launch(arguments, self.view.folder, self.view.run.directory)

    def use_model(self) -> None:
        """Choose the model that came of the run in the Segment tab, and adopt it if it belongs to a workspace."""
        if self.view is None or self.view.info is None:
            return
        workspace = workspace_of(self.view.folder)
        try:
            if workspace:
                adopt(workspace, self.view.folder)
        except (OSError, ValueError) as error:
            self._fail(error)
        show_tab(self.viewer, "Segment").models.choose(str(self.view.folder), by_hand=workspace is None)
        self._show_page()

    def retrain(self, folder: Path, model: str | None = None) -> None:
        """Set up the training of a model, else of the one in use, on corrected cases; one under way stays in view."""
        if not self.is_under_way:
            self.set_up()
            self.setup.retrain(folder, model)

    def set_up(self) -> None:
        """Leave the run, which is over, and set up another one."""
        self._timer.stop()
        self._tasks.drop("look")
        self._reader = self.view = None
        self._settings.remove(_RUN)
        self._show_page()
        self.verticalScrollBar().setValue(0)
        self.setup.refresh()

    def event(self, event: QEvent) -> bool:
        """Let go of everything but the training when the tab is closed."""
        if is_closing(self, event):
            self._shut_down()
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent) -> None:
        """Ask before the window is closed, and look again at what may have changed meanwhile."""
        super().showEvent(event)
        window = _window_of(self)
        if self._question is None and window is not self:
            self._question = CloseQuestion(window, self._is_followed, self._ask_to_stop, self)
        dock = self.parentWidget()
        if isinstance(dock, QDockWidget) and dock is not self._dock:
            self._dock = dock
            dock.visibilityChanged.connect(self._came_to_front)  # a tab behind others is not hidden, so not shown again
        self._came_to_front()

    def _came_to_front(self, is_in_front: bool = True) -> None:
        """Take the folder that is open in the Cases tab by now."""
        if is_in_front and self._reader is None:
            self.setup.refresh()
        elif is_in_front:
            self._show_page()  # another model may be in use by now

    def _is_followed(self) -> bool:
        """Whether a training is under way and this tab, not closed yet, follows it."""
        return self.is_under_way and self._timer.isActive()

    # the run

    def _launch(self, arguments: list[str], output: Path, directory: str = "") -> None:
        since = datetime.now(UTC)
        try:
            pid = start_training(arguments, output, directory)
        except OSError as error:
            self._fail(error)
        else:
            self.watch(output, pid, since)
            self._was_under_way = True

    def _watch_remembered(self) -> None:
        folder = self._settings.value(_RUN, "")
        if folder and Path(folder).is_dir():
            since = self._settings.value(_SINCE, "")
            self.watch(
                Path(folder), int(self._settings.value(_PID, 0)), datetime.fromisoformat(since) if since else None
            )
        else:
            self.setup.patients.follow_cases()

    def _show(self, view: RunView) -> None:
        self.view = view
        if not view.is_under_way:
            self._timer.stop()
            self._stopping = False
        self._show_page()
        if self._was_under_way and not view.is_under_way:
            self._tell_end(view)
        self._was_under_way = view.is_under_way

    def _show_page(self) -> None:
        view = self.view
        self.setup.setVisible(self._reader is None)
        self.run_page.setVisible(view is not None)
        if view is None:
            return
        self.run_page.show_view(view, stopping=self._stopping, is_used=self._is_used(view.folder))
        listed = Path(folder) if (folder := self._settings.value(CASES_FOLDER, "")) else None
        data = data_folder(view.run) if view.run else None
        self.run_page.show_elsewhere(listed if data and listed != data else None)
        self._show_curves(view)

    def _is_used(self, folder: Path) -> bool:
        """Whether a model is the one in use of its workspace, if it has one, and the one that Segment uses."""
        segment, workspace = find_tab(self.viewer, "Segment"), workspace_of(folder)
        names = [segment.models.name] if segment is not None else []
        try:
            names += [model_in_use(workspace)] if workspace else []
        except ValueError:  # which is told once the model is to be used
            return False
        return set(names) == {str(folder)}

    def _show_curves(self, view: RunView) -> None:
        epochs = view.state.epochs if view.state else len(view.history)
        self.run_page.curves.show_rows(view.history, epochs)

    def _tell_end(self, view: RunView) -> None:
        words = f"{view.folder.name}: {status_words(view, stopping=False)}"
        if view.status == "failed":
            show_error(words)
        else:
            show_info(words)

    def _ask_to_stop(self) -> None:
        assert self._reader
        try:
            ask_to_stop(self._reader.folder)
        except OSError as error:
            self._stopping = False
            self._fail(error)

    def _offer_to_end_at_once(self) -> None:
        answer = QMessageBox.question(
            self,
            "End at once",
            "The training saves and ends after the step at hand. End its process at once? What was learned since the "
            "last whole epoch is lost.",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        if answer == QMessageBox.StandardButton.Yes and self.view is not None and self.view.state:
            try:
                end_at_once(self.view.state)
            except OSError as error:
                self._fail(error)

    # what the controls do

    def _connect(self) -> None:
        page = self.run_page
        self._timer.timeout.connect(self.look)
        self.setup.start_wanted.connect(self.start)
        self.setup.run_chosen.connect(self.watch)
        page.stop_button.clicked.connect(lambda: self.stop())
        page.resume_button.clicked.connect(lambda: self.resume())
        page.use_button.clicked.connect(lambda: self.use_model())
        page.new_button.clicked.connect(lambda: self.set_up())
        page.copy_button.clicked.connect(lambda: self._copy_command())
        page.report_button.clicked.connect(lambda: self._open(REPORT_FILE))
        page.folder_button.clicked.connect(lambda: self._open(""))
        self.viewer.events.theme.connect(self._follow_theme)

    def _open(self, name: str) -> None:
        if self.view is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.view.folder / name)))

    def _copy_command(self) -> None:
        assert self.view
        assert self.view.run
        copy_text(self.view.run.command)
        show_info(f"Copied: {self.view.run.command}")

    def _follow_theme(self, _: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.run_page.curves.set_theme(theme.background.as_hex(), theme.text.as_hex())

    def _fail(self, error: Exception) -> None:
        words = as_sentence(error)
        if self._reader is None:
            self.setup.say(words)
        else:
            self.run_page.status_line.setText(f"⚠ {words}")
        show_error(words)

    def _shut_down(self) -> None:
        """Let go of the viewer, which outlives the tab; what becomes of the training is asked once the tab is gone."""
        question = self._question
        if self._is_followed() and self._reader and not (question and question.was_asked):
            window = question.window if question else None  # of no other has the question the theme
            QTimer.singleShot(0, partial(_ask_and_stop, self._reader.folder, window))
        self._timer.stop()
        self._tasks.close()
        self.setup.close_tasks()
        self.run_page.curves.let_go()
        self.viewer.events.theme.disconnect(self._follow_theme)


def _ask_and_stop(folder: Path, window: QWidget | None) -> None:
    if ask(window, can_cancel=False) == "stop":
        try:
            ask_to_stop(folder)
        except OSError as error:
            show_error(as_sentence(error))


def _window_of(widget: QWidget) -> QWidget:
    """The window that a widget is in, even if its dock floats."""
    while (parent := widget.parentWidget()) is not None:
        widget = parent
    return widget
