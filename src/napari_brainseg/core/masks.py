"""A case's masks: reading manual ones, and writing masks back the way the images came."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import numpy.typing as npt
import tifffile
from nibabel import orientations

from .cases import Case
from .files import atomic_path, file_name, refuse_existing
from .niftis import AXES, Affine, oriented_affine, read_nifti
from .tiffs import read_slice, read_stack
from .volumes import Array, Spacing, Volume

MaskFormat = Literal["kaggle", "tiff", "nifti"]
Mask = npt.NDArray[np.uint8]


class NotBinary(ValueError):
    """A mask file that can be read holds other values than those of a mask."""


def read_mask(case: Case, volume: Volume) -> Mask | None:
    """Read a case's manual mask.

    Parameters
    ----------
    case : Case
        From `find_cases`.
    volume : Volume
        The same case's images, which the mask must fit.

    Returns
    -------
    ndarray or None
        (Z, Y, X) of 0 and 1; slices without a mask file are 0. None if the case has no mask at all.

    Raises
    ------
    ValueError
        If a file is damaged, has another size than its image, or holds values that are not those of a binary mask.
    """
    if not case.has_masks:
        return None
    mask, _, affine = _read(case, volume.shape)
    if volume.lies_elsewhere(affine):
        raise ValueError(f"{_file(case)} lies elsewhere in space than the images of {volume.name}; register them first")
    return mask


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known of a case.

    Attributes
    ----------
    mask : ndarray
        (Z, Y, X) of 0 and 1; slices of which nothing is known are 0.
    known : ndarray
        (Z,) bool: slices with a manual mask or a correction.
    """

    mask: Mask
    known: npt.NDArray[np.bool_]


def read_truth(case: Case, volume: Volume) -> Truth:
    """Read a case's manual mask with a person's corrections in it.

    Raises
    ------
    ValueError
        As for `read_mask`, or if the case has no slice that a correction is of.
    """
    mask = read_mask(case, volume)
    known = slices_with_mask(case, len(volume.array))
    mask = np.zeros(volume.shape, np.uint8) if mask is None else mask
    for number, file in case.corrections:
        if number not in volume.slice_numbers:
            what = f"{file} is a correction of slice {number}" if file else f"slice {number} is flagged"
            raise ValueError(f"{what}, but {case.name} has no such slice")
        index = volume.slice_numbers.index(number)
        known[index] = file is not None
        mask[index] = _fitting(read_slice_mask(file), volume.shape[1:], file, "its image") if file else 0
    return Truth(mask, known)


def slices_with_mask(case: Case, slices: int) -> npt.NDArray[np.bool_]:
    """Which of so many slices of a case have a manual mask: (Z,)."""
    if case.layout == "slices" and case.masks:
        return np.array([file is not None for file in case.masks])
    return np.full(slices, case.has_masks)


def known_areas(case: Case) -> npt.NDArray[np.intp]:
    """Voxels of tumour in each slice of which it is known, in the order of the slices; no image is read.

    Raises
    ------
    ValueError
        As for `read_mask_alone`.
    """
    areas: dict[int, int] = {}
    if case.has_masks:
        own = slice_areas(read_mask_alone(case)[0])
        files = case.masks if case.layout == "slices" else (case.folder,) * len(own)
        numbers = case.numbers or range(1, len(own) + 1)
        areas = {number: int(area) for number, area, file in zip(numbers, own, files, strict=True) if file}
    doubtful = {number for number, file in case.corrections if file is None}
    areas |= {number: int(np.count_nonzero(read_slice(file))) for number, file in case.corrections if file}
    return np.array([areas[number] for number in sorted(areas) if number not in doubtful], np.intp)


def read_mask_alone(case: Case) -> tuple[Mask, Spacing | None, Affine | None]:
    """Read the mask of a case that has no images.

    Returns
    -------
    mask : ndarray
        (Z, Y, X) of 0 and 1.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm, if the file states it.
    position : ndarray or None
        Affine from voxel (x, y, z) in our directions to mm, of NIfTI.

    Raises
    ------
    ValueError
        If there is no mask, a file is damaged, slices differ in size, or values are not those of a binary mask.
    """
    if not case.has_masks:
        raise ValueError(f"{case.name} has no mask")
    return _read(case, None)


