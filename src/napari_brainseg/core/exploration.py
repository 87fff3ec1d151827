"""What is in a case: sizes, tumour, missing sequences, and a small picture of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cases import Case
from .config import CHANNELS, FLAIR
from .masks import read_mask, slice_areas
from .volumes import Array, Spacing, read_volume

THUMBNAIL = 256
"""Longest edge of a thumbnail in pixels."""


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """What a person wants to know of a case before opening it.

    Attributes
    ----------
    shape : tuple of int
        Slices, rows and columns.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm; None while nobody knows it.
    missing : tuple of str
        Sequences that the case does not have.
    tumour_slices, tumour_voxels : int or None
        Extent of the manual mask; None without one.
    millilitres : float or None
        Its volume, if the spacing is known.
    largest : int
        Index of the slice with the most tumour; the middle one where there is none.
    thumbnail : ndarray
        That slice of FLAIR as uint8, of at most `THUMBNAIL` pixels an edge.
    thumbnail_mask : ndarray
        Where the manual mask is in the thumbnail, as bool.
    """

    shape: tuple[int, int, int]
    spacing: Spacing | None
    missing: tuple[str, ...]
    tumour_slices: int | None
    tumour_voxels: int | None
    millilitres: float | None
    largest: int
    thumbnail: npt.NDArray[np.uint8]
    thumbnail_mask: npt.NDArray[np.bool_]


def summarise_case(case: Case) -> CaseSummary:
    """Read a case and return what is in it.

    Raises
    ------
    ValueError
        If the case cannot be used, or a file of it is damaged; the message names the file.
    """
    volume = read_volume(case)
    mask = read_mask(case, volume)
    areas = None if mask is None else slice_areas(mask)
    voxels = None if areas is None else int(areas.sum())
    largest = int(areas.argmax()) if areas is not None and voxels else volume.shape[0] // 2
    step = -(-max(volume.shape[1:]) // THUMBNAIL)
    flair = volume.array[..., CHANNELS.index(FLAIR)]
    plane = flair[largest, ::step, ::step].astype(np.float32)
    low, high = tissue_range(flair)
    shown = np.zeros(plane.shape, np.bool_) if mask is None else mask[largest, ::step, ::step] > 0
    return CaseSummary(
        shape=volume.shape,
        spacing=volume.spacing,
        missing=volume.missing,
        tumour_slices=None if areas is None else int(np.count_nonzero(areas)),
        tumour_voxels=voxels,
        millilitres=None if voxels is None else volume.millilitres(voxels),
        largest=largest,
        thumbnail=(np.clip((plane - low) / (high - low), 0, 1) * 255).astype(np.uint8),
        thumbnail_mask=shown,
    )


def largest_slice(mask: Array) -> int:
    """Index of the slice with the most tumour in a mask (Z, Y, X)."""
    return int(slice_areas(mask).argmax())


def tissue_range(channel: Array) -> tuple[float, float]:
    """Intensities of a volume between which tissue is readable: its minimum, and the head's 99.5th percentile."""
    sample = channel[:, ::2, ::2]
    low = float(sample.min())
    bright = sample[sample > low + 0.05 * (float(sample.max()) - low)]
    high = float(np.percentile(bright, 99.5)) if bright.size else low
    return low, max(high, low + 1e-6)
