"""What stands in a run folder, for whoever watches it."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_brainseg.core import runs
from napari_brainseg.core.progress import Cancelled
from napari_brainseg.core.runs import (
    EpochRow,
    RunState,
    StateFile,
    add_epoch,
    ask_to_stop,
    is_alive,
    is_stop_asked,
    owned,
    read_history,
    read_previews,
    read_run,
    read_state,
    write_preview,
    write_previews,
)


def state(**changes: object) -> RunState:
    return RunState(pid=os.getpid(), host=platform.node(), epochs=4, status="running").changed(changes)


def write_state(folder: Path, **changes: object) -> None:
    (folder / "state.json").write_text(state(**changes).model_dump_json())


def test_a_folder_without_a_run_says_nothing(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    assert read_run(tmp_path) is None
    assert read_previews(tmp_path) is None
    assert read_history(tmp_path) == []


def test_state_says_how_the_block_ended(tmp_path: Path) -> None:
    with StateFile(tmp_path, 4) as file:
        begun = read_state(tmp_path)
        file.update(status="finished", epoch=4)
    ended = read_state(tmp_path)
    assert begun is not None
    assert (begun.status, begun.pid, begun.host, begun.epochs) == ("starting", os.getpid(), platform.node(), 4)
    assert ended is not None
    assert (ended.status, ended.epoch, ended.share) == ("finished", 4, 1.0)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("disk gone"), "failed", "disk gone"),
        (KeyboardInterrupt(), "stopped", "stopped at once"),
        (Cancelled("before the first epoch"), "stopped", "before the first epoch"),
    ],
)
def test_state_says_why_the_block_ended(tmp_path: Path, error: BaseException, status: str, message: str) -> None:
    with pytest.raises(type(error)), StateFile(tmp_path, 4):
        raise error
    ended = read_state(tmp_path)
    assert ended is not None
    assert (ended.status, ended.message) == (status, message)


def test_state_is_written_about_twice_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(runs.time, "monotonic", lambda: now)
    steps = []
    with StateFile(tmp_path, 4) as file:
        file.update(status="running", steps=40)
        for step in range(1, 41):
            now += 0.1
            file.update(step=step)
            seen = read_state(tmp_path)
            assert seen is not None
            steps.append(seen.step)
    assert len(set(steps)) in (8, 9)
    assert max(np.array(range(1, 41)) - steps) <= 5


def test_a_run_whose_process_ended_is_stopped(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    for status in ("starting", "running", "stopping"):
        write_state(tmp_path, pid=process.pid, status=status)
        seen = read_state(tmp_path)
        assert seen is not None
        assert (seen.status, seen.message) == ("stopped", "the process ended")


def test_who_is_alive(tmp_path: Path) -> None:
    assert is_alive(state())
    assert not is_alive(state(status="finished"))
    assert is_alive(state(host="elsewhere", pid=2**22 + 1))  # nobody here can know
    long_ago = (datetime.now(UTC) - timedelta(days=900)).isoformat()
    assert not is_alive(state(updated=long_ago))  # the number went to another process


def test_a_damaged_state_or_run_is_named(tmp_path: Path) -> None:
    for name, read in (("state.json", read_state), ("run.json", read_run)):
        (tmp_path / name).write_text("{")
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            read(tmp_path)


def test_a_state_or_run_of_a_newer_version_is_not_called_damaged(tmp_path: Path) -> None:
    for name, read in (("state.json", read_state), ("run.json", read_run)):
        (tmp_path / name).write_text('{"schema_version": 2, "new": 1}')
        with pytest.raises(ValueError, match=f"{name} has schema version 2, but up to 1 can be read here: update"):
            read(tmp_path)


def test_a_run_folder_is_owned_until_its_process_ends_however_it_does(
    tmp_path: Path, apart: Callable[..., BaseProcess]
) -> None:
    folder = tmp_path / "run"
    other = apart(
        "import time\n"
        "from napari_brainseg.core.runs import StateFile, owned\n"
        "with owned(folder), StateFile(folder, 4):\n"
        "    time.sleep(60)\n",
        folder=folder,
    )
    other.start()
    while not (folder / "state.json").is_file():
        time.sleep(0.01)
    with pytest.raises(OSError, match=f"{folder} is being trained in by process {other.pid} on "), owned(folder):
        pass
    other.kill()
    other.join()
    with owned(folder):
        pass


def test_a_wish_to_stop_from_before_the_process_is_forgotten(tmp_path: Path) -> None:
    ask_to_stop(tmp_path)
    os.utime(tmp_path / "stop", (0, psutil.Process().create_time() - 1))
    assert is_stop_asked(tmp_path)
    with StateFile(tmp_path, 4):
        assert not is_stop_asked(tmp_path)


def test_a_run_whose_folder_is_gone_cannot_be_asked_to_stop(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone cannot be asked to stop: no such file"):
        ask_to_stop(tmp_path / "gone")


def test_a_wish_to_stop_a_run_that_is_about_to_start_is_kept_until_its_end(tmp_path: Path) -> None:
    ask_to_stop(tmp_path)
    with StateFile(tmp_path, 4):
        assert is_stop_asked(tmp_path)
    assert not is_stop_asked(tmp_path)


def test_history_keeps_what_was_measured_and_replaces_what_a_kill_undid(tmp_path: Path) -> None:
    rows = [
        EpochRow(epoch=1, seconds=2.5, loss=0.5, learning_rate=1e-3),
        EpochRow(epoch=2, seconds=5, loss=0.4, learning_rate=1e-4, validation_loss=0.3, validation_dice=0.8),
        EpochRow(epoch=3, seconds=9, loss=0.3, learning_rate=1e-5),
    ]
    for row in (*rows, rows[1]):
        add_epoch(tmp_path, row)
    assert read_history(tmp_path) == rows[:2]
    header = (tmp_path / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,seconds,loss,learning_rate,validation_loss,validation_dice,validation_iou"


@pytest.mark.parametrize("content", [b"epoch,loss\n1,high\n", b"\xff\xfe", b"epoch\n1,2,3\n"])
def test_a_damaged_history_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"^.*history\.csv is damaged: it is no history of a run; take it away.*$"
    ) as told:
        read_history(tmp_path)
    assert "\n" not in str(told.value)


def test_previews_come_back_epoch_by_epoch(tmp_path: Path) -> None:
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    write_previews(tmp_path, images, images % 2, ["anna, slice 3", "bert, slice 5"])
    for epoch in (10, 5):
        write_preview(tmp_path, epoch, np.full((2, 4, 4), epoch / 10))
    seen = read_previews(tmp_path)
    assert seen is not None
    assert seen.epochs == (5, 10)
    assert seen.names == ("anna, slice 3", "bert, slice 5")
    np.testing.assert_array_equal(seen.images, images)
    np.testing.assert_array_equal(seen.manual, images % 2)
    assert seen.probability(5).dtype == np.uint8
    assert set(seen.probability(5).flat) == {128}
    assert set(seen.probability(10).flat) == {255}


def test_a_state_that_cannot_be_written_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with StateFile(tmp_path, 4) as file:
        with monkeypatch.context() as patch:
            patch.setattr(runs, "write_text", refuse)
            file.update(status="running")
        monkeypatch.setattr(runs, "_UPDATE_SECONDS", 0.0)
        file.update(epoch=2)
        seen = read_state(tmp_path)
    assert seen is not None
    assert (seen.status, seen.epoch) == ("running", 2)
    monkeypatch.setattr(runs, "write_text", refuse)
    with pytest.raises(OSError, match="No space left"), StateFile(tmp_path, 4):  # whoever starts it is told
        pass


def test_a_run_of_this_computer_under_another_name_ends_with_its_lock(tmp_path: Path) -> None:
    def seen(**changes: object) -> str:
        write_state(tmp_path, host="former name", pid=2**22 + 1, **changes)
        found = read_state(tmp_path)
        assert found is not None
        return found.status

    minutes_ago = (datetime.now(UTC) - timedelta(minutes=6)).isoformat()
    with owned(tmp_path):
        assert seen(updated=minutes_ago) == "running"
    assert (tmp_path / ".lock").exists() == (os.name != "nt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert seen() == "running"  # somebody else's lock may not be seen from here
    for _ in range(2):
        assert seen(updated=minutes_ago) == "stopped"
    assert {path.name for path in tmp_path.iterdir()} == set(before)
    with owned(tmp_path):
        pass


def test_what_a_kill_left_half_written_is_removed_by_the_next_that_trains(tmp_path: Path) -> None:
    (tmp_path / "previews").mkdir()
    left = [tmp_path / f".{'0' * 32}.safetensors", tmp_path / "previews" / f".{'1' * 32}.npz"]
    for path in left:
        path.touch()
        os.utime(path, (0, 0))
    with owned(tmp_path):
        assert not any(path.exists() for path in left)


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x03\x04half", b"another"])
def test_damaged_previews_are_named(tmp_path: Path, content: bytes) -> None:
    images = np.zeros((2, 4, 4), np.uint8)
    write_previews(tmp_path, images, images, ["anna, slice 3", "bert, slice 5"])
    write_preview(tmp_path, 5, images)
    previews = read_previews(tmp_path)
    assert previews is not None
    for path in (tmp_path / "previews").iterdir():
        if content == b"another":
            np.savez(path, other=images)
        else:
            path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^.*epoch_0005\.npz is damaged: it holds no previews of a run; take it away"):
        previews.probability(5)
    with pytest.raises(ValueError, match=r"^.*slices\.npz is damaged: it holds no previews of a run; take it away"):
        read_previews(tmp_path)


def test_the_copy_that_a_sync_tool_made_of_a_preview_is_none(tmp_path: Path) -> None:
    images = np.zeros((2, 4, 4), np.uint8)
    write_previews(tmp_path, images, images, ["anna, slice 3", "bert, slice 5"])
    write_preview(tmp_path, 5, images)
    (tmp_path / "previews" / "epoch_0005 (conflicted copy).npz").touch()
    seen = read_previews(tmp_path)
    assert seen is not None
    assert seen.epochs == (5,)
