"""What a look at a case tells before it is decoded: how much memory it takes, and which sequences it lacks."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import nibabel
import numpy as np
import psutil

from .cases import Case
from .config import CHANNELS, FLAIR
from .tiffs import opened_stack, refuse_huge
from .volumes import read_volume, reading_nifti

MEMORY_SHARE = 0.6
"""Of the free memory, so much may be taken for images."""


@dataclass(frozen=True, slots=True)
class Peek:
    """What a look at a case tells.

    Attributes
    ----------
    bytes : int
        Memory that images and mask take when they are decoded.
    missing : tuple of str or None
        Sequences that the case does not have; None where only decoding it all would tell.
    """

    bytes: int
    missing: tuple[str, ...] | None


def peek(case: Case) -> Peek:
    """Look at one slice of a case, or at the header of its file.

    Raises
    ------
    ValueError
        If that slice or header cannot be read; the message names the file.
    """
    if case.layout == "slices":
        middle = len(case.images) // 2
        one = replace(case, images=case.images[middle : middle + 1], numbers=case.numbers[middle : middle + 1])
        volume = read_volume(one)
        return _peek((len(case.images), *volume.shape[1:]), volume.array.dtype, volume.missing)
    file = case.images[0]
    if case.layout == "stack":
        with opened_stack(file) as tif:
            first = tif.series[0]
            shape, dtype = (len(tif.series), *first.shape) if len(tif.series) > 1 else first.shape, first.dtype
    else:
        with reading_nifti(file):
            header: Any = nibabel.load(file).header
            shape, dtype = header.get_data_shape()[::-1], header.get_data_dtype()
            refuse_huge(shape)
    has_channels = shape[-1] == len(CHANNELS) or (len(shape) == 4 and shape[0] == len(CHANNELS))
    planes = shape if not has_channels else shape[:-1] if shape[-1] == len(CHANNELS) else shape[1:]
    found = case.channels or (() if has_channels else (FLAIR,))
    missing = tuple(name for name in CHANNELS if name not in found) if found else None
    return _peek(planes, np.dtype(dtype), missing)


def free_bytes() -> int:
    """Memory that is free now."""
    return int(psutil.virtual_memory().available)


def fits_in_memory(peeks: Iterable[Peek]) -> bool:
    """Whether decoded cases leave enough of the free memory for everything else."""
    return sum(item.bytes for item in peeks) <= MEMORY_SHARE * free_bytes()


def _peek(shape: tuple[int, ...], dtype: np.dtype[np.generic], missing: tuple[str, ...] | None) -> Peek:
    return Peek(prod(shape) * (len(CHANNELS) * dtype.itemsize + 1), missing)
