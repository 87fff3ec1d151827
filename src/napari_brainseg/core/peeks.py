"""What a look at a case tells before it is decoded: how much memory it takes, and which sequences it lacks."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import psutil

from .cases import Case
from .config import CHANNELS, FLAIR
from .niftis import peek_nifti
from .tiffs import peek_stack
from .volumes import read_volume

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
    look = peek_stack if case.layout == "stack" else peek_nifti
    shapes, dtypes = zip(*map(look, case.images), strict=True)
    found = case.channels or ((FLAIR,) if len(shapes[0]) == 3 else ())
    missing = tuple(name for name in CHANNELS if name not in found) if found else None
    return _peek(shapes[0][:3], np.result_type(*dtypes), missing)


def free_bytes() -> int:
    """Memory that is free now."""
    return int(psutil.virtual_memory().available)


def fits_in_memory(peeks: Iterable[Peek]) -> bool:
    """Whether decoded cases leave enough of the free memory for everything else."""
    return sum(item.bytes for item in peeks) <= MEMORY_SHARE * free_bytes()


def _peek(shape: tuple[int, ...], dtype: np.dtype[np.generic], missing: tuple[str, ...] | None) -> Peek:
    return Peek(prod(shape) * (len(CHANNELS) * dtype.itemsize + 1), missing)
