"""The loop in the terminal: corrections to a new model, the new model into use and out again."""

import json
import shutil

import numpy as np
import pytest

from napari_brainseg.core import training_loop
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.model_folders import read_model_info
from napari_brainseg.core.queues import read_queue
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import Workspace

NETWORK = ("--filters", 4, "--filters", 8, "--filters", 8)
QUICK = ("--epochs", 1, "--epoch-slices", 8, "--batch-size", 4, "--window", 32, "--seed", 1)


@pytest.fixture
def workspace(patients, tmp_path):
    """Two slices of anna were corrected, one of bert is in doubt."""
    workspace = Workspace(tmp_path / "corrected")
    for case, state in zip(find_cases(patients)[:2], (None, "flagged"), strict=True):
        volume = read_volume(case)
        manual = read_mask(case, volume)
        mask = np.roll(manual, 3, axis=1)
        tumour = np.flatnonzero(manual.any(axis=(1, 2)))[: 2 if state is None else 1]
        kept = Corrections(workspace, volume)
        kept.save(mask, tumour.tolist(), manual, state=state, seconds=90, model_sha256="0123456789")
    return workspace


def test_training_learns_from_corrections_and_rehearses_what_the_parent_knows(brainseg, patients, workspace, tmp_path):
    others = shutil.copytree(patients, tmp_path / "others", ignore=shutil.ignore_patterns("anna*"))
    told = brainseg("train", others, "--output", tmp_path / "base", *QUICK, *NETWORK)
    assert told.code == 0
    base = read_model_info(tmp_path / "base")
    told = brainseg(
        *("train", patients, "--output", workspace.runs / "round-1", "--from", tmp_path / "base"),
        *("--corrections", workspace.folder, "--rehearsal", 0.5, *QUICK),
    )
    assert told.code == 0
    info = read_model_info(workspace.runs / "round-1")
    assert set(info.train_cases) == {"anna", *base.train_cases}
    assert info.validation_cases == base.validation_cases
    assert info.corrected_slices == {"anna": 2}
    assert "2 corrected slices of 1 case\n2 patients that base knows and nobody corrected" in told.err
    assert set(info.base_dice) == set(info.parent_base_dice) == set(base.train_cases)
    assert f"{base.train_cases[0]}, known before: Dice" in told.out
    assert "What was forgotten" in (workspace.runs / "round-1" / "report.html").read_text("utf-8")
    told = brainseg("review", workspace.folder)
    assert "round-1: 2 corrected slices; validation Dice" in told.out
    assert "; not adopted" in told.out


def test_a_resumed_run_goes_on_with_its_corrections_or_says_that_they_are_gone(
    brainseg, patients, workspace, tmp_path, monkeypatch
):
    average = training_loop.average_weights

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_loop, "average_weights", interrupt)
    monkeypatch.chdir(tmp_path)
    output, share = tmp_path / "m", ("--validation-share", 0)
    brainseg("train", patients, "--output", output, "--corrections", workspace.folder.name, *share, *NETWORK, *QUICK)
    monkeypatch.setattr(training_loop, "average_weights", average)
    monkeypatch.chdir("/")
    moved = workspace.folder.rename(tmp_path / "moved")
    told = brainseg("train", patients, "--output", output, "--resume")
    assert told.code == 1
    assert f"learns from the corrections in {workspace.folder}, which are not there any more" in told.err
    told = brainseg("train", patients, "--output", output, "--resume", "--corrections", moved)
    assert told.code == 0, told.err
    assert read_model_info(output).corrected_slices == {"anna": 2}
    moved.rename(workspace.folder)
    told = brainseg("train", patients, "--output", output, "--resume")
    assert told.code == 0, told.err
    assert "2 corrected slices of 1 case" in told.err
    assert read_model_info(output).corrected_slices == {"anna": 2}


def test_a_folder_that_is_no_workspace_is_refused(brainseg, patients, tmp_path):
    for folder in (patients, tmp_path / "nowhere"):
        told = brainseg("train", patients, "--output", tmp_path / "m", "--corrections", folder, *NETWORK, *QUICK)
        assert told.code == 1
        assert told.err == f"brainseg: {folder} is no workspace of corrections: it holds no workspace.json\n"
    assert not (tmp_path / "m").exists()


