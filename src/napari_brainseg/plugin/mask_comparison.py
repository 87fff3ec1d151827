"""Two masks side by side, slice by slice; where one is edited, only the slices that changed are counted again."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..core.config import EmptyMasks, ScoreConfig
from ..core.masks import Mask
from ..core.metrics import BoolArray, Scores, pool_scores, score_slices
from ..core.volumes import Array, Spacing

AGREE, MISSED, TOO_MUCH = 1, 2, 3
"""What `MaskComparison.disagreement` holds: tumour in both masks, in the reference only, in the prediction only."""

NOTABLE_VOXELS, NOTABLE_DICE = 10, 0.8
"""A slice disagrees if more voxels than this differ and its Dice is below this: edges that wobble do not count."""


class MaskComparison:
    """Scores of each slice of a prediction against a reference, and copies of both to find out what was edited.

    Parameters
    ----------
    predicted, reference : ndarray
        (Z, Y, X) or (Y, X), of the same shape; above 0 is tumour.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm.
    empty : {"one", "zero", "skip"}
        Policy for empty masks.
    segmented : iterable of int
        Slices that the prediction says something of; the others count nowhere. All if there are none.

    Raises
    ------
    ValueError
        If the masks cannot be compared: see `score_mask`.
    """

    def __init__(
        self,
        predicted: Array,
        reference: Array,
        spacing: Spacing | None,
        empty: EmptyMasks,
        segmented: Iterable[int] = (),
    ) -> None:
        self.spacing = spacing
        self._shape = predicted.shape
        self._config = ScoreConfig(empty=empty)
        self._predicted, self._reference = _stack(predicted).copy(), _stack(reference).copy()
        self.slices = list(score_slices(self._predicted, self._reference, spacing, self._config))
        """Scores slice by slice, of those too that do not count."""
        self._segmented = frozenset(segmented)

    @property
    def counted(self) -> tuple[int, ...]:
        """The slices that count: those that were segmented."""
        return tuple(sorted(self._segmented)) or tuple(range(len(self.slices)))

    @property
    def volume(self) -> Scores:
        """Scores over all slices that count, without distances."""
        return pool_scores([self.slices[z] for z in self.counted])

    @property
    def notable(self) -> tuple[int, ...]:
        """Slices in which the masks disagree: see `NOTABLE_VOXELS` and `NOTABLE_DICE`."""
        return tuple(z for z in self.counted if _is_notable(self.slices[z]))

    def fits(self, predicted: Array, reference: Array, spacing: Spacing | None) -> bool:
        """Whether these can be the same masks with edits, rather than others."""
        kinds = (self._predicted.dtype, self._reference.dtype)
        same = predicted.shape == reference.shape == self._shape and (predicted.dtype, reference.dtype) == kinds
        return same and spacing == self.spacing

    def update(self, predicted: Array, reference: Array, segmented: Iterable[int] = ()) -> list[int]:
        """Look for edits, count the slices that have some again, and return these and those that count by now.

        Raises
        ------
        ValueError
            If a mask holds what it must not by now; nothing is taken over then.
        """
        predicted, reference = _stack(predicted), _stack(reference)
        changed = _differing(predicted, self._predicted) | _differing(reference, self._reference)
        touched: list[int] = np.flatnonzero(changed).tolist()
        if touched:
            ours, theirs = predicted[touched], reference[touched]
            scores = score_slices(ours, theirs, self.spacing, self._config)
            self._predicted[touched], self._reference[touched] = ours, theirs
            for z, found in zip(touched, scores, strict=True):
                self.slices[z] = found
        before, self._segmented = self._segmented, frozenset(segmented)
        return sorted({*touched, *(before ^ self._segmented)})

    def set_empty(self, empty: EmptyMasks) -> None:
        """Change the policy for empty masks; nothing is counted again."""
        self._config = ScoreConfig(empty=empty)
        self.slices = [replace(scores, empty=empty) for scores in self.slices]

    def masks(self) -> tuple[BoolArray, BoolArray]:
        """Both masks as they are now, empty where no slice counts, for another thread to keep."""
        counts = np.isin(np.arange(len(self.slices)), self.counted)[:, None, None]
        ours, theirs = ((mask > 0) & counts for mask in (self._predicted, self._reference))
        return ours.reshape(self._shape), theirs.reshape(self._shape)

    def disagreement(self, touched: list[int]) -> Mask:
        """Label, `AGREE`, `MISSED` or `TOO_MUCH`, of each voxel of some slices; 0 where nothing counts."""
        counts = np.isin(touched, self.counted)[:, None, None]
        ours, theirs = (self._predicted[touched] > 0) & counts, (self._reference[touched] > 0) & counts
        labels = np.zeros(ours.shape, np.uint8)
        for where, label in ((ours & theirs, AGREE), (theirs & ~ours, MISSED), (ours & ~theirs, TOO_MUCH)):
            labels[where] = label
        return labels


def _stack(mask: Array) -> Array:
    return mask[None] if mask.ndim == 2 else mask


def _differing(mask: Array, kept: Array) -> npt.NDArray[np.bool_]:
    """Which slices of a mask are not as they were."""
    return np.array([not np.array_equal(now, then) for now, then in zip(mask, kept, strict=True)])


def _is_notable(scores: Scores) -> bool:
    differing = scores.fp + scores.fn
    return differing > NOTABLE_VOXELS and 2 * scores.tp < NOTABLE_DICE * (2 * scores.tp + differing)
