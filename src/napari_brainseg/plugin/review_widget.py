"""The Review tab: correct a case with the brush, slice by slice; everything is saved by itself."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import QCoreApplication, QEvent, QObject, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QMessageBox
from superqt.utils import qthrottled

from ..core.corrections import Corrections
from ..core.ledgers import ReviewState
from ..core.volumes import Volume
from ..core.words import counted, plain
from ..core.workspaces import Workspace
from .columns import folded
from .correction_layer import CorrectionLayer, correction_of
from .restore_menu import RestoreMenu
from .result_layer import ResultLayer
from .review_case import ReviewCase
from .review_form import CORRECT, GO_ON, ReviewForm
from .review_queue import ReviewQueue
from .review_rounds import ReviewRounds
from .review_session import ReviewSession
from .review_steps import describe_case, describe_end, describe_saved, describe_slice, next_slice, states_of
from .slice_view import go_to_slice, slice_in_view, why_not_in_view
from .tabs import find_tab, is_closing, without_proxy
from .viewer_keys import ViewerKeys

NEXT, RETRAINING = "What to correct next", "Retrain"


class ReviewWidget(ReviewForm):
    """Correct a case in a layer of its own, accept its slices, and go to the next one.

    Parameters
    ----------
    viewer : Viewer
        Where the case is.
    """

    changed = Signal()
    """The case, its prediction, its layer, its workspace or the state of a slice is another one."""

    def __init__(self, viewer: Viewer) -> None:
        viewer = without_proxy(viewer)
        super().__init__(viewer)
        self.viewer = viewer
        self.chosen = ReviewCase(viewer, self.place, self)
        """The case, and what is saved of it."""
        self.session: ReviewSession | None = None
        """The correction of it, once it was begun with."""
        self.order: tuple[int, ...] = ()
        """Positions along Z in the order in which they are best reviewed; empty for that of the slices."""
        self._sees_window = False
        self._dock: QDockWidget | None = None
        self.restore_menu = RestoreMenu(self.restore_button, self.slice_in_view)
        self.restore_button.setMenu(self.restore_menu)
        self._refresh = qthrottled(self._show, timeout=50, parent=self)
        self._connect()
        self.queue, self.rounds = ReviewQueue(self), ReviewRounds(self)
        self.add_panel(folded(NEXT, self.queue))
        self.add_panel(folded(RETRAINING, self.rounds))
        self._case_chosen()

    @property
    def volume(self) -> Volume | None:
        """The case as it is now; None while there is none, and for a plain image before that is needed."""
        return self.chosen.volume

    @property
    def corrections(self) -> Corrections | None:
        """What is saved of the case, once it was read."""
        return self.chosen.corrections

    @property
    def workspace(self) -> Workspace | None:
        """Where corrections are kept; None while there is no case, or nobody has said where."""
        return self.place.workspace

    @property
    def layer(self) -> Labels | None:
        """What is painted in; None before it was begun with."""
        return self.session.layer if self.session else None

    @property
    def result(self) -> ResultLayer | None:
        """The prediction of the case, if there is one."""
        return self.chosen.result

    # the case

    def choose(self, images: Image) -> None:
        """Choose the case of these images."""
        self.case.choose(images)

    def correct(self) -> None:
        """Begin to correct the case that is chosen, or go on with it."""
        if self.session:
            self.session.correction.take_brush()
        elif correction := self.chosen.begin():
            self._adopt(correction)
        self._refresh()

    def go_to(self, z: int) -> None:
        """Show a slice in the viewer."""
        go_to_slice(self.viewer, self.layer or self.chosen.images, z)

    def slice_in_view(self) -> int:
        """Position along Z of the slice that the viewer shows, or of the one nearest to it."""
        return slice_in_view(self.viewer, self.layer or self.chosen.images)

    def set_order(self, order: Sequence[int]) -> None:
        """Go through the slices in this order, such as that of a queue; without any, in their own."""
        self.order = tuple(order)
        self._refresh()

    def states(self) -> tuple[ReviewState, ...]:
        """State of each slice along Z, as far as it is saved."""
        return states_of(self.corrections) if self.corrections else ()

    def _case_chosen(self) -> None:
        layers, correction = self.case.layers, self.session.correction if self.session else None
        images = self.chosen.images if self.chosen.images in layers else next(iter(layers), None)
        if correction and correction.is_shown and any(map(correction.is_of, layers)):
            self.chosen.images = images
        elif correction or images is not self.chosen.images:
            self._leave()
            self.order = ()
            if left := self.chosen.turn_to(images):
                self._adopt(left)
        self.fill_box.follow(self.chosen.images)
        self._refresh()

    def _follow_selection(self, _: Any = None) -> None:
        """Turn to the case whose correction layer was selected, for no other is saved."""
        active = self.viewer.layers.selection.active
        if active is not None and active is not self.layer and (correction := correction_of(active)):
            self.choose(correction.images)

    def _adopt(self, correction: CorrectionLayer) -> None:
        self.case.is_correcting = True
        self.restore_menu.correction = self.fill_box.correction = correction
        self.session = ReviewSession(self.viewer, correction, lambda: self.reviewer.text().strip(), self)
        self.session.clock.ticked.connect(self._show_slice)
        autosave = self.session.autosave
        autosave.saved.connect(self._was_saved)
        autosave.failed.connect(self._was_not_saved)
        autosave.reopened.connect(self._reopened)
        autosave.merged.connect(self._merged)
        self._give_tools()
        autosave.look()
        self.changed.emit()

    def _leave(self) -> None:
        """End the correction of the case."""
        if self.session:
            if not self.session.stop():
                show_error(f"The last corrections of {self.session.correction.volume.name} could not be saved in time.")
            self.tools.set_layer(None)
        self.session, self.case.is_correcting = None, False
        self.restore_menu.correction = self.fill_box.correction = None
        self.say("")
        self.say_error("")
        self.saved_line.clear()

    # what was saved

    def _was_saved(self, outcome: tuple[list[int], list[int]]) -> None:
        assert self.session
        self.say_error("")
        time = self.session.autosave.time
        self.saved_line.setText(f"Saved {time:%H:%M:%S}" if time else "")
        _, overtaken = outcome
        if overtaken:
            words = "had been changed in another window: that version is kept under Restore..."
            self.say(f"{self.session.name(overtaken)} {words}")
        self.changed.emit()

    def _was_not_saved(self, error: Exception) -> None:
        words = f"Not saved: {plain(error)}. Your corrections stay in the window; it is tried again."
        if words != self.error_line.text():
            show_error(words)
        self.saved_line.setText("Not saved")
        self.say_error(words)
        self._refresh()

    def _reopened(self, slices: list[int]) -> None:
        assert self.session
        states = {self.session.correction.state(z) for z in slices}
        self.say(f"{self.session.name(slices)} had been {' or '.join(sorted(states))}: now to be reviewed again.")

    def _merged(self, slices: Sequence[int]) -> None:
        assert self.session
        self.say(f"{self.session.name(slices)} had been changed in another window, and shown as it is now.")
        self.changed.emit()

    # what a person says of a slice

    def accept(self) -> None:
        """Accept the slice in view, or withdraw that."""
        self._toggle("accepted")

    def flag(self) -> None:
        """Flag the slice in view, or withdraw that."""
        self._toggle("flagged")

    def accept_volume(self) -> None:
        """Accept all slices that are not flagged, or withdraw that if all are."""
        if self.session:
            flagged = self.session.accept_volume()
            words = f"had been flagged and stay{'s' * (len(flagged) == 1)} so."
            self.say(f"{self.session.name(flagged)} {words}" if flagged else "")

    def step(self, direction: int) -> None:
        """Go to the next slice that is to be reviewed (1), or to the one before (-1)."""
        if self.session and not why_not_in_view(self.viewer, self.layer):
            z = next_slice(self.session.waiting(self.order), self.order, self.slice_in_view(), direction)
            if z is not None:
                self.go_to(z)

    def _toggle(self, state: ReviewState) -> None:
        if self.session and not why_not_in_view(self.viewer, self.layer):
            self.say("")
            self.session.toggle(state)

    # a new segmentation

    def _filled(self, count: int, edited: list[int]) -> None:
        assert self.session
        assert self.fill_box.result
        if edited:
            self.session.autosave.set_state(edited, "auto")
        kept = len(self.fill_box.result.done) - count
        words = f"; {kept} edited, accepted or flagged stay." if kept else "."
        self.say(f"{counted(count, 'slice')} filled from the new prediction{words}")
        self._give_tools()
        self._refresh()

    def _give_tools(self) -> None:
        if self.layer is not None:
            result = self.fill_box.result
            self.tools.set_layer(self.layer, result.probability if result else None)

    # what it shows

    def _show(self, _: Any = None) -> None:
        is_at_hand = self.layer is not None and self.viewer.layers.selection.active is self.layer
        is_begun = self.session or (self.corrections and describe_saved(self.corrections.ledger))
        self.correct_button.setText(GO_ON if is_begun else CORRECT)
        self.show_session(is_correcting=bool(self.session), is_at_hand=is_at_hand, why_not=self.chosen.why_not)
        start = self.session.correction.describe_lack() if self.session else self.chosen.describe_start()
        self.start_line.setText(start)
        self.start_line.setVisible(bool(start))
        if self.session and self.corrections and self.volume:
            self.strip.show_states(self.states(), self.volume.slice_numbers)
            self.summary.setText(describe_case(self.corrections.ledger, len(self.volume.array)))
            self._show_slice()

    def _show_slice(self, _: Any = None) -> None:
        """Say what is known of the slice in view, and what can be done with it."""
        if not (self.session and self.corrections and self.volume):
            return
        z, states = self.slice_in_view(), self.states()
        why_no_slice = why_not_in_view(self.viewer, self.layer)
        self.strip.mark(z)
        seconds = self.session.clock.seconds.get(z, 0.0)
        words = describe_slice(self.volume.slice_numbers[z], self.corrections.review(z), seconds)
        self.slice_line.setText(why_no_slice or words)
        waiting, left = self.session.waiting(self.order), self.session.waiting(())
        why_no_step = describe_end(waiting, left, z)
        self.allow_actions(
            accepted=states[z] == "accepted",
            flagged=states[z] == "flagged",
            all_accepted="accepted" in states and not {"auto", "edited"} & set(states),
            why_no_slice=why_no_slice,
            why_no_step=why_no_step,
            why_not_all=self.session.correction.describe_lack(),
        )
        is_done = not waiting and any(state != "auto" for state in states)
        self.case_button.setVisible(is_done and not left and self._cases() is not None)
        if is_done and not self.done_line.text():
            self.say(why_no_step)

    def _cases(self) -> Any:
        """The Cases tab, if it is open and lists another case."""
        tab = find_tab(self.viewer, "Cases")
        return tab if tab is not None and tab.cases_page.neighbour(1, self.volume) is not None else None

    def _next_case(self) -> None:
        if tab := self._cases():
            tab.open_neighbour(1, self.volume)

    # the window

    def event(self, event: QEvent) -> bool:
        """Save and let go of the viewer when the tab is closed."""
        if is_closing(self, event):
            self._shut_down()
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent) -> None:
        """See the window close, which does not tell its tabs, and this tab come to the front."""
        super().showEvent(event)
        dock = self.parentWidget()
        if isinstance(dock, QDockWidget) and dock is not self._dock:
            self._dock = dock
            dock.visibilityChanged.connect(self._came_to_front)
        if self.window() is not self and not self._sees_window:
            self._sees_window = True
            self.window().installEventFilter(self)

    def _came_to_front(self, is_in_front: bool) -> None:
        """Look again which model is in use: other tabs change that."""
        if is_in_front:
            self.rounds.refresh()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Save before the window closes, and let it stay open where that fails and the person says so."""
        if watched is self.window() and event.type() == QEvent.Type.Close and not self._may_close():
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))

    def _may_close(self) -> bool:
        if not self.session or not (lost := self.session.save()):
            return True
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
        return bool(QMessageBox.question(self, "Corrections", f"Close anyway? {lost}", yes | no, no) == yes)

    def _try_again(self) -> None:
        if self.session:
            self.session.autosave.look()

    def _flush(self) -> None:
        if self.session:
            self.session.autosave.flush()

    def _connect(self) -> None:
        self.case.updated.connect(self._case_chosen)
        self.chosen.changed.connect(self.changed)
        self.place.failed.connect(lambda error: show_error(plain(error)))
        self.changed.connect(self._refresh)
        self.correct_button.clicked.connect(lambda: self.correct())
        self.again_button.clicked.connect(lambda: self._try_again())
        self.accept_button.clicked.connect(lambda: self.accept())
        self.flag_button.clicked.connect(lambda: self.flag())
        self.next_button.clicked.connect(lambda: self.step(1))
        self.back_button.clicked.connect(lambda: self.step(-1))
        self.volume_button.clicked.connect(lambda: self.accept_volume())
        self.case_button.clicked.connect(lambda: self._next_case())
        self.strip.clicked.connect(self.go_to)
        self.fill_box.filled.connect(self._filled)
        self.fill_box.replaced.connect(self._give_tools)
        self.fill_box.replaced.connect(self.changed)
        self.restore_menu.said.connect(self.say)
        dims = self.viewer.dims.events
        self._signals = (dims.current_step, dims.ndisplay, dims.order, self.viewer.layers.selection.events.active)
        for signal in self._signals:
            signal.connect(self._refresh)
        self.viewer.layers.selection.events.active.connect(self._follow_selection)
        application = QCoreApplication.instance()
        if application:
            application.aboutToQuit.connect(self._flush)
        actions = {
            "Shift-A": self.accept,
            "Shift-F": self.flag,
            "N": lambda: self.step(1),
            "Shift-N": lambda: self.step(-1),
        }
        self._keys = ViewerKeys(self.viewer, actions)

    def _shut_down(self) -> None:
        if self.session:  # its layer stays, but nobody would save what is painted
            show_info("Review closed: corrections are locked.")
        self._leave()
        if application := QCoreApplication.instance():
            with suppress(TypeError):  # it was disconnected before
                application.aboutToQuit.disconnect(self._flush)
        self.chosen.close_tasks()
        self.queue.close_tasks()
        self.rounds.close_tasks()
        self._refresh.cancel()
        self.fill_box.let_go()
        self.case.let_go()
        self.tools.let_go()
        for signal in self._signals:
            signal.disconnect(self._refresh)
        self.viewer.layers.selection.events.active.disconnect(self._follow_selection)
        self._keys.let_go()
