"""Predicted masks and their references: which files belong together, and the two masks of a case."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .cases import TAKEN_FOR_MASKS, Case, find_masks
from .masks import Mask, NotBinary, read_mask, read_mask_alone, slices_with_mask
from .niftis import Affine, lie_apart
from .volumes import Spacing, Volume, read_volume


@dataclass(frozen=True, slots=True)
class MaskPair:
    """A predicted mask and the reference that it is compared with, as files."""

    name: str
    predicted: Case
    reference: Case


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which masks of two folders belong together, and the names of those that have no partner."""

    pairs: tuple[MaskPair, ...]
    only_predicted: tuple[str, ...]
    only_reference: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PairedMasks:
    """Two masks of one case.

    Attributes
    ----------
    predicted, reference : ndarray
        (Z, Y, X) of the slices that have a mask in the reference; those that lie apart are neighbours here.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm.
    missing : tuple of str or None
        Sequences that the images lack; None where there are none.
    known : ndarray
        (Z,) bool: which of all slices these are.
    """

    predicted: Mask
    reference: Mask
    spacing: Spacing | None
    missing: tuple[str, ...] | None
    known: npt.NDArray[np.bool_]


def pair_masks(predictions: Path | str, references: Path | str) -> Pairing:
    """Pair the masks of two folders by the names of their cases; a single mask on each side needs no common name.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        If there are no masks at one of the paths: see `find_masks`.
    """
    ours, theirs = ({case.name: case for case in find_masks(path)} for path in (predictions, references))
    if len(ours) == len(theirs) == 1:
        (predicted,), (reference,) = ours.values(), theirs.values()
        return Pairing((MaskPair(reference.name, predicted, reference),), (), ())
    return Pairing(
        tuple(MaskPair(name, ours[name], reference) for name, reference in theirs.items() if name in ours),
        tuple(name for name in ours if name not in theirs),
        tuple(name for name in theirs if name not in ours),
    )


def read_pair(pair: MaskPair) -> PairedMasks:
    """Read the two masks of a case.

    Raises
    ------
    ValueError
        If there is no mask, a file is damaged or is no mask, or the two do not fit each other; the message names it.
    """
    for case in (pair.predicted, pair.reference):
        if case.error or not case.has_masks:
            raise ValueError(case.error or f"{case.folder} has no mask of {case.name}")
    ours, theirs = pair.predicted.numbers, pair.reference.numbers
    if ours and theirs and ours != theirs:
        only = min(set(ours) ^ set(theirs))
        side = "prediction" if only in ours else "reference"
        raise ValueError(f"{pair.name}: only the {side} has a slice {only}; both must have the same slices")
    volume = read_volume(pair.reference) if pair.reference.images else None
    reference, spacing, position = _read_one(pair.reference, volume)
    predicted, its_spacing, its_position = _read_one(pair.predicted, volume)
    if predicted.shape != reference.shape:
        raise ValueError(
            f"{pair.name}: the predicted mask has shape {predicted.shape}, but the reference has {reference.shape}"
        )
    if (spacing is None) == (its_spacing is None) and lie_apart(its_position, position):  # no size, no place in mm
        files = " lies elsewhere in space than ".join(str(case.masks[0]) for case in (pair.predicted, pair.reference))
        raise ValueError(f"{files}; register them first")
    known = slices_with_mask(pair.reference, len(reference))
    return PairedMasks(predicted[known], reference[known], spacing, volume.missing if volume else None, known)


def _read_one(case: Case, volume: Volume | None) -> tuple[Mask, Spacing | None, Affine | None]:
    """Mask, voxel size and position; it fits the images where there are any."""
    try:
        if volume is None:
            return read_mask_alone(case)
        mask = read_mask(case, volume)
    except NotBinary as error:
        if TAKEN_FOR_MASKS not in case.problems:
            raise
        raise NotBinary(
            f"{case.folder} has no mask of {case.name}: none of its files is called one, and {error}"
        ) from error
    assert mask is not None
    return mask, volume.spacing, volume.position