def test_what_there_is_to_rehearse_is_said(brainseg, patients, workspace, tiny_model, tmp_path):
    told = brainseg(
        *("train", patients, "--output", tmp_path / "m", "--from", tiny_model, "--corrections", workspace.folder),
        *("--validation-share", 0, *QUICK),
    )
    assert told.code == 0
    assert "no patient that tiny has learned from is among these: it may forget what it knows of them" in told.err
    assert not read_model_info(tmp_path / "m").base_dice


def test_review_says_what_was_done_and_changes_the_model_in_use(brainseg, workspace, tiny_model, tiny_default):
    told = brainseg("review", workspace.folder)
    assert told.code == 0
    assert "anna: 2 edited" in told.out
    assert "bert: 1 flagged" in told.out
    assert "corrected from model 01234567: 3 slices, 3.0 min" in told.out
    assert told.out.splitlines()[-1] == "model in use: default"

    told = brainseg("review", workspace.folder, "--adopt", tiny_model)
    assert told.out.splitlines()[-1] == f"model in use: {tiny_model}"
    told = brainseg("review", workspace.folder, "--roll-back")
    assert told.out.splitlines()[-1] == "model in use: default"
    told = brainseg("review", workspace.folder, "--roll-back")
    assert told.code == 1
    assert "there was no other before it" in told.err


def test_review_as_json_holds_every_slice(brainseg, workspace):
    content = json.loads(brainseg("review", workspace.folder, "--json").out)
    anna, bert = content["cases"]
    assert [review["state"] for review in anna["slices"].values()] == ["edited", "edited"]
    assert anna["slices"].keys().isdisjoint({"0"})
    assert next(iter(bert["slices"].values()))["state"] == "flagged"
    assert content["model_in_use"] == "default"
    assert sum(effort["seconds"] for effort in content["efforts"]) == 180


def test_review_of_a_folder_that_is_not_there(brainseg, tmp_path):
    told = brainseg("review", tmp_path / "nowhere")
    assert (told.code, told.err) == (1, f"brainseg: {tmp_path / 'nowhere'} does not exist\n")


@pytest.mark.parametrize("more", [(), ("--adopt", "fast"), ("--roll-back",), ("--json",)], ids=str)
def test_a_folder_of_data_is_no_workspace_and_does_not_become_one(brainseg, patients, tmp_path, files_of, more):
    data = shutil.copytree(patients, tmp_path / "data")
    before = files_of(data)
    for folder in (data, data / "anna"):
        told = brainseg("review", folder, *more)
        assert (told.code, told.out) == (1, "")
        assert told.err == f"brainseg: {folder} is no workspace: it holds no workspace.json\n"
    assert files_of(data) == before


def test_a_file_is_said_to_be_one(brainseg, patients):
    file = patients / "anna" / "anna_1.tif"
    told = brainseg("review", file)
    assert (told.code, told.err) == (1, f"brainseg: {file} is a file; allowed is the folder of a workspace\n")


def test_a_workspace_in_which_nothing_was_corrected_yet_can_be_reviewed(brainseg, tmp_path):
    with Workspace(tmp_path / "w").locked("queue"):  # as the window does it to keep a queue
        pass
    told = brainseg("review", tmp_path / "w")
    assert (told.code, told.out) == (0, "model in use: default\n")


def test_the_queue_leaves_out_what_was_reviewed_and_is_kept(brainseg, patients, workspace, tiny_default):
    told = brainseg("queue", patients, "--corrections", workspace.folder, "--count", 100, "--json")
    assert told.code == 0
    items = read_queue(workspace.queue)
    assert [item["z"] for item in json.loads(told.out)["items"]] == [item.z for item in items]
    queued = {(item.case, item.slice_number) for item in items}
    assert len(queued) == 4 * 6 - 2
    edited = json.loads((workspace.ledger / "anna.json").read_text())["slices"]
    assert queued.isdisjoint({("anna", int(number)) for number in edited})


def test_review_names_a_damaged_model_and_shows_the_others(brainseg, workspace, tiny_model):
    for name in ("round-1", "round-2"):
        shutil.copytree(tiny_model, workspace.runs / name)
    (workspace.runs / "round-1" / "model.json").write_text("{")
    told = brainseg("review", workspace.folder)
    assert told.code == 0
    assert "round-2: " in told.out
    assert f"{workspace.runs / 'round-1' / 'model.json'} is damaged" in told.err
