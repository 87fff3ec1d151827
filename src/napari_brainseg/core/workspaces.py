"""The folder that a person's corrections, runs and models go into: beside the data, never in it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .cases import WORKSPACE_FILE, Case
from .files import file_name
from .words import refusal

CORRECTIONS_FOLDER, LEDGER_FOLDER = "corrections", "ledger"
_LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where corrections are kept.

    Attributes
    ----------
    folder : Path
        Holds ``corrections/CASE/`` (masks in Kaggle's layout), ``ledger/CASE.json``, ``queue.json`` (what to correct
        next), ``runs/`` (each run becomes a model) and ``models.json`` (which of them was adopted when). It is made
        when something is first written.
    """

    folder: Path

    @property
    def is_there(self) -> bool:
        """Whether something was written here as into a workspace."""
        return (self.folder / WORKSPACE_FILE).is_file()

    def corrections(self, case: str) -> Path:
        """Folder of a case's corrected masks, one file per slice."""
        return self.folder / CORRECTIONS_FOLDER / file_name(case)

    @property
    def ledger(self) -> Path:
        """Folder of what is known of each slice, a file per case."""
        return self.folder / LEDGER_FOLDER

    def ledger_file(self, case: str) -> Path:
        """File of what is known of a case's slices."""
        return self.ledger / f"{file_name(case)}.json"

    @property
    def queue(self) -> Path:
        """File that says which slices to correct next."""
        return self.folder / "queue.json"

    @property
    def runs(self) -> Path:
        """Folder of the trainings on corrections, each of which becomes a model."""
        return self.folder / "runs"

    @property
    def models(self) -> Path:
        """File that says which models were adopted."""
        return self.folder / "models.json"

    def note_of(self, place: Path) -> str:
        """A place as it is noted here: from the workspace on, so that both can be moved together."""
        try:
            return Path(os.path.relpath(place, self.folder)).as_posix()
        except ValueError:  # Windows: on another drive
            return str(place)

    def place_of(self, note: str) -> Path:
        """The place that `note_of` noted."""
        return Path(os.path.abspath(self.folder / note))

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep other windows and processes from writing what belongs to this name, such as a case.

        Raises
        ------
        OSError
            If the folder cannot be written to, or another process holds the lock for ten seconds.
        """
        try:
            self.ledger.mkdir(parents=True, exist_ok=True)
            if not (marker := self.folder / WORKSPACE_FILE).exists():
                marker.write_text('{"schema_version": 1}\n', "utf-8")
            lock = FileLock(self.ledger / f".{file_name(name)}.lock", timeout=_LOCK_SECONDS)
            lock.acquire()
        except Timeout as error:
            raise OSError(f"{self.folder}: another program is writing {name} and does not end") from error
        except OSError as error:
            raise type(error)(f"{self.folder} cannot be written to: {refusal(error)}") from error
        try:
            yield
        finally:
            lock.release()


def default_workspace(data: Path | str) -> Workspace:
    """Workspace beside a data set: ``kaggle_3m-corrected`` beside ``kaggle_3m``."""
    data = Path(os.path.abspath(data))  # "here/.." has no name to add to
    return Workspace(data.with_name(f"{data.name}-corrected"))


def existing_workspace(folder: Path) -> Workspace:
    """The workspace in a folder, which any other folder would become as soon as something is written.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If there is no folder, or it is no workspace.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; allowed is the folder of a workspace")
    if not (workspace := Workspace(folder)).is_there:
        raise ValueError(f"{folder} is no workspace: it holds no {WORKSPACE_FILE}")
    return workspace


def workspace_around(data: Path) -> Workspace:
    """Workspace beside a data set, or that beside the nearest folder around it, where it is a case of another set."""
    data = Path(os.path.abspath(data))
    around = (default_workspace(folder) for folder in (data, *data.parents[:-1]))
    return next((workspace for workspace in around if workspace.is_there), default_workspace(data))


def check_workspace(folder: Path, cases: Sequence[Case]) -> None:
    """Refuse a folder that is that of a case, lies in it or holds it: corrections would pass for data, or hide it.

    Raises
    ------
    ValueError
        If it is one.
    """
    if case := meeting(folder, cases):
        raise ValueError(
            f"{folder} {_relation(folder, case)} the folder of {case.name}; choose one outside the data, such as "
            f"{default_workspace(case.folder.parent).folder}"
        )


def meeting(folder: Path, cases: Sequence[Case]) -> Case | None:
    """The first case whose folder is this one, or holds it, or lies in it; None if what is written here is apart."""
    place = folder.resolve()
    for case in cases:
        home = case.folder.resolve()
        if place in (home, *home.parents) or (case.layout == "slices" and home in place.parents):
            return case
    return None


def _relation(folder: Path, case: Case) -> str:
    place, home = folder.resolve(), case.folder.resolve()
    return "is" if place == home else "holds" if place in home.parents else "lies in"
