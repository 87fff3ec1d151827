"""What of the progress a terminal and a log show."""

import io

import pytest
import rich.console

from napari_brainseg.cli import console
from napari_brainseg.core.progress import Progress

EPOCH = Progress("training", 1, 2, {"loss": 0.51234, "validation_dice": 0.9}, note="checkpoint saved")
LINE = "training 1/2  loss 0.5123  validation dice 0.9  checkpoint saved"


@pytest.fixture
def shown(monkeypatch):
    """Report to a terminal or a log, and get what it showed."""

    def report(*reports: Progress, terminal: bool) -> str:
        screen = rich.console.Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)
        monkeypatch.setattr(console, "errors", screen)
        with console.progress_shown() as on_progress:
            for progress in reports:
                on_progress(progress)
        return screen.file.getvalue()

    return report


def test_a_log_gets_what_has_a_note_and_else_a_line_now_and_then(shown, monkeypatch):
    steps = [Progress("epoch 1", number, 3, {"loss": 0.6}) for number in (1, 2, 3)]
    assert shown(*steps, EPOCH, terminal=False) == f"{LINE}\n"

    monkeypatch.setattr(console, "_LINE_SECONDS", 0.0)
    assert shown(*steps, terminal=False).splitlines() == [f"epoch 1 {number}/3  loss 0.6" for number in (1, 2, 3)]


def test_a_terminal_keeps_what_has_a_note_above_the_bars(shown):
    text = shown(Progress("epoch 1", 3, 3), EPOCH, Progress("epoch 2", 1, 3), terminal=True)

    assert LINE in text
    assert "epoch 2" in text


def test_stages_that_ended_leave_room_for_the_next(shown):
    """Each case is a stage of its own: a hundred of them are not a hundred bars."""
    steps = [Progress("segmenting", done, 2) for _ in range(9) for done in (1, 2)]
    frames = shown(*steps, Progress("saving", 1, 2), terminal=True).split("\r")

    assert any("saving" in frame for frame in frames)
    assert all(frame.count("segmenting") <= 1 for frame in frames)
