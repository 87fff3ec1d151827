"""How long a person works at each slice."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel

IDLE_SECONDS = 30.0
"""Whoever has done nothing for so long is not working at the slice."""


class ReviewClock(QObject):
    """Counts the seconds for the slice in view while the layer is selected and the person moves mouse or slices.

    Parameters
    ----------
    viewer : ViewerModel
        Where the person works.
    layer : Labels
        What is corrected.
    slice_in_view : callable
        Says which slice that is.
    parent : QObject
        With which it goes.
    now : callable
        The time in seconds.
    """

    ticked = Signal()
    """Another second has been counted."""

    def __init__(
        self,
        viewer: "ViewerModel",
        layer: Labels,
        slice_in_view: Callable[[], int],
        parent: QObject,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._layer, self._slice_in_view, self._now = viewer, layer, slice_in_view, now
        self.seconds: dict[int, float] = {}
        """What was counted and not taken yet, by position along Z."""
        self._z = slice_in_view()
        self._last = self._active = now()
        self._signals = (viewer.dims.events.current_step, layer.events.paint, layer.events.mode)
        for signal in self._signals:
            signal.connect(self.act)
        viewer.mouse_move_callbacks.append(self.act)
        viewer.mouse_drag_callbacks.append(self.act)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(1000)

    def act(self, *_: Any) -> None:
        """Note that the person does something, maybe in another slice than before."""
        self.count()
        self._active = self._now()

    def count(self) -> None:
        """Give the time since the last count to the slice that was in view."""
        now, z = self._now(), self._z
        until = min(now, self._active + IDLE_SECONDS)
        if self._viewer.layers.selection.active is self._layer and until > self._last:
            self.seconds[z] = self.seconds.get(z, 0.0) + until - self._last
        self._last, self._z = now, self._slice_in_view()

    def take(self, z: int) -> float:
        """Hand out what was counted for a slice, which begins at 0 again."""
        self.count()
        return self.seconds.pop(z, 0.0)

    def give_back(self, z: int, seconds: float) -> None:
        """Keep what could not be saved."""
        self.seconds[z] = self.seconds.get(z, 0.0) + seconds

    def stop(self) -> None:
        """Let go of viewer and layer."""
        self._timer.stop()
        for signal in self._signals:
            signal.disconnect(self.act)
        self._viewer.mouse_move_callbacks.remove(self.act)
        self._viewer.mouse_drag_callbacks.remove(self.act)

    def _tick(self) -> None:
        self.count()
        self.ticked.emit()
