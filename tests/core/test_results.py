"""What is written of a segmentation, and what never is replaced by it."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from napari_brainseg.core import files as core_files
from napari_brainseg.core import results
from napari_brainseg.core.cases import RESULT_FILE, find_masks
from napari_brainseg.core.masks import MaskFormat
from napari_brainseg.core.models import TrainedModel
from napari_brainseg.core.results import SegmentationResult, write_segmentation
from napari_brainseg.core.segmentation import Segmentation, segment
from napari_brainseg.core.volumes import Volume


@pytest.fixture
def found(volume: Volume, untrained: TrainedModel) -> Segmentation:
    return segment(volume, untrained)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def listed(folder: Path) -> set[str]:
    return set(SegmentationResult.model_validate_json((folder / RESULT_FILE).read_text("utf-8")).files)


def killed(after: int) -> Callable[[Path, Path], None]:
    """What moves files, until the process is killed after so many."""
    left = [after]

    def move(temporary: Path, path: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        temporary.replace(path)

    return move


def test_the_segmentation_of_another_case_is_never_replaced(
    found: Segmentation, volume: Volume, tmp_path: Path
) -> None:
    write_segmentation(found, volume, tmp_path)
    before = files(tmp_path)
    message = f"{tmp_path} holds the segmentation of anna, which that of bert never replaces; choose another folder"
    with pytest.raises(FileExistsError, match=f"^{re.escape(message)}$"):
        write_segmentation(found, replace(volume, name="bert"), tmp_path, overwrite=True)
    assert files(tmp_path) == before


@pytest.mark.parametrize("moved", range(8))
def test_after_a_kill_the_segmentation_can_be_written_again(
    found: Segmentation, volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(core_files, "_move", killed(moved))
        try:
            write_segmentation(found, volume, tmp_path)
        except KeyboardInterrupt:
            assert moved < 7
    there = {path.name for path in tmp_path.glob("*.tif")}
    assert there <= (listed(tmp_path) if moved else set())
    write_segmentation(found, volume, tmp_path, overwrite=True)
    assert listed(tmp_path) == {path.name for path in tmp_path.glob("*.tif")}
    assert len(listed(tmp_path)) == 6


@pytest.mark.parametrize(("former", "format"), [("kaggle", "nifti"), ("nifti", "kaggle"), ("tiff", "nifti")])
def test_a_kill_while_the_format_changes_leaves_no_former_mask_that_is_kept_for_good(
    found: Segmentation,
    volume: Volume,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    former: MaskFormat,
    format: MaskFormat,
) -> None:
    write_segmentation(found, volume, tmp_path, format=former)

    unlink = Path.unlink

    def kill(path: Path, missing_ok: bool = False) -> None:
        if not path.name.startswith("."):
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", kill)
        with pytest.raises(KeyboardInterrupt):
            write_segmentation(found, volume, tmp_path, format=format, overwrite=True)
    write_segmentation(found, volume, tmp_path, format=format, overwrite=True)
    assert listed(tmp_path) == {path.name for path in tmp_path.iterdir()} - {RESULT_FILE}
    assert len(find_masks(tmp_path)) == 1


def test_a_record_that_cannot_be_written_leaves_what_was_there(
    found: Segmentation, volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segmentation(found, volume, tmp_path, format="nifti")
    before = files(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_text", refuse)
    with pytest.raises(OSError, match="no space left on device"):
        write_segmentation(replace(found, mask=1 - found.mask), volume, tmp_path, format="nifti", overwrite=True)
    assert files(tmp_path) == before
