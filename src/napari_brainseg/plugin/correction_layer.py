"""The Labels layer in which a person corrects a case, and what of it is on disk already."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer

from ..core.corrections import Corrections
from ..core.ledgers import TRUE_STATES, CaseLedger, ReviewState
from ..core.masks import Mask
from ..core.volumes import Array, Volume
from .layer_metadata import note, notes, role_of, volume_of
from .layers import mask_layer
from .result_layer import ResultLayer, find_result
from .sources import place_of
from .undo import write_as_one_step

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from .autosave import Autosave

_FORMER = 8
"""Predictions that are remembered, so that undoing a fill gives a prediction and not an edit."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What corrections begin with where nothing is saved.

    Attributes
    ----------
    words : str
        What it is called.
    predicted : ndarray
        (Z, Y, X) of 0 and 1, what a slice is compared with.
    mask : ndarray
        The same with what a person has changed in its layer so far.
    model_sha256 : str
        The weights that predicted; empty if none did.
    layer : Labels or None
        Where it was found.
    """

    words: str
    predicted: Mask
    mask: Mask
    model_sha256: str = ""
    layer: Labels | None = None


def find_start(layers: Sequence[Layer], images: Image, volume: Volume) -> Start:
    """The prediction of a case, else its manual mask, else nothing."""
    if result := find_result(layers, images):
        sha = result.provenance.weights_sha256
        return Start("the prediction", result.predicted, _mask_of(result.layer.data), sha, result.layer)
    if layer := manual_layer(layers, volume):
        original = _mask_of(notes(layer.metadata).get("original", layer.data))
        return Start("the manual mask", original, _mask_of(layer.data), layer=layer)
    empty = np.zeros(volume.shape, np.uint8)
    return Start("an empty mask", empty, empty)


def was_predicted(ledger: CaseLedger) -> bool:
    """Whether corrections of a case were begun from a prediction."""
    return any(review.model_sha256 for review in ledger.slices.values() if review.state != "auto")


def manual_layer(layers: Sequence[Layer], volume: Volume) -> Labels | None:
    """The manual mask of a case, if it is in the viewer."""
    found = (layer for layer in reversed(layers) if role_of(layer) == "manual" and volume_of(layer) is volume)
    return next((layer for layer in found if layer.data.shape == volume.shape), None)


def correction_of(layer: Layer) -> "CorrectionLayer | None":
    """What is kept of the corrections in a layer; None for other layers and for duplicates."""
    correction: CorrectionLayer | None = notes(layer.metadata).get("correction")
    return correction if correction and correction.layer is layer else None


def save_corrections(layers: Collection[Layer]) -> None:
    """Save what is not saved yet before layers are taken away; it takes seconds at most."""
    for correction in filter(None, map(correction_of, layers)):
        if correction.autosave:
            correction.autosave.flush()


class CorrectionLayer:
    """Corrections of a case in the viewer; its layer keeps it for the tab's next opening.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is added.
    images : Image
        What is corrected; the layer lies exactly on it.
    volume : Volume
        The same as a volume.
    corrections : Corrections
        What is saved, which wins over the start.
    start : Start
        What the other slices begin with.
    """

    def __init__(
        self, viewer: "ViewerModel", images: Image, volume: Volume, corrections: Corrections, start: Start
    ) -> None:
        self._viewer = viewer
        self.images, self.volume, self.corrections = images, volume, corrections
        self.predicted = start.predicted.copy()
        """What each slice is compared with, unless that is on disk."""
        self.models = [start.model_sha256] * len(self.predicted)
        """Weights that predicted it, slice by slice."""
        self.start = start.words
        """What a slice is called that neither a person nor a prediction has changed since."""
        self._predictions: list[tuple[Mask, str]] = [(start.predicted, start.model_sha256)]
        self.saved = start.predicted.copy()
        """The mask as it is on disk, and as predicted where nothing is."""
        mask = start.mask.copy()
        for z, plane in corrections.planes.items():
            self.saved[z] = mask[z] = plane
        self.autosave: Autosave | None = None
        """Saves it; None while no tab does."""
        if start.layer:
            note(start.layer, original=np.array(start.layer.data))  # whose edits are ours from now on
            start.layer.visible = False
        _, options, _ = mask_layer(mask, volume, "correction")
        self.layer = Labels(mask, **(options | place_of(images)))
        self.layer.contour = 2
        note(self.layer, correction=self, original=self.saved)
        viewer.add_layer(self.layer)
        self.take_brush()

    @property
    def is_shown(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    def describe_lack(self) -> str:
        """Say that slices which are not reviewed are not what they were when correcting began; empty if they are."""
        unpredicted = any(not sha and self.state(z) == "auto" for z, sha in enumerate(self.models))
        if not (unpredicted and was_predicted(self.corrections.ledger)):
            return ""
        return f"Slices that nobody has reviewed hold {self.start} now. Segment to fill them from a prediction."

    def is_of(self, images: Image) -> bool:
        """Whether it corrects these images, or others of the same case."""
        return self.images is images or (volume_of(images) is not None and volume_of(images) is volume_of(self.layer))

    def take_brush(self) -> None:
        """Let the next stroke go into this layer."""
        self._viewer.layers.selection.active = self.layer
        self.layer.visible = True
        self.layer.selected_label = 1
        self.layer.mode = "paint"

    def state(self, z: int) -> ReviewState:
        """What was done with a slice, as far as it is saved."""
        return self.corrections.state(z)

    def mask(self) -> Mask:
        """The mask as it is now, a copy.

        Raises
        ------
        ValueError
            If somebody gave the layer other data.
        """
        if self.layer.data.shape != self.volume.shape:
            raise ValueError(
                f"{self.layer.name} has shape {self.layer.data.shape} now, but the case has {self.volume.shape}: "
                "nothing of it is saved"
            )
        return _mask_of(self.layer.data)

    def changed(self, mask: Mask) -> tuple[int, ...]:
        """Slices of the mask that are not on disk as they are now."""
        differing = (mask != self.saved).reshape(len(mask), -1).any(axis=1)
        return tuple(z for z in np.flatnonzero(differing).tolist() if not self._is_prediction(z, mask[z]))

    def is_untouched(self, z: int, mask: Mask) -> bool:
        """Whether nobody has done anything with a slice."""
        is_saved = self.state(z) != "auto" or z in self.corrections.planes
        return not is_saved and np.array_equal(mask[z], self.saved[z])

    def fill(self, result: ResultLayer, *, replace_edited: bool = False) -> tuple[list[int], list[int]]:
        """Take a new prediction over into the slices that nobody has touched, in one undo step.

        Parameters
        ----------
        result : ResultLayer
            The prediction, as far as it has come.
        replace_edited : bool
            Take it over into edited slices, too, which are still to be saved then as taken back; never into accepted
            or flagged ones.

        Returns
        -------
        list of int
            Slices that hold the new prediction now.
        list of int
            Those of them that had been edited.

        Raises
        ------
        ValueError
            If a stroke is being drawn.
        """
        mask, predicted, sha = self.mask(), result.predicted, result.provenance.weights_sha256
        pending = self.autosave.pending if self.autosave else {}
        free = [z for z in sorted(result.done) if pending.get(z) not in ("accepted", "flagged")]
        untouched = [z for z in free if self.is_untouched(z, mask)]
        edited = [z for z in free if replace_edited and z not in untouched and self.state(z) in ("auto", "edited")]
        filled = sorted(untouched + edited)
        new = mask.copy()
        new[filled] = predicted[filled]
        write_as_one_step(self.layer, new)
        self._predictions = [*self._predictions, (predicted, sha)][-_FORMER:]
        for z in filled:
            self.predicted[z], self.models[z] = predicted[z], sha
        self.saved[untouched] = predicted[untouched]
        return filled, edited

    def restore(self, z: int, plane: Mask) -> bool:
        """Put another mask into a slice, in one undo step; False if it is the one that is there."""
        new = self.mask()
        new[z] = plane
        return write_as_one_step(self.layer, new)

    def as_predicted(self, z: int) -> Mask:
        """What a slice was corrected from."""
        base = self.corrections.predicted(z)
        return self.predicted[z] if base is None else base

    def take_over(self, changed: Collection[int], planes: Mapping[int, Mask]) -> list[int]:
        """Show what another window has saved, but in slices that were changed here meanwhile.

        It is no undo step: Ctrl+Z takes back what this person did, in this window.

        Parameters
        ----------
        changed : collection of int
            Slices in which something else is on disk now.
        planes : mapping of int to ndarray
            What that is; none where a correction was taken back.

        Returns
        -------
        list of int
            Slices that differ here and there.
        """
        mask, both = self.mask(), []
        for z in changed:
            if z not in planes and self.state(z) in TRUE_STATES:
                continue  # somebody took away the file, which is no reason to forget the mask
            theirs = planes.get(z, self.predicted[z])
            if np.array_equal(mask[z], self.saved[z]):
                self.layer.data[z] = theirs
                self.saved[z] = theirs
            elif not np.array_equal(mask[z], theirs):
                both.append(z)
        self.layer.refresh()
        return both

    def _is_prediction(self, z: int, plane: Mask) -> bool:
        """Whether a slice that nobody touched has gone back, or forth, to what a model said, which is no edit."""
        if self.state(z) != "auto" or z in self.corrections.planes:
            return False
        for predicted, sha in self._predictions:
            if np.array_equal(plane, predicted[z]):
                self.predicted[z] = self.saved[z] = plane
                self.models[z] = sha
                return True
        return False


def _mask_of(data: Array) -> Mask:
    mask: Mask = (np.asarray(data) > 0).view(np.uint8)
    return mask
