"""What a run folder says at a moment: looked at again and again, read only where something changed."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

from ..core.model_folders import INFO_FILE, ModelInfo, read_model_info
from ..core.runs import (
    HISTORY_FILE,
    PREVIEW_FOLDER,
    REPORT_FILE,
    RUN_FILE,
    STATE_FILE,
    UNDER_WAY,
    EpochRow,
    Previews,
    Run,
    RunState,
    Status,
    read_history,
    read_previews,
    read_run,
    read_state,
)
from .train_process import last_words

_T = TypeVar("_T")
_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it was found.

    Attributes
    ----------
    folder : Path
        The run folder.
    status : str
        How it stands, judged from all there is.
    message : str
        Why it failed, or what it says of itself.
    state, run, previews, info
        What the folder holds of these; `info` is the model it left.
    history : tuple of EpochRow
        The epochs that ended.
    has_report : bool
        Whether there is a report.
    problem : str
        Which file is damaged; the others are shown all the same.
    """

    folder: Path
    status: Status
    message: str = ""
    state: RunState | None = None
    run: Run | None = None
    history: tuple[EpochRow, ...] = ()
    previews: Previews | None = None
    info: ModelInfo | None = None
    has_report: bool = False
    problem: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether a process is at it."""
        return self.status in UNDER_WAY


class RunReader:
    """Looks at a run folder.

    Parameters
    ----------
    folder : Path
        The run folder.
    pid : int
        The process that was started for it, which says nothing in the first seconds; 0 if it is not known.
    since : datetime, optional
        When that was; what the folder said before is of a former process.
    """

    def __init__(self, folder: Path, pid: int = 0, since: datetime | None = None) -> None:
        self.folder = folder
        self._pid = pid
        self._since = since
        self._state: RunState | None = None
        self._read: dict[str, tuple[int, Any]] = {}

    def look(self) -> RunView:
        """Return the run as it is now; a file that is damaged is told, not raised."""
        problems: list[str] = []

        def read(name: str, function: Callable[[Path], _T]) -> _T | None:
            try:
                return self._unless_known(name, function)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                problems.append(_one_line(self.folder / name, error))
                return None

        try:
            self._state = read_state(self.folder)  # each time: whether the process lives stands in no file
        except OSError as error:  # Windows refuses while the file is replaced: what it said before counts
            problems.append(_one_line(self.folder / STATE_FILE, error))
        except ValueError as error:
            self._state = None
            problems.append(_one_line(self.folder, error))
        run = read(RUN_FILE, read_run)
        history = tuple(read(HISTORY_FILE, read_history) or ())
        previews = read(PREVIEW_FOLDER, read_previews)
        info = read(INFO_FILE, read_model_info)
        problem = problems[0] if problems else ""
        status, message = self._judge(self._state, problem)
        has_report = (self.folder / REPORT_FILE).is_file()
        return RunView(self.folder, status, message, self._state, run, history, previews, info, has_report, problem)

    def _unless_known(self, name: str, function: Callable[[Path], _T]) -> _T | None:
        try:
            changed = (self.folder / name).stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if name not in self._read or self._read[name][0] != changed:
            self._read[name] = (changed, function(self.folder))
        value: _T = self._read[name][1]
        return value

    def _judge(self, state: RunState | None, problem: str) -> tuple[Status, str]:
        if state and (self._since is None or datetime.fromisoformat(state.updated) >= self._since):
            words = state.message or (last_words(self.folder) if state.status == "failed" else "")
            return state.status, words
        if not self.folder.is_dir():
            return "failed", f"{self.folder} is not there any more: it was moved or deleted"
        if self._pid and _is_running(self._pid, self._since):
            return "starting", ""
        return "failed", problem or last_words(self.folder) or f"{self.folder} holds no run"


def _is_running(pid: int, since: datetime | None) -> bool:
    """Whether a process just started lives; one that is much younger has only got its number."""
    try:
        process = psutil.Process(pid)
        is_later = since is not None and process.create_time() > since.timestamp() + _START_SECONDS
        return process.status() != psutil.STATUS_ZOMBIE and not is_later
    except psutil.NoSuchProcess:
        return False


def _one_line(path: Path, error: Exception) -> str:
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    return words if str(path) in words else f"{path} is damaged: {words}"
