"""What becomes of a running training when napari or its tab is closed: the person is asked."""

from collections.abc import Callable
from typing import Literal

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QMessageBox, QWidget

Answer = Literal["go on", "stop", "cancel"]
_WORDS = (
    "A training is running. It can go on without napari; the Train tab finds it again.\n\n"
    "Stopping saves what was learned so far."
)


class CloseQuestion(QObject):
    """Asks before a window is closed.

    Parameters
    ----------
    window : QWidget
        Which window.
    needs_asking : callable
        Whether a training is running.
    stop : callable
        Called if the person wants it to stop.
    owner : QObject
        With which the question goes.
    """

    def __init__(
        self, window: QWidget, needs_asking: Callable[[], bool], stop: Callable[[], object], owner: QObject
    ) -> None:
        super().__init__(owner)
        self.window, self._needs_asking, self._stop = window, needs_asking, stop
        self.was_asked = False
        window.installEventFilter(self)

    def eventFilter(self, _: QObject, event: QEvent) -> bool:
        """Take the event away if the window shall stay open."""
        if event.type() != QEvent.Type.Close or self.was_asked or not self._needs_asking():
            return False
        answer = ask(self.window, can_cancel=True)
        if answer == "cancel":
            event.ignore()
            return True
        self.was_asked = True
        QTimer.singleShot(0, self._look_again)
        if answer == "stop":
            self._stop()
        return False

    def _look_again(self) -> None:
        """Ask once more the next time if the window has stayed open, as napari's own question lets a person decide."""
        self.was_asked = not self.window.isVisible()


def ask(parent: QWidget | None, *, can_cancel: bool) -> Answer:
    """Ask whether a running training shall go on, which is the default."""
    box = QMessageBox(QMessageBox.Icon.Question, "Training", _WORDS, parent=parent)
    go_on = box.addButton("Let it go on", QMessageBox.ButtonRole.AcceptRole)
    stop = box.addButton("Stop training", QMessageBox.ButtonRole.DestructiveRole)
    cancel = box.addButton("Keep napari open", QMessageBox.ButtonRole.RejectRole) if can_cancel else go_on
    box.setDefaultButton(go_on)
    box.setEscapeButton(cancel)
    box.exec()
    if box.clickedButton() is stop:
        return "stop"
    return "cancel" if can_cancel and box.clickedButton() is cancel else "go on"
