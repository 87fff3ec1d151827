"""``brainseg label-errors``: the list, the queue file, and the warning where it says little."""

import json
import shutil

import pytest

from napari_brainseg.core.queues import read_queue

LOOSE = ("--sure", 0.51, "--min-voxels", 1, "--device", "cpu")


@pytest.fixture
def data(patients, tmp_path):
    return shutil.copytree(patients, tmp_path / "data")


def test_the_list_is_printed_and_written_as_a_queue(brainseg, tiny_default, data, tmp_path):
    told = brainseg("label-errors", data, "--output", tmp_path / "new" / "queue.json", *LOOSE)
    items = read_queue(tmp_path / "new" / "queue.json")

    assert (told.code, told.err) == (0, "")
    assert len(told.out.splitlines()) == len(items) > 0
    assert all("mask" in reason for item in items for reason in item.reasons)
    assert brainseg("label-errors", data, "--output", tmp_path / "new" / "queue.json", *LOOSE).code == 1


def test_a_workspace_that_is_named_gets_the_queue(brainseg, tiny_default, data, tmp_path):
    assert brainseg("label-errors", data, "--corrections", tmp_path / "mine", *LOOSE).code == 0
    assert read_queue(tmp_path / "mine" / "queue.json")


def test_it_warns_where_the_model_was_trained_on_the_cases(brainseg, tiny_default, data, tmp_path):
    model = shutil.copytree(tiny_default, tmp_path / "own")
    content = json.loads((model / "model.json").read_text()) | {"train_cases": ["anna", "bert"]}
    (model / "model.json").write_text(json.dumps(content))
    told = brainseg("label-errors", data, "--model", model, "--json", *LOOSE)

    assert told.code == 0
    assert told.err.startswith("WARNING: tiny learned from 2 of these 4 cases, such as anna, ")
    assert json.loads(told.out)["seen"] == ["anna", "bert"]


def test_nothing_to_doubt_is_said(brainseg, tiny_default, data):
    told = brainseg("label-errors", data, "--min-voxels", 100000, "--device", "cpu")

    assert told.out == "nothing to doubt in 4 cases with a manual mask\n"


def test_where_no_case_has_a_manual_mask_the_exit_code_is_1(brainseg, tiny_default, data):
    for mask in data.rglob("*_mask.tif"):
        mask.unlink()
    told = brainseg("label-errors", data, *LOOSE)

    assert (told.code, told.out) == (1, "")
    assert told.err == f"brainseg: {data}: no case has a manual mask\n"
