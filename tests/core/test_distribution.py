"""One training in two processes, against the same in one."""

import signal
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from napari_brainseg.core.cases import Case
from napari_brainseg.core.config import ModelConfig, TrainConfig
from napari_brainseg.core.devices import choose_device
from napari_brainseg.core.distribution import Team, joined_team
from napari_brainseg.core.losses import create_loss
from napari_brainseg.core.model_folders import read_model_info
from napari_brainseg.core.models import TrainedModel, load_model, save_model
from napari_brainseg.core.progress import ignore_progress
from napari_brainseg.core.runs import read_history, read_state
from napari_brainseg.core.sampling import read_samples
from napari_brainseg.core.training import train
from napari_brainseg.core.validation import validate

CPU = choose_device("cpu")
WHOLE = TrainConfig(
    epochs=2,
    epoch_slices=24,
    batch_size=8,
    window=64,
    learning_rate=0.01,
    ema=0.5,
    device="cpu",
    threads=1,
    precision="float32",
    seed=3,
)
STILL = WHOLE.changed({"augmentation": "none"})

TRAINING = """
import os, signal
from napari_brainseg.core import training
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.networks import SpaceToDepth
from napari_brainseg.core.runs import ask_to_stop

cases = find_cases(data)
forward = SpaceToDepth.forward

def hungry(network, images):
    if network.training:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return forward(network, images)

def report(progress):
    if (f"{progress.stage} {progress.done}", rank) != moment:
        return
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif deed == "stop":
        ask_to_stop(output)
    elif deed == "starve":
        SpaceToDepth.forward = hungry
    else:
        raise OSError("the disk is on fire")

training.train(cases[:2], cases[2:], output, model, config, resume=resume, on_progress=report)
"""

VALIDATION = """
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import TrainConfig
from napari_brainseg.core.devices import choose_device
from napari_brainseg.core.distribution import joined_team
from napari_brainseg.core.losses import create_loss
from napari_brainseg.core.models import load_model
from napari_brainseg.core.progress import ignore_progress
from napari_brainseg.core.sampling import read_samples
from napari_brainseg.core.validation import validate

device, config, trained = choose_device("cpu", 1), TrainConfig(), load_model(trained)
with joined_team(config, device) as team:
    samples = read_samples(find_cases(data), trained.info.model, None, ignore_progress)
    loss = create_loss(config)
    found = validate(trained.network, samples, trained.info.model, device, loss, print, ignore_progress, team)
    said = repr((found.loss, found.dice, found.iou, list(found.worst)))
"""

COMMAND = """
import os, runpy, sys
for name, number in ("out", 1), ("err", 2):
    os.dup2(os.open(printed / f"{name}_{rank}", os.O_WRONLY | os.O_CREAT), number)
sys.argv[1:] = words
runpy.run_module("napari_brainseg", run_name="__main__")
"""

PROCESS = """
import os, sys
os.environ.update(place)
try:
    said = ""
    exec(code)
except Exception as error:
    said = f"{type(error).__name__}: {error}"
file.write_text(said)
"""


def place_of(rank: int, port: int) -> dict[str, str]:
    """What `torchrun` tells one of two processes."""
    numbers = {"MASTER_PORT": port, "WORLD_SIZE": 2, "RANK": rank, "LOCAL_RANK": rank}
    return {name: str(number) for name, number in numbers.items()} | {
        "MASTER_ADDR": "127.0.0.1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


InTwo = Callable[..., list[tuple[int | None, str]]]


@pytest.fixture(scope="module")
def in_two(apart: Callable[..., BaseProcess]) -> InTwo:
    """Run code in two processes; exit status and last words of each."""

    def run(code: str, folder: Path, **names: Any) -> list[tuple[int | None, str]]:
        port = free_port()
        files = [folder / f"said_{rank}" for rank in range(2)]
        running = [
            apart(PROCESS, **names, code=code, place=place_of(rank, port), rank=rank, file=file)
            for rank, file in enumerate(files)
        ]
        for file in files:
            file.unlink(missing_ok=True)
        for process in running:
            process.start()
        for process in running:
            process.join(120)
        return [
            (process.exitcode, file.read_text() if file.exists() else "")
            for process, file in zip(running, files, strict=True)
        ]

    return run


@pytest.fixture(scope="module")
def train_in_two(in_two: InTwo) -> InTwo:
    """Train in two processes; at a moment of one of them something happens to it."""

    def run(
        data: Path,
        output: Path,
        model: ModelConfig,
        config: TrainConfig,
        moment: tuple[str, int] = ("", 0),
        deed: str = "",
        *,
        resume: bool = False,
    ) -> list[tuple[int | None, str]]:
        names = {"data": data, "output": output, "model": model, "config": config}
        return in_two(TRAINING, output.parent, **names, moment=moment, deed=deed, resume=resume)

    return run


FINE = [(0, ""), (0, "")]


def assert_same_end(one: Path, other: Path) -> None:
    tensors, wanted = load_file(one / "last.safetensors"), load_file(other / "last.safetensors")
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())
    rows, wanted_rows = ([row.model_copy(update={"seconds": 0.0}) for row in read_history(it)] for it in (one, other))
    assert rows == wanted_rows
    assert read_model_info(one).validation_dice == read_model_info(other).validation_dice


