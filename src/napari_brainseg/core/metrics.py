"""How well a mask agrees with another."""

from dataclasses import dataclass

import numpy as np

from .volumes import Array


@dataclass(frozen=True, slots=True)
class Scores:
    """Agreement of a predicted mask with a reference, over all voxels given.

    Attributes
    ----------
    tp, fp, fn, tn : int
        Voxels that are tumour in both, in the prediction only, in the reference only, in neither.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """Dice coefficient, 2 TP / (2 TP + FP + FN); 1 if both masks are empty, 0 if one of them is."""
        return 2 * self.tp / total if (total := 2 * self.tp + self.fp + self.fn) else 1.0

    @property
    def iou(self) -> float:
        """Intersection over union (Jaccard), TP / (TP + FP + FN); 1 if both masks are empty, 0 if one of them is."""
        return self.tp / total if (total := self.tp + self.fp + self.fn) else 1.0


def score_mask(predicted: Array, reference: Array) -> Scores:
    """Agreement of two masks.

    Parameters
    ----------
    predicted, reference : ndarray
        Of the same shape; everything above 0 is tumour.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"the masks have shapes {predicted.shape} and {reference.shape}, which must be the same")
    ours, theirs = np.asarray(predicted) > 0, np.asarray(reference) > 0
    tp = int(np.count_nonzero(ours & theirs))
    fp = int(np.count_nonzero(ours)) - tp
    fn = int(np.count_nonzero(theirs)) - tp
    return Scores(tp, fp, fn, ours.size - tp - fp - fn)
