"""From stored voxels to what the network is fed: one way, for training and for segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from .config import CHANNELS, NormalisationConfig
from .volumes import Array

_STEP = 2
"""Every second row and column is enough to measure intensities, in a quarter of the time."""


@dataclass(frozen=True, slots=True)
class Intensities:
    """Per channel: the range that is kept, and mean and SD of the head within it, in stored units."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]


def head_mask(array: Array, config: NormalisationConfig) -> Array:
    """Voxels that are not background air.

    Parameters
    ----------
    array : ndarray
        One channel of any shape.

    Returns
    -------
    ndarray of bool
        True above a share of the channel's bright end, its 99.9th percentile.
    """
    mask: Array = array > _end_of_air(*_histogram(array), config)
    return mask


def solid_head(mask: Array) -> Array:
    """Head (Z, Y, X) without specks of noise in the air, and with the dark fluid inside."""
    return np.stack([ndimage.binary_fill_holes(ndimage.binary_opening(plane, iterations=2)) for plane in mask])


def measure_intensities(array: Array, config: NormalisationConfig) -> Intensities:
    """Robust range, mean and SD of each channel of a volume, over the voxels of the head.

    Parameters
    ----------
    array : ndarray
        (Z, Y, X, C) as stored.
    """
    lower, upper, mean, sd = [], [], [], []
    for channel in range(array.shape[-1]):
        levels, counts = _histogram(array[:, ::_STEP, ::_STEP, channel])
        if (head := levels > _end_of_air(levels, counts, config)).any():
            levels, counts = levels[head], counts[head]
        low, high = (_percentile(levels, counts, percent) for percent in (config.lower, config.upper))
        clipped = np.clip(levels, low, high)
        centre = float(np.average(clipped, weights=counts))
        spread = float(np.average((clipped - centre) ** 2, weights=counts)) ** 0.5
        lower.append(low)
        upper.append(high)
        mean.append(centre)
        sd.append(max(spread, 1e-6 * max(abs(low), abs(high))) or 1.0)
    return Intensities(tuple(lower), tuple(upper), tuple(mean), tuple(sd))


def _histogram(array: Array) -> tuple[Array, Array]:
    """Values that occur, in order, and how often each does: all further figures come from these few."""
    if array.dtype == np.uint8:
        counts = np.bincount(array.ravel())
        levels = np.flatnonzero(counts)
        counts = counts[levels]
    else:
        levels, counts = np.unique(array, return_counts=True)
    return levels.astype(np.float64), counts


def _end_of_air(levels: Array, counts: Array, config: NormalisationConfig) -> float:
    low = float(levels[0])
    return low + config.foreground * (_percentile(levels, counts, 99.9) - low)


def _percentile(levels: Array, counts: Array, percent: float) -> float:
    """What `numpy.percentile` gives for values of which each occurs so often."""
    rank = percent / 100 * (counts.sum() - 1)
    below, above = levels[np.searchsorted(np.cumsum(counts), [np.floor(rank), np.ceil(rank)], side="right")]
    return float(below + (above - below) * (rank % 1))


def normalise(slices: Tensor, measured: Sequence[Intensities]) -> Tensor:
    """Clip and standardise slices, each with the intensities of its own volume.

    Parameters
    ----------
    slices : Tensor
        (B, ..., C, Y, X) of any number type.
    measured : sequence of Intensities
        One for each of the B slices, or a single one for all.

    Returns
    -------
    Tensor
        The same shape, float32: zero mean and unit SD over the head.
    """
    between = [1] * (slices.ndim - 4)

    def per_channel(values: list[tuple[float, ...]]) -> Tensor:
        return torch.tensor(values, device=slices.device).view(len(values), *between, len(CHANNELS), 1, 1)

    lower = per_channel([item.lower for item in measured])
    upper = per_channel([item.upper for item in measured])
    mean = per_channel([item.mean for item in measured])
    sd = per_channel([item.sd for item in measured])
    # in place on a copy of its own: fresh memory for each step would cost more than the arithmetic
    return slices.to(torch.float32, copy=True).clamp_(lower, upper).sub_(mean).div_(sd)


def neighbours(index: int, count: int, context: int) -> list[int]:
    """Return a slice's number with those below and above it; at the ends the last slice is repeated."""
    return [min(max(index + offset, 0), count - 1) for offset in range(-context, context + 1)]
