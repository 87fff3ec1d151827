"""A case's images and where their voxels are."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import nibabel
import numpy as np
import numpy.typing as npt
import tifffile
from nibabel import orientations

from .cases import Case
from .config import CHANNELS, FLAIR

SpacingSource = Literal["header", "user", "unknown"]
Spacing = tuple[float, float, float]
Array = npt.NDArray[Any]

AXES = ("L", "P", "S")
"""Directions in which x, y and z grow in every volume: a slice is shown as a radiologist expects it."""

READ_THREADS = 4


@dataclass(frozen=True, slots=True)
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
        NIfTI's 4 x 4 matrix from stored voxel index to mm, as in the file.
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
    affine: npt.NDArray[np.float64] | None = field(default=None, compare=False)
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

    def with_spacing(self, spacing: Spacing) -> "Volume":
        """Return the same volume with a voxel size (Z, Y, X in mm) that a person gave.

        Raises
        ------
        ValueError
            If a size is not a positive number.
        """
        if not all(np.isfinite(size) and size > 0 for size in spacing):
            raise ValueError(f"spacing must be three positive numbers in mm, but is {spacing}")
        return replace(self, spacing=spacing, spacing_source="user")

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
    if case.error:
        raise ValueError(case.error)
    if case.layout == "nifti":
        return _read_nifti_volume(case)
    if case.layout == "stack":
        array, spacing = read_stack(case.images[0])
        array = _with_three_channels(array, case.images[0])
    else:
        array, spacing = _stacked(case.images, lambda file: _with_three_channels(read_slice(file), file)), None
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
    array = _with_three_channels(np.asarray(array), name)
    array = array[None] if array.ndim == 3 else array
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
    middle = array[len(array) // 2]  # differs at once where the sequence exists, which spares comparing all voxels
    return tuple(
        channel != flair
        and np.array_equal(middle[..., channel], middle[..., flair])
        and np.array_equal(array[..., channel], array[..., flair])
        for channel in range(len(CHANNELS))
    )


def read_slice(file: Path) -> Array:
    """Decode one small TIFF: imagecodecs skips the parsing that costs tifffile 2 to 3 ms."""
    try:
        data = file.read_bytes()
        array: Array = imagecodecs.tiff_decode(data)
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"{file} cannot be read as a TIFF image: {_first_line(error)}") from error
    return array


def _stacked(files: Sequence[Path], read: Callable[[Path], Array]) -> Array:
    with ThreadPoolExecutor(READ_THREADS) as pool:
        slices = list(pool.map(read, files))
    for file, array in zip(files, slices, strict=True):
        if array.shape != slices[0].shape or array.dtype != slices[0].dtype:
            raise ValueError(
                f"{file} has shape {array.shape} and type {array.dtype}, but the first slice {files[0].name} has "
                f"{slices[0].shape} and {slices[0].dtype}; all slices of a case must be alike"
            )
    return np.stack(slices)


def read_stack(file: Path) -> tuple[Array, Spacing | None]:
    try:
        with tifffile.TiffFile(file) as tif:
            array: Array = tif.series[0].asarray()
            axes = tif.series[0].axes
            spacing = _tiff_spacing(tif)
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, RuntimeError) as error:
        raise ValueError(f"{file} cannot be read as a TIFF stack: {_first_line(error)}") from error
    if "C" in axes:  # ImageJ and OME keep channels as an axis of their own
        array = np.moveaxis(array, axes.index("C"), -1)
    if array.ndim == 2 or (array.ndim == 3 and axes.endswith("S")):
        array = array[None]
    return array, spacing


def _tiff_spacing(tif: tifffile.TiffFile) -> Spacing | None:
    """Voxel size from ImageJ's tags, None where depth or resolution is not stated in a known unit."""
    millimetres = {"mm": 1.0, "cm": 10.0, "um": 0.001, "micron": 0.001, "µm": 0.001, "\\u00B5m": 0.001}
    meta = tif.imagej_metadata or {}
    factor = millimetres.get(str(meta.get("unit", "")))
    tags = tif.pages.first.tags
    if factor is None or "spacing" not in meta or "XResolution" not in tags or "YResolution" not in tags:
        return None
    y, x = (tags[f"{axis}Resolution"].value for axis in "YX")
    if not (y[0] and x[0]):
        return None
    return float(meta["spacing"]) * factor, y[1] / y[0] * factor, x[1] / x[0] * factor


def _with_three_channels(array: Array, source: Path | str) -> Array:
    """Check type and values; a single sequence is repeated, since FLAIR stands in for what is missing."""
    if array.ndim not in (2, 3, 4) or array.size == 0:
        raise ValueError(f"{source} has shape {array.shape}; allowed are (Y, X), (Z, Y, X) and both with 3 channels")
    if array.dtype.kind not in "uif":
        raise ValueError(f"{source} holds {array.dtype}; allowed are integers and floating-point numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{source} holds {np.count_nonzero(~np.isfinite(array))} values that are NaN or infinite")
    if array.shape[-1] in (2, 4) and (array.ndim == 4 or array.shape[0] > 4):
        kind = "RGBA" if array.shape[-1] == 4 else "two channels"
        raise ValueError(f"{source} is {kind}; allowed are grey (FLAIR) and RGB (pre-contrast, FLAIR, post-contrast)")
    if array.shape[-1] == 3 and array.ndim > 2:
        return array
    if array.ndim == 4:
        raise ValueError(f"{source} has {array.shape[-1]} channels; allowed are 1 (FLAIR) and 3")
    return np.repeat(array[..., None], len(CHANNELS), axis=-1)


def load_nifti(file: Path) -> nibabel.Nifti1Image:
    try:
        image = nibabel.load(file)
        image.get_fdata(dtype=np.float32, caching="fill")
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as NIfTI: {_first_line(error)}") from error
    return image


def oriented(image: nibabel.Nifti1Image) -> tuple[Array, tuple[str, ...]]:
    """Voxels as (Z, Y, X[, C]) in our directions, and the directions they were stored in."""
    stored = nibabel.aff2axcodes(image.affine)
    turn = orientations.ornt_transform(orientations.axcodes2ornt(stored), orientations.axcodes2ornt(AXES))
    array = np.squeeze(orientations.apply_orientation(np.asanyarray(image.dataobj), turn))
    return np.moveaxis(array, (0, 1, 2), (2, 1, 0)) if array.ndim >= 3 else array, stored


def _read_nifti_volume(case: Case) -> Volume:
    images = [load_nifti(file) for file in case.images]
    for file, image in zip(case.images, images, strict=True):
        if image.shape != images[0].shape or not np.allclose(image.affine, images[0].affine, atol=1e-3):
            raise ValueError(f"{file} has another shape or position than {case.images[0].name}; register them first")
    array, stored = oriented(images[0])
    if case.channels:
        found = dict(zip(case.channels, (oriented(image)[0] for image in images), strict=True))
        array = np.stack([found.get(name, found[FLAIR]) for name in CHANNELS], axis=-1)
    array = _with_three_channels(array, case.images[0])
    sizes = dict(zip((code if code in AXES else _opposite(code) for code in stored), images[0].header.get_zooms()))
    spacing = (float(sizes["S"]), float(sizes["P"]), float(sizes["L"]))
    return replace(_volume(case, array, spacing), affine=images[0].affine, stored_axes=stored)


def _opposite(code: str) -> str:
    return {"R": "L", "A": "P", "I": "S"}[code]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
