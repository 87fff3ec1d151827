"""How well a mask agrees with another."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .config import EmptyMasks, ScoreConfig
from .volumes import Array, Float64Array, Spacing

DistanceUnit = Literal["mm", "voxels"]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the figures that `Scores` gives, as a person reads of it.

    Attributes
    ----------
    name : str
        The attribute of `Scores`.
    title : str
        What it is called on screen and in reports.
    definition : str
        How it is computed, in a sentence.
    """

    name: str
    title: str
    definition: str


FIGURES = (
    Figure("dice", "Dice", "2 TP / (2 TP + FP + FN): the overlap of the two masks over their mean size."),
    Figure("iou", "IoU", "TP / (TP + FP + FN), Jaccard: the overlap over all voxels that are in one of the masks."),
    Figure("sensitivity", "Sensitivity", "TP / (TP + FN), recall: the share of the reference that was found."),
    Figure("precision", "Precision", "TP / (TP + FP): the share of the prediction that is in the reference."),
    Figure(
        "specificity",
        "Specificity",
        "TN / (TN + FP): the share of the background left alone; near 1 for any small tumour.",
    ),
    Figure(
        "accuracy",
        "Pixel accuracy",
        "(TP + TN) / all voxels; near 1 for any small tumour, also where nothing is found.",
    ),
    Figure("difference", "Volume difference", "Voxels of the prediction minus voxels of the reference."),
    Figure("relative_difference", "Relative difference", "Volume difference over the volume of the reference."),
    Figure(
        "hd95",
        "HD95",
        "95th percentile of the distances from the surface of each mask to the other's, the larger of the two.",
    ),
    Figure(
        "assd",
        "ASSD",
        "Average symmetric surface distance: mean over the surface voxels of both masks of the way to the other's.",
    ),
)
DISTANCES = ("hd95", "assd")

EMPTY_POLICIES: dict[EmptyMasks, str] = {
    "one": "both masks empty counts as 1, one of them empty as 0",
    "zero": "both masks empty counts as 0, as does one of them empty",
    "skip": "both masks empty is left out, one of them empty counts as 0",
}
"""What Dice, IoU, sensitivity and precision are where there is no tumour; distances are never given there."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Agreement of a predicted mask with a reference, over all voxels given.

    A figure is None where it says nothing: a distance to an empty mask, or a ratio that the policy leaves out.

    Attributes
    ----------
    tp, fp, fn, tn : int
        Voxels that are tumour in both, in the prediction only, in the reference only, in neither.
    empty : {"one", "zero", "skip"}
        What Dice, IoU, sensitivity and precision are where both masks are empty: see `EMPTY_POLICIES`.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm; None while nobody knows it.
    hd95 : float or None
        95th percentile of the surface distances, the larger of the two directions, in `distance_unit`.
    assd : float or None
        Average symmetric surface distance, in `distance_unit`.
    """

    tp: int
    fp: int
    fn: int
    tn: int
    empty: EmptyMasks = "one"
    spacing: Spacing | None = None
    hd95: float | None = None
    assd: float | None = None

    @property
    def predicted(self) -> int:
        """Voxels of the prediction."""
        return self.tp + self.fp

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.tp + self.fn

    @property
    def both_empty(self) -> bool:
        """Whether there is no tumour in either mask."""
        return not (self.tp or self.fp or self.fn)

    @property
    def dice(self) -> float | None:
        """Dice coefficient, 2 TP / (2 TP + FP + FN)."""
        return self._ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float | None:
        """Intersection over union (Jaccard), TP / (TP + FP + FN)."""
        return self._ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float | None:
        """Recall, TP / (TP + FN)."""
        return self._ratio(self.tp, self.reference)

    @property
    def precision(self) -> float | None:
        """Positive predictive value, TP / (TP + FP)."""
        return self._ratio(self.tp, self.predicted)

    @property
    def specificity(self) -> float | None:
        """TN / (TN + FP); None where the reference has no background."""
        return self.tn / total if (total := self.tn + self.fp) else None

    @property
    def accuracy(self) -> float:
        """Share of voxels on which both masks agree."""
        return (self.tp + self.tn) / (self.tp + self.fp + self.fn + self.tn)

    @property
    def difference(self) -> int:
        """Voxels of the prediction minus voxels of the reference."""
        return self.fp - self.fn

    @property
    def relative_difference(self) -> float | None:
        """Difference over the voxels of the reference; None if that is empty."""
        return self.difference / self.reference if self.reference else None

    @property
    def distance_unit(self) -> DistanceUnit:
        """Millimetres if the spacing is known, else voxels."""
        return "mm" if self.spacing else "voxels"

    def millilitres(self, voxels: int) -> float | None:
        """Volume of a number of voxels in mL, None while the spacing is unknown."""
        return None if self.spacing is None else voxels * float(np.prod(self.spacing)) / 1000

    def _ratio(self, part: int, whole: int) -> float | None:
        if self.both_empty:
            return {"one": 1.0, "zero": 0.0, "skip": None}[self.empty]
        return part / whole if whole else 0.0


