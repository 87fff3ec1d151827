import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from napari_brainseg.core.config import TrainConfig
from napari_brainseg.core.devices import choose_device
from napari_brainseg.core.distribution import joined_team
from napari_brainseg.core.model_folders import read_model_info
from napari_brainseg.core.runs import ask_to_stop, read_history, read_state

SETTINGS = (
    *("--filters", "4", "--filters", "8", "--filters", "8", "--epochs", "30", "--epoch-slices", "32", "--seed", "3"),
    *(
        "--batch-size",
        "8",
        "--window",
        "64",
        "--learning-rate",
        "0.02",
        "--ema",
        "0.9",
        "--validation-share",
        "0.5",
        "--validate-every",
        "10",
    ),
    *("--device", "cpu", "--threads", "1", "--precision", "float32", "--augmentation", "none"),
)


def start(processes: int, folder: Path, output: Path, *arguments: str) -> list[subprocess.Popen[str]]:
    """Start a training as `torchrun` does: so many times, each process being told its number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "napari_brainseg", "train", str(folder), "--output", str(output), *SETTINGS]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    return [
        subprocess.Popen(
            [*command, *arguments],
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def test_two_processes_come_to_the_score_of_one_and_one_reports(patients: Path, tmp_path: Path) -> None:
    told = {}
    for processes in (1, 2):
        running = start(processes, patients, tmp_path / str(processes))
        told[processes] = [process.communicate(timeout=120) for process in running]
        assert [process.returncode for process in running] == [0] * processes, told
    one, two = (read_model_info(tmp_path / name) for name in ("1", "2"))
    assert two.validation_dice.keys() == one.validation_dice.keys()
    assert one.mean_dice is not None
    assert one.mean_dice > 0.3
    assert two.mean_dice == pytest.approx(one.mean_dice, abs=0.03)
    assert [row.epoch for row in read_history(tmp_path / "2")] == list(range(1, 31))
    assert "mean Dice per volume" in told[2][0][0]
    assert told[2][1][0] == ""


def test_all_processes_stop_together(patients: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    running = start(2, patients, output, "--epochs", "100000")
    while not read_history(output):
        assert all(process.poll() is None for process in running)
    ask_to_stop(output)
    told = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    state = read_state(output)
    assert state is not None
    assert state.status == "stopped"
    assert read_model_info(output).epoch == state.epoch


def test_batch_that_cannot_be_shared_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with (
        pytest.raises(ValueError, match="a batch of 16 cannot be shared out over 3 processes"),
        joined_team(TrainConfig(), choose_device("cpu")),
    ):
        pass
