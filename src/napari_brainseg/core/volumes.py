"""A case's images and where their voxels are."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from .cases import Case
from .config import CHANNELS, FLAIR
from .niftis import AXES, Affine, lie_apart, oriented_affine, read_nifti, resized_affine
from .tiffs import MOST_VALUES, read_slice, read_stack
from .tiffs import Array as Array
from .tiffs import Spacing as Spacing

SpacingSource = Literal["header", "user", "unknown"]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_DECODERS = min(4, os.cpu_count() or 1)

_SAMPLE = np.s_[:, ::16, ::4]
"""Sequences that agree in every sixteenth row and fourth column are one; two real ones differ nearly everywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """The images of one case and where their voxels are.

    Attributes
    ----------
    array : ndarray
        (Z, Y, X, 3) in the type as stored: pre-contrast, FLAIR, post-contrast.
    name : str
        The case's name.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm; None while nobody knows it.
    spacing_source : {"header", "user", "unknown"}
        Who says so.
    same_as_flair : tuple of bool
        Per channel, whether FLAIR stands in for a missing sequence.
    slice_numbers : tuple of int
        The number of each slice in its file's name, else 1 to Z.
    affine : ndarray or None
        NIfTI's 4 x 4 matrix from the index of a voxel in the file to mm.
    stored_axes : tuple of str
        NIfTI's directions of the stored axes, such as ("R", "A", "S").
    source : Path or None
        Where `find_cases` finds the case again; None if it does not come from a file.
    """

    array: Array
    name: str
    spacing: Spacing | None = None
    spacing_source: SpacingSource = "unknown"
    same_as_flair: tuple[bool, ...] = (False, False, False)
    slice_numbers: tuple[int, ...] = ()
    affine: Affine | None = None
    stored_axes: tuple[str, ...] = AXES
    source: Path | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        z, y, x = self.array.shape[:3]
        return z, y, x

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the sequences that the case does not have."""
        return tuple(name for name, same in zip(CHANNELS, self.same_as_flair, strict=True) if same)

    @property
    def holds_mask(self) -> bool:
        """Whether it is no image but a mask: its FLAIR holds nothing but 0, and 1 or 255."""
        flair = self.array[..., CHANNELS.index(FLAIR)]
        return (high := flair.max()) in (0, 1, 255) and bool(((flair == 0) | (flair == high)).all())

    @property
    def position(self) -> Affine | None:
        """Affine from voxel (x, y, z) in our directions to mm; None where no file says it."""
        return None if self.affine is None else oriented_affine(self.affine, self.stored_axes, self.shape)

    def lies_elsewhere(self, position: Affine | None) -> bool:
        """Whether voxels of another position lie elsewhere in space, in whichever order both are stored."""
        return lie_apart(position, self.position)

    def with_spacing(self, spacing: Spacing) -> "Volume":
        """Return the same volume with a voxel size (Z, Y, X in mm) that a person gave.

        Raises
        ------
        ValueError
            If a size is not a positive number.
        """
        if not all(np.isfinite(size) and size > 0 for size in spacing):
            raise ValueError(f"spacing must be three positive numbers in mm, but is {spacing}")
        affine = self.affine
        if affine is not None:  # what is written later says the same as the screen
            affine = resized_affine(affine, self.stored_axes, spacing)
        return replace(self, spacing=spacing, spacing_source="user", affine=affine)

    def millilitres(self, voxels: int) -> float | None:
        """Volume of a number of voxels in mL, None while the spacing is unknown."""
        return None if self.spacing is None else voxels * float(np.prod(self.spacing)) / 1000


def read_volume(case: Case) -> Volume:
    """Read a case's images.

    Parameters
    ----------
    case : Case
        From `find_cases`.

    Returns
    -------
    Volume
        (Z, Y, X, 3). A single sequence becomes FLAIR, standing in for the missing two.

    Raises
    ------
    ValueError
        If the case cannot be used, or a file of it is damaged, has a wrong shape, or holds NaN or infinity; the
        message names the file.
    """
    if case.error or not case.images:
        raise ValueError(case.error or f"{case.name} has no images")
    if case.layout == "nifti":
        return _read_nifti_volume(case)
    if case.layout == "stack":
        array, spacing = read_stack(case.images[0])
        array = _with_three_channels(array, case.images[0], axes=3)
    else:
        array, spacing = _read_slices(case.images), None
    return _volume(case, array, spacing)


def volume_of_array(array: Array, name: str, spacing: Spacing | None = None) -> Volume:
    """Volume of an array that is already in memory.

    Parameters
    ----------
    array : ndarray
        (Z, Y, X) FLAIR alone, or (Z, Y, X, 3) pre-contrast, FLAIR, post-contrast; one slice may lack Z.
    name : str
        What to call it.
    spacing : tuple of float, optional
        Voxel size along Z, Y and X in mm, as the user gave it.

    Raises
    ------
    ValueError
        If the shape is another one, or values are not finite.
    """
    array = np.asarray(array)
    is_slice = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))
    array = _with_three_channels(array, name, axes=2 if is_slice else 3)
    array = array[None] if is_slice else array
    return _volume(Case(name, Path(), "stack"), array, spacing, "user")


def tissue_range(channel: Array) -> tuple[float, float]:
    """Intensities of a volume between which tissue is readable: its minimum, and the head's 99.5th percentile."""
    sample = channel[:, ::2, ::2]
    low = float(sample.min())
    bright = sample[sample > low + 0.05 * (float(sample.max()) - low)]
    high = float(np.percentile(bright, 99.5)) if bright.size else low
    return low, max(high, low + 1e-6)


