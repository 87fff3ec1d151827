"""What a case is said to hold."""

import numpy as np
import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.exploration import THUMBNAIL, summarise_case
from napari_brainseg.core.masks import largest_slice, write_mask_file
from napari_brainseg.core.phantom import make_phantom, write_phantom_cases
from napari_brainseg.core.volumes import Volume


@pytest.fixture(scope="module")
def summaries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantom_cases(folder, shape=(6, 64, 64))
    return {case.name: summarise_case(case) for case in find_cases(folder)}


def test_tumour_is_counted_as_in_the_mask(summaries):
    _, mask = make_phantom(1, (6, 64, 64))
    found = summaries["phantom_1"]

    assert found.shape == (6, 64, 64)
    assert found.tumour_voxels == np.count_nonzero(mask)
    assert found.tumour_slices == np.count_nonzero(mask.any(axis=(1, 2)))
    assert found.largest == largest_slice(mask) == np.argmax(mask.sum(axis=(1, 2)))


def test_thumbnail_shows_the_largest_slice_with_its_mask(summaries):
    _, mask = make_phantom(1, (6, 64, 64))
    found = summaries["phantom_1"]

    assert found.thumbnail.dtype == np.uint8
    assert found.thumbnail.max() > 200  # windowed to the whole range
    np.testing.assert_array_equal(found.thumbnail_mask, mask[found.largest] > 0)


def test_large_slices_make_small_thumbnails(tmp_path):
    write_phantom_cases(tmp_path, shape=(1, 600, 500))

    found = summarise_case(find_cases(tmp_path)[0])

    assert max(found.thumbnail.shape) <= THUMBNAIL
    assert found.thumbnail.shape == found.thumbnail_mask.shape


def test_missing_sequences_are_named(summaries):
    assert summaries["phantom_3_FLAIR_only"].missing == ("pre-contrast", "post-contrast")
    assert summaries["phantom_1"].missing == ()


def test_no_tumour_is_not_no_mask(summaries, tmp_path):
    write_phantom_cases(tmp_path, shape=(6, 64, 64))
    for mask in tmp_path.rglob("*_mask.tif"):
        mask.unlink()

    assert summaries["phantom_4_no_tumour"].tumour_voxels == 0
    assert summaries["phantom_4_no_tumour"].largest == 3
    assert summarise_case(find_cases(tmp_path)[0]).tumour_voxels is None


def test_millilitres_only_where_the_spacing_is_known(summaries, tmp_path):
    _, mask = make_phantom(1, (6, 64, 64))
    volume = Volume(mask, "anna", (2.0, 1.0, 0.5), "user", slice_numbers=tuple(range(1, 7)))
    write_mask_file(mask, tmp_path / "anna_flair.nii.gz", volume)
    write_mask_file(mask, tmp_path / "anna_seg.nii.gz", volume)

    found = summarise_case(find_cases(tmp_path)[0])

    assert summaries["phantom_1"].millilitres is None
    assert found.spacing == pytest.approx((2.0, 1.0, 0.5))
    assert found.millilitres == pytest.approx(mask.sum() / 1000)


def test_a_damaged_file_is_named(tmp_path):
    write_phantom_cases(tmp_path, shape=(6, 64, 64))
    damaged = tmp_path / "phantom_2" / "phantom_2_3.tif"
    damaged.write_bytes(damaged.read_bytes()[:500])

    with pytest.raises(ValueError, match=r"phantom_2_3\.tif"):
        summarise_case(find_cases(tmp_path / "phantom_2")[0])
