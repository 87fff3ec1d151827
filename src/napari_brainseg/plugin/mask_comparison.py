"""Two masks side by side, slice by slice; where one is edited, only the slices that changed are counted again."""

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

    Raises
    ------
    ValueError
        If the masks cannot be compared: see `score_mask`.
    """

    def __init__(self, predicted: Array, reference: Array, spacing: Spacing | None, empty: EmptyMasks) -> None:
        self.spacing = spacing
        self._shape = predicted.shape
        self._config = ScoreConfig(empty=empty)
        self._predicted, self._reference = _stack(predicted).copy(), _stack(reference).copy()
        self.slices = list(score_slices(self._predicted, self._reference, spacing, self._config))
        """Scores slice by slice."""

    @property
    def volume(self) -> Scores:
        """Scores over all slices together, without distances."""
        return pool_scores(self.slices)

    @property
    def notable(self) -> tuple[int, ...]:
        """Slices in which the masks disagree: see `NOTABLE_VOXELS` and `NOTABLE_DICE`."""
        return tuple(z for z, scores in enumerate(self.slices) if _is_notable(scores))

    def fits(self, predicted: Array, reference: Array, spacing: Spacing | None) -> bool:
        """Whether these can be the same masks with edits, rather than others."""
        kinds = (self._predicted.dtype, self._reference.dtype)
        same = predicted.shape == reference.shape == self._shape and (predicted.dtype, reference.dtype) == kinds
        return same and spacing == self.spacing

    def update(self, predicted: Array, reference: Array) -> list[int]:
        """Look for edits, count the slices that have some again, and return which these are.

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
        return touched

    def set_empty(self, empty: EmptyMasks) -> None:
        """Change the policy for empty masks; nothing is counted again."""
        self._config = ScoreConfig(empty=empty)
        self.slices = [replace(scores, empty=empty) for scores in self.slices]

    def masks(self) -> tuple[BoolArray, BoolArray]:
        """Both masks as they are now, for another thread to keep."""
        return (self._predicted > 0).reshape(self._shape), (self._reference > 0).reshape(self._shape)

    def disagreement(self, touched: list[int]) -> Mask:
        """Label, `AGREE`, `MISSED` or `TOO_MUCH`, of each voxel of some slices; 0 where there is no tumour."""
        ours, theirs = self._predicted[touched] > 0, self._reference[touched] > 0
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
