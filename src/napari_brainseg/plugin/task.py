"""Work off the GUI thread that reports, and that can be stopped."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from ..core.progress import Cancelled, Progress


class Task(QObject):
    """One call of a core function in a thread of its own; every signal arrives on the GUI thread.

    Parameters
    ----------
    function : callable
        Called with the task itself: it passes `report` on as ``on_progress``, and may `send` values on the way.
    """

    progressed = Signal(object)
    """A `Progress`."""
    sent = Signal(object)
    """A value that the function sent before it ended."""
    returned = Signal(object)
    """What the function returned."""
    failed = Signal(object)
    """The exception it raised."""
    ended = Signal()
    """Nothing more will come, whether it returned, failed or was stopped."""

    def __init__(self, function: Callable[["Task"], Any]) -> None:
        super().__init__()  # without a parent, which would take it along from under the thread that emits
        self._function = function
        self._stop = threading.Event()
        self.was_stopped = False
        """Whether it ended before its time because of a stop."""
        # No daemon: at the interpreter's end one that is inside PyTorch would take the process down with it.
        self._thread = threading.Thread(target=self._run)

    def start(self) -> "Task":
        """Begin, and return the task; it is stopped when the application quits."""
        application = QCoreApplication.instance()
        if application:
            application.aboutToQuit.connect(self.stop)
        self.ended.connect(self._let_go)
        _started.add(self)
        self._thread.start()
        return self

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def stop(self, wait: float = 0) -> None:
        """Ask the work to end at its next report, and wait for it so many seconds."""
        self._stop.set()
        if wait and self._thread.is_alive():
            self._thread.join(wait)

    def wait(self, seconds: float) -> bool:
        """Wait for the work, so many seconds at most, and return whether it is over."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def report(self, progress: Progress) -> None:
        """Pass progress on; ends the work if a stop was asked for.

        Raises
        ------
        Cancelled
            After `stop`.
        """
        if self._stop.is_set():
            raise Cancelled
        self._emit("progressed", progress)

    def send(self, value: object) -> None:
        """Hand a value to the GUI before the work is done."""
        if self._stop.is_set():
            raise Cancelled
        self._emit("sent", value)

    def _let_go(self) -> None:
        """Lest the process collects all that ever ran."""
        self._thread.join()  # which is at its very last line, but may still be emitting
        QTimer.singleShot(0, self._discard)  # not while the signal that told of the end is being handled

    def _discard(self) -> None:
        _started.discard(self)
        self.deleteLater()

    def _run(self) -> None:
        try:
            self._emit("returned", self._function(self))
        except Cancelled:
            self.was_stopped = True
        except Exception as error:  # noqa: BLE001 - whatever it was, the GUI has to tell
            self._emit("failed", error)
        finally:
            self._emit("ended")

    def _emit(self, signal: str, *values: object) -> None:
        try:
            getattr(self, signal).emit(*values)
        except RuntimeError:  # the window is gone, and the Qt object with it
            self._stop.set()


_started: set[Task] = set()
"""Keeps tasks until their threads have ended, whoever has lost interest by then."""


class Tasks(dict[str, Task]):
    """The work of one widget by name: at most one task of each name, and only the latest is listened to.

    Parameters
    ----------
    owner : QObject
        The widget; when it is destroyed, the work is closed.
    """

    def __init__(self, owner: QObject) -> None:
        super().__init__()
        owner.destroyed.connect(self.close)  # what is still on its way would find no widget

    def begin(
        self,
        name: str,
        function: Callable[[Task], Any],
        ended: Callable[[Task], object],
        **slots: Callable[..., object],
    ) -> None:
        """Start work in place of the former of the same name.

        Parameters
        ----------
        name : str
            What it is called.
        function : callable
            See `Task`.
        ended : callable
            Called with the task once it is over and no longer listed.
        **slots
            By name of the signal: called with what it carries.
        """
        self.drop(name)
        task = self[name] = Task(function)

        def current(slot: Callable[..., object], *values: object) -> None:
            if self.get(name) is task:
                slot(*values)

        def end() -> None:
            if self.get(name) is task:
                del self[name]
                ended(task)

        for signal, slot in slots.items():
            getattr(task, signal).connect(partial(current, slot))
        task.ended.connect(end)
        task.start()

    def drop(self, name: str) -> None:
        """Stop the work of a name, if there is some, and listen to it no more."""
        if task := self.pop(name, None):
            task.stop()

    def stop(self) -> None:
        """Ask all work to end."""
        for task in list(self.values()):
            task.stop()

    def close(self, _: object = None) -> None:
        """Stop all work, and listen to none of it any more."""
        self.stop()
        self.clear()