@pytest.fixture(scope="module")
def whole(patients: Path, tiny: ModelConfig, tmp_path_factory: pytest.TempPathFactory, train_in_two: InTwo) -> Path:
    """Run of two processes that nothing happened to."""
    output = tmp_path_factory.mktemp("two") / "whole"
    assert train_in_two(patients, output, tiny, WHOLE) == FINE
    return output


# The same as one


@pytest.mark.parametrize("settings", [{"loss": "bce"}, {"accumulate": 2}], ids=str)
def test_two_processes_learn_step_by_step_what_one_does(
    patients: Path, cases: list[Case], tiny: ModelConfig, tmp_path: Path, settings: dict[str, Any], train_in_two: InTwo
) -> None:
    """But for the order in which float32 is added up, where images are not varied, which each process does by itself.

    Three steps, since a network makes much of little after more. SGD, since Adam does so at once where a gradient is
    all but zero.
    """
    once = {"epochs": 3, "epoch_slices": 8, "keep_every": 1, "ema": 0, "optimizer": "sgd", "learning_rate": 1e-3}
    config = STILL.changed({**once, **settings})
    train(cases[:2], cases[2:], tmp_path / "one", tiny, config)
    assert train_in_two(patients, tmp_path / "two", tiny, config) == FINE
    for step in (1, 2, 3):
        one, two = (load_file(tmp_path / it / "checkpoints" / f"epoch_{step:04d}.safetensors") for it in ("one", "two"))
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=5e-6)
    losses = [[row.loss for row in read_history(tmp_path / it)] for it in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    scores = [read_model_info(tmp_path / it).validation_dice for it in ("one", "two")]
    assert scores[1] == pytest.approx(scores[0], abs=1e-3)


def test_validation_shared_out_is_that_of_one_process(
    patients: Path, cases: list[Case], untrained: TrainedModel, tmp_path: Path, in_two: InTwo
) -> None:
    save_model(untrained, tmp_path / "model")
    trained = load_model(tmp_path / "model")  # weights are rounded on the disk
    model = trained.info.model
    samples = read_samples(cases, model, None, ignore_progress)
    found = validate(trained.network, samples, model, CPU, create_loss(TrainConfig()), lambda _: None, ignore_progress)
    wanted = (found.loss, found.dice, found.iou, list(found.worst))
    assert any(0 < dice < 1 for dice in found.dice.values())
    assert in_two(VALIDATION, tmp_path, data=patients, trained=tmp_path / "model") == [(0, repr(wanted))] * 2


def test_one_process_of_a_command_reports(patients: Path, tmp_path: Path, in_two: InTwo) -> None:
    sizes = ("--filters", "4", "--filters", "8", "--filters", "8", "--epochs", "1", "--epoch-slices", "8")
    settings = (*sizes, "--batch-size", "4", "--window", "64", "--device", "cpu", "--threads", "1")
    words = ["train", str(patients), "--output", str(tmp_path / "run"), *settings]
    assert in_two(COMMAND, tmp_path, words=words, printed=tmp_path) == FINE
    told = [[(tmp_path / f"{name}_{rank}").read_text() for name in ("out", "err")] for rank in range(2)]
    assert "mean Dice per volume" in told[0][0]
    assert told[1] == ["", ""]


def test_slices_drawn_are_the_same_however_many_share_them() -> None:
    generators = [torch.Generator().manual_seed(5) for _ in range(3)]
    teams = [Team(), Team(0, 2), Team(1, 2)]
    own = [torch.rand(4, generator=team.split(generator)) for team, generator in zip(teams, generators, strict=True)]
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    assert torch.equal(generators[0].get_state(), generators[2].get_state())
    assert not torch.equal(own[1], own[2])


def test_batch_that_cannot_be_shared_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with (
        pytest.raises(ValueError, match="a batch of 16 cannot be shared out over 3 processes"),
        joined_team(TrainConfig(), CPU),
    ):
        pass


# Stopped, killed, resumed


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill like this")
def test_killed_process_ends_the_other_and_the_run_goes_on_like_one_never_killed(
    patients: Path, tiny: ModelConfig, whole: Path, tmp_path: Path, number: int, train_in_two: InTwo
) -> None:
    output = tmp_path / "killed"
    told = train_in_two(patients, output, tiny, WHOLE, ("epoch 2 2", number), "kill")
    assert told[number] == (-signal.SIGKILL, "")
    assert told[1 - number] == (
        0,
        "ConnectionError: another process of this training ended: it was killed, or its computer was; "
        "it can be resumed after the last epoch",
    )
    state = read_state(output)
    assert state is not None
    assert (state.status, state.message.split(":")[0]) == (
        ("failed", "another process of this training ended") if number else ("stopped", "the process ended")
    )
    assert [row.epoch for row in read_history(output)] == [1]
    assert train_in_two(patients, output, tiny, WHOLE, resume=True) == FINE
    assert_same_end(output, whole)


def test_stopped_run_goes_on_in_two_processes_like_one_never_stopped(
    patients: Path, tiny: ModelConfig, whole: Path, tmp_path: Path, train_in_two: InTwo
) -> None:
    output = tmp_path / "stopped"
    assert train_in_two(patients, output, tiny, WHOLE, ("epoch 2 1", 1), "stop") == FINE
    state = read_state(output)
    assert state is not None
    assert (state.status, state.epoch) == ("stopped", 1)
    assert read_model_info(output).epoch == 1
    assert train_in_two(patients, output, tiny, WHOLE, resume=True) == FINE
    assert_same_end(output, whole)


def test_wish_to_stop_while_cases_are_read_ends_all(
    patients: Path, tiny: ModelConfig, tmp_path: Path, train_in_two: InTwo
) -> None:
    told = train_in_two(patients, tmp_path / "run", tiny, WHOLE, ("reading 1", 1), "stop")
    message = "stopped before the first epoch ended: there is no model yet, but the run can be resumed"
    assert told == [(0, f"Cancelled: {message}")] * 2


# What ends one process


STARVED = (
    "not enough memory on the cpu for 4 slices, the share of one process: train anew with a smaller batch, or resume "
)
STARVED += "where there is more"


@pytest.mark.parametrize("number", [0, 1])
def test_process_out_of_memory_ends_all_with_a_sentence_and_the_checkpoint_is_kept(
    patients: Path, tiny: ModelConfig, whole: Path, tmp_path: Path, number: int, train_in_two: InTwo
) -> None:
    output = tmp_path / "starved"
    told = train_in_two(patients, output, tiny, WHOLE, ("epoch 2 2", number), "starve")
    word = f"another process of this training ended: {STARVED}; it can be resumed after the last epoch"
    assert told[number] == (0, f"MemoryError: {STARVED}")
    assert told[1 - number] == (0, f"ConnectionError: {word}")
    state = read_state(output)
    assert state is not None
    assert (state.status, state.message) == ("failed", word if number else STARVED)
    assert not (output / "model.json").exists()
    assert train_in_two(patients, output, tiny, WHOLE, resume=True) == FINE
    assert_same_end(output, whole)


def test_error_between_steps_ends_all(patients: Path, tiny: ModelConfig, tmp_path: Path, train_in_two: InTwo) -> None:
    told = train_in_two(patients, tmp_path / "run", tiny, WHOLE, ("epoch 1 3", 0), "burn")
    assert told[0] == (0, "OSError: the disk is on fire")
    assert "another process of this training ended: the disk is on fire" in told[1][1]
