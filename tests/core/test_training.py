import csv
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file, save_file

from napari_brainseg.core import training_loop
from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.config import ModelConfig, NetworkName, SegmentConfig, TrainConfig
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.metrics import score_mask
from napari_brainseg.core.model_folders import read_model_info
from napari_brainseg.core.models import TrainedModel, load_model, save_model
from napari_brainseg.core.networks import SpaceToDepth, read_weights
from napari_brainseg.core.progress import Cancelled, Progress
from napari_brainseg.core.runs import StateFile, ask_to_stop, owned, read_history, read_previews, read_run, read_state
from napari_brainseg.core.sampling import make_batch
from napari_brainseg.core.segmentation import segment
from napari_brainseg.core.training import train
from napari_brainseg.core.validation import Validation
from napari_brainseg.core.volumes import read_volume


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(config: TrainConfig, **values: Any) -> TrainConfig:
    return TrainConfig.model_validate(config.model_dump() | values)


def stop_at(stage: str, done: int) -> Callable[[Progress], None]:
    def callback(report: Progress) -> None:
        if (report.stage, report.done) == (stage, done):
            raise Cancelled

    return callback


# A whole run


def test_a_model_in_the_folder_that_one_stands_in_has_a_name(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(cases[:1], [], ".", tiny, changed(quick, epochs=1)).info.name == tmp_path.name


def test_training_leaves_a_model_that_loads(
    trained_folder: Path, cases: list[Case], tiny: ModelConfig, quick: TrainConfig
) -> None:
    info = load_model(trained_folder).info
    assert (info.name, info.model, info.training) == ("trained", tiny, quick)
    assert (info.train_cases, info.validation_cases) == (("anna", "bert"), ("carl",))
    assert info.provenance.command == "brainseg train here"
    assert info.provenance.device.startswith("CPU, ")
    assert info.provenance.parent_sha256 is None
    assert info.provenance.seconds > 0


def test_score_of_the_model_is_that_of_its_segmentation(trained_folder: Path, cases: list[Case]) -> None:
    model = load_model(trained_folder)
    volume = read_volume(cases[2])
    manual = read_mask(cases[2], volume)
    assert manual is not None
    dice = score_mask(segment(volume, model, SegmentConfig(device="cpu")).mask, manual).dice
    assert model.info.validation_dice == {"carl": pytest.approx(dice, abs=0.03)}
    assert dice > 0


def test_history_has_a_row_per_epoch(trained_folder: Path) -> None:
    rows = history(trained_folder)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert float(rows[0]["seconds"]) <= float(rows[1]["seconds"])
    assert rows[0]["validation_dice"] == ""
    dice = load_model(trained_folder).info.validation_dice["carl"]
    assert float(rows[1]["validation_dice"]) == pytest.approx(dice)


def test_training_learns(cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path) -> None:
    config = changed(quick, epochs=6, epoch_slices=40, learning_rate=0.01)
    train(cases[:2], [], tmp_path / "m", tiny, config)
    losses = [float(row["loss"]) for row in history(tmp_path / "m")]
    assert losses[-1] < 0.85 * losses[0]


def test_progress_tells_reading_steps_and_epochs(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    train(cases[:2], cases[2:3], tmp_path / "m", tiny, quick, on_progress=seen.append)
    assert [(report.stage, report.done, report.total) for report in seen] == [
        ("reading", 1, 2),
        ("reading", 2, 2),
        ("reading", 1, 1),
        ("epoch 1", 1, 2),
        ("epoch 1", 2, 2),
        ("training", 1, 2),
        ("epoch 2", 1, 2),
        ("epoch 2", 2, 2),
        ("validating", 1, 1),
        ("training", 2, 2),
    ]
    assert [report.stage for report in seen if report.note == "checkpoint saved"] == ["training", "training"]
    assert seen[3].metrics.keys() == {"loss", "minutes_left"}
    assert seen[-1].metrics.keys() == {
        "loss",
        "learning_rate",
        "validation_loss",
        "validation_dice",
        "validation_iou",
    }


def test_model_without_validation_has_no_score(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    model = train(cases[:2], [], tmp_path / "m", tiny, changed(quick, epochs=1))
    assert model.info.validation_dice == {}
    assert model.info.mean_dice is None


def test_validation_comes_every_so_many_epochs_and_at_the_end(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    train(cases[:2], cases[2:3], tmp_path / "m", tiny, changed(quick, epochs=5, epoch_slices=4, validate_every=2))
    assert [bool(row["validation_dice"]) for row in history(tmp_path / "m")] == [False, True, False, True, True]


def test_same_seed_gives_the_same_weights(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(99)  # what was drawn before does not matter
    train(cases[:2], cases[2:3], tmp_path / "same", tiny, quick)
    train(cases[:2], cases[2:3], tmp_path / "other", tiny, changed(quick, seed=8))
    weights = (trained_folder / "weights.safetensors").read_bytes()
    assert (tmp_path / "same" / "weights.safetensors").read_bytes() == weights
    assert (tmp_path / "other" / "weights.safetensors").read_bytes() != weights


def last_and_averaged(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "averaged": {}, "optimizer": {}}
    for name, tensor in load_file(folder / "last.safetensors").items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    return parts["network"], parts["averaged"]


def test_every_epoch_draws_anew(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Sequence[tuple[int, int]]] = []

    def recording(samples: Any, chosen: Sequence[tuple[int, int]], *rest: Any) -> Any:
        drawn.append(chosen)
        return make_batch(samples, chosen, *rest)

    monkeypatch.setattr(training_loop, "make_batch", recording)
    train(cases[:2], [], tmp_path / "m", tiny, quick)
    assert len(drawn) == 4
    assert drawn[:2] != drawn[2:]


def test_average_without_memory_is_the_last(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    train(cases[:2], [], tmp_path / "m", tiny, changed(quick, epochs=1, ema=0))
    last, mean = last_and_averaged(tmp_path / "m")
    for name, tensor in last.items():
        torch.testing.assert_close(mean[name], tensor)


def test_weights_kept_are_the_average_and_not_the_last(trained_folder: Path) -> None:
    kept = read_weights(load_model(trained_folder).network)
    last, mean = last_and_averaged(trained_folder)
    assert kept.keys() == last.keys() == mean.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, mean[name], rtol=1e-3, atol=1e-3)
    assert any(not torch.equal(last[name], mean[name]) for name in kept)


# Stopped, killed, resumed

KILLED_IN_EPOCH_2 = """
import os, signal
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.training import train

def report(progress):
    if (progress.stage, progress.done) == ("epoch 2", 1):
        os.kill(os.getpid(), signal.SIGKILL)

cases = find_cases(data)
train(cases[:2], cases[2:3], output, model, config, command="brainseg train here", on_progress=report)
"""


def train_apart(process: BaseProcess) -> int | None:
    """Exit status of a process that trains, or is killed while it does."""
    process.start()
    process.join(240)
    return process.exitcode


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill like this")
def test_killed_run_is_no_model_and_ends_like_one_never_killed(
    patients: Path,
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    apart: Callable[..., BaseProcess],
) -> None:
    output = tmp_path / "trained"
    killed = apart(KILLED_IN_EPOCH_2, data=patients, output=output, model=tiny, config=quick)
    assert train_apart(killed) == -signal.SIGKILL
    assert [row["epoch"] for row in history(output)] == ["1"]
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(output)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True, command="brainseg train here")
    assert (output / "weights.safetensors").read_bytes() == (trained_folder / "weights.safetensors").read_bytes()
    assert_same_run(output, trained_folder)


def assert_same_run(one: Path, other: Path) -> None:
    tensors, wanted = load_file(one / "last.safetensors"), load_file(other / "last.safetensors")
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())
    rows, wanted_rows = history(one), history(other)
    assert [row | {"seconds": ""} for row in rows] == [row | {"seconds": ""} for row in wanted_rows]


@pytest.mark.parametrize(
    ("stage", "done"),
    [
        pytest.param("reading", 1, id="before the run"),
        pytest.param("epoch 1", 1, id="in the first epoch"),
        pytest.param("training", 1, id="between epochs"),
        pytest.param("epoch 2", 2, id="in the second epoch"),
        pytest.param("validating", 1, id="in the validation"),
        pytest.param("training", 2, id="before the model is written"),
    ],
)
def test_stopped_run_is_no_model_and_ends_like_one_never_stopped(
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    stage: str,
    done: int,
) -> None:
    output = tmp_path / "trained"
    with pytest.raises(Cancelled):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=stop_at(stage, done))
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(output)
    resume = stage != "reading"
    assert (output / "run.json").exists() == resume
    state = read_state(output)
    assert state is not None
    assert (state.status, state.message) == ("stopped", "stopped at once")
    train(cases[:2], cases[2:3], output, tiny, quick, resume=resume)
    assert_same_run(output, trained_folder)
    assert load_model(output).info.validation_dice == load_model(trained_folder).info.validation_dice


def test_run_resumed_after_masks_were_changed_begins_the_epoch_anew_and_says_so(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    """With half of the slices known of before, an epoch has fewer steps than were taken of it."""

    def stop(report: Progress) -> None:
        if report.stage == "epoch 2" and report.done == report.total - 1:
            ask_to_stop(tmp_path)

    every_slice = changed(quick, epoch_slices=0)
    train(cases[:1], [], tmp_path, tiny, every_slice, on_progress=stop)
    numbers = cases[0].numbers
    fewer = replace(cases[0], corrections=tuple((number, None) for number in numbers[len(numbers) // 2 :]))
    resumed = train([fewer], [], tmp_path, resume=True).info
    assert resumed.epoch == 2
    assert resumed.provenance.notes == (
        "masks were changed after epoch 1: up to there the former ones were learned and judged by",
    )


def test_rows_of_an_epoch_that_a_kill_undid_are_replaced(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    """Killed after the row of epoch 2 was written, but with the checkpoint of epoch 1: as from a copied folder."""
    output = tmp_path / "trained"
    with pytest.raises(Cancelled):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=stop_at("training", 1))
    shutil.copy(trained_folder / "history.csv", output)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert_same_run(output, trained_folder)


def test_finished_run_can_be_resumed_and_stays_the_same(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "trained"
    shutil.copytree(trained_folder, output)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert (output / "weights.safetensors").read_bytes() == (trained_folder / "weights.safetensors").read_bytes()
    assert load_model(output).info.validation_dice == load_model(trained_folder).info.validation_dice
    assert_same_run(output, trained_folder)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("settings", "learning_rate 0.002, not 0.5"),
        ("augmentation", "flip 0.5, not 0.25"),
        ("network", "filters (4, 8, 8), not (4, 4, 4)"),
        ("cases", "other training cases"),
    ],
)
def test_run_is_resumed_only_as_it_was_begun(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path, what: str, told: str
) -> None:
    output = tmp_path / "trained"
    shutil.copytree(trained_folder, output)
    before = files(output)
    quick = changed(quick, learning_rate=0.5) if what == "settings" else quick
    tiny = ModelConfig(filters=(4, 4, 4)) if what == "network" else tiny
    chosen = cases[:1] if what == "cases" else cases[:2]
    quick = changed(quick, augmentation={"flip": 0.25}) if what == "augmentation" else quick
    message = f"{output / 'run.json'} describes a run with {told}; resume with the same, or train anew from its model"
    with pytest.raises(ValueError, match=re.escape(message)):
        train(chosen, cases[2:3], output, tiny, quick, resume=True)
    assert files(output) == before


def test_folder_without_a_run_is_not_resumed(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} holds no run to resume")):
        train(cases[:2], [], tmp_path, tiny, quick, resume=True)


@pytest.mark.parametrize("name", ["run.json", "last.safetensors"])
def test_damaged_run_is_not_resumed(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "trained"
    shutil.copytree(trained_folder, output)
    (output / name).write_bytes((output / name).read_bytes()[:50])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(output / name))} is damaged: .*resumed.*$"):
        train(cases[:2], cases[2:3], output, tiny, quick, resume=True)


@pytest.mark.parametrize("content", ["other weights", "another network", "no tensors of ours"])
def test_a_checkpoint_that_is_none_of_the_run_is_named(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path, content: str
) -> None:
    output = shutil.copytree(trained_folder, tmp_path / "trained")
    path = output / "last.safetensors"
    if content == "other weights":
        shutil.copy(output / "weights.safetensors", path)
    else:
        name = "network.weight" if content == "another network" else "weight"
        save_file({name: torch.zeros(2)}, path, {"state": "{}"})
    message = f"{path} is damaged: the run cannot be resumed, train anew into another folder"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train(cases[:2], cases[2:3], output, tiny, quick, resume=True)


def test_a_damaged_history_is_named_before_the_work(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = shutil.copytree(trained_folder, tmp_path / "trained")
    (output / "history.csv").write_text("epoch,loss\n1,high\n")
    before = files(output)
    with pytest.raises(ValueError, match=re.escape(f"{output / 'history.csv'} is damaged: it is no history of a run")):
        train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert files(output) == before


def test_a_finished_run_without_its_checkpoint_is_not_begun_anew_over_its_model(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = shutil.copytree(trained_folder, tmp_path / "trained")
    (output / "last.safetensors").unlink()
    before = files(output)
    with pytest.raises(ValueError, match=re.escape(f"{output / 'last.safetensors'} is not there any more")):
        train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert files(output) == before


KILLED_AT_ANY_MOMENT = """
import os, signal, threading
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.training import train

cases = find_cases(data)
begun = []

def begin(progress):
    if progress.stage.startswith("epoch") and not begun:
        begun.append(threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        begun[0].start()

train(
    cases[:2], cases[2:3], output, model, config, resume=resume, command="brainseg train here", on_progress=begin
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill like this")
def test_run_killed_again_and_again_ends_like_one_never_killed(
    patients: Path,
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    tmp_path: Path,
    apart: Callable[..., BaseProcess],
) -> None:
    """Wherever it is killed: in a step, in a validation, between two files."""
    config = changed(quick, epochs=8, epoch_slices=24, validate_every=1)
    train(cases[:2], cases[2:3], tmp_path / "whole", tiny, config)
    output = tmp_path / "killed"
    names = {"data": patients, "output": output, "model": tiny, "config": config}
    chance = random.Random(os.getpid())
    for attempt in range(3):
        resume = bool(attempt and read_run(output))
        status = train_apart(apart(KILLED_AT_ANY_MOMENT, **names, resume=resume, seconds=chance.uniform(0, 0.6)))
        assert status in (-signal.SIGKILL, 0)
        if status == 0:
            break
        state = read_state(output)
        assert state is not None
        assert (state.status, state.message) == ("stopped", "the process ended")
        if (output / "model.json").exists():  # killed while it drew the report
            load_model(output)
    train(cases[:2], cases[2:3], output, tiny, config, resume=True)
    assert_same_run(output, tmp_path / "whole")
    assert (output / "weights.safetensors").read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()


# Stopped on request


def ask_at(output: Path, stage: str, done: int) -> Callable[[Progress], None]:
    def callback(report: Progress) -> None:
        if (report.stage, report.done) == (stage, done):
            ask_to_stop(output)

    return callback


@pytest.mark.parametrize(
    ("stage", "done", "rows"),
    [
        pytest.param("epoch 2", 1, 1, id="in an epoch"),
        pytest.param("epoch 2", 2, 2, id="at the end of an epoch"),
        pytest.param("training", 1, 1, id="between epochs"),
    ],
)
def test_run_asked_to_stop_leaves_a_model_and_goes_on_like_one_never_stopped(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, stage: str, done: int, rows: int
) -> None:
    quick = changed(quick, epochs=3)
    train(cases[:2], cases[2:3], tmp_path / "whole", tiny, quick)
    output = tmp_path / "stopped"
    stopped = train(cases[:2], cases[2:3], output, tiny, quick, on_progress=ask_at(output, stage, done))
    state = read_state(output)
    assert state is not None
    assert (state.status, state.epoch) == ("stopped", rows)
    assert len(history(output)) == rows
    info = load_model(output).info
    assert info == stopped.info
    assert info.epoch == rows
    assert info.validation_dice.keys() == {"carl"}
    assert (output / "report.html").exists()
    resumed = train(cases[:2], cases[2:3], output, resume=True)
    state = read_state(output)
    assert state is not None
    assert (state.status, state.epoch, state.share) == ("finished", 3, 1)
    assert resumed.info.epoch == 3
    assert_same_run(output, tmp_path / "whole")
    assert (output / "weights.safetensors").read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()


def test_score_of_a_model_that_was_stopped_is_that_of_its_own_weights(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    """Not that of the last validation, which is a few steps older."""
    config = changed(quick, validate_every=1, epochs=3, learning_rate=0.02, epoch_slices=40)
    output = tmp_path / "m"
    train(cases[:2], cases[2:3], output, tiny, config, on_progress=ask_at(output, "epoch 2", 9))
    model = load_model(output)
    volume = read_volume(cases[2])
    manual = read_mask(cases[2], volume)
    assert manual is not None
    dice = score_mask(segment(volume, model, SegmentConfig(device="cpu")).mask, manual).dice
    assert model.info.validation_dice["carl"] == pytest.approx(dice, abs=0.01)


@pytest.mark.parametrize(("stage", "done"), [("reading", 1), ("epoch 1", 1)])
def test_run_asked_to_stop_before_its_first_epoch_ended_is_no_model_but_loses_nothing(
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    stage: str,
    done: int,
) -> None:
    output = tmp_path / "trained"
    with pytest.raises(Cancelled, match="stopped before the first"):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=ask_at(output, stage, done))
    state = read_state(output)
    assert state is not None
    assert state.status == "stopped"
    assert "stopped before the first" in state.message
    assert not (output / "model.json").exists()
    steps: list[str] = []
    resume = stage != "reading"
    train(cases[:2], cases[2:3], output, tiny, quick, resume=resume, on_progress=lambda it: steps.append(it.stage))
    assert steps.count("epoch 1") == (1 if resume else 2)
    assert_same_run(output, trained_folder)


def test_state_counts_epochs_and_steps(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    seen = []

    def look(report: Progress) -> None:
        seen.append((report.stage, read_state(tmp_path / "m")))

    train(cases[:2], cases[2:3], tmp_path / "m", tiny, quick, on_progress=look)
    states = {stage: state for stage, state in reversed(seen) if state}
    assert states["reading"].status == "starting"
    assert states["validating"].status == "running"
    assert states["epoch 1"].status == "running"
    assert (states["epoch 1"].steps, states["epoch 1"].epochs) == (2, 2)
    last = read_state(tmp_path / "m")
    assert last is not None
    assert (last.status, last.epoch, last.step, last.share, last.seconds_left) == ("finished", 2, 0, 1, 0)
    assert last.seconds > 0


def test_run_is_resumed_with_nothing_but_its_cases(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "trained"
    with pytest.raises(Cancelled):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=stop_at("epoch 2", 1))
    train(cases[:2], cases[2:3], output, resume=True)
    assert_same_run(output, trained_folder)


def test_run_may_be_resumed_elsewhere_and_at_another_precision(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    output = tmp_path / "m"
    with pytest.raises(Cancelled):
        train(cases[:2], [], output, tiny, quick, on_progress=stop_at("epoch 2", 1))
    other = changed(quick, threads=1, precision="float32", cache="disk")
    assert train(cases[:2], [], output, tiny, other, resume=True).info.training == other


# What to train with


@pytest.mark.parametrize(
    "settings",
    [
        *({"loss": name} for name in ("dice", "bce", "focal_dice", "tversky", "mse")),
        *({"optimizer": name} for name in ("adam", "sgd")),
        *({"schedule": name} for name in ("cosine", "plateau", "cyclical", "constant")),
        *({"augmentation": name} for name in ("none", "light")),
        {"accumulate": 2},
        {"clip_norm": 0},
        {"precision": "float32"},
        {"cache": "disk"},
        {"patience": 3},
    ],
    ids=str,
)
def test_two_epochs_of_everything_give_a_model(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = changed(quick, validate_every=1, **settings)
    train(cases[:2], cases[2:3], tmp_path / "m", tiny, config)
    info = load_model(tmp_path / "m").info
    assert info.training == config
    assert info.epoch == 2
    rows = read_history(tmp_path / "m")
    assert all(np.isfinite([row.loss, row.validation_loss or np.nan]).all() for row in rows)
    assert not (tmp_path / "m" / "cache").exists()
    if settings.get("cache") == "disk":
        train(cases[:2], cases[2:3], tmp_path / "memory", tiny, changed(config, cache="memory"))
        assert_same_run(tmp_path / "m", tmp_path / "memory")


@pytest.mark.parametrize("name", ["resunet", "attention_unet", "dynunet", "unet_vgg16", "unet_resnet50"])
def test_two_epochs_of_every_network_give_a_model(
    cases: list[Case], quick: TrainConfig, tmp_path: Path, name: NetworkName
) -> None:
    model = ModelConfig(network=name, filters=(4, 8, 8), freeze_encoder_blocks=1)
    train(cases[:2], cases[2:3], tmp_path / "m", model, quick)
    assert load_model(tmp_path / "m").info.model == model.architecture
    assert len(history(tmp_path / "m")) == 2


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_optimisers_are_resumed_too(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, optimizer: str
) -> None:
    config = changed(quick, optimizer=optimizer, schedule="plateau", validate_every=1)
    train(cases[:2], cases[2:3], tmp_path / "whole", tiny, config)
    with pytest.raises(Cancelled):
        train(cases[:2], cases[2:3], tmp_path / "m", tiny, config, on_progress=stop_at("epoch 2", 1))
    train(cases[:2], cases[2:3], tmp_path / "m", resume=True)
    assert_same_run(tmp_path / "m", tmp_path / "whole")


def test_training_ends_early_where_dice_rests(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_validation(monkeypatch, [0.5, 0.7, 0.7, 0.6, 0.9])
    config = changed(quick, epochs=9, validate_every=1, patience=2)
    model = train(cases[:2], cases[2:3], tmp_path / "m", tiny, config)
    assert model.info.epoch == 4
    assert model.info.validation_dice == {"carl": 0.6}
    state = read_state(tmp_path / "m")
    assert state is not None
    assert (state.status, state.epoch) == ("finished", 4)


def fake_validation(monkeypatch: pytest.MonkeyPatch, dice: Sequence[float]) -> None:
    scores = iter(dice)

    def validate(*_: Any) -> Validation:
        score = {"carl": next(scores)}
        return Validation({"carl": 1.0}, score, score, {})

    monkeypatch.setattr(training_loop, "validate", validate)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_weights_kept_are_the_last_or_the_best_and_the_model_says_so(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    fake_validation(monkeypatch, [0.5, 0.7, 0.6, 0.69])
    config = changed(quick, epochs=3, validate_every=1, keep=keep, keep_every=1)
    model = train(cases[:2], cases[2:3], tmp_path / "m", tiny, config)
    kept = 2 if keep == "best" else 3
    assert model.info.epoch == kept
    assert model.info.validation_dice == {"carl": 0.69 if keep == "best" else 0.6}  # the best is measured again
    assert any("chosen by the validation Dice, which flatters" in n for n in model.info.provenance.notes) == (kept == 2)
    of_epoch = load_file(tmp_path / "m" / "checkpoints" / f"epoch_000{kept}.safetensors")
    for name, tensor in read_weights(load_model(tmp_path / "m").network).items():
        torch.testing.assert_close(tensor, of_epoch[name], rtol=1e-3, atol=1e-3)
    best = load_file(tmp_path / "m" / "best.safetensors")
    wanted = load_file(tmp_path / "m" / "checkpoints" / "epoch_0002.safetensors")
    assert all(torch.equal(best[name], wanted[name]) for name in wanted)


def test_only_every_so_many_weights_are_kept(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    train(cases[:2], [], tmp_path / "m", tiny, changed(quick, epochs=5, keep_every=2))
    kept = sorted(path.name for path in (tmp_path / "m" / "checkpoints").iterdir())
    assert kept == ["epoch_0002.safetensors", "epoch_0004.safetensors"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"schedule": "plateau"}, "the schedule plateau"),
        ({"patience": 1}, "patience"),
        ({"keep": "best"}, "keeping the"),
    ],
)
def test_what_goes_by_the_validation_needs_one(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, settings: dict[str, Any], name: str
) -> None:
    message = f"{name}.* goes by the validation Dice, but there is no validation case"
    refused(cases[:2], [], tmp_path / "m", message, model=tiny, config=changed(quick, **settings))


def test_tensorboard_is_asked_for_only_where_it_is_wanted(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    config = changed(quick, tensorboard=True)
    message = "tensorboard is not installed: install it with 'pip install tensorboard', or train without its logs"
    refused(cases[:2], [], tmp_path / "m", message, model=tiny, config=config)


# What a person sees of it


def test_previews_come_with_each_validation(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    train(cases[:2], cases[2:], tmp_path / "m", tiny, changed(quick, epochs=4, validate_every=2))
    seen = read_previews(tmp_path / "m")
    assert seen is not None
    assert seen.epochs == (2, 4)
    assert [name.split(",")[0] for name in seen.names] == ["carl", "dora"]
    assert seen.images.shape == seen.probability(4).shape == (2, 64, 64)
    assert (seen.probability(2) != seen.probability(4)).any()


def test_previews_without_validation_say_training(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    train(cases[:2], [], tmp_path / "m", tiny, quick)
    seen = read_previews(tmp_path / "m")
    assert seen is not None
    assert all(name.endswith(", training") for name in seen.names)
    assert seen.epochs == (2,)


def test_report_tells_of_the_model(trained_folder: Path) -> None:
    page = (trained_folder / "report.html").read_text("utf-8")
    info = load_model(trained_folder).info
    for text in (
        "Training of trained",
        "carl",
        "anna, bert",
        info.provenance.weights_sha256,
        "too few to tell",
        f"</b>s<span>{info.provenance.device.split(' (')[0]}",
        "<svg",
    ):
        assert text in page
    assert page.count("<img") == 1
    assert page.count("<polyline") == 5


# Short of memory


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """From now on networks run out of memory when they are taught more slices at once than this."""
    forward = SpaceToDepth.forward

    def limit(most: int) -> None:
        def limited(network: SpaceToDepth, image: torch.Tensor) -> torch.Tensor:
            if network.training and len(image) > most:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(network, image)

        monkeypatch.setattr(SpaceToDepth, "forward", limited)

    return limit


DIVIDED = "out of memory on the cpu: each step takes its 4 slices 2 at a time"


def test_training_with_little_memory_goes_on_and_says_so(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, short_of_memory: Callable[[int], None]
) -> None:
    short_of_memory(2)
    seen: list[Progress] = []
    train(cases[:2], [], tmp_path / "m", tiny, quick, on_progress=seen.append)
    assert [(report.stage, report.done) for report in seen if report.note == DIVIDED] == [("training", 0)]
    assert load_model(tmp_path / "m").info.provenance.notes == (DIVIDED,)
    assert len(history(tmp_path / "m")) == 2


def test_resumed_run_takes_as_few_slices_at_once_as_before(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, short_of_memory: Callable[[int], None]
) -> None:
    short_of_memory(2)
    train(cases[:2], [], tmp_path / "whole", tiny, quick)
    with pytest.raises(Cancelled):
        train(cases[:2], [], tmp_path / "stopped", tiny, quick, on_progress=stop_at("training", 1))
    short_of_memory(99)
    train(cases[:2], [], tmp_path / "stopped", tiny, quick, resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    assert load_model(tmp_path / "stopped").info.provenance.notes == (DIVIDED,)


def test_run_without_memory_for_one_slice_keeps_its_checkpoint(
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    short_of_memory: Callable[[int], None],
) -> None:
    def fill_memory(report: Progress) -> None:
        if (report.stage, report.done) == ("training", 1):
            short_of_memory(0)

    output = tmp_path / "trained"
    with pytest.raises(MemoryError, match="not enough memory on the cpu to train on even one slice"):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=fill_memory)
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(output)
    short_of_memory(99)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert_same_run(output, trained_folder)


# Full disk


def test_full_disk_is_told_and_keeps_the_checkpoint_before(
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, write, written = tmp_path / "trained", Path.write_bytes, []

    def fill(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) == 3:  # after the best weights
            write(path, content[:9])
            raise OSError(28, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fill)
        message = f"{output / 'last.safetensors'} cannot be written: no space left on device"
        with pytest.raises(OSError, match=re.escape(message)):
            train(cases[:2], cases[2:3], output, tiny, quick)
    left = {".lock", "run.json", "state.json", "history.csv", "last.safetensors", "best.safetensors", "previews"}
    assert {path.name for path in output.iterdir()} == left
    state = read_state(output)
    assert state is not None
    assert (state.status, state.message) == ("failed", message)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert_same_run(output, trained_folder)


# Refused


@pytest.mark.parametrize("file", ["model.json", "run.json"])
def test_folder_with_a_model_or_a_run_is_refused_and_nothing_changes(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, file: str
) -> None:
    (tmp_path / file).write_text("precious")
    message = f"{tmp_path / file} exists already; resume that run or choose another folder"
    with pytest.raises(FileExistsError, match=re.escape(message)):
        train(cases[:2], [], tmp_path, tiny, quick)
    assert files(tmp_path) == {file: b"precious"}


def test_folder_that_another_process_trains_in_is_refused_and_its_state_stays(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = shutil.copytree(trained_folder, tmp_path / "run")
    with owned(output), StateFile(output, 2):
        before = (output / "state.json").read_bytes()
        for resume in (True, False):
            with pytest.raises(OSError, match=f"{output} is being trained in by process {os.getpid()}"):
                train(cases[:2], cases[2:3], output, tiny, quick, resume=resume)
        assert (output / "state.json").read_bytes() == before


def refused(
    train_cases: Sequence[Case], validation_cases: Sequence[Case], output: Path, message: str, **options: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        train(train_cases, validation_cases, output, **options)
    assert not output.exists()


def test_patient_on_both_sides_is_refused(cases: list[Case], tmp_path: Path) -> None:
    visits = [replace(cases[0], name=f"TCGA_CS_4941_1996010{day}") for day in (1, 2)]
    message = "patient TCGA_CS_4941 is among the training and the validation cases"
    refused([visits[0], cases[1]], [visits[1]], tmp_path / "m", message)


def test_no_case_at_all_is_refused(tmp_path: Path) -> None:
    refused([], [], tmp_path / "m", "there is no case to train on")


def test_cases_without_any_tumour_are_refused_and_nothing_stands_in_the_way_of_a_new_run(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    message = "no training slice has tumour: there is nothing to learn from"
    with pytest.raises(ValueError, match=message):
        train([cases[3]], [cases[0]], tmp_path / "m", tiny, quick)
    state = read_state(tmp_path / "m")
    assert state is not None
    assert (state.status, state.message) == ("failed", message)
    assert set(files(tmp_path / "m")) == {".lock", "state.json"}
    train(cases[:1], [], tmp_path / "m", tiny, changed(quick, epochs=1))


@pytest.mark.parametrize("side", ["training", "validation"])
def test_case_without_masks_is_refused(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, side: str
) -> None:
    bad = replace(cases[0], masks=(None,) * len(cases[0].masks))
    message = "anna has no manual mask and no correction, and cannot be trained on"
    sides = ([bad], [cases[1]]) if side == "training" else ([cases[1]], [bad])
    refused(*sides, tmp_path / "m", message, model=tiny, config=quick)


def test_slices_without_a_mask_change_nothing(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    """What stands in masks that are not known must not matter, neither to the weights nor to the score."""
    partial = replace(cases[0], masks=(None, None, *cases[0].masks[2:]))
    wrong = np.full((64, 64), 255, np.uint8)
    tifffile.imwrite(tmp_path / "1.tif", wrong)
    known = replace(partial, corrections=((1, tmp_path / "1.tif"),))
    scores = {}
    for name, case in {"all": cases[0], "partial": partial, "corrected": known}.items():
        train([cases[1]], [case], tmp_path / name, tiny, quick)
        scores[name] = read_model_info(tmp_path / name).validation_dice["anna"]
    assert len(set(scores.values())) == 3
    taught = [train([case], [], tmp_path / f"of {n}", tiny, quick) for n, case in enumerate((partial, known))]
    assert taught[0].info.provenance.weights_sha256 != taught[1].info.provenance.weights_sha256


def test_loss_that_becomes_nan_ends_the_run_and_leaves_no_model(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    growing = changed(quick, epochs=40, optimizer="sgd", schedule="constant", learning_rate=10, weight_decay=10)
    with pytest.raises(ValueError, match=r"the loss became NaN at a learning rate of 10: train anew with a lower one"):
        train(cases[:2], [], tmp_path / "m", tiny, growing)
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(tmp_path / "m")


# Fine-tuning


def test_fine_tuning_begins_with_the_parent_and_records_it(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    parent = load_model(trained_folder)
    model = train(
        cases[2:3],
        [],
        tmp_path / "child",
        parent.info.model,
        changed(quick, epochs=1, learning_rate=1e-12),
        parent=trained_folder,
    )
    assert model.info.model == parent.info.model
    assert model.info.provenance.parent_sha256 == parent.info.provenance.weights_sha256
    parameters = dict(load_model(tmp_path / "child").network.named_parameters())
    for name, tensor in parent.network.named_parameters():
        torch.testing.assert_close(parameters[name], tensor, rtol=1e-3, atol=1e-3)


def test_temperature_of_the_parent_says_nothing_of_new_weights(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    parent = load_model(trained_folder)
    warm = TrainedModel(parent.info.model_copy(update={"temperature": 2.0}), parent.network)
    save_model(warm, tmp_path / "parent")
    child = train(cases[2:3], [], tmp_path / "child", None, changed(quick, epochs=1), parent=tmp_path / "parent")
    assert child.info.temperature == 1


def test_other_network_than_the_parents_is_refused(cases: list[Case], trained_folder: Path, tmp_path: Path) -> None:
    message = re.escape("filters (9, 9, 9) was asked for, but the model to start from has (4, 8, 8), which is kept")
    other = ModelConfig(filters=(9, 9, 9))
    refused(cases[2:3], [], tmp_path / "child", message, model=other, parent=trained_folder)


def test_fine_tuning_leaves_the_parent_alone(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    before = files(trained_folder)
    train(cases[2:3], [], tmp_path / "child", None, changed(quick, epochs=1, learning_rate=0.1), parent=trained_folder)
    assert files(trained_folder) == before
    assert (tmp_path / "child" / "weights.safetensors").read_bytes() != before["weights.safetensors"]


def test_patient_that_the_parent_was_trained_on_is_not_validated_on(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="was trained on patient anna"):
        train(cases[2:3], cases[:1], tmp_path / "child", None, quick, parent=trained_folder)
    assert not (tmp_path / "child").exists()


def test_fine_tuned_model_says_what_its_parent_scored_on_the_same_cases(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "child"
    with pytest.raises(Cancelled):
        train(cases[:2], cases[2:3], output, None, quick, parent=trained_folder, on_progress=stop_at("epoch 2", 1))
    child = train(cases[:2], cases[2:3], output, resume=True)  # the parent is known
    assert child.info.parent_dice == {
        "carl": pytest.approx(load_model(trained_folder).info.validation_dice["carl"], abs=0.02)
    }
    assert child.info.parent_dice != child.info.validation_dice
    seen = read_previews(output)
    assert seen is not None
    assert seen.epochs == (0, 2)
    page = (output / "report.html").read_text("utf-8")
    assert "its parent" in page
    assert f"{child.info.parent_dice['carl']:.3f}" in page


def test_grandchild_knows_its_ancestors_and_is_not_validated_on_what_they_have_seen(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    once = changed(quick, epochs=1)
    parent = load_model(trained_folder).info
    child = train(cases[2:3], [], tmp_path / "child", None, once, parent=trained_folder).info
    train(cases[2:3], cases[3:], tmp_path / "grandchild", None, once, parent=tmp_path / "child")
    info = load_model(tmp_path / "grandchild").info
    assert [(item.name, item.train_cases) for item in info.lineage] == [
        ("trained", ("anna", "bert")),
        ("child", ("carl",)),
    ]
    hashes = [parent.provenance.weights_sha256, child.provenance.weights_sha256]
    assert [item.weights_sha256 for item in info.lineage] == hashes
    assert info.seen_cases == ("anna", "bert", "carl")
    message = "was trained on patient anna"
    refused(cases[2:3], cases[:1], tmp_path / "m", message, config=once, parent=tmp_path / "grandchild")


@pytest.mark.parametrize("blocks", [0, 2])
def test_fine_tuning_can_leave_the_first_blocks_alone(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path, blocks: int
) -> None:
    frozen = tiny.changed({"freeze_encoder_blocks": blocks})
    train(cases[:2], [], tmp_path / "m", frozen, quick, parent=trained_folder)
    before, after = (read_weights(load_model(folder).network) for folder in (trained_folder, tmp_path / "m"))
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert bool(same) == bool(blocks)
    assert len(same) < len(before)
    assert load_model(tmp_path / "m").info.model == tiny


def test_cases_of_the_fixture_are_what_the_tests_think(cases: list[Case]) -> None:
    tumour = []
    for case in cases:
        mask = read_mask(case, read_volume(case))
        assert mask is not None
        tumour.append(bool(mask.any()))
    assert tumour == [True, True, True, False]
    assert find_cases(cases[0].folder.parent) == cases
