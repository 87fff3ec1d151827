import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile

from napari_brainseg.core import masks
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.masks import (
    Mask,
    MaskFormat,
    NotBinary,
    known_areas,
    read_mask,
    read_mask_alone,
    read_truth,
    slice_areas,
    write_mask,
    write_mask_file,
)
from napari_brainseg.core.niftis import read_nifti
from napari_brainseg.core.tiffs import read_stack
from napari_brainseg.core.volumes import Array, Volume, read_volume, volume_of_array

SHAPE = (4, 7, 5)
FORMATS: tuple[MaskFormat, ...] = ("kaggle", "tiff", "nifti")


def random_mask(shape: tuple[int, ...] = SHAPE) -> Mask:
    return (np.random.default_rng(0).random(shape) > 0.5).astype(np.uint8)


@pytest.fixture
def volume() -> Volume:
    images = np.random.default_rng(1).integers(0, 250, (*SHAPE, 3)).astype(np.uint8)
    return replace(volume_of_array(images, "p"), slice_numbers=(1, 2, 3, 4))


@pytest.fixture
def folder(tmp_path: Path, volume: Volume) -> Path:
    """Case folder in Kaggle's layout, without masks."""
    for number, plane in zip(volume.slice_numbers, volume.array, strict=True):
        tifffile.imwrite(tmp_path / f"p_{number}.tif", plane, photometric="rgb", metadata=None)
    return tmp_path


def read(path: Path) -> Mask | None:
    (case,) = find_cases(path)
    return read_mask(case, read_volume(case))


def write_planes(folder: Path, planes: Array, first: int = 1, **options: Any) -> None:
    for number, plane in enumerate(planes, start=first):
        kind = "rgb" if plane.ndim == 3 else "minisblack"
        tifffile.imwrite(folder / f"p_{number}_mask.tif", plane, photometric=kind, metadata=None, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Reading


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(random_mask(), id="0 and 1"),
        pytest.param(random_mask() * np.uint8(255), id="0 and 255"),
        pytest.param(random_mask().astype(np.uint16) * 255, id="16 bit"),
        pytest.param(random_mask().astype(np.float32), id="float"),
        pytest.param(np.stack([random_mask() * np.uint8(255)] * 3, axis=-1), id="grey as RGB"),
    ],
)
def test_tumour_is_1_or_255(folder: Path, stored: Array) -> None:
    write_planes(folder, stored)
    found = read(folder)
    assert found is not None
    np.testing.assert_array_equal(found, random_mask())
    assert found.dtype == np.uint8


def test_1_and_255_are_both_tumour_in_one_file(folder: Path) -> None:
    stored = random_mask()
    stored[:, :3] *= 255
    write_planes(folder, stored)
    np.testing.assert_array_equal(read(folder), random_mask())


@pytest.mark.parametrize(("value", "tumour"), [(0, 0), (1, 1), (255, 1)])
def test_slice_of_one_value_is_all_or_nothing(folder: Path, value: int, tumour: int) -> None:
    write_planes(folder, np.full(SHAPE, value, np.uint8))
    np.testing.assert_array_equal(read(folder), np.full(SHAPE, tumour))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param([0, 128, 255], "it holds 0, 128, 255; allowed are 0, 1 and 255", id="grey"),
        pytest.param([0, 1, 2, 4], "it holds 0, 1, 2, 4; allowed are 0, 1 and 255", id="BraTS"),
        pytest.param([7], "it holds 7; allowed", id="one value"),
        pytest.param(range(20), "it holds 0, 1, 2, 3, 4, 5, ...; allowed", id="many"),
    ],
)
def test_mask_that_is_not_binary_says_its_values(folder: Path, values: list[int], said: str) -> None:
    planes = random_mask()
    planes[2] = np.resize(np.array(values, np.uint8), SHAPE[1:])
    write_planes(folder, planes)
    with pytest.raises(ValueError, match=re.escape(f"{folder / 'p_3_mask.tif'} is not a binary mask: {said}")):
        read(folder)


@pytest.mark.parametrize(
    ("value", "said"), [(0.5, "it holds 0, 0.5"), (np.nan, "it holds 0, nan"), (-1, "it holds -1, 0")], ids=str
)
def test_float_mask_that_is_not_binary_says_its_values(folder: Path, value: float, said: str) -> None:
    planes = np.zeros(SHAPE, np.float32)
    planes[0, 0, 0] = value
    write_planes(folder, planes)
    with pytest.raises(ValueError, match=re.escape(said)):
        read(folder)