def score_mask(
    predicted: Array, reference: Array, spacing: Spacing | None = None, config: ScoreConfig | None = None
) -> Scores:
    """Agreement of two masks.

    Parameters
    ----------
    predicted, reference : ndarray
        (Z, Y, X) or (Y, X), of the same shape: bool, or whole labels of which every one above 0 is tumour.
    spacing : tuple of float, optional
        Voxel size along Z, Y and X in mm; distances are in voxels without it.
    config : ScoreConfig, optional
        Policy for empty masks, and whether distances are wanted, which take most of the time.

    Raises
    ------
    ValueError
        If the shapes differ, there are no voxels, a label is negative, or a mask holds fractions.
    """
    config = config or ScoreConfig()
    ours, theirs = _checked(predicted, reference)
    (scores,) = _count(ours[None], theirs[None], spacing, config)
    if not (config.distances and scores.predicted and scores.reference):
        return scores
    to_theirs, to_ours = surface_distances(ours, theirs, spacing)
    return replace(
        scores,
        hd95=float(max(np.percentile(to_theirs, 95), np.percentile(to_ours, 95))),
        assd=float(np.concatenate([to_theirs, to_ours]).mean()),
    )


def score_slices(
    predicted: Array, reference: Array, spacing: Spacing | None = None, config: ScoreConfig | None = None
) -> tuple[Scores, ...]:
    """Agreement of two masks (Z, Y, X) in each slice, without distances: see `score_mask`."""
    return _count(*_checked(predicted, reference), spacing, config or ScoreConfig())


def pool_scores(scores: Iterable[Scores]) -> Scores:
    """Agreement over all voxels of several scores together, without distances.

    Raises
    ------
    ValueError
        If there is nothing to pool, or the policies for empty masks differ.
    """
    scores = list(scores)
    if len({item.empty for item in scores}) != 1:
        raise ValueError("scores can be pooled if there are some, and all with the same policy for empty masks")
    spacings = {item.spacing for item in scores}
    return Scores(
        tp=sum(item.tp for item in scores),
        fp=sum(item.fp for item in scores),
        fn=sum(item.fn for item in scores),
        tn=sum(item.tn for item in scores),
        empty=scores[0].empty,
        spacing=spacings.pop() if len(spacings) == 1 else None,
    )


def surface_distances(ours: Array, theirs: Array, spacing: Spacing | None) -> tuple[Float64Array, Float64Array]:
    """Distance of each surface voxel of two masks, neither of them empty, to the other's surface.

    A voxel is at the surface if one of its face neighbours is not in the mask; beyond the image nothing is.
    """
    found = ndimage.find_objects((ours | theirs).astype(np.uint8))[0]
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (ours[found], theirs[found])]
    sampling = spacing[-ours.ndim :] if spacing else None
    away = [ndimage.distance_transform_edt(~surface, sampling=sampling) for surface in surfaces]
    return away[1][surfaces[0]], away[0][surfaces[1]]


def _count(ours: BoolArray, theirs: BoolArray, spacing: Spacing | None, config: ScoreConfig) -> tuple[Scores, ...]:
    """Scores of each of the first axis."""
    inside = tuple(range(1, ours.ndim))
    both = np.count_nonzero(ours & theirs, axis=inside)
    false = np.count_nonzero(ours, axis=inside) - both
    missed = np.count_nonzero(theirs, axis=inside) - both
    size = ours[0].size
    return tuple(
        Scores(tp, fp, fn, size - tp - fp - fn, config.empty, spacing)
        for tp, fp, fn in zip(both.tolist(), false.tolist(), missed.tolist(), strict=True)
    )


def _checked(predicted: Array, reference: Array) -> tuple[BoolArray, BoolArray]:
    predicted, reference = np.asarray(predicted), np.asarray(reference)
    if predicted.shape != reference.shape:
        raise ValueError(f"the masks have shapes {predicted.shape} and {reference.shape}, which must be the same")
    if not predicted.size:
        raise ValueError(f"the masks hold no voxels: their shape is {predicted.shape}")
    return _tumour(predicted, "predicted"), _tumour(reference, "reference")


def _tumour(mask: Array, which: str) -> BoolArray:
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind == "f" and (fractions := mask[~np.isin(mask, (0, 1))]).size:
        raise ValueError(f"the {which} mask holds {fractions[0]:g}; allowed are labels: threshold probabilities first")
    if mask.dtype.kind not in "uif":
        raise ValueError(f"the {which} mask holds {mask.dtype}; allowed are bool and whole labels")
    if mask.dtype.kind == "i" and mask.min() < 0:
        raise ValueError(f"the {which} mask holds {mask.min()}; allowed are 0 for background and labels above it")
    tumour: BoolArray = mask > 0
    return tumour
