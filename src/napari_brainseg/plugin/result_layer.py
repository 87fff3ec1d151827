"""The Labels layer of a segmentation: grows while slices come in, follows the threshold, never loses an edit."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from ..core.config import PostprocessConfig
from ..core.masks import Mask
from ..core.postprocessing import entropy, postprocess
from ..core.volumes import Volume
from .layers import METADATA, geometry, mask_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..core.segmentation import SlicePrediction

_MAPS = {"probability": "Probability of tumour, 0 to 1", "uncertainty": "Uncertainty, in bits of entropy"}


class ResultLayer:
    """A prediction in the viewer, with the probability it was made from.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is added.
    volume : Volume
        What is segmented.
    settings : PostprocessConfig
        How the probability becomes the mask.
    on_change : callable
        Called whenever the mask changed, by us or by the user.
    """

    def __init__(
        self, viewer: "ViewerModel", volume: Volume, settings: PostprocessConfig, on_change: Callable[[], object]
    ) -> None:
        self._viewer = viewer
        self._on_change = on_change
        self.volume = volume
        self.settings = settings
        self.probability = np.zeros(volume.shape, np.float32)
        self.provenance: dict[str, Any] = {}
        self._written: Mask = np.zeros(volume.shape, np.uint8)
        self._was_painted = False
        self.layer = self._add_layer()

    @property
    def is_shown(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def is_edited(self) -> bool:
        """Whether somebody changed the mask since it was last written, undone changes not counted."""
        return not np.array_equal(np.asarray(self.layer.data), self._written)

    def add_slices(self, found: "SlicePrediction") -> None:
        """Take over some slices; clean-up in 3D waits for `finish`."""
        indices = list(found.indices)
        self.probability[indices] = found.probability
        threshold = PostprocessConfig(threshold=self.settings.threshold)
        self._write(postprocess(found.probability, threshold), indices)

    def finish(self, provenance: dict[str, Any], mask: Mask | None = None) -> None:
        """Record how it was made, and take over the cleaned-up mask if the whole volume was segmented."""
        self.provenance = provenance
        self.layer.metadata[METADATA]["provenance"] = provenance
        if mask is not None:
            self._write(mask, slice(None))

    def apply(self, settings: PostprocessConfig) -> None:
        """Make the mask anew from the probability; an edited layer is kept, and a new one takes its place."""
        if self.is_edited or self._was_painted:  # undo would bring voxels back that are about to change
            self.retire()
            self._written = np.zeros(self.volume.shape, np.uint8)
            self.layer = self._add_layer()
        self.settings = settings
        self.provenance = self.provenance | {"postprocess": settings.model_dump()}
        self.layer.metadata[METADATA]["provenance"] = self.provenance
        self._write(postprocess(self.probability, settings), slice(None))

    def retire(self) -> None:
        """Make room for a new segmentation: take the layer out of the viewer, or leave it there if it was edited."""
        if self.is_edited:
            self.layer.name = f"{self.volume.name} prediction (edited)"
            self.layer.visible = False
        else:
            self._viewer.layers.remove(self.layer)

    def show_map(self, kind: str, shown: bool) -> None:
        """Show or remove the probability or the uncertainty as an image layer under the mask."""
        name = f"{self.volume.name} {kind}"
        for layer in [layer for layer in self._viewer.layers if layer.name == name]:
            self._viewer.layers.remove(layer)
        if shown:
            self._viewer.layers.insert(self._index_of_layer(), self._map_layer(kind, name))

    def _map_layer(self, kind: str, name: str) -> Image:
        data = entropy(self.probability) if kind == "uncertainty" else self.probability
        layer = Image(
            data,
            **geometry(self.volume),
            name=name,
            colormap="magma",
            contrast_limits=(0, 1),
            opacity=0.6,
            blending="additive",
            metadata={METADATA: {"volume": self.volume, "kind": kind, "description": _MAPS[kind]}},
        )
        layer.colorbar.visible = True
        return layer

    def _index_of_layer(self) -> int:
        return int(self._viewer.layers.index(self.layer)) if self.is_shown else len(self._viewer.layers)

    def _add_layer(self) -> Labels:
        data, options, _ = mask_layer(self._written, self.volume, "prediction")
        layer = Labels(data, **options)
        layer.contour = 2
        layer.events.paint.connect(self._painted)
        layer.events.set_data.connect(lambda _: self._on_change())
        self._was_painted = False
        self._viewer.add_layer(layer)
        return layer

    def _painted(self, _: object) -> None:
        self._was_painted = True

    def _write(self, mask: Mask, where: Any) -> None:
        """In place: a new array would leave the layer's undo history pointing at voxels that are gone."""
        self.layer.data[where] = mask
        self._written[where] = mask
        self.layer.refresh()
