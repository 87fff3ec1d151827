import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.mask_pairs import MaskPair, pair_masks, read_pair
from napari_brainseg.core.masks import write_mask
from napari_brainseg.core.volumes import read_volume


def test_masks_are_paired_by_the_name_of_their_case(shifted: Path, patients: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    shutil.copytree(shifted / "anna", some / "anna")
    shutil.copytree(shifted / "carl", some / "zoe")
    for file in (some / "zoe").iterdir():
        file.rename(file.with_name(file.name.replace("carl", "zoe")))
    pairing = pair_masks(some, patients)
    assert [pair.name for pair in pairing.pairs] == ["anna"]
    assert pairing.only_predicted == ("zoe",)
    assert pairing.only_reference == ("bert", "carl", "dora")


def test_a_single_mask_on_each_side_needs_no_common_name(shifted: Path, patients: Path) -> None:
    (pair,) = pair_masks(shifted / "anna", patients / "bert").pairs
    assert (pair.name, pair.predicted.name, pair.reference.name) == ("bert", "anna", "bert")


def test_results_of_a_segmentation_are_predictions(shifted: Path, patients: Path, tmp_path: Path) -> None:
    shutil.copytree(shifted, results := tmp_path / "results")
    for folder in results.iterdir():
        (folder / "segmentation.json").write_text("{}", "utf-8")
    assert len(pair_masks(results, patients).pairs) == 4


def test_a_folder_without_masks_is_refused(tmp_path: Path, patients: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing", "utf-8")
    with pytest.raises(ValueError, match="no mask found; allowed are"):
        pair_masks(tmp_path, patients)


def test_a_reference_without_a_mask_says_so(cases: list[Case], shifted: Path) -> None:
    (predicted,) = find_cases_with_masks(shifted / "anna")
    bare = replace(cases[0], masks=(None,) * len(cases[0].images))
    with pytest.raises(ValueError, match=r"anna has no mask of anna"):
        read_pair(MaskPair("anna", predicted, bare))


def find_cases_with_masks(folder: Path) -> list[Case]:
    return [pair.predicted for pair in pair_masks(folder, folder).pairs]


def test_masks_of_another_size_are_refused_with_both_shapes(patients: Path, tmp_path: Path) -> None:
    (case,) = find_cases(patients / "anna")
    volume = read_volume(case)
    cut = replace(volume, array=volume.array[:3], slice_numbers=(1, 2, 3))
    write_mask(np.zeros(cut.shape, np.uint8), tmp_path / "cut", cut, format="tiff")
    write_mask(np.zeros(volume.shape, np.uint8), tmp_path / "whole", volume, format="tiff")
    (pair,) = pair_masks(tmp_path / "cut", tmp_path / "whole").pairs
    with pytest.raises(ValueError, match=r"shape \(3, 64, 64\), but the reference has \(6, 64, 64\)"):
        read_pair(pair)


def write_nifti_mask(file: Path, affine: list[float], offset: float = 0, unit: str = "mm") -> Path:
    mask = np.zeros((8, 9, 4), np.uint8)
    mask[1:3, 2:5, 1:] = 1
    placed = np.diag([*affine, 1.0])
    placed[0, 3] = offset
    image = nibabel.Nifti1Image(mask, placed)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, file)
    return file


@pytest.mark.parametrize(
    ("affine", "offset"),
    [([1.0, -1, 3], 0.0), ([-1.0, -1, 3], 50.0), ([-1.0, -1, 4], 0.0)],
    ids=["mirrored", "50 mm away", "thicker"],
)
def test_masks_that_lie_elsewhere_in_space_are_refused_with_both_names(
    tmp_path: Path, affine: list[float], offset: float
) -> None:
    mine = write_nifti_mask(tmp_path / "mine_seg.nii", affine, offset)
    theirs = write_nifti_mask(tmp_path / "theirs_seg.nii", [-1.0, -1, 3])
    (pair,) = pair_masks(mine, theirs).pairs
    with pytest.raises(ValueError, match=rf"{mine} lies elsewhere in space than {theirs}; register them first"):
        read_pair(pair)


def test_masks_at_one_place_are_compared_in_whichever_order_they_are_stored(tmp_path: Path) -> None:
    theirs = write_nifti_mask(tmp_path / "theirs_seg.nii", [-1.0, -1, 3])
    image = nibabel.as_closest_canonical(nibabel.load(theirs))
    nibabel.save(image, mine := tmp_path / "mine_seg.nii")
    (pair,) = pair_masks(mine, theirs).pairs
    masks = read_pair(pair)
    np.testing.assert_array_equal(masks.predicted, masks.reference)


def test_mask_whose_file_states_no_size_is_laid_on_the_other(tmp_path: Path) -> None:
    mine = write_nifti_mask(tmp_path / "mine_seg.nii", [-1.0, -1, 1], unit="unknown")
    theirs = write_nifti_mask(tmp_path / "theirs_seg.nii", [-1.0, -1, 3], 50)
    (pair,) = pair_masks(mine, theirs).pairs
    assert read_pair(pair).spacing == (3, 1, 1)
    assert read_pair(pair).predicted.any()
