"""NIfTI files: voxels in the directions in which they are shown, and where they are."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from logging import LogRecord
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel import imageglobals, orientations
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from .tiffs import STUMBLES, Array, Spacing, refuse_huge
from .words import reason_of

Affine = npt.NDArray[np.float64]

AXES = ("L", "P", "S")
"""Directions in which x, y and z grow in every volume: a slice is shown as a radiologist expects it."""

_AXIS_OF = {"L": "L", "R": "L", "P": "P", "A": "P", "S": "S", "I": "S"}

_GZIP = b"\x1f\x8b"
"""How a packed file begins, whatever its name says."""

_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
"""Millimetres by NIfTI's codes: unknown, m, mm, micron."""


@contextmanager
def _reading(file: Path) -> Iterator[None]:
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


def _image_of(stream: BufferedIOBase) -> Any:
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


def _shape_of(image: Any) -> tuple[int, ...]:
    """Three axes in space, and those of more than one value beside them."""
    return (*image.shape[:3], 1, 1)[:3] + tuple(size for size in image.shape[3:] if size > 1)


def peek_nifti(file: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of what `read_nifti` reads from a file, told by its header; the axes are in the order of the file.

    Raises
    ------
    ValueError
        If the header is damaged or claims to be too large; the message names the file.
    """
    with _reading(file), file.open("rb") as stored:
        is_packed = stored.read(2) == _GZIP
        stored.seek(0)
        image = _image_of(gzip.GzipFile(fileobj=stored) if is_packed else stored)
        return _shape_of(image), _decoded_type(image)


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
    with _reading(file):
        data = file.read_bytes()
        if data.startswith(_GZIP):  # nibabel would not look at the check sum
            data = gzip.decompress(data)
        image = _image_of(BytesIO(data))
        kind = type(image)
        array = np.asanyarray(image.dataobj, _decoded_type(image)).reshape(_shape_of(image))
        affine: Affine = np.array(image.affine, np.float64)
        unit = int(image.header["xyzt_units"]) % 8  # the rest is about time
        if unit not in _UNITS:
            raise ValueError(f"its unit of length has code {unit}; allowed are {', '.join(map(str, _UNITS))}")
        raw = kind.header_class(data[: kind.header_class.sizeof_hdr], check=False)  # a check makes 1 of a size of 0
        is_sized = bool(raw["sform_code"] or raw["pixdim"][1:4].all())
        is_placed = bool((raw["sform_code"] or raw["qform_code"]) and affine[:3, 3].any())
    affine[:3] *= _UNITS[unit]
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


def resized_affine(affine: Affine, stored: tuple[str, ...], spacing: Spacing) -> Affine:
    """The affine of stored voxels in the same place, but of another size along Z, Y and X."""
    wanted = dict(zip(("S", "P", "L"), spacing, strict=True))
    sizes = zip(stored, voxel_sizes(affine), strict=True)
    resized: Affine = affine @ np.diag([*(wanted[_AXIS_OF[code]] / size for code, size in sizes), 1.0])
    return resized


def lie_apart(one: Affine | None, other: Affine | None) -> bool:
    """Whether voxels of two positions lie elsewhere in space; not where one of them is unknown."""
    return one is not None and other is not None and not np.allclose(one, other, atol=0.01)
