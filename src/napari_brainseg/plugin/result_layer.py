"""The Labels layer of a segmentation: grows while slices come in, follows the threshold, never loses an edit."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from psygnal import Signal

from ..core.config import PostprocessConfig
from ..core.masks import Mask
from ..core.postprocessing import entropy, postprocess
from ..core.results import SegmentationProvenance, measure_tumour
from ..core.volumes import Volume
from .layer_metadata import METADATA, kind_of, note, notes, volume_of
from .layers import SUFFIXES, mask_layer, write_file, write_kaggle
from .sources import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.components import ViewerModel

    from ..core.segmentation import SlicePrediction

MAPS = {"probability": "Probability of tumour, 0 to 1", "uncertainty": "Uncertainty, in bits of entropy"}


def ignore_change() -> None:
    """Nobody listens."""


def result_of(layer: Layer) -> "ResultLayer | None":
    """What a prediction can be tuned with; None for other layers, duplicates, and predictions that were put aside."""
    result: ResultLayer | None = notes(layer.metadata).get("result")
    return result if result and result.layer is layer else None


def find_result(layers: "Iterable[Layer]", images: Image | None) -> "ResultLayer | None":
    """The result among layers that belongs to images."""
    results = filter(None, map(result_of, layers))
    return next((result for result in results if images and result.is_of(images)), None)


class ResultLayer:
    """A prediction in the viewer, with the probability it was made from; its layer keeps it for the tab's next opening.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is added.
    images : Image
        What was segmented; the result lies exactly on it.
    volume : Volume
        The same as a volume.
    settings : PostprocessConfig
        How the probability becomes the mask.
    provenance : SegmentationProvenance
        How its slices are made.
    """

    ended = Signal()
    """A run is over: no more slices come."""
    remade = Signal()
    """The mask of a run that is over was made anew, by another threshold or clean-up."""

    def __init__(
        self,
        viewer: "ViewerModel",
        images: Image,
        volume: Volume,
        settings: PostprocessConfig,
        provenance: SegmentationProvenance,
    ) -> None:
        self._viewer = viewer
        self.images = images
        self.volume = volume
        self.settings = settings
        self.provenance = provenance
        self.probability = np.zeros(volume.shape, np.float32)
        self.on_change: Callable[[], object] = ignore_change
        """Called whenever the mask changed, by us or by the user: set by the tab that shows the result."""
        self.is_filling, self._finished = True, False
        self._done: set[int] = set()
        self._add_layer(place_of(images))

    @property
    def is_shown(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def is_edited(self) -> bool:
        """Whether somebody changed the mask since it was last written, undone changes not counted."""
        return not np.array_equal(np.asarray(self.layer.data), self._written)

    @property
    def done(self) -> frozenset[int]:
        """Positions along Z of the slices that were segmented."""
        return frozenset(self._done)

    @property
    def predicted(self) -> Mask:
        """The mask without anybody's edits, a copy."""
        return self._written.copy()

    def is_of(self, images: Image) -> bool:
        """Whether it is the result of these images, or of others of the same case."""
        return self.images is images or volume_of(images) is self.volume

    def fits(self, volume: Volume, provenance: SegmentationProvenance) -> bool:
        """Whether slices made so may join these: those of two models are not put together."""
        made = (self.provenance, provenance)
        ours, theirs = ((one.weights_sha256, one.temperature, one.settings.tta) for one in made)
        return ours == theirs and self.volume.shape == volume.shape

    def begin(self) -> None:
        """More slices will come; nobody paints meanwhile."""
        self.is_filling, self._finished = True, False
        self.layer.editable = False

    def add_slices(self, found: "SlicePrediction", provenance: SegmentationProvenance) -> None:
        """Take over some slices; clean-up in 3D waits for `end`."""
        indices = list(found.indices)
        self.probability[indices] = found.probability
        self.provenance = provenance
        self._done.update(indices)
        threshold = PostprocessConfig(threshold=self.settings.threshold)
        self._write(postprocess(found.probability, threshold), indices)
        self._note_provenance()

    def end(self, provenance: SegmentationProvenance | None = None) -> None:
        """Clean the mask up: no more slices come. Without provenance, because they were stopped or one failed."""
        self.is_filling, self._finished = False, provenance is not None
        self.provenance = provenance or self.provenance
        self.layer.editable = True
        self.apply(self.settings)
        self.ended.emit()

    def apply(self, settings: PostprocessConfig) -> str:
        """Make the mask anew from the probability, and return what `spare_edits` does."""
        self.settings = settings
        spared = self.spare_edits()
        self._write(postprocess(self.probability, settings), slice(None))
        self._note_provenance()
        if not self.is_filling:
            self.remade.emit()
        return spared

    def spare_edits(self) -> str:
        """Go on in a new layer if somebody painted in this one: undo would bring voxels back that are to change.

        Returns
        -------
        str
            What the former layer is called now, which keeps the edits, hidden; empty if there were none.
        """
        edited = self.is_edited
        if not (edited or self._was_painted):
            return ""
        former = self.layer
        former.name = f"{self.volume.name} prediction (edited)"
        self._add_layer(place_of(former))
        self._write(postprocess(self.probability, self.settings), slice(None))
        if edited:
            former.visible = False
        else:
            self._viewer.layers.remove(former)
        return str(former.name) if edited else ""

    def retire(self, *, keep: bool = False) -> str:
        """Make room for a new segmentation: hide the layer if it was edited or is to be kept, else take it away.

        Returns
        -------
        str
            What it is called now; empty if it was taken away.
        """
        for kind in MAPS:
            self.show_map(kind, False)
        edited = self.is_edited
        if not (edited or keep):
            self._viewer.layers.remove(self.layer)
            return ""
        self.layer.name = f"{self.volume.name} prediction ({'edited' if edited else 'former'})"
        self.layer.visible = False
        note(self.layer, result=None)
        return str(self.layer.name)

    def describe_size(self) -> str:
        """One line on how much tumour the mask holds now, and where it is largest."""
        size = measure_tumour(np.asarray(self.layer.data), self.volume)
        amount = f"{size.voxels:,} voxels".replace(",", "\u2009")
        if size.millilitres is None:
            amount += " (voxel size unknown: set it for mL)"
        else:
            amount = f"{size.millilitres:.1f} mL, {amount}"
        where = ""
        if (z := size.largest_slice) is not None:
            where = f", largest in slice {self.volume.slice_numbers[z]} (z = {z})"
        slices = len(self.probability)
        part = f" {len(self._done)} of {slices} slices segmented." if len(self._done) < slices else ""
        return f"Tumour {amount}{where}.{part}"

    def save(self, path: str) -> list[str]:
        """Write the mask to a file, or to a folder where the path ends like none, and return what was written."""
        data, meta, _ = self.layer.as_layer_data_tuple()
        return (write_file if path.lower().endswith(SUFFIXES) else write_kaggle)(path, data, meta)

    def maps(self, kind: str) -> list[Layer]:
        """The layers in the viewer that show the probability or the uncertainty."""
        return [layer for layer in self._viewer.layers if kind_of(layer) == kind and volume_of(layer) is self.volume]

    def show_map(self, kind: str, shown: bool) -> None:
        """Show or remove the probability or the uncertainty as an image layer under the mask."""
        layers = self._viewer.layers
        selected = list(layers.selection)
        for layer in self.maps(kind):
            layers.remove(layer)
        if shown:
            layers.insert(layers.index(self.layer), self._map_layer(kind))
        if selected:  # the brush stays in the hand
            layers.selection = [layer for layer in selected if layer in layers] or [self.layer]

    def _map_layer(self, kind: str) -> Image:
        data = entropy(self.probability) if kind == "uncertainty" else self.probability.copy()
        layer = Image(
            data,
            **place_of(self.layer),
            name=f"{self.volume.name} {kind}",
            colormap="magma",
            contrast_limits=(0, 1),
            opacity=0.6,
            blending="additive",
            metadata={METADATA: {"volume": self.volume, "kind": kind, "description": MAPS[kind]}},
        )
        layer.colorbar.visible = True
        return layer

    def _add_layer(self, place: dict[str, Any]) -> None:
        self._written: Mask = np.zeros(self.volume.shape, np.uint8)
        self._was_painted = False
        data, options, _ = mask_layer(self._written, self.volume, "prediction")
        self.layer = Labels(data, **(options | place))
        self.layer.contour = 2
        self.layer.editable = not self.is_filling
        self.layer.events.paint.connect(self._painted)
        self.layer.events.set_data.connect(lambda _: self.on_change())
        note(self.layer, result=self)
        self._note_provenance()
        self._viewer.add_layer(self.layer)

    def _note_provenance(self) -> None:
        made = self.provenance.model_dump() | {"postprocess": self.settings.model_dump()}
        note(self.layer, provenance=made | {"slices": tuple(sorted(self._done)), "finished": self._finished})

    def _painted(self, _: object) -> None:
        """At the end of a stroke: within one, napari tells of `set_data` only where it draws the whole slice."""
        self._was_painted = True
        self.on_change()

    def _write(self, mask: Mask, where: Any) -> None:
        """In place: a new array would leave the layer's undo history pointing at voxels that are gone."""
        self.layer.data[where] = mask
        self._written[where] = mask
        self.layer.refresh()