def shown_flair(volume: Volume, z: int) -> Array:
    """FLAIR of the slice at a position along Z, with the intensities of readable tissue."""
    flair = volume.array[..., CHANNELS.index(FLAIR)]
    shown: Array = flair[z].clip(*tissue_range(flair))
    return shown


def _volume(case: Case, array: Array, spacing: Spacing | None, source: SpacingSource = "header") -> Volume:
    numbers = case.numbers or tuple(range(1, len(array) + 1))
    return Volume(
        array=array,
        name=case.name,
        spacing=spacing,
        spacing_source=source if spacing else "unknown",
        same_as_flair=_same_as_flair(array),
        slice_numbers=numbers,
        source=_source(case),
    )


def _source(case: Case) -> Path | None:
    if not case.images:
        return None
    return case.folder if case.layout == "slices" and case.name == case.folder.name else case.images[0]


def _same_as_flair(array: Array) -> tuple[bool, ...]:
    flair = CHANNELS.index(FLAIR)
    sample = array[_SAMPLE]
    return tuple(
        channel != flair and np.array_equal(sample[..., channel], sample[..., flair])
        for channel in range(len(CHANNELS))
    )


def _read_slices(files: Sequence[Path]) -> Array:
    """Slices in one array (Z, Y, X, 3)."""
    raw = read_slice(files[0])
    first = _with_three_channels(raw, files[0], axes=2)
    if len(files) * first.size > MOST_VALUES:
        raise ValueError(f"{files[0]} and {len(files) - 1} more of {first.shape} values are too many to be a case")
    stacked = np.empty((len(files), *first.shape), first.dtype)
    around = _bytes_around(raw, files[0]) if raw.shape == first.shape else None
    others = [at for at, file in enumerate(files) if not (around and _read_between(around, file, stacked[at]))]

    def decode(start: int) -> None:
        for index in others[start::_DECODERS]:
            array = _with_three_channels(read_slice(files[index]), files[index], axes=2)
            if array.shape != first.shape or array.dtype != first.dtype:
                raise ValueError(
                    f"{files[index]} has shape {array.shape} and type {array.dtype}, but the first slice "
                    f"{files[0].name} has {first.shape} and {first.dtype}; all slices of a case must be alike"
                )
            stacked[index] = array

    if others:  # only decoding gains by threads
        with ThreadPoolExecutor(_DECODERS) as pool:
            list(pool.map(decode, range(_DECODERS)))
    return stacked


def _bytes_around(pixels: Array, file: Path) -> tuple[bytes, bytes] | None:
    """Bytes before and after the pixels in a file that holds them as they are, in one place only."""
    data, wanted = file.read_bytes(), pixels.tobytes()
    start = data.find(wanted)
    if pixels.dtype != np.uint8 or start < 0 or data.find(wanted, start + 1) >= 0:
        return None
    return data[:start], data[start + len(wanted) :]


def _read_between(around: tuple[bytes, bytes], file: Path, out: Array) -> bool:
    """Read a file's pixels straight to where they belong, which is faster than decoding.

    True if all its other bytes are those of a file that is known: then its pixels are where that one's are.
    """
    before, after = around
    with suppress(OSError), FileIO(file) as opened:
        is_alike = opened.read(len(before)) == before and opened.readinto(out.data) == out.nbytes
        return is_alike and opened.read(len(after) + 1) == after
    return False


def _with_three_channels(array: Array, source: Path | str, *, axes: int) -> Array:
    """Check type and values; a single sequence is repeated, since FLAIR stands in for what is missing."""
    if array.ndim not in (axes, axes + 1) or array.size == 0:
        where = "(Y, X)" if axes == 2 else "(Z, Y, X)"
        raise ValueError(f"{source} has shape {array.shape}; allowed is {where} without or with 3 channels")
    if array.ndim == axes:
        array = array[..., None]
    channels = array.shape[-1]
    if channels not in (1, len(CHANNELS)):
        kind = f"{channels} channels" + (" (RGBA)" if channels == 4 else "")
        raise ValueError(f"{source} has {kind}; allowed are grey (FLAIR) and RGB (pre-contrast, FLAIR, post-contrast)")
    array = _checked(array, source)
    return array if channels > 1 else np.repeat(array, len(CHANNELS), axis=-1)


def _checked(array: Array, source: Path | str) -> Array:
    """Refuse what are no intensities; bytes come in the machine's order."""
    if array.dtype.kind not in "uif":
        raise ValueError(f"{source} holds {array.dtype}; allowed are integers and floating-point numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{source} holds {np.count_nonzero(~np.isfinite(array))} values that are NaN or infinite")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_nifti_volume(case: Case) -> Volume:
    parts = [read_nifti(file) for file in case.images]
    array, affine, stored, _ = parts[0]
    spacing = next((part[3] for part in parts if part[3]), None)
    for file, (other, its_affine, *_) in zip(case.images, parts, strict=True):
        _checked(other, file)
        if other.shape != array.shape or not np.allclose(its_affine, affine, atol=1e-3):
            raise ValueError(f"{file} has another shape or position than {case.images[0].name}; register them first")
    if case.channels:
        found = dict(zip(case.channels, (part[0] for part in parts), strict=True))
        array = np.stack([found.get(name, found[FLAIR]) for name in CHANNELS], axis=-1)
    array = _with_three_channels(array, case.images[0], axes=3)
    return replace(_volume(case, array, spacing), affine=affine, stored_axes=stored)
