"""``brainseg explain``: the picture, the words, and what it refuses."""

import json
import shutil

import pytest
from PIL import Image

QUICK = ("--method", "gradcam", "--device", "cpu")


@pytest.fixture
def case(patients, tmp_path):
    return shutil.copytree(patients / "anna", tmp_path / "anna")


def test_it_draws_a_slice_and_says_what_matters(brainseg, tiny_default, case, tmp_path):
    told = brainseg("explain", case, "--slice", 3, "--output", tmp_path / "new" / "why.png", *QUICK)
    first, sentence, *others = told.out.splitlines()

    assert (told.code, told.err) == (0, "")
    assert first.endswith("why.png: anna, slice 3, gradcam")
    assert sentence.startswith("Bright: ")
    assert [line.split(":")[0] for line in others] == [
        f"Without {name}" for name in ("pre-contrast", "FLAIR", "post-contrast", "neighbour slices")
    ]
    assert all("manual mask" in line for line in others)
    with Image.open(tmp_path / "new" / "why.png") as picture:
        assert picture.width > 600


def test_a_slice_without_a_manual_mask_is_compared_with_none(brainseg, tiny_default, case, tmp_path):
    (case / "anna_3_mask.tif").unlink()
    told = brainseg("explain", case, "--slice", 3, "--output", tmp_path / "why.png", *QUICK)

    assert told.code == 0
    assert "manual mask" not in told.out


@pytest.mark.parametrize("method", ["occlusion", "smoothgrad"])
def test_json_holds_all_figures_and_how_they_were_made(brainseg, tiny_default, case, tmp_path, method):
    for file in case.glob("*_mask.tif"):
        file.unlink()
    told = brainseg("explain", case, "--output", tmp_path / "a.png", "--json", "--method", method, "--device", "cpu")
    found = json.loads(told.out)

    assert told.code == 0
    assert found["provenance"]["settings"]["method"] == method
    assert found["provenance"]["slice_number"] == found["z"] + 1
    assert [one["without"] for one in found["sequences"]] == ["pre-contrast", "FLAIR", "post-contrast"]
    assert {one["manual_dice"] for one in found["sequences"] + found["neighbours"]} == {None}


def test_a_picture_that_is_there_is_replaced_only_when_told_to(brainseg, tiny_default, case, tmp_path):
    path = tmp_path / "why.png"
    path.write_text("mine")
    told = brainseg("explain", case, "--output", path, *QUICK)

    assert told.code == 1
    assert told.err.startswith(f"brainseg: {path} exists already")
    assert path.read_text() == "mine"
    assert brainseg("explain", case, "--output", path, "--overwrite", *QUICK).code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--slice", 9), "anna has no slice 9: its slices go from 1 to 6"),
        (("--output", "why.jpg"), "it must end in .png"),
    ],
)
def test_what_cannot_be_done_is_said(brainseg, tiny_default, case, tmp_path, more, says):
    told = brainseg("explain", case, "--output", tmp_path / "why.png", *QUICK, *more)

    assert told.code == 1
    assert says in told.err
    assert not list(tmp_path.glob("*.png"))


def test_a_folder_of_many_cases_is_not_one(brainseg, tiny_default, patients, tmp_path):
    told = brainseg("explain", patients, "--output", tmp_path / "why.png", *QUICK)

    assert told.code == 1
    assert "holds 4 cases; allowed is one" in told.err
