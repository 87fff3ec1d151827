"""Rounds of correcting and retraining: which model is in use, which came before it, and what each brought."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pydantic import Field

from .durations import now
from .files import write_text
from .model_folders import DEFAULT_MODEL, INFO_FILE, ModelInfo, read_model_info, shipped_models
from .settings import Settings, read_versioned
from .words import plain
from .workspaces import Workspace


class Adoption(Settings):
    """From when on a model was in use."""

    model: str = Field(
        description="Name of a shipped model, or a model folder; relative to the workspace if inside it."
    )
    weights_sha256: str
    time: str = Field(default_factory=now)
    is_back: bool = Field(False, description="Whether it was gone back to.")


class Adoptions(Settings):
    """The content of ``models.json``: the last one is in use."""

    schema_version: int = 1
    adoptions: tuple[Adoption, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One retraining in a workspace.

    Attributes
    ----------
    folder : Path
        The model that came of it.
    info : ModelInfo
        What stands in it.
    corrected_slices : int
        Corrected slices that it learned from.
    before, after : float or None
        Mean Dice of the former and of the new model on the same validation patients.
    base_before, base_after : float or None
        The same on patients that the former model had learned from: what was forgotten.
    is_used : bool
        Whether it is the model in use.
    was_adopted : bool
        Whether it ever was.
    """

    folder: Path
    info: ModelInfo
    corrected_slices: int
    before: float | None
    after: float | None
    base_before: float | None
    base_after: float | None
    is_used: bool
    was_adopted: bool


def read_adoptions(workspace: Workspace) -> tuple[Adoption, ...]:
    """Models adopted so far, the one in use last; none where the shipped one still is.

    Raises
    ------
    ValueError
        If the file is damaged or of a newer version.
    """
    try:
        return read_versioned(workspace.models, Adoptions, "the list of adopted models").adoptions
    except FileNotFoundError:
        return ()


def model_in_use(workspace: Workspace) -> str:
    """Model that was adopted last and not gone back from, the shipped one where there is none."""
    adoptions = read_adoptions(workspace)
    return _place(workspace, adoptions[-1].model) if adoptions else DEFAULT_MODEL


def adopt(workspace: Workspace, model: str | Path) -> Adoption:
    """Use a model from now on; nothing is moved or replaced.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is no model.
    OSError
        If the workspace cannot be written to.
    """
    return _adopt(workspace, str(model), is_back=False)


def roll_back(workspace: Workspace) -> Adoption:
    """Go back to the model that was in use before the present one.

    Raises
    ------
    FileNotFoundError, ValueError
        If none was adopted, or the former one is gone or has other weights now.
    """
    adoptions = read_adoptions(workspace)
    if not adoptions:
        raise ValueError(f"{workspace.folder}: no model was adopted, so there is none to go back to")
    stack: list[Adoption] = []
    for adoption in adoptions:
        if adoption.is_back:
            stack.pop()
        else:
            stack.append(adoption)
    if not stack:
        raise ValueError(f"{workspace.folder}: {DEFAULT_MODEL} is in use, and there was no other before it")
    if len(stack) == 1:  # which weights the shipped one had then stands nowhere
        return _adopt(workspace, DEFAULT_MODEL, is_back=True)
    former = _place(workspace, stack[-2].model)
    if read_model_info(former).provenance.weights_sha256 != stack[-2].weights_sha256:
        raise ValueError(
            f"{former} is no longer the model that was in use: its weights are others; adopt it anew if you want these"
        )
    return _adopt(workspace, former, is_back=True)


def find_rounds(workspace: Workspace, *, on_failure: Callable[[str, str], object] | None = None) -> list[Round]:
    """All retrainings in the workspace that came to a model, the oldest first.

    Parameters
    ----------
    workspace : Workspace
        Where they are.
    on_failure : callable, optional
        Told the name of each model that cannot be read, and why; the others are found.

    Raises
    ------
    ValueError
        If the list of adopted models is damaged, or a model is and nobody is told.
    """
    adoptions = read_adoptions(workspace)
    adopted = {_place(workspace, adoption.model) for adoption in adoptions}
    used = model_in_use(workspace)
    rounds = []
    for folder in sorted(path.parent for path in workspace.runs.glob(f"*/{INFO_FILE}")):
        try:
            rounds.append(_round(folder, str(folder) == used, str(folder) in adopted))
        except (ValueError, OSError) as error:
            if not on_failure:
                raise
            on_failure(folder.name, plain(error))
    return sorted(rounds, key=lambda found: found.info.provenance.created)


def workspace_of(run: Path) -> Workspace | None:
    """The workspace that a run belongs to, None if it stands elsewhere."""
    run = Path(os.path.abspath(run))
    workspace = Workspace(run.parent.parent)
    return workspace if run.parent == workspace.runs and workspace.is_there else None


def name_models(workspace: Workspace) -> dict[str, str]:
    """Names of the models that are known here, by the SHA-256 of their weights."""
    adopted = {adoption.weights_sha256: Path(adoption.model).name for adoption in read_adoptions(workspace)}
    shipped = {read_model_info(name).provenance.weights_sha256: name for name in shipped_models()}
    rounds = find_rounds(workspace, on_failure=lambda *_: None)  # which has no name that one could tell
    return shipped | adopted | {found.info.provenance.weights_sha256: found.folder.name for found in rounds}


def next_run(workspace: Workspace) -> Path:
    """Folder for the next retraining: ``runs/round-3`` after two."""
    number = 1
    while (folder := workspace.runs / f"round-{number}").exists():
        number += 1
    return folder


def _round(folder: Path, is_used: bool, was_adopted: bool) -> Round:
    info = read_model_info(folder)
    return Round(
        folder=folder,
        info=info,
        corrected_slices=sum(info.corrected_slices.get(name, 0) for name in info.train_cases),
        before=_mean(info.parent_dice.values()),
        after=info.mean_dice,
        base_before=_mean(info.parent_base_dice.values()),
        base_after=_mean(info.base_dice.values()),
        is_used=is_used,
        was_adopted=was_adopted,
    )


def _mean(values: Collection[float]) -> float | None:
    return fmean(values) if values else None


def _adopt(workspace: Workspace, model: str, *, is_back: bool) -> Adoption:
    sha = read_model_info(model).provenance.weights_sha256
    if Path(model).is_dir() and model not in shipped_models():
        path, home = (Path(os.path.abspath(place)) for place in (model, workspace.folder))
        model = path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)
    with workspace.locked("models"):
        former = read_adoptions(workspace)
        adoption = Adoption(model=model, weights_sha256=sha, is_back=is_back)
        content = Adoptions(adoptions=(*former, adoption))
        write_text(workspace.models, content.model_dump_json(indent=1) + "\n")
    return adoption


def _place(workspace: Workspace, model: str) -> str:
    """Where a model is that was noted relative to the workspace."""
    return model if model in shipped_models() else str(workspace.folder / model)
