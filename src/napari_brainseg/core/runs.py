"""What stands in the folder of a run: settings, state, history, previews. Whoever watches a training reads it here."""

import csv
import math
import os
import platform
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from zipfile import BadZipFile

import numpy as np
import psutil
from filelock import FileLock, Timeout
from pydantic import ConfigDict, Field

from .config import ModelConfig, TrainConfig
from .durations import now
from .files import atomic_path, remove_stale, write_text
from .progress import Cancelled
from .settings import Settings, Shown, read_versioned
from .volumes import Array
from .words import refusal

RUN_FILE = "run.json"
STATE_FILE = "state.json"
HISTORY_FILE = "history.csv"
STOP_FILE = "stop"
LOCK_FILE = ".lock"
CHECKPOINT_FILE = "last.safetensors"
BEST_FILE = "best.safetensors"
REPORT_FILE = "report.html"
PREVIEW_FOLDER = "previews"
KEPT_FOLDER = "checkpoints"
CACHE_FOLDER = "cache"

Status = Literal["starting", "running", "stopping", "stopped", "finished", "failed"]
UNDER_WAY: tuple[Status, ...] = ("starting", "running", "stopping")

_UPDATE_SECONDS = 0.5
_FRESH_SECONDS = 300.0
"""Longer than a step or the reading of a case takes: a run says something after each."""
_LOOK_SECONDS = 0.2
"""Longer than somebody who looks whether a folder is locked keeps the lock."""
_SLICES = "slices.npz"


class Run(Settings):
    """What was asked for, written once: a run can be resumed with nothing else."""

    schema_version: int = 1
    model: ModelConfig
    training: TrainConfig
    train_cases: tuple[str, ...]
    validation_cases: tuple[str, ...]
    parent_sha256: str | None = None
    parent: str | None = Field(None, description="The model to start from, as it was given.")
    corrections: str | None = Field(None, description="The workspace whose corrections are learned from.")
    command: Shown = ""
    directory: str = Field("", description="Where the command was given, which its relative paths start from.")


class RunState(Settings):
    """How far a run is."""

    schema_version: int = 1
    status: Status = "starting"
    pid: int
    host: str
    epoch: int = Field(0, description="Epochs that ended.")
    epochs: int
    step: int = Field(0, description="Steps of the epoch at hand that were taken.")
    steps: int = Field(0, description="Steps of each epoch; 0 while the cases are read.")
    seconds: float = Field(0.0, description="Seconds of training, those before a resume included.")
    seconds_left: float | None = None
    message: str = ""
    updated: str = Field(default_factory=lambda: now("milliseconds"))

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1."""
        return min((self.epoch + self.step / max(self.steps, 1)) / self.epochs, 1.0)


class EpochRow(Settings):
    """A row of ``history.csv``; what was not measured is None."""

    model_config = ConfigDict(allow_inf_nan=True)  # a validation loss may be; that ends no training

    epoch: int
    seconds: float
    loss: float
    learning_rate: float
    validation_loss: float | None = None
    validation_dice: float | None = None
    validation_iou: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Previews:
    """A few slices, always the same, and what the network says of them as it learns.

    Attributes
    ----------
    folder : Path
        Where the probabilities are.
    images, manual : ndarray
        (N, Y, X) uint8: FLAIR, and the manual mask as 0 and 1.
    names : tuple of str
        Case and slice number of each.
    epochs : tuple of int
        Epochs after which there are probabilities; 0 is the model that the run started from.
    """

    folder: Path
    images: Array
    manual: Array
    names: tuple[str, ...]
    epochs: tuple[int, ...] = ()

    def probability(self, epoch: int) -> Array:
        """Probability of tumour after an epoch, (N, Y, X) uint8, where 255 is certain.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        (array,) = _read_arrays(self.folder / _preview_name(epoch), "probability")
        return array


def read_run(folder: Path | str) -> Run | None:
    """What was asked for in a run folder, None where there is no run.

    Raises
    ------
    ValueError
        If the file is damaged or of a newer version.
    """
    try:
        return read_versioned(Path(folder) / RUN_FILE, Run, "the record of a run, without which it cannot be resumed")
    except FileNotFoundError:
        return None


def read_state(folder: Path | str) -> RunState | None:
    """How far a run is, None where there is none; one whose process ended in the middle is said to be stopped.

    Raises
    ------
    ValueError
        If the file is damaged or of a newer version.
    """
    try:
        state = read_versioned(Path(folder) / STATE_FILE, RunState, "the state of a run")
    except FileNotFoundError:
        return None
    if state.status in UNDER_WAY and not is_alive(state, Path(folder)):
        return state.model_copy(update={"status": "stopped", "message": "the process ended", "seconds_left": None})
    return state


def is_alive(state: RunState, folder: Path | None = None) -> bool:
    """Whether a run is under way; of one on another computer only its own word and the lock of its folder are known.

    This computer may have had another name. Not all disks share locks, so a word that is fresh counts more.
    """
    if state.status not in UNDER_WAY:
        return False
    updated = datetime.fromisoformat(state.updated).timestamp()
    if state.host != platform.node():
        return folder is None or time.time() - updated < _FRESH_SECONDS or _is_owned(folder)
    try:
        process = psutil.Process(state.pid)
        is_later = process.create_time() > updated + 1  # another, so numbered
        return process.status() != psutil.STATUS_ZOMBIE and not is_later
    except psutil.NoSuchProcess:
        return False


