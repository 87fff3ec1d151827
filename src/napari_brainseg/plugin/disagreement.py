"""The layer that shows where a prediction and a reference agree, and where they do not."""

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import direct_colormap

from ..core import colours
from ..core.masks import Mask
from .layer_metadata import METADATA, volume_of
from .mask_comparison import AGREE, MISSED, TOO_MUCH

if TYPE_CHECKING:
    from napari.components import ViewerModel

LEGEND = {
    AGREE: ("both agree", colours.AGREE),
    MISSED: ("missed", colours.MISSED),
    TOO_MUCH: ("too much", colours.TOO_MUCH),
}
"""What the labels mean, and their colours."""

_MOVED = ("scale", "translate")
_PLACE = (*_MOVED, "rotate", "shear", "affine", "units", "axis_labels")


class DisagreementLayer:
    """Labels over the images that cannot be edited, and goes with the case it belongs to.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is added; the layer that is active stays so.
    reference : Labels
        On which it lies exactly.
    labels : ndarray
        (Z, Y, X) of `MaskComparison.disagreement`.
    """

    def __init__(self, viewer: "ViewerModel", reference: Labels, labels: Mask) -> None:
        self._viewer = viewer
        self._reference = reference
        colormap = {label: colour for label, (_, colour) in LEGEND.items()} | {0: "transparent", None: "transparent"}
        volume = volume_of(reference)
        self.layer = Labels(
            labels.reshape(reference.data.shape),
            **{name: getattr(reference, name) for name in _PLACE},
            name=f"{volume.name if volume else reference.name} disagreement",
            colormap=direct_colormap(colormap),
            opacity=0.6,
            metadata={METADATA: {"kind": "disagreement"} | ({"volume": volume} if volume else {})},
        )
        active = viewer.layers.selection.active
        viewer.add_layer(self.layer)
        if active is not None:
            viewer.layers.selection.active = active  # the brush stays in the hand
        self.layer.editable = False

    @property
    def is_shown(self) -> bool:
        """Whether nobody has taken the layer out of the viewer."""
        return self.layer in self._viewer.layers

    def lies_on(self, reference: Labels | None) -> bool:
        """Whether it was made for a reference, which has neither been moved since nor got another shape."""
        return (
            reference is self._reference
            and self.layer.data.shape == reference.data.shape
            and all(np.array_equal(getattr(self.layer, name), getattr(reference, name)) for name in _MOVED)
        )

    def write(self, touched: list[int], labels: Mask) -> None:
        """Put new labels into some slices."""
        stack = self.layer.data if self.layer.ndim == 3 else self.layer.data[None]
        stack[touched] = labels
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.is_shown:
            self._viewer.layers.remove(self.layer)
