"""What a look at a case tells, against decoding it."""

import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from napari_brainseg.core import peeks
from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.config import CHANNELS, FLAIR
from napari_brainseg.core.peeks import Peek, fits_in_memory, peek
from napari_brainseg.core.volumes import read_volume


def agrees(case: Case, missing: tuple[str, ...] | None) -> None:
    volume = read_volume(case)
    seen = peek(case)
    assert seen.bytes == volume.array.nbytes + volume.array[..., 0].size
    assert seen.missing == missing


def test_slices(cases: list[Case]) -> None:
    for case in cases:
        agrees(case, read_volume(case).missing)
    assert peek(cases[2]).missing == (CHANNELS[0], CHANNELS[2])


@pytest.mark.parametrize(
    ("shape", "missing"),
    [((7, 20, 30), (CHANNELS[0], CHANNELS[2])), ((7, 20, 30, 3), None), ((1, 20, 30), (CHANNELS[0], CHANNELS[2]))],
)
def test_stack(tmp_path: Path, shape: tuple[int, ...], missing: tuple[str, ...] | None) -> None:
    array = np.random.default_rng(0).integers(0, 900, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "anna.tif", array, photometric="rgb" if len(shape) == 4 else "minisblack")
    if shape[0] > 1:
        agrees(find_cases(tmp_path)[0], missing)


@pytest.mark.parametrize("names", [("flair",), ("t1", "flair", "t1ce"), ("flair", "t1ce")])
def test_nifti(tmp_path: Path, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        image = nibabel.Nifti1Image(rng.integers(0, 900, (20, 30, 5)).astype(np.int16), np.eye(4))
        nibabel.save(image, tmp_path / f"anna_{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    agrees(case, tuple(name for name in CHANNELS if name not in (case.channels or (FLAIR,))))


@pytest.mark.parametrize("axes", ["ZCYX", "CYX", "ZYX"])
def test_stack_of_imagej(tmp_path: Path, axes: str) -> None:
    shape = tuple({"Z": 7, "C": 3, "Y": 20, "X": 30}[axis] for axis in axes)
    array = np.random.default_rng(0).integers(0, 900, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "anna.tif", array, imagej=True, metadata={"axes": axes})
    agrees(find_cases(tmp_path)[0], None if "C" in axes else (CHANNELS[0], CHANNELS[2]))


def test_stack_written_page_by_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "anna.tif") as writer:
        for _ in range(4):
            writer.write(np.random.default_rng(0).integers(0, 9, (8, 8, 3)).astype(np.uint8), photometric="rgb")
    (case,) = find_cases(tmp_path)
    assert peek(case) == Peek(4 * 8 * 8 * (3 + 1), None)
    assert read_volume(case).shape == (4, 8, 8)


@pytest.mark.parametrize("shape", [(20, 30, 5), (3, 30, 5), (20, 30, 5, 1), (20, 30, 5, 3), (20, 30, 5, 1, 3)])
def test_nifti_in_one_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "anna.nii")
    agrees(find_cases(tmp_path)[0], None if shape[-1] == 3 else (CHANNELS[0], CHANNELS[2]))


def test_nifti_whose_values_are_scaled(tmp_path: Path) -> None:
    for name, slope in (("t1", 1), ("flair", 1), ("t1ce", 0.5)):
        image = nibabel.Nifti1Image(
            np.random.default_rng(int(2 * slope)).integers(0, 900, (20, 30, 5), np.int16), np.eye(4)
        )
        image.header.set_slope_inter(slope, 0)
        nibabel.save(image, tmp_path / f"anna_{name}.nii")
    (case,) = find_cases(tmp_path)
    agrees(case, ())
    assert read_volume(case).array.dtype == np.float32


def test_packed_nifti_whose_name_does_not_say_so(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 900, (20, 30, 5), np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "anna.nii.gz")
    (tmp_path / "anna.nii.gz").rename(tmp_path / "anna.nii")
    agrees(find_cases(tmp_path)[0], (CHANNELS[0], CHANNELS[2]))


def test_a_look_does_not_decode(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "anna.tif", np.zeros((60, 256, 256), np.uint8))
    (case,) = find_cases(tmp_path)
    tracemalloc.start()
    peek(case)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60 * 256 * 256 / 4


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "anna.nii").write_bytes(b"nothing")
    (case,) = find_cases(tmp_path)
    with pytest.raises(ValueError, match=r"anna\.nii cannot be read"):
        peek(case)


def test_memory_is_not_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peeks, "free_bytes", lambda: 100)
    assert fits_in_memory([Peek(30, None), Peek(30, None)])
    assert not fits_in_memory([Peek(30, None), Peek(31, None)])