def test_mask_in_colour_is_refused(folder: Path) -> None:
    coloured = np.zeros((*SHAPE, 3), np.uint8)
    coloured[..., 0] = 255
    write_planes(folder, coloured)
    with pytest.raises(ValueError, match=r"p_1_mask\.tif has size \(7, 5, 3\), but its image has \(7, 5\)"):
        read(folder)


def test_mask_of_another_size_than_its_image_is_refused(folder: Path) -> None:
    write_planes(folder, np.zeros((4, 7, 6), np.uint8))
    with pytest.raises(ValueError, match=r"p_1_mask\.tif has size \(7, 6\), but its image has \(7, 5\)"):
        read(folder)


def test_slices_without_a_mask_are_empty(folder: Path) -> None:
    write_planes(folder, random_mask()[1:3], first=2)
    wanted = random_mask()
    wanted[[0, 3]] = 0
    np.testing.assert_array_equal(read(folder), wanted)


def test_case_without_masks_has_none(folder: Path) -> None:
    assert read(folder) is None


def test_damaged_mask_is_named(folder: Path) -> None:
    write_planes(folder, random_mask())
    (folder / "p_2_mask.tif").write_bytes(b"")
    with pytest.raises(ValueError, match=re.escape(f"{folder / 'p_2_mask.tif'} cannot be read as a TIFF image")):
        read(folder)


def test_mask_stack_must_fit_the_image_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p.tif", np.zeros((5, 7, 5), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "p_mask.tif", np.zeros((6, 7, 5), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"p_mask\.tif has size \(6, 7, 5\), but its image has \(5, 7, 5\)"):
        read(tmp_path)


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("slices", [1, 3, 5])
def test_mask_stack_is_read_with_its_image_stack(tmp_path: Path, value: int, slices: int) -> None:
    mask = random_mask((slices, 7, 5))
    tifffile.imwrite(tmp_path / "p.tif", np.zeros((slices, 7, 5, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "p_mask.tif", mask * np.uint8(value), imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read(tmp_path), mask)


@pytest.mark.parametrize("axcodes", ["LPS", "RAS", "PSR"])
def test_nifti_mask_is_turned_like_its_image(tmp_path: Path, axcodes: str) -> None:
    """Image and mask are stored in different directions, but lie in the same place."""
    marked = np.zeros((8, 9, 10), np.uint8)  # x, y, z in the file's directions
    marked[1, 2, 3] = 1
    canonical = nibabel.Nifti1Image(marked, np.diag([-2.0, -3, 4, 1]))
    nibabel.save(canonical, tmp_path / "p_flair.nii")
    ornt = nibabel.orientations
    turn = ornt.ornt_transform(ornt.axcodes2ornt("LPS"), ornt.axcodes2ornt(tuple(axcodes)))
    nibabel.save(canonical.as_reoriented(turn), tmp_path / "p_mask.nii.gz")
    (case,) = find_cases(tmp_path)
    volume = read_volume(case)
    found = read_mask(case, volume)
    assert found is not None
    np.testing.assert_array_equal(found, volume.array[..., 1])
    assert found[3, 2, 1] == 1


def test_nifti_mask_elsewhere_in_space_is_refused(tmp_path: Path) -> None:
    voxels = np.zeros((5, 6, 7), np.uint8)
    nibabel.save(nibabel.Nifti1Image(voxels + 9, np.diag([-2.0, -3, 4, 1])), tmp_path / "p_flair.nii")
    moved = np.diag([-2.0, -3, 4, 1])
    moved[0, 3] = 15
    nibabel.save(nibabel.Nifti1Image(voxels, moved), tmp_path / "p_mask.nii.gz")
    with pytest.raises(ValueError, match=r"p_mask\.nii\.gz lies elsewhere in space"):
        read(tmp_path)


def test_damaged_nifti_mask_is_named(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7), np.uint8), np.eye(4)), tmp_path / "p.nii")
    (tmp_path / "p_mask.nii.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'p_mask.nii.gz'} cannot be read as NIfTI")):
        read(tmp_path)


