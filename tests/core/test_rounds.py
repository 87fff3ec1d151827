"""Which model is in use, and which came before it."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from napari_brainseg.core.model_folders import ModelInfo, Provenance, read_model_info
from napari_brainseg.core.models import TrainedModel, save_model
from napari_brainseg.core.rounds import (
    adopt,
    find_rounds,
    model_in_use,
    name_models,
    next_run,
    read_adoptions,
    roll_back,
    workspace_of,
)
from napari_brainseg.core.workspaces import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "corrected")


@pytest.fixture
def runs(workspace: Workspace, untrained: TrainedModel) -> list[Path]:
    """Two retrainings."""
    folders = []
    for number in (1, 2):
        info = ModelInfo(
            name=f"round-{number}",
            model=untrained.info.model,
            validation_dice={"a": 0.9, "b": 0.8},
            parent_dice={"a": 0.8, "b": 0.6},
            base_dice={"c": 0.95},
            parent_base_dice={"c": 0.99},
            train_cases=("d", "e"),
            corrected_slices={"d": 3, "e": number, "a": 9},
            provenance=Provenance(created=f"2026-01-0{number}T00:00:00"),
        )
        folder = next_run(workspace)
        save_model(TrainedModel(info, untrained.network), folder)
        folders.append(folder)
    return folders


def test_the_shipped_model_is_in_use_until_another_is_adopted(workspace: Workspace) -> None:
    assert model_in_use(workspace) == "default"
    assert find_rounds(workspace) == []
    assert next_run(workspace) == workspace.runs / "round-1"


def test_adopting_and_going_back_step_by_step(workspace: Workspace, runs: list[Path]) -> None:
    adopt(workspace, runs[0])
    adopt(workspace, runs[1])
    assert model_in_use(workspace) == str(runs[1])
    roll_back(workspace)
    assert model_in_use(workspace) == str(runs[0])
    roll_back(workspace)
    assert model_in_use(workspace) == "default"
    with pytest.raises(ValueError, match="default is in use, and there was no other before it"):
        roll_back(workspace)
    adopt(workspace, runs[1])
    assert model_in_use(workspace) == str(runs[1])
    adoptions = read_adoptions(workspace)
    assert [(adoption.model, adoption.is_back) for adoption in adoptions] == [
        ("runs/round-1", False),
        ("runs/round-2", False),
        ("runs/round-1", True),
        ("default", True),
        ("runs/round-2", False),
    ]
    assert adoptions[0].weights_sha256 == read_model_info(runs[0]).provenance.weights_sha256 != ""


def test_a_shipped_model_is_adopted_by_its_name(
    workspace: Workspace, runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs[0], tmp_path / "fast")
    monkeypatch.chdir(tmp_path)
    adopt(workspace, "fast")
    assert model_in_use(workspace) == "fast"
    assert name_models(workspace)[read_model_info("fast").provenance.weights_sha256] == "fast"


def test_going_back_without_an_adoption_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="no model was adopted"):
        roll_back(workspace)


def test_going_back_to_a_model_that_was_trained_on_since_is_refused(
    workspace: Workspace, runs: list[Path], untrained: TrainedModel
) -> None:
    adopt(workspace, runs[0])
    adopt(workspace, runs[1])
    with torch.no_grad():
        next(untrained.network.parameters()).add_(1)
    save_model(untrained, runs[0], overwrite=True)
    with pytest.raises(ValueError, match=re.escape(f"{runs[0]} is no longer the model that was in use")):
        roll_back(workspace)
    assert model_in_use(workspace) == str(runs[1])


def test_rounds_tell_what_they_brought(workspace: Workspace, runs: list[Path]) -> None:
    adopt(workspace, runs[0])
    adopt(workspace, runs[1])
    first, second = find_rounds(workspace)
    assert (first.folder, second.folder) == tuple(runs)
    assert (first.corrected_slices, second.corrected_slices) == (4, 5)
    assert (first.before, first.after) == pytest.approx((0.7, 0.85))
    assert (first.base_before, first.base_after) == (0.99, 0.95)
    assert [(found.is_used, found.was_adopted) for found in (first, second)] == [(False, True), (True, True)]


def test_a_workspace_can_be_moved(workspace: Workspace, runs: list[Path], tmp_path: Path) -> None:
    adopt(workspace, runs[0])
    moved = Workspace(Path(shutil.move(workspace.folder, tmp_path / "moved")))
    assert model_in_use(moved) == str(moved.runs / "round-1")
    assert [found.is_used for found in find_rounds(moved)] == [True, False]


def test_a_round_is_known_however_its_folder_is_written(workspace: Workspace, runs: list[Path]) -> None:
    roundabout = runs[0] / ".." / runs[0].name
    assert workspace_of(roundabout) is None  # no workspace.json yet
    assert adopt(workspace, roundabout).model == "runs/round-1"
    assert workspace_of(roundabout) == workspace


def test_what_is_no_model_is_not_adopted(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a model"):
        adopt(workspace, tmp_path)
    assert not workspace.models.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [("[", "is damaged"), ('{"schema_version": 2, "new": 1}', "has schema version 2, but up to 1")],
)
def test_a_list_that_cannot_be_read_is_named(workspace: Workspace, content: str, reason: str) -> None:
    workspace.folder.mkdir()
    workspace.models.write_text(content)
    with pytest.raises(ValueError, match=re.escape(f"{workspace.models} {reason}")):
        read_adoptions(workspace)


def test_a_damaged_model_hides_no_other_round(workspace: Workspace, runs: list[Path]) -> None:
    (runs[0] / "model.json").write_text("{")
    failed: dict[str, str] = {}
    (found,) = find_rounds(workspace, on_failure=failed.__setitem__)
    assert found.folder == runs[1]
    assert failed == {"round-1": f"{runs[0] / 'model.json'} is damaged: it is not the description of a model"}
    with pytest.raises(ValueError, match="is damaged"):
        find_rounds(workspace)
    assert "round-2" in name_models(workspace).values()