def _is_owned(folder: Path) -> bool:
    """Whether a process trains in a run folder, or nobody may know; looking changes nothing there."""
    lock = folder / LOCK_FILE
    try:
        with FileLock(lock, timeout=0) if lock.exists() else nullcontext():
            return False
    except OSError:
        return True


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keep all others from training in a run folder, which is made if it is not there, while the block runs.

    What a process that was killed there left half written is removed.

    The system holds the lock, so it goes with the process however that ends.

    Raises
    ------
    OSError
        If another process trains there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=_LOOK_SECONDS)
    except Timeout:
        raise in_use(folder) from None
    try:
        remove_stale((folder, folder / PREVIEW_FOLDER, folder / KEPT_FOLDER))
        yield
    finally:
        lock.release()


def in_use(folder: Path) -> OSError:
    """The error that says who trains in a run folder."""
    state = read_state(folder)
    process = f"process {state.pid} on {state.host}" if state else "another process"
    return OSError(f"{folder} is being trained in by {process}: wait for its end, or stop it")


def ask_to_stop(folder: Path | str) -> None:
    """Ask the run in a folder to end after the step at hand and to save what it has.

    Raises
    ------
    OSError
        If the folder is gone, or cannot be written to.
    """
    try:
        (Path(folder) / STOP_FILE).touch()
    except OSError as error:
        raise type(error)(f"the training in {folder} cannot be asked to stop: {refusal(error)}") from error


def is_stop_asked(folder: Path | str) -> bool:
    """Whether someone asked the run in a folder to end."""
    return (Path(folder) / STOP_FILE).exists()


def read_history(folder: Path | str) -> list[EpochRow]:
    """All epochs of a run that ended, none where there is no history yet.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    path = Path(folder) / HISTORY_FILE
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{str(key): text or None for key, text in row.items()} for row in csv.DictReader(file)]
        return [EpochRow.model_validate(row) for row in rows]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged: it is no history of a run; take it away to go on without it") from error


def add_epoch(folder: Path, row: EpochRow) -> None:
    """Add a row to the history; rows of epochs that a kill undid are dropped."""
    rows = [*(before for before in read_history(folder) if before.epoch < row.epoch), row]
    with atomic_path(folder / HISTORY_FILE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(EpochRow.model_fields))
        writer.writeheader()
        writer.writerows(item.model_dump() for item in rows)


def write_run(folder: Path, run: Run) -> None:
    """Write what was asked for."""
    write_text(folder / RUN_FILE, run.model_dump_json(indent=1) + "\n")


def read_previews(folder: Path | str) -> Previews | None:
    """Preview slices of a run, None while there are none.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    folder = Path(folder) / PREVIEW_FOLDER
    if not (folder / _SLICES).is_file():
        return None
    numbers = (path.stem.removeprefix("epoch_") for path in folder.glob("epoch_*.npz"))
    epochs = sorted(int(number) for number in numbers if number.isdigit())
    images, manual, names = _read_arrays(folder / _SLICES, "images", "manual", "names")
    return Previews(folder, images, manual, tuple(map(str, names)), tuple(epochs))


def write_previews(folder: Path, images: Array, manual: Array, names: Sequence[str]) -> None:
    """Write the slices that the previews of all epochs show."""
    (folder / PREVIEW_FOLDER).mkdir(exist_ok=True)
    _write_arrays(folder / PREVIEW_FOLDER / _SLICES, images=images, manual=manual, names=np.array(names, np.str_))


def write_preview(folder: Path, epoch: int, probability: Array) -> None:
    """Write what the network says of the preview slices after an epoch: (N, Y, X), 0 to 1."""
    stored = np.round(np.clip(probability, 0, 1) * 255).astype(np.uint8)
    _write_arrays(folder / PREVIEW_FOLDER / _preview_name(epoch), probability=stored)


class StateFile:
    """Keeps ``state.json`` up to date while a block runs, and says in it how the block ended.

    Parameters
    ----------
    folder : Path
        The run folder. A wish to stop from before this process is forgotten; one that is newer holds from the first
        step, and is forgotten at the end of the block.
    epochs : int
        Epochs in all.
    """

    def __init__(self, folder: Path, epochs: int) -> None:
        self._folder = folder
        self._written = -math.inf
        self._state = RunState(pid=os.getpid(), host=platform.node(), epochs=epochs)

    def __enter__(self) -> Self:
        stop = self._folder / STOP_FILE
        if stop.exists() and stop.stat().st_mtime < psutil.Process().create_time():
            stop.unlink()
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            (self._folder / STOP_FILE).unlink(missing_ok=True)
        if kind is None:
            return
        is_stop = issubclass(kind, (Cancelled, KeyboardInterrupt))
        message = str(error) or ("stopped at once" if is_stop else kind.__name__)
        self.update(status="stopped" if is_stop else "failed", message=message, seconds_left=None)

    def update(self, **changes: Any) -> None:
        """Change fields of the state; a change of status is written at once, others at most twice a second.

        Where it cannot be written, the next change is: who watches is told later, and the training goes on.
        """
        before = self._state.status
        self._state = self._state.model_copy(update={**changes, "updated": now("milliseconds")})
        if self._state.status != before or time.monotonic() - self._written >= _UPDATE_SECONDS:
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        write_text(self._folder / STATE_FILE, self._state.model_dump_json(indent=1) + "\n")


def _preview_name(epoch: int) -> str:
    return f"epoch_{epoch:04d}.npz"


def _read_arrays(path: Path, *names: str) -> list[Array]:
    try:
        with path.open("rb") as file, np.load(file) as stored:  # which leaves open what it opens and cannot read
            return [stored[name] for name in names]
    except (ValueError, LookupError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: it holds no previews of a run; take it away to go on without") from error


def _write_arrays(path: Path, **arrays: Any) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