def test_nifti_mask_in_colours_is_named(tmp_path: Path) -> None:
    colours = np.zeros((5, 6, 7), [("R", np.uint8), ("G", np.uint8), ("B", np.uint8)])
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7), np.uint8), np.eye(4)), tmp_path / "p.nii")
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "p_mask.nii.gz")
    with pytest.raises(
        NotBinary, match=re.escape(f"{tmp_path / 'p_mask.nii.gz'} is not a binary mask: it holds [('R'")
    ):
        read(tmp_path)


# Writing


def test_kaggle_masks_are_written_beside_their_numbers(tmp_path: Path, volume: Volume) -> None:
    written = write_mask(random_mask(), tmp_path / "new" / "p", replace(volume, slice_numbers=(2, 3, 9, 10)))
    assert [path.name for path in written] == [f"p_{number}_mask.tif" for number in (2, 3, 9, 10)]
    for path, plane in zip(written, random_mask(), strict=True):
        stored = tifffile.imread(path)
        np.testing.assert_array_equal(stored, plane * 255)
        assert stored.dtype == np.uint8
    assert sorted(files(tmp_path / "new" / "p")) == sorted(path.name for path in written)


def test_kaggle_masks_are_read_back(folder: Path, volume: Volume) -> None:
    write_mask(random_mask(), folder, volume)
    np.testing.assert_array_equal(read(folder), random_mask())


@pytest.mark.parametrize("slices", [1, 3, 4, 6])
@pytest.mark.parametrize("spacing", [None, (5.0, 0.9375, 0.4785)], ids=["unknown spacing", "spacing"])
def test_tiff_mask_is_read_back_with_its_spacing(
    tmp_path: Path, slices: int, spacing: tuple[float, float, float] | None
) -> None:
    mask = random_mask((slices, 7, 5))
    (path,) = write_mask(mask, tmp_path, volume_of_array(mask, "p", spacing), format="tiff")
    stored, found = read_stack(path)
    assert path.name == "p_mask.tif"
    np.testing.assert_array_equal(stored, mask * 255)
    assert found == (None if spacing is None else pytest.approx(spacing, rel=1e-5))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("axcodes", ["LPS", "RAS", "IPR"])
def test_nifti_mask_lies_where_its_image_lies(tmp_path: Path, axcodes: str, suffix: str) -> None:
    ornt = nibabel.orientations
    affine = np.array([[-2.0, 0, 0, 10], [0, -3, 0.2, 20], [0, 0.1, 4, 30], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16), affine)
    turn = ornt.ornt_transform(ornt.axcodes2ornt("LPS"), ornt.axcodes2ornt(tuple(axcodes)))
    image = image.as_reoriented(turn)
    nibabel.save(image, tmp_path / f"p_flair{suffix}")
    (case,) = find_cases(tmp_path)
    volume = read_volume(case)
    (path,) = write_mask(volume.array[..., 1] > 50, tmp_path / "out", volume, format="nifti")
    stored = nibabel.load(path)
    assert path.name == "p_mask.nii.gz"
    np.testing.assert_array_equal(np.asarray(stored.dataobj), image.get_fdata() > 50)
    np.testing.assert_allclose(stored.affine, image.affine, atol=1e-5)
    assert stored.header.get_xyzt_units()[0] == "mm"
    assert stored.get_data_dtype() == np.uint8


@pytest.mark.parametrize(
    ("spacing", "sizes", "unit"),
    [((5.0, 3.0, 2.0), (2, 3, 5), "mm"), (None, (1, 1, 1), "unknown")],
    ids=["spacing", "unknown spacing"],
)
def test_nifti_mask_of_a_tiff_case_has_its_spacing(
    tmp_path: Path, volume: Volume, spacing: tuple[float, float, float] | None, sizes: tuple[float, ...], unit: str
) -> None:
    volume = volume if spacing is None else volume.with_spacing(spacing)
    (path,) = write_mask(random_mask(), tmp_path, volume, format="nifti")
    stored = nibabel.load(path)
    assert stored.header.get_zooms() == sizes
    assert stored.header.get_xyzt_units()[0] == unit
    array, _, axes, found = read_nifti(path)
    np.testing.assert_array_equal(array, random_mask())
    assert axes == ("L", "P", "S")
    assert found == spacing


