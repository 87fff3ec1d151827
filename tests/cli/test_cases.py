"""``brainseg cases``."""

import json
import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def mixed(patients, tmp_path):
    """Two good patients, one without a mask for one slice, and one with masks only."""
    for name in ("anna", "bert", "dora"):
        shutil.copytree(patients / name, tmp_path / name)
    (tmp_path / "bert" / "bert_2_mask.tif").unlink()
    for file in (tmp_path / "dora").glob("dora_?.tif"):
        file.unlink()
    return tmp_path


def test_cases_are_a_table_with_what_is_wrong(brainseg, mixed):
    told = brainseg("cases", mixed)

    assert told.code == 0
    assert told.err == ""
    lines = told.out.splitlines()
    assert lines[0].split() == ["anna", "6", "slices,", "6", "with", "mask"]
    assert lines[1].split() == ["bert", "6", "slices,", "5", "with", "mask", "no", "mask", "of", "slice", "2"]
    assert lines[2].startswith("dora")
    assert "cannot be used: " in lines[2]
    assert lines[3] == "3 cases, 2 can be used"


def test_columns_are_aligned(brainseg, mixed):
    lines = brainseg("cases", mixed).out.splitlines()[:2]

    assert lines[0].index("slices") == lines[1].index("slices")


def test_json_says_the_same(brainseg, mixed):
    told = brainseg("cases", mixed, "--json")
    anna, bert, dora = json.loads(told.out)

    assert told.code == 0
    assert anna == {
        "name": "anna",
        "patient": "anna",
        "site": "",
        "folder": str(mixed / "anna"),
        "layout": "slices",
        "images": 6,
        "masks": 6,
        "problems": [],
        "error": None,
    }
    assert bert["problems"] == ["no mask of slice 2"]
    assert dora["error"]


def test_a_folder_that_does_not_exist_is_one_line(brainseg, tmp_path):
    told = brainseg("cases", tmp_path / "nowhere")

    assert (told.code, told.out) == (1, "")
    assert told.err == f"brainseg: {tmp_path / 'nowhere'} does not exist\n"


def test_a_folder_without_cases_is_one_line_that_says_what_is_allowed(brainseg, tmp_path):
    told = brainseg("cases", tmp_path)

    assert (told.code, told.out) == (1, "")
    assert told.err.startswith(f"brainseg: {tmp_path}: no case found; allowed are ")
    assert told.err.count("\n") == 1


def test_a_name_that_the_terminal_cannot_show_stops_nothing(patients, tmp_path):
    shutil.copytree(patients / "anna", tmp_path / "قلب")
    shutil.copytree(patients / "bert", tmp_path / "zoe")
    told = subprocess.run(
        [sys.executable, "-m", "napari_brainseg", "cases", tmp_path],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        check=True,
    )

    assert told.stdout.splitlines()[1].startswith(rb"\u0642\u0644\u0628 ")
    assert told.stdout.splitlines()[-1] == b"2 cases, 2 can be used"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_where_no_case_can_be_used_the_exit_code_is_1(brainseg, mixed, flags):
    told = brainseg("cases", mixed / "dora", *flags)

    assert (told.code, told.err) == (1, "")
    assert "dora" in told.out


def test_a_mask_is_said_to_be_one(brainseg, mixed):
    mask = mixed / "anna" / "anna_2_mask.tif"
    told = brainseg("cases", mask)

    assert told.code == 1
    assert told.err == (f"brainseg: {mask} is a mask, not a case; give the folder that it lies in, {mixed / 'anna'}\n")
