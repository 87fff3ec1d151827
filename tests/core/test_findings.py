"""Each kind of finding is made of a phantom that was spoiled that way, and of no clean one."""

import shutil

import numpy as np
import pytest
import tifffile

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import CheckConfig
from napari_brainseg.core.exploration import check_cases
from napari_brainseg.core.findings import SEVERITIES, Finding
from napari_brainseg.core.phantom import PhantomCase, write_phantom_cases

SHAPE = (10, 64, 64)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Two patients whose tumour is a tapering block in the middle of the head."""
    folder = tmp_path_factory.mktemp("clean")
    write_phantom_cases(folder, [PhantomCase("anna", 1, tumour=False), PhantomCase("bert", 2, tumour=False)], SHAPE)
    for name in ("anna", "bert"):
        for number, size in ((3, 4), (4, 12), (5, 14), (6, 12), (7, 4)):
            write_block(folder / name / f"{name}_{number}_mask.tif", size)
    return folder


@pytest.fixture
def data(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "data")


def write_block(path, size, value=255, corner=(24, 24)):
    mask = np.zeros(SHAPE[1:], np.uint8)
    mask[corner[0] : corner[0] + size, corner[1] : corner[1] + size] = value
    tifffile.imwrite(path, mask, photometric="minisblack", metadata=None)


def image(data, number, name="bert"):
    return data / name / f"{name}_{number}.tif"


def mask(data, number, name="bert"):
    return data / name / f"{name}_{number}_mask.tif"


def check(data, **changes):
    return check_cases(find_cases(data), CheckConfig(**changes))


def places(findings):
    return [(item.kind, item.case, item.slice_number) for item in findings]


def test_nothing_is_odd_about_clean_cases(clean):
    assert check(clean) == ()


def test_an_image_that_cannot_be_read_is_named_and_the_others_go_on(data):
    image(data, 4).write_bytes(b"no image")
    write_block(mask(data, 5, "anna"), 0)

    found = check(data)

    assert places(found) == [("unreadable", "bert", 4), ("gap", "anna", 5)]
    assert "bert_4.tif" in found[0].sentence


def test_every_bad_file_of_a_case_is_named(data):
    image(data, 4).write_bytes(b"no image")
    mask(data, 6).write_bytes(b"no mask")

    assert places(check(data)) == [("unreadable", "bert", 4), ("unreadable", "bert", 6)]


def test_a_case_that_cannot_be_used_says_why(data):
    shutil.copy(image(data, 4), data / "bert" / "bert_04.tif")

    assert check(data) == (Finding("unreadable", "bert", None, "slice 4 of bert is there twice."),)


def test_a_mask_with_other_values_is_no_mask(data):
    write_block(mask(data, 4), 12, value=7)

    found = check(data)

    assert places(found) == [("not binary", "bert", 4)]
    assert "it holds 0, 7" in found[0].sentence


def test_a_missing_mask_and_a_stray_file_are_named(data):
    mask(data, 9).unlink()
    image(data, 1).unlink()
    (data / "bert" / "notes.txt").touch()

    assert check(data) == (
        Finding("missing pair", "bert", None, "No image for the mask of slice 1."),
        Finding("missing pair", "bert", 9, "No mask of slice 9."),
        Finding("other file", "bert", None, "Not part of the case: notes.txt."),
    )


def test_the_same_picture_twice_in_a_case(data):
    shutil.copy(image(data, 3), image(data, 8))

    assert check(data) == (Finding("duplicate", "bert", 8, "Slice 3 is there again as slice 8."),)


def test_the_same_pictures_in_two_patients_are_an_error_told_once(data):
    for number in (3, 4, 5):
        shutil.copy(image(data, number, "anna"), image(data, number))

    (found,) = check(data)

    assert (found.kind, found.case, found.slice_number, found.severity) == (
        "duplicate across patients",
        "bert",
        3,
        "error",
    )
    assert found.sentence == (
        "Slice 3 shows the same pixels as slice 3 of anna, and 2 more slices of the two are alike."
    )


def test_pixels_count_for_duplicates_and_not_how_they_are_stored(data):
    tifffile.imwrite(image(data, 3), tifffile.imread(image(data, 3, "anna")), photometric="rgb", compression="zlib")

    assert places(check(data)) == [("duplicate across patients", "bert", 3)]


def test_empty_images_with_different_specks_are_no_duplicates(data):
    for number in (1, 2):
        speck = np.zeros((*SHAPE[1:], 3), np.uint8)
        speck[5, 4 * number + 1] = 90
        tifffile.imwrite(image(data, number), speck, photometric="rgb", metadata=None)

    assert not [item for item in check(data) if "duplicate" in item.kind]


def test_empty_images_are_told_together_and_are_no_duplicates(data):
    for number in (1, 2):
        tifffile.imwrite(image(data, number), np.full((*SHAPE[1:], 3), 7, np.uint8), photometric="rgb", metadata=None)

    (found,) = check(data)

    assert (found.kind, found.slice_number) == ("constant image", 1)
    assert "slices 1 to 2" in found.sentence


def test_air_that_is_not_dark_is_told_of_its_channel(data):
    for number in range(1, 11):
        pixels = tifffile.imread(image(data, number))
        pixels[..., 0][pixels[..., 0] < 20] = 103
        tifffile.imwrite(image(data, number), pixels, photometric="rgb", metadata=None)

    (found,) = [item for item in check(data) if item.kind == "bright air"]

    assert (found.case, found.slice_number) == ("bert", None)
    assert "of the voxels of pre-contrast have one value, 103 of 255" in found.sentence


def test_a_patient_without_tumour(data):
    for number in range(3, 8):
        write_block(mask(data, number), 0)

    assert places(check(data)) == [("no tumour", "bert", None)]


def test_empty_slices_inside_a_tumour(data):
    for number in (4, 5):
        write_block(mask(data, number), 0)

    (found,) = check(data, smallest=0)

    assert (found.kind, found.slice_number) == ("gap", 4)
    assert found.sentence == "No tumour in slices 4 to 5, but in those on both sides."


def test_tumour_outside_the_head(data):
    write_block(mask(data, 5), 14, corner=(0, 0))

    found = [item for item in check(data) if item.kind == "outside head"]

    assert places(found) == [("outside head", "bert", 5)]
    assert found[0].sentence.endswith("of the 196 voxels of tumour in slice 5 lie outside the head.")
    assert not [item for item in check(data, outside=1) if item.kind == "outside head"]


def test_sizes_that_cannot_be(data):
    assert places(check(data, smallest=1000)) == [("size", "anna", 5), ("size", "bert", 5)]
    assert places(check(data, largest=0.0)) == [("size", "anna", 5), ("size", "bert", 5)]


def test_slices_of_another_size_than_most(data):
    write_phantom_cases(data, [PhantomCase("carl", 3)], (10, 32, 32))

    found = [item for item in check(data, smallest=0) if item.kind == "size"]

    assert places(found) == [("size", "carl", None)]
    assert found[0].sentence == "Its slices have 32 × 32 pixels, those of most cases 64 × 64."


def test_a_small_piece_apart_from_the_rest(data):
    plane = tifffile.imread(mask(data, 6))
    plane[50, 50:53] = 255
    tifffile.imwrite(mask(data, 6), plane, photometric="minisblack", metadata=None)

    assert check(data) == (
        Finding("island", "bert", 6, "A piece of 3 voxels in slice 6 lies apart from the rest of the tumour."),
    )
    assert check(data, island_voxels=2) == ()


def test_a_tumour_that_ends_abruptly(data):
    write_block(mask(data, 7), 0)

    (found,) = check(data)

    assert (found.kind, found.slice_number) == ("abrupt end", 6)
    assert "slice 6 has 144 voxels, 73 % of the largest area, and slice 7 none" in found.sentence


def test_a_tumour_that_reaches_the_last_slice(data):
    for number in (8, 9, 10):
        write_block(mask(data, number), 4)

    assert check(data) == (Finding("cut off", "bert", 10, "The tumour reaches the last slice."),)


def test_worst_come_first(data):
    image(data, 4).write_bytes(b"no image")
    write_block(mask(data, 5, "anna"), 0)
    mask(data, 9, "anna").unlink()

    found = check(data)

    order = list(SEVERITIES)
    assert [order.index(item.kind) for item in found] == sorted(order.index(item.kind) for item in found)
    assert found[0].severity == "error"