@pytest.mark.parametrize("size", [1.0, 0.0], ids=["1 in no unit", "0"])
def test_nifti_mask_of_images_that_state_no_size_states_none(tmp_path: Path, size: float) -> None:
    image = nibabel.Nifti1Image(np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7), None)
    image.header["pixdim"][1:4] = size
    nibabel.save(image, tmp_path / "p.nii")
    volume = read_volume(find_cases(tmp_path)[0])
    assert volume.spacing is None
    mask = volume.array[..., 1] > 50
    write_mask(mask, tmp_path, volume, format="nifti")
    (case,) = find_cases(tmp_path)
    again = read_mask(case, volume)  # it lies where the images lie
    np.testing.assert_array_equal(again, mask)
    assert read_mask_alone(case)[1] is None


def test_nifti_mask_follows_a_spacing_given_by_a_person(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7), np.uint8), np.diag([2.0, 3, 4, 1])), tmp_path / "p.nii")
    (case,) = find_cases(tmp_path)
    volume = read_volume(case).with_spacing((8.0, 1.5, 1.0))
    (path,) = write_mask(np.zeros(volume.shape), tmp_path / "out", volume, format="nifti")
    assert nibabel.load(path).header.get_zooms() == pytest.approx((1, 1.5, 8))


@pytest.mark.parametrize("format", FORMATS)
def test_existing_mask_is_not_overwritten_and_nothing_changes(
    tmp_path: Path, volume: Volume, format: MaskFormat
) -> None:
    *_, last = write_mask(random_mask(), tmp_path, volume, format=format)
    for path in tmp_path.iterdir():
        if path != last:
            path.unlink()
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match=re.escape(f"{last} exists already; choose another folder")):
        write_mask(1 - random_mask(), tmp_path, volume, format=format)
    assert files(tmp_path) == before


@pytest.mark.parametrize("format", FORMATS)
def test_existing_mask_is_overwritten_when_told(tmp_path: Path, volume: Volume, format: MaskFormat) -> None:
    write_mask(random_mask(), tmp_path, volume, format=format)
    before = files(tmp_path)
    write_mask(1 - random_mask(), tmp_path, volume, format=format, overwrite=True)
    after = files(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "overwriting"])
def test_write_that_fails_midway_changes_nothing(
    tmp_path: Path, volume: Volume, monkeypatch: pytest.MonkeyPatch, format: MaskFormat, existing: bool
) -> None:
    if existing:
        write_mask(random_mask(), tmp_path, volume, format=format)
    before = files(tmp_path)
    calls = []

    def failing(write: Callable[..., Any], path_first: bool) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            calls.append(args)
            if format != "kaggle" or len(calls) == 3:
                Path(args[0] if path_first else args[1]).write_bytes(b"half")
                raise OSError(28, "No space left on device")
            return write(*args, **options)

        return wrapped

    monkeypatch.setattr(masks.tifffile, "imwrite", failing(tifffile.imwrite, path_first=True))
    monkeypatch.setattr(masks.nibabel, "save", failing(nibabel.save, path_first=False))
    with pytest.raises(OSError, match=r"\.(tif|nii\.gz) cannot be written: no space left on device"):
        write_mask(1 - random_mask(), tmp_path, volume, format=format, overwrite=True)
    assert calls
    assert files(tmp_path) == before


@pytest.mark.parametrize("format", FORMATS)
def test_mask_of_another_shape_is_refused(tmp_path: Path, volume: Volume, format: MaskFormat) -> None:
    message = "the mask has shape (4, 7, 6), but p has (4, 7, 5)"
    with pytest.raises(ValueError, match=re.escape(message)):
        write_mask(np.zeros((4, 7, 6)), tmp_path / "out", volume, format=format)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_everything_above_0_is_tumour(tmp_path: Path, volume: Volume, format: MaskFormat) -> None:
    for folder, mask in (("a", random_mask()), ("b", random_mask() * 7.5), ("c", random_mask() > 0)):
        write_mask(mask, tmp_path / folder, volume, format=format)
    written = [
        [
            np.asarray(read_nifti(path)[0] if format == "nifti" else tifffile.imread(path))
            for path in sorted(of.iterdir())
        ]
        for of in (tmp_path / "a", tmp_path / "b", tmp_path / "c")
    ]
    np.testing.assert_array_equal(written[0], written[1])
    np.testing.assert_array_equal(written[0], written[2])


def test_name_that_no_file_may_have_is_written_all_the_same(tmp_path: Path, volume: Volume) -> None:
    named = replace(volume, name="a/b: FLAIR?")
    (path,) = write_mask(random_mask(), tmp_path, named, format="tiff")
    assert path == tmp_path / "a_b_ FLAIR__mask.tif"


