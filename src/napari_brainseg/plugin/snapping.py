"""The brush that keeps to the probability."""

from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from ..core.edits import snap
from ..core.volumes import Array
from .undo import add_to_step, is_drawing, is_writing


class SnappingBrush(QObject):
    """Corrects each stroke in a layer as it ends, within the same undo step.

    Parameters
    ----------
    parent : QObject
        With which it goes.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.minimum = 0.2
        """Voxels at least as probable may be painted, those below erased."""
        self._layer: Labels | None = None
        self._probability: Array | None = None
        self._before: Array = np.zeros(0)
        self._step: list[Any] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._correct)

    def follow(self, layer: Labels | None, probability: Array | None) -> None:
        """Correct the strokes in this layer from now on, and in no other; in none where one of the two is missing."""
        if probability is None:
            layer = None
        if layer is self._layer and (layer is None or probability is self._probability):
            return
        if self._layer:
            self._soon.stop()
            self._layer.events.paint.disconnect(self._painted)
            self._layer.events.set_data.disconnect(self._remember)
        self._layer = layer
        if layer:
            self._probability = probability
            layer.events.paint.connect(self._painted)
            layer.events.set_data.connect(self._remember)
            self._remember()

    def _remember(self, _: Any = None) -> None:
        """Keep the mask to compare the next stroke with: undo and others change it, too."""
        if self._layer and not is_drawing(self._layer):
            self._before = np.array(self._layer.data)

    def _painted(self, event: Any) -> None:
        assert self._layer
        if is_writing(self._layer):
            self._before = np.array(self._layer.data)
            return
        self._step = event.value
        if np.array_equal(self._layer.data, self._before):  # polygons are told of before they are there
            self._soon.start(0)
        else:
            self._correct()

    def _correct(self) -> None:
        layer, probability = self._layer, self._probability
        if layer is None or probability is None or layer.data.shape != self._before.shape:
            return
        mask = np.array(layer.data)
        touched = (mask != self._before).reshape(len(mask), -1).any(axis=1)
        mask[touched] = snap(mask[touched], self._before[touched], probability[touched], self.minimum)
        add_to_step(layer, self._step, mask)
        self._before = mask