def _read(case: Case, shape: tuple[int, ...] | None) -> tuple[Mask, Spacing | None, Affine | None]:
    """Mask, voxel size and NIfTI's affine in our directions; of the shape of the images where there are any."""
    if case.layout == "slices":
        return _read_planes(case.masks, shape and shape[1:]), None, None
    file = _file(case)
    affine = None
    if case.layout == "nifti":
        array, affine, stored, spacing = read_nifti(file)
        affine = oriented_affine(affine, stored, array.shape[:3])
    else:
        array, spacing = read_stack(file)
    mask = _binary(array, file)
    return (mask if shape is None else _fitting(mask, shape, file, "its image")), spacing, affine


def _read_planes(files: Sequence[Path | None], shape: tuple[int, ...] | None) -> Mask:
    """Masks of slices as (Z, Y, X); a slice without a file is empty."""
    planes = [_binary(read_slice(file), file) if file else None for file in files]  # too small to gain by threads
    other = "the first mask" if shape is None else "its image"
    shape = shape or next(plane.shape for plane in planes if plane is not None)
    empty = np.zeros(shape, np.uint8)
    return np.stack(
        [
            _fitting(plane, shape, file, other) if file and plane is not None else empty
            for plane, file in zip(planes, files, strict=True)
        ]
    )


def _file(case: Case) -> Path:
    return next(file for file in case.masks if file)


def slice_areas(mask: Array) -> npt.NDArray[np.intp]:
    """Voxels of tumour in each slice of a mask (Z, Y, X)."""
    return np.array([np.count_nonzero(plane) for plane in mask], np.intp)  # ten times faster than by axis


def largest_slice(mask: Array) -> int:
    """Index of the slice with the most tumour in a mask (Z, Y, X)."""
    return int(slice_areas(mask).argmax())


def write_mask(
    mask: Array,
    folder: Path | str,
    volume: Volume,
    *,
    format: MaskFormat = "kaggle",
    overwrite: bool = False,
) -> list[Path]:
    """Write a mask with the geometry and slice numbers of the volume it belongs to.

    Every file is written under a temporary name; once all are whole they are moved. A failure to write, as on a full
    disk, changes nothing; where one of them cannot be moved, those moved before it are the new ones.

    Parameters
    ----------
    mask : ndarray
        (Z, Y, X); everything above 0 is tumour.
    folder : Path or str
        Made if needed. Files are called after the volume.
    volume : Volume
        The images that the mask belongs to.
    format : {"kaggle", "tiff", "nifti"}
        ``NAME_1_mask.tif`` ... (0 and 255), ``NAME_mask.tif`` (ImageJ stack), or ``NAME_mask.nii.gz``.
    overwrite : bool
        Whether files of these names may be replaced.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    FileExistsError
        If a file is there already and `overwrite` is not set; nothing is written then.
    ValueError
        If mask and volume differ in shape.
    """
    paths = mask_paths(Path(folder), volume, format)
    if not overwrite:
        refuse_existing(folder, [path.name for path in paths])
    with masks_moved_at_end(mask, Path(folder), volume, format):
        return paths


@contextmanager
def masks_moved_at_end(mask: Array, folder: Path, volume: Volume, format: MaskFormat) -> Iterator[None]:
    """Write a mask as `write_mask` does, whatever is there: whole when the block begins, moved when it ends well."""
    binary = _of_volume(mask, volume)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as moved_together:
        for path, plane in zip(mask_paths(folder, volume, format), binary, strict=format == "kaggle"):
            temporary = moved_together.enter_context(atomic_path(path))
            if format == "kaggle":
                write_slice_mask(temporary, plane)
            else:
                _write_whole(temporary, binary, volume)
        yield


def mask_paths(folder: Path, volume: Volume, format: MaskFormat) -> list[Path]:
    """Files that `write_mask` writes."""
    if format == "kaggle":
        return [folder / slice_mask_name(volume.name, number) for number in volume.slice_numbers]
    return [folder / f"{file_name(volume.name)}_mask{'.tif' if format == 'tiff' else '.nii.gz'}"]


