"""What the Train tab shows of a run: how far it is, its curves and previews, and what came of it."""

from pathlib import Path

from qtpy.QtWidgets import QProgressBar, QWidget

from ..core.durations import in_words
from ..core.runs import CHECKPOINT_FILE, RunState
from ..core.words import counted
from .buttons import allow, make_button, side_by_side
from .columns import make_primary, stack, text_line
from .sentences import as_sentence
from .train_curves import TrainCurves
from .train_outcome import TrainOutcome
from .train_previews import TrainPreviews
from .train_watch import RunView

STOP, STOPPING = "Stop", "Stopping..."
USE, IN_USE = "Use this model", "In use"


class TrainRunPage(QWidget):
    """Shows a `RunView`; what its buttons do is for the tab to say."""

    def __init__(self) -> None:
        super().__init__()
        self.title = text_line("The run.")
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.about_line = text_line("What the run learns from.")
        self.elsewhere_line = text_line("Whether the Cases tab shows other patients than those that the run is about.")
        self.status_line = text_line("How the training stands.")
        self.epoch_bar = _bar("How far the epoch at hand is, and how long it still takes.")
        self.run_bar = _bar("How far the whole training is, and how long it still takes.")
        self.stop_button = make_button(STOP)
        make_primary(self.stop_button)
        self.outcome = TrainOutcome()
        self.use_button = make_button(USE)
        make_primary(self.use_button)
        self.resume_button = make_button("Resume")
        self.curves = TrainCurves()
        self.previews = TrainPreviews()
        self.report_button = make_button("Open report")
        self.folder_button = make_button("Open folder", tooltip="Show the run's folder in the file browser.")
        self.copy_button = make_button("Copy as command")
        self.new_button = make_button("New training…")
        stack(
            self,
            side_by_side(self.title, self.new_button, stretch=(1, 0)),
            self.about_line,
            self.elsewhere_line,
            self.status_line,
            self.epoch_bar,
            self.run_bar,
            self.stop_button,
            self.outcome,
            self.use_button,
            self.resume_button,
            self.curves,
            self.previews,
            side_by_side(self.report_button, self.folder_button, stretch=(1, 1)),
            self.copy_button,
        )

    def show_view(self, view: RunView, *, stopping: bool, is_used: bool = False) -> None:
        """Show a run as it is now, whether a stop was asked for, and whether its model is in use already."""
        self.title.setText(view.folder.name)
        self.title.setToolTip(str(view.folder))
        self.about_line.setText(_about(view))
        self.about_line.setVisible(bool(view.run))
        self.status_line.setText(status_words(view, stopping=stopping))
        self._show_bars(view)
        self.outcome.show_model(None if view.is_under_way else view.info)
        self.previews.show_previews(view.previews)
        self._enable(view, stopping=stopping)
        self.use_button.setText(IN_USE if is_used else USE)
        tooltip = "Choose this model in the Segment tab; the former one stays in the list there."
        allow(self.use_button, "Segment and the next retraining use this model." if is_used else None, tooltip)

    def show_elsewhere(self, listed: Path | None) -> None:
        """Say that the Cases tab lists another data set than that of the run; None if it does not."""
        self.elsewhere_line.setText(f"⚠ The Cases tab shows another data set: {listed.name}." if listed else "")
        self.elsewhere_line.setVisible(listed is not None)

    def _show_bars(self, view: RunView) -> None:
        state = view.state
        for bar in (self.epoch_bar, self.run_bar):
            bar.setVisible(view.is_under_way)
        if state is None or not state.steps:
            self.epoch_bar.setRange(0, 0)
            self.run_bar.setRange(0, 1)
            self.run_bar.setValue(0)
            self.run_bar.setFormat("Run")
            return
        self.epoch_bar.setRange(0, state.steps)
        self.epoch_bar.setValue(state.step)
        self.epoch_bar.setFormat(f"Epoch {min(state.epoch + 1, state.epochs)}: %p %{_left(_epoch_left(state))}")
        self.run_bar.setRange(0, 1000)
        self.run_bar.setValue(round(state.share * 1000))
        self.run_bar.setFormat(f"Run: %p %{_left(state.seconds_left)}")

    def _enable(self, view: RunView, *, stopping: bool) -> None:
        is_under_way, has_model = view.is_under_way, view.info is not None
        self.stop_button.setVisible(is_under_way)
        self.stop_button.setText(STOPPING if stopping else STOP)
        self.stop_button.setToolTip(
            "The step at hand is finished and all is saved; press again to end the process at once."
            if stopping
            else "Finish the step at hand, save what was learned, and end; it can be resumed."
        )
        self.use_button.setVisible(has_model and not is_under_way)
        self.resume_button.setVisible(view.status in ("stopped", "failed") and view.run is not None)
        self.resume_button.setToolTip(_resume_words(view))
        allow(
            self.report_button,
            None if view.has_report else "The report is written when the training ends.",
            "Open the page with curves, scores and settings in the browser.",
        )
        command = view.run.command if view.run else ""
        allow(
            self.copy_button,
            None if command else "The run does not say yet by which command it was begun.",
            f"Copy the command that began it: {command}",
        )
        allow(
            self.new_button,
            "Stop this training first, or wait for its end." if is_under_way else None,
            "Set up another training; this one stays in its folder.",
        )


def status_words(view: RunView, *, stopping: bool) -> str:
    """How a run stands, as a sentence."""
    state = view.state
    done = f"{state.epoch} of {state.epochs} epochs" if state else "no epoch"
    trouble = f" ⚠ {as_sentence(view.problem)}" if view.problem and view.problem != view.message else ""
    if view.is_under_way and (stopping or view.status == "stopping"):
        return f"Stopping after {done}: the step at hand is finished first.{trouble}"
    if view.status == "starting" or (view.status == "running" and not (state and state.steps)):
        return f"Starting: {view.message or 'loading PyTorch and reading the cases'}…{trouble}"
    if view.status == "running":
        assert state
        return f"{done} done, {in_words(state.seconds)} so far.{trouble}"
    if view.status == "finished":
        took = f" in {in_words(state.seconds)}" if state and state.seconds else ""
        return f"Finished: {done}{took}.{trouble}"
    if view.status == "stopped":
        why = f" ({view.message})" if view.message else ""
        kept = "; the weights so far are a model that can be used" if view.info else ""
        return f"Stopped after {done}{why}{kept}.{trouble}"
    return f"⚠ {as_sentence(f'Failed after {done}: {view.message}' if state else view.message)}{trouble}"


def _about(view: RunView) -> str:
    run = view.run
    if run is None:
        return ""
    origin = f"From {Path(run.parent).name}" if run.parent else "From nothing"
    train, validation = len(run.train_cases), len(run.validation_cases)
    return f"{origin}; {counted(train, 'case')} train, {validation} validate."


def _resume_words(view: RunView) -> str:
    if (view.folder / CHECKPOINT_FILE).is_file():
        return "Go on after the last whole epoch, as if nothing had happened."
    return "Begin again: no epoch was finished yet."


def _epoch_left(state: RunState) -> float | None:
    done = state.epoch * state.steps + state.step
    return state.seconds / done * (state.steps - state.step) if done and state.seconds else None


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", {in_words(seconds)} left"


def _bar(tooltip: str) -> QProgressBar:
    bar = QProgressBar()
    bar.setToolTip(tooltip)
    return bar
