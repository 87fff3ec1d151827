"""``brainseg queue``: what it prints and writes, and how it goes on without what cannot be used."""

import json
import shutil

import numpy as np
import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.queues import read_queue
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import default_workspace


@pytest.fixture
def data(patients, tmp_path):
    return shutil.copytree(patients, tmp_path / "data")


def test_the_queue_is_printed_and_written_in_one_order(brainseg, tiny_default, data, tmp_path):
    told = brainseg("queue", data, "--count", 5, "--output", tmp_path / "queue.json", "--device", "cpu")
    items = read_queue(tmp_path / "queue.json")
    lines = [line.split() for line in told.out.splitlines()]

    assert (told.code, told.err) == (0, "")
    assert [(line[1], int(line[3])) for line in lines] == [(item.case, item.slice_number) for item in items]
    assert [" ".join(line[4:]) for line in lines] == ["; ".join(item.reasons) for item in items], "no bare number"
    assert len({(item.case, item.z) for item in items}) == 5
    assert all(item.slice_number == item.z + 1 for item in items)
    assert all(item.reasons for item in items)


def test_manual_masks_are_compared_with_where_there_are_some(brainseg, tiny_default, data):
    for file in (data / "dora").glob("*_mask.tif"):
        file.unlink()
    told = brainseg("queue", data, "--count", 24, "--json", "--device", "cpu")
    items = json.loads(told.out)["items"]
    compared = {item["case"] for item in items if any("manual mask" in reason for reason in item["reasons"])}

    assert told.code == 0
    assert len(items) == 24
    assert compared
    assert "dora" not in compared


def test_a_bad_case_is_named_and_the_others_are_queued(brainseg, tiny_default, data, tmp_path):
    (data / "bert" / "bert_2.tif").write_bytes(b"nothing")
    told = brainseg("queue", data, "--count", 24, "--output", tmp_path / "queue.json", "--device", "cpu")

    assert told.code == 1
    assert told.err.startswith("bert: ")
    assert told.err.endswith("3 cases looked at, 1 not\n")
    assert {item.case for item in read_queue(tmp_path / "queue.json")} == {"anna", "carl", "dora"}


def test_a_queue_that_is_there_is_replaced_only_when_told_to(brainseg, tiny_default, data, tmp_path):
    path = tmp_path / "queue.json"
    path.write_text("mine")
    told = brainseg("queue", data, "--output", path)

    assert told.code == 1
    assert told.err.startswith(f"brainseg: {path} exists already")
    assert path.read_text() == "mine"
    assert brainseg("queue", data, "--output", path, "--overwrite", "--device", "cpu").code == 0
    assert len(read_queue(path)) == 20


def test_a_folder_that_is_missing_is_made_and_what_can_be_no_file_is_refused_before_the_work(
    brainseg, tiny_default, data, tmp_path
):
    path = tmp_path / "new" / "deep" / "queue.json"
    assert brainseg("queue", data, "--output", path, "--device", "cpu").code == 0
    assert read_queue(path)
    told = brainseg("queue", data, "--output", path / "inside.json")
    assert told.err == f"brainseg: {path / 'inside.json'} cannot be written: {path} is no folder\n"
    told = brainseg("queue", data, "--output", path.parent, "--overwrite")
    assert told.err == f"brainseg: {path.parent} is a folder; allowed is the name of a file\n"


def test_the_flip_test_is_no_flag_of_what_looks_at_both_sides_anyway(brainseg, data):
    assert "--tta" not in brainseg("queue", "--help").out
    told = brainseg("queue", data, "--tta")
    assert told.code == 2
    assert "No such option" in told.err


def test_random_needs_no_luck(brainseg, tiny_default, data):
    runs = [
        brainseg("queue", data, "--strategy", "random", "--seed", seed, "--device", "cpu").out for seed in (1, 1, 2)
    ]

    assert runs[0] == runs[1] != runs[2]
    assert "drawn at random" in runs[0]


def test_slices_that_somebody_corrected_are_not_queued_again(brainseg, tiny_default, data, tmp_path):
    workspace = default_workspace(data)
    volume = read_volume(find_cases(data / "anna")[0])
    corrections = Corrections(workspace, volume)
    corrections.save(np.zeros(volume.shape, np.uint8), [1, 2], state="accepted")
    corrections.save(np.zeros(volume.shape, np.uint8), [3], state="flagged")
    items = json.loads(brainseg("queue", data, "--count", 24, "--json", "--device", "cpu").out)["items"]
    told = {item["z"]: item["reasons"] for item in items if item["case"] == "anna"}

    assert sorted(told) == [0, 3, 4, 5]
    assert not any("manual" in reason for reason in told[3]), "of a flagged slice the truth is not known"
    elsewhere = brainseg("queue", data, "--count", 24, "--json", "--corrections", tmp_path / "other", "--device", "cpu")
    assert len(json.loads(elsewhere.out)["items"]) == 24


@pytest.mark.parametrize("command", ["queue", "label-errors"])
@pytest.mark.parametrize("place", [".", "anna", ".."])
def test_a_workspace_among_the_data_is_refused(brainseg, tiny_default, data, files_of, command, place):
    before = files_of(data.parent)
    told = brainseg(command, data, "--corrections", data / place)

    assert told.code == 1
    assert "the folder of anna; choose one outside the data, such as " in told.err
    assert files_of(data.parent) == before


def test_a_damaged_ledger_is_named_and_the_others_are_queued(brainseg, tiny_default, data):
    ledger = default_workspace(data).ledger / "anna.json"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("nothing")
    told = brainseg("queue", data, "--count", 24, "--json", "--device", "cpu")

    assert told.code == 1
    assert told.err.startswith(f"anna: {ledger} is damaged")
    assert len(json.loads(told.out)["items"]) == 18


@pytest.mark.parametrize("command", ["queue", "label-errors"])
def test_a_workspace_that_is_not_there_is_said_to_be_new_and_another_folder_is_refused(
    brainseg, tiny_default, data, tmp_path, command
):
    told = brainseg(command, data, "--corrections", tmp_path / "typo", "--device", "cpu")
    assert (told.code, told.err) == (0, f"a new workspace is begun in {tmp_path / 'typo'}\n")
    assert brainseg(command, data, "--corrections", tmp_path / "typo", "--device", "cpu").err == ""
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "notes.txt").write_text("mine")
    told = brainseg(command, data, "--corrections", tmp_path / "others")
    assert told.err == f"brainseg: {tmp_path / 'others'} is no workspace: it holds no workspace.json\n"
    told = brainseg(command, data, "--corrections", tmp_path / "others" / "notes.txt")
    assert told.err == f"brainseg: {tmp_path / 'others' / 'notes.txt'} is a file; allowed is a folder\n"
