"""What is told of a run, from nothing but its folder."""

import errno
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from napari_brainseg.core.config import ModelConfig
from napari_brainseg.core.model_folders import ModelInfo
from napari_brainseg.plugin import train_watch
from napari_brainseg.plugin.train_process import end_at_once, last_words
from napari_brainseg.plugin.train_run_page import status_words
from napari_brainseg.plugin.train_watch import RunReader

NOBODY = 2**22 + 1
"""The number of no process: Linux has none so high."""


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def words(view, *, stopping=False):
    return status_words(view, stopping=stopping)


def test_a_running_training_is_told_with_all_that_there_is(make_run):
    view = RunReader(make_run("run")).look()

    assert (view.status, view.is_under_way, view.problem) == ("running", True, "")
    assert [row.epoch for row in view.history] == [1, 2]
    assert view.previews.epochs == (0, 1, 2)
    assert view.run.validation_cases == ("carl", "dora")
    assert view.info is None
    assert words(view) == "2 of 4 epochs done, 2 min so far."
    assert words(view, stopping=True) == "Stopping after 2 of 4 epochs: the step at hand is finished first."


def test_what_did_not_change_is_not_read_again(make_run):
    reader = RunReader(make_run("run"))
    first, second = reader.look(), reader.look()

    assert second.previews is first.previews
    assert second.run is first.run


def test_a_new_epoch_is_seen(make_run):
    folder = make_run("run")
    reader = RunReader(folder)
    reader.look()
    history = folder / "history.csv"
    history.write_text(history.read_text() + "3,180,0.3,0.001,,,\n")

    assert [row.epoch for row in reader.look().history] == [1, 2, 3]


def test_a_training_whose_process_is_gone_has_stopped(make_run):
    view = RunReader(make_run("run", pid=NOBODY)).look()

    assert (view.status, words(view)) == ("stopped", "Stopped after 2 of 4 epochs (the process ended).")


def test_a_stopped_training_says_that_its_model_can_be_used(make_run):
    info = ModelInfo(name="run", model=ModelConfig())
    view = RunReader(make_run("run", status="stopped", model=info)).look()

    assert words(view) == "Stopped after 2 of 4 epochs; the weights so far are a model that can be used."


def test_a_finished_training_says_how_long_it_took(make_run):
    view = RunReader(make_run("run", status="finished", done=4)).look()

    assert words(view) == "Finished: 4 of 4 epochs in 4 min."


def test_a_failed_training_says_why(make_run):
    view = RunReader(make_run("run", status="failed", message="the loss became NaN")).look()

    assert words(view) == "⚠ Failed after 2 of 4 epochs: the loss became NaN."


def test_a_training_that_failed_before_it_could_say_so_is_told_by_its_log(tmp_path):
    (tmp_path / "train.log").write_text("reading cases\nbrainseg: the disk is full\n\n")
    view = RunReader(tmp_path, NOBODY, datetime.now(UTC)).look()

    assert (view.status, view.message) == ("failed", "the disk is full")


def test_a_process_that_has_said_nothing_yet_is_starting(tmp_path, sleeper):
    assert RunReader(tmp_path, sleeper.pid, datetime.now(UTC)).look().status == "starting"


def test_a_resumed_training_is_starting_until_the_state_is_its_own(make_run, sleeper):
    folder = make_run("run", status="stopped", updated=(datetime.now(UTC) - timedelta(minutes=5)).isoformat())

    assert RunReader(folder).look().status == "stopped"
    assert RunReader(folder, sleeper.pid, datetime.now(UTC)).look().status == "starting"
    assert RunReader(folder, sleeper.pid, datetime.now(UTC) - timedelta(hours=1)).look().status == "stopped"


def test_a_number_that_another_process_has_got_since_is_not_that_of_the_training(tmp_path, sleeper):
    assert RunReader(tmp_path, sleeper.pid, datetime.now(UTC) - timedelta(days=1)).look().status == "failed"


def test_a_folder_without_a_run_says_so(tmp_path):
    view = RunReader(tmp_path).look()

    assert (view.status, words(view)) == ("failed", f"⚠ {tmp_path} holds no run.")


def test_a_folder_that_was_taken_away_says_so_even_while_the_process_lives(tmp_path, sleeper):
    folder = tmp_path / "gone"
    view = RunReader(folder, sleeper.pid, datetime.now(UTC) - timedelta(seconds=1)).look()

    assert (view.status, words(view)) == ("failed", f"⚠ {folder} is not there any more: it was moved or deleted.")


@pytest.mark.parametrize("name", ["state.json", "history.csv", "run.json", "model.json", "previews/slices.npz"])
def test_a_damaged_file_is_named_and_the_rest_is_shown(make_run, name):
    folder = make_run("run", model=ModelInfo(name="run", model=ModelConfig()))
    (folder / name).write_text("epoch,seconds\nnothing,nowhere\n")
    view = RunReader(folder).look()

    assert str(folder) in view.problem
    assert "\n" not in view.problem
    assert view.status == ("failed" if name == "state.json" else "running")
    assert view.problem in words(view)
    assert (view.run is None) == (name == "run.json")


def test_a_state_that_cannot_be_read_for_a_moment_does_not_end_the_run(make_run, monkeypatch):
    folder = make_run("run")
    reader = RunReader(folder)
    before = reader.look()

    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / "state.json"))

    monkeypatch.setattr(train_watch, "read_state", refuse)
    view = reader.look()

    assert (view.status, view.state) == ("running", before.state)
    assert "Permission denied" in view.problem
    assert str(folder / "state.json") in words(view)


def test_the_process_of_a_run_can_be_ended(make_run, sleeper):
    state = RunReader(make_run("run", pid=sleeper.pid)).look().state
    end_at_once(state)

    assert sleeper.wait(10) != 0
    end_at_once(state)  # which is no error


def test_a_training_on_another_computer_is_not_ended_here(make_run, sleeper):
    state = RunReader(make_run("run", pid=sleeper.pid, host="far away")).look().state
    with pytest.raises(OSError, match="the training runs on far away: end it there"):
        end_at_once(state)

    assert sleeper.poll() is None


def test_the_last_words_of_a_long_log_are_found(tmp_path):
    (tmp_path / "train.log").write_text("step\n" * 5000 + "the end\n")

    assert last_words(tmp_path) == "the end"