@pytest.mark.parametrize("name", ["m.tif", "m.TIFF", "m.nii", "m.nii.gz", "m.NII.GZ", "ü ä.tif"])
def test_mask_is_written_to_one_given_file(tmp_path: Path, volume: Volume, name: str) -> None:
    path = write_mask_file(random_mask(), tmp_path / name, volume)
    stored = read_nifti(path)[0] if "nii" in name.lower() else read_stack(path)[0] // 255
    np.testing.assert_array_equal(stored, random_mask())
    assert list(files(tmp_path)) == [name]


def test_mask_file_of_another_kind_is_refused(tmp_path: Path, volume: Volume) -> None:
    with pytest.raises(ValueError, match=re.escape("m.png must end in .tif, .tiff, .nii or .nii.gz")):
        write_mask_file(random_mask(), tmp_path / "m.png", volume)
    assert not files(tmp_path)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32])
def test_area_of_a_slice_is_its_voxels_of_tumour(dtype: Any) -> None:
    mask = np.zeros((3, 4, 5), dtype)
    mask[0, 1, 2:4] = 1
    mask[2] = np.iinfo(np.uint8).max if dtype is not np.bool_ else True
    assert slice_areas(mask).tolist() == [2, 0, 20]


# What is known of a case


def corrected(folder: Path, number: int, size: tuple[int, int] = SHAPE[1:]) -> tuple[int, Path]:
    """A correction of a slice: its first row is tumour."""
    plane = np.zeros(size, np.uint8)
    plane[0] = 255
    file = folder.parent / f"correction of {number}.tif"
    tifffile.imwrite(file, plane)
    return number, file


@pytest.mark.parametrize("layout", FORMATS)
def test_corrections_win_over_the_manual_mask(folder: Path, volume: Volume, layout: MaskFormat) -> None:
    manual = random_mask()
    if layout == "kaggle":
        write_mask(manual, folder, volume)
        (case,) = find_cases(folder)
    else:
        (written,) = write_mask(manual, folder / "masks", volume, format=layout)
        case = replace(find_cases(folder)[0], layout="stack" if layout == "tiff" else "nifti", numbers=())
        case = replace(case, masks=(written,))
    case = replace(case, corrections=(corrected(folder, 3),))

    truth = read_truth(case, volume)
    assert truth.known.all()
    np.testing.assert_array_equal(truth.mask[[0, 1, 3]], manual[[0, 1, 3]])
    assert truth.mask[2].sum() == truth.mask[2, 0].sum() == 5
    assert known_areas(case).tolist() == slice_areas(truth.mask).tolist()


def test_nothing_is_known_of_slices_with_neither_mask_nor_correction(folder: Path, volume: Volume) -> None:
    manual = random_mask()
    write_mask(manual, folder, volume)
    (folder / "p_1_mask.tif").unlink()
    (folder / "p_4_mask.tif").unlink()
    case = replace(find_cases(folder)[0], corrections=(corrected(folder, 4),))

    truth = read_truth(case, volume)
    assert truth.known.tolist() == [False, True, True, True]
    assert not truth.mask[0].any()
    assert known_areas(case).tolist() == slice_areas(truth.mask)[1:].tolist()

    alone = replace(case, masks=(None,) * 4)
    assert alone.has_truth
    assert not alone.has_masks
    assert read_truth(alone, volume).known.tolist() == [False, False, False, True]
    assert known_areas(alone).tolist() == [5]
    assert not replace(alone, corrections=()).has_truth


@pytest.mark.parametrize(("number", "size", "reason"), [(9, (7, 5), "no such slice"), (2, (5, 7), "has size")])
def test_a_correction_that_fits_no_slice_is_named(
    folder: Path, volume: Volume, number: int, size: tuple[int, int], reason: str
) -> None:
    (case,) = find_cases(folder)
    correction = corrected(folder, number, size)
    with pytest.raises(ValueError, match=f"{re.escape(str(correction[1]))}.*{reason}"):
        read_truth(replace(case, corrections=(correction,)), volume)


def test_a_flag_on_a_slice_that_is_not_there_is_told(folder: Path, volume: Volume) -> None:
    (case,) = find_cases(folder)
    with pytest.raises(ValueError, match=f"^slice 9 is flagged, but {folder.name} has no such slice$"):
        read_truth(replace(case, corrections=((9, None),)), volume)