def slice_mask_name(case: str, number: int) -> str:
    """What Kaggle calls the mask of a slice."""
    return f"{file_name(case)}_{number}_mask.tif"


def read_slice_mask(path: Path) -> Mask:
    """Mask (Y, X) of 0 and 1 of one slice.

    Raises
    ------
    ValueError
        If the file is damaged or no binary mask.
    """
    return _binary(read_slice(path), path)


def write_slice_mask(path: Path, plane: Mask) -> None:
    """Write the mask (Y, X) of one slice as 0 and 255."""
    tifffile.imwrite(path, plane * np.uint8(255), photometric="minisblack", metadata=None)


def write_mask_file(mask: Array, path: Path | str, volume: Volume) -> Path:
    """Write a mask into one file, which is replaced if it is there already, and return its path.

    Parameters
    ----------
    mask : ndarray
        (Z, Y, X); everything above 0 is tumour.
    path : Path or str
        Ends in .tif or .tiff for an ImageJ stack, in .nii or .nii.gz for NIfTI.
    volume : Volume
        The images that the mask belongs to.

    Raises
    ------
    ValueError
        If mask and volume differ in shape, or the path ends otherwise.
    """
    binary, path = _of_volume(mask, volume), Path(path)
    if not path.name.lower().endswith((".tif", ".tiff", ".nii", ".nii.gz")):
        raise ValueError(f"{path} must end in .tif, .tiff, .nii or .nii.gz")
    with atomic_path(path) as temporary:
        _write_whole(temporary, binary, volume)
    return path


def _of_volume(mask: Array, volume: Volume) -> Mask:
    if mask.shape != volume.shape:
        raise ValueError(f"the mask has shape {mask.shape}, but {volume.name} has {volume.shape}")
    return (np.asarray(mask) > 0).astype(np.uint8)


def _binary(array: Array, file: Path) -> Mask:
    """Mask of 0 and 1 from a mask file in which 0 is not tumour, and 1 and 255 are."""
    if array.ndim > 2 and array.shape[-1] in (3, 4) and (array[..., :1] == array[..., :3]).all():
        array = array[..., 0]
    if array.dtype.kind not in "buif":
        raise NotBinary(f"{file} is not a binary mask: it holds {array.dtype}; allowed are 0, 1 and 255")
    if not ((array == 0) | (array == 1) | (array == 255)).all():
        values = np.unique(array)
        shown = ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if len(values) > 6 else "")
        raise NotBinary(f"{file} is not a binary mask: it holds {shown}; allowed are 0, 1 and 255")
    return (array > 0).astype(np.uint8)


def _fitting(mask: Mask, shape: tuple[int, ...], file: Path, other: str) -> Mask:
    if mask.shape != shape:
        raise ValueError(f"{file} has size {mask.shape}, but {other} has {shape}")
    return mask


def _write_whole(path: Path, mask: Mask, volume: Volume) -> None:
    if path.suffix.lower() in (".tif", ".tiff"):
        _write_stack(path, mask, volume.spacing)
    else:
        _write_nifti(path, mask, volume)


def _write_stack(path: Path, mask: Mask, spacing: Spacing | None) -> None:
    z, y, x = spacing or (None, None, None)
    tifffile.imwrite(
        path,
        mask * np.uint8(255),
        imagej=True,
        resolution=(1 / x, 1 / y) if x and y else None,
        metadata={"axes": "ZYX"} | ({"spacing": z, "unit": "mm"} if z else {}),
    )


def _write_nifti(path: Path, mask: Mask, volume: Volume) -> None:
    turn = orientations.ornt_transform(orientations.axcodes2ornt(AXES), orientations.axcodes2ornt(volume.stored_axes))
    array = orientations.apply_orientation(np.ascontiguousarray(mask.transpose(2, 1, 0)), turn)
    affine = volume.affine
    if affine is None:
        z, y, x = volume.spacing or (1.0, 1.0, 1.0)
        affine = np.diag([-x, -y, z, 1.0])
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm" if volume.spacing else "unknown")
    if volume.spacing is None and np.allclose(affine, image.header.get_base_affine()):
        image.set_sform(None)  # the images state no place, and one at which nobody put them would make their size known
        image.set_qform(None)
    nibabel.save(image, path)
