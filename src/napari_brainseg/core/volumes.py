"""A case's images and where their voxels are."""

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BufferedIOBase, BytesIO, FileIO
from logging import LogRecord
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel import imageglobals, orientations
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from .cases import Case
from .config import CHANNELS, FLAIR
from .tiffs import MOST_VALUES, STUMBLES, read_slice, read_stack, refuse_huge
from .tiffs import Array as Array
from .tiffs import Spacing as Spacing
from .words import reason_of

SpacingSource = Literal["header", "user", "unknown"]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Affine = Float64Array

AXES = ("L", "P", "S")
"""Directions in which x, y and z grow in every volume: a slice is shown as a radiologist expects it."""

_DECODERS = min(4, os.cpu_count() or 1)

_SAMPLE = np.s_[:, ::16, ::4]
"""Sequences that agree in every sixteenth row and fourth column are one; two real ones differ nearly everywhere."""

_AXIS_OF = {"L": "L", "R": "L", "P": "P", "A": "P", "S": "S", "I": "S"}


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
            wanted = dict(zip(("S", "P", "L"), spacing, strict=True))
            sizes = zip(self.stored_axes, voxel_sizes(affine), strict=True)
            affine = affine @ np.diag([*(wanted[_AXIS_OF[code]] / size for code, size in sizes), 1.0])
        return replace(self, spacing=spacing, spacing_source="user", affine=affine)

    def millilitres(self, voxels: int) -> float | None:
        """Volume of a number of voxels in mL, None while the spacing is unknown."""
        return None if self.spacing is None else voxels * float(np.prod(self.spacing)) / 1000


def lie_apart(one: Affine | None, other: Affine | None) -> bool:
    """Whether voxels of two positions lie elsewhere in space; not where one of them is unknown."""
    return one is not None and other is not None and not np.allclose(one, other, atol=0.01)


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


_GZIP = b"\x1f\x8b"
"""How a packed file begins, whatever its name says."""

_NIFTI_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
"""Millimetres by NIfTI's codes: unknown, m, mm, micron."""


@contextmanager
def _reading_nifti(file: Path) -> Iterator[None]:
    """Name the file in the error of whatever nibabel stumbles over, and drop what it prints, which does not name it.

    Raises
    ------
    ValueError
        For any error of reading in the block.
    """

    def is_printed(record: LogRecord) -> bool:
        return False

    imageglobals.logger.addFilter(is_printed)
    try:
        yield
    except (*STUMBLES, ImageFileError, HeaderDataError, WrapStructError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be read as NIfTI: {reason_of(error)}") from error
    finally:
        imageglobals.logger.removeFilter(is_printed)


def _nifti_image(stream: BufferedIOBase) -> Any:
    """Image whose voxels are not read yet."""
    start = stream.read(348)
    if len(start) < 348:
        raise ValueError(f"its {len(start)} bytes are not even a header")
    stream.seek(0)
    is_second = 540 in (int.from_bytes(start[:4], order) for order in ("little", "big"))
    image = (nibabel.Nifti2Image if is_second else nibabel.Nifti1Image).from_stream(stream)
    refuse_huge(image.shape)
    return image


def _decoded_type(image: Any) -> np.dtype[Any]:
    """Type as stored; what is scaled needs fractions, but not the 8 bytes that nibabel takes for each."""
    stored: np.dtype[Any] = image.get_data_dtype()
    is_scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    return np.dtype(np.float32) if is_scaled and stored.kind in "uif" else stored


def _nifti_shape(image: Any) -> tuple[int, ...]:
    """Three axes in space, and those of more than one value beside them."""
    return (*image.shape[:3], 1, 1)[:3] + tuple(size for size in image.shape[3:] if size > 1)


def peek_nifti(file: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of what `read_nifti` reads from a file, told by its header; the axes are in the order of the file.

    Raises
    ------
    ValueError
        If the header is damaged or claims to be too large; the message names the file.
    """
    with _reading_nifti(file), file.open("rb") as stored:
        is_packed = stored.read(2) == _GZIP
        stored.seek(0)
        image = _nifti_image(gzip.GzipFile(fileobj=stored) if is_packed else stored)
        return _nifti_shape(image), _decoded_type(image)


def read_nifti(file: Path) -> tuple[Array, Affine, tuple[str, ...], Spacing | None]:
    """Read a NIfTI file.

    Returns
    -------
    array : ndarray
        Voxels as (Z, Y, X[, C]) in our directions.
    affine : ndarray
        From the index of a stored voxel to mm.
    stored : tuple of str
        Directions in which the voxels are stored.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm. None where the file says nothing of it: sizes of 0, or of 1 in no unit at no
        place, which is what programs write that know none. Else what is in no unit is in mm, as most programs take it.

    Raises
    ------
    ValueError
        If the file is damaged, claims to be too large or does not say where its voxels are; the message names it.
    """
    with _reading_nifti(file):
        data = file.read_bytes()
        if data.startswith(_GZIP):  # nibabel would not look at the check sum
            data = gzip.decompress(data)
        image = _nifti_image(BytesIO(data))
        kind = type(image)
        array = np.asanyarray(image.dataobj, _decoded_type(image)).reshape(_nifti_shape(image))
        affine: Affine = np.array(image.affine, np.float64)
        unit = int(image.header["xyzt_units"]) % 8  # the rest is about time
        if unit not in _NIFTI_UNITS:
            raise ValueError(f"its unit of length has code {unit}; allowed are {', '.join(map(str, _NIFTI_UNITS))}")
        raw = kind.header_class(data[: kind.header_class.sizeof_hdr], check=False)  # a check makes 1 of a size of 0
        is_sized = bool(raw["sform_code"] or raw["pixdim"][1:4].all())
        is_placed = bool((raw["sform_code"] or raw["qform_code"]) and affine[:3, 3].any())
    affine[:3] *= _NIFTI_UNITS[unit]
    if not np.isfinite(affine).all() or None in (stored := nibabel.aff2axcodes(affine)):
        raise ValueError(f"{file} does not say where its voxels are: its affine is {affine[:3].tolist()}")
    sizes = voxel_sizes(affine)
    if not is_sized or (unit == 0 and not is_placed and np.allclose(sizes, 1)):
        affine[:, :3] /= sizes
        spacing = None
    else:
        spacing = _spacing(sizes, stored)
    turn = orientations.ornt_transform(orientations.axcodes2ornt(stored), orientations.axcodes2ornt(AXES))
    return np.moveaxis(orientations.apply_orientation(array, turn), (0, 1, 2), (2, 1, 0)), affine, stored, spacing


def _spacing(sizes: Array, stored: tuple[str, ...]) -> Spacing:
    """Sizes along the stored axes as along Z, Y and X."""
    size = {_AXIS_OF[code]: float(size) for code, size in zip(stored, sizes, strict=True)}
    return size["S"], size["P"], size["L"]


def oriented_affine(affine: Affine, stored: tuple[str, ...], shape: tuple[int, ...]) -> Affine:
    """Affine from voxel (x, y, z) in our directions to mm, of an array (Z, Y, X) whose stored affine is given."""
    turn = orientations.ornt_transform(orientations.axcodes2ornt(stored), orientations.axcodes2ornt(AXES))
    stored_shape = [shape[::-1][int(axis)] for axis in turn[:, 0]]
    oriented: Affine = affine @ orientations.inv_ornt_aff(turn, stored_shape)
    return oriented


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
