"""From stored voxels to what the network is fed: one way, for training and for segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
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
    low = float(array.min())
    mask: Array = array > low + config.foreground * (float(np.percentile(array, 99.9)) - low)
    return mask


def measure_intensities(array: Array, config: NormalisationConfig) -> Intensities:
    """Robust range, mean and SD of each channel of a volume, over the voxels of the head.

    Parameters
    ----------
    array : ndarray
        (Z, Y, X, C) as stored.
    """
    lower, upper, mean, sd = [], [], [], []
    for channel in range(array.shape[-1]):
        values = array[:, ::_STEP, ::_STEP, channel]
        head = values[head_mask(values, config)]
        head = (head if head.size else values.ravel()).astype(np.float32)
        low, high = np.percentile(head, [config.lower, config.upper])
        clipped = np.clip(head, low, high)
        lower.append(float(low))
        upper.append(float(high))
        mean.append(float(clipped.mean()))
        sd.append(max(float(clipped.std()), 1e-6 * max(abs(float(low)), abs(float(high)))) or 1.0)
    return Intensities(tuple(lower), tuple(upper), tuple(mean), tuple(sd))


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
    return slices.float().clamp(lower, upper).sub_(mean).div_(sd)


def neighbours(index: int, count: int, context: int) -> list[int]:
    """Return a slice's number with those below and above it; at the ends the last slice is repeated."""
    return [min(max(index + offset, 0), count - 1) for offset in range(-context, context + 1)]
