"""The training as a process of its own, which outlives the window."""

import platform
import sys
from pathlib import Path

import psutil
from qtpy.QtCore import QProcess

from ..core.runs import RunState, is_alive
from .train_command import LOG_FILE

_TAIL_BYTES = 4096


def start_training(arguments: list[str], output: Path, directory: str = "") -> int:
    """Start ``brainseg`` with these arguments, apart from this process, and return its number.

    What it prints goes to a log in the run folder. Relative paths start from `directory`, or else beside that folder.

    Raises
    ------
    OSError
        If the folder cannot be made or the process cannot be started.
    """
    output.mkdir(parents=True, exist_ok=True)
    process = QProcess()
    process.setProgram(sys.executable)
    process.setArguments(["-m", "napari_brainseg", *arguments])
    process.setWorkingDirectory(directory or str(output.parent))
    process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
    process.setStandardOutputFile(str(output / LOG_FILE), QProcess.OpenModeFlag.Append)
    started, number = process.startDetached()
    if not started:
        raise OSError(f"{sys.executable} could not be started: {process.errorString()}")
    return int(number)


def end_at_once(state: RunState) -> None:
    """End the process of a run without waiting for the step at hand.

    Raises
    ------
    OSError
        If it is on another computer, where its number is that of something else, or this is not allowed.
    """
    if not is_alive(state):
        return
    if state.host != platform.node():
        raise OSError(f"the training runs on {state.host}: end it there")
    try:
        psutil.Process(state.pid).kill()
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise PermissionError(f"the training (process {state.pid}) belongs to somebody else") from error


def last_words(output: Path) -> str:
    """The last line that the process printed, empty if there is none."""
    try:
        with (output / LOG_FILE).open("rb") as log:
            log.seek(0, 2)
            log.seek(max(log.tell() - _TAIL_BYTES, 0))
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip().removeprefix("brainseg: ") for line in reversed(lines) if line.strip()), "")
