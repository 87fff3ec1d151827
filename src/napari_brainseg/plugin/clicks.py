"""A click in the image that means a voxel."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from ..core.edits import Point

if TYPE_CHECKING:
    from napari.components import ViewerModel

_PAN = "pan_zoom"
_STILL = 4
"""Pixels by which the mouse may move in a click: beyond that it drags the image."""


class NextClick:
    """Waits for clicks on a layer, which do not paint meanwhile; the image can be moved, zoomed and leafed through.

    Parameters
    ----------
    viewer : ViewerModel
        Where the clicks come from.
    layer : Labels
        (Z, Y, X) or (Y, X).
    clicked : callable
        Called with Z, Y and X of the voxel at each click.
    given_up : callable
        Called when the person takes a brush into the hand, or turns to another layer, instead.
    """

    def __init__(
        self,
        viewer: "ViewerModel",
        layer: Labels,
        clicked: Callable[[Point], object],
        given_up: Callable[[], object],
    ) -> None:
        self._viewer, self._layer, self._clicked, self._given_up = viewer, layer, clicked, given_up
        self._mode = layer.mode
        viewer.layers.selection.active = layer  # else the click would paint in another
        layer.mode = _PAN
        layer.cursor = "crosshair"
        self._signals = layer.events.mode, viewer.layers.selection.events.active
        for signal in self._signals:
            signal.connect(self._give_up)
        viewer.mouse_drag_callbacks.append(self._drag)

    def stop(self) -> None:
        """Wait no longer, and give the brush back."""
        self._viewer.mouse_drag_callbacks.remove(self._drag)
        for signal in self._signals:
            signal.disconnect(self._give_up)
        if self._layer.mode == _PAN:
            self._layer.cursor = "standard"
            self._layer.mode = self._mode

    def _give_up(self, _: Any) -> None:
        self._given_up()

    def _drag(self, _: Any, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(event.pos - start).max() <= _STILL:
            place = [round(float(along)) for along in self._layer.world_to_data(event.position[-self._layer.ndim :])]
            z, y, x = [0] * (3 - len(place)) + place
            self._clicked((z, y, x))
