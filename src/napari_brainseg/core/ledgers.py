"""What a person has done with each slice: state, who, when, how long, how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from .durations import now
from .files import write_text
from .settings import Settings, read_versioned
from .workspaces import Workspace

ReviewState = Literal["auto", "edited", "accepted", "flagged"]
REVIEW_STATES: tuple[ReviewState, ...] = get_args(ReviewState)
TRUE_STATES: tuple[ReviewState, ...] = ("edited", "accepted")
"""Slices in these are learned from."""


class SliceReview(Settings):
    """What was done with a slice."""

    state: ReviewState = Field("auto", description="auto: as the model left it; flagged: somebody is in doubt.")
    reviewer: str = ""
    time: str = Field(default_factory=now, description="Of the last change, UTC.")
    seconds: float = Field(0.0, ge=0, description="That somebody worked at it, all rounds together.")
    voxels_changed: int = Field(0, ge=0, description="Voxels that differ from the prediction.")
    model_sha256: str = Field("", description="Weights whose prediction was corrected; empty if there was none.")


class CaseLedger(Settings):
    """What was done with the slices of a case, by the number in their file names; the others are as they were."""

    schema_version: int = 2  # 2 added the folder; older ones are read as they are
    case: str
    folder: str = Field("", description="Where the images lie, from the workspace on; empty where they are no files.")
    slices: Mapping[int, SliceReview] = {}

    def count(self, state: ReviewState) -> int:
        """How many slices are in a state."""
        return sum(review.state == state for review in self.slices.values())


@dataclass(frozen=True, slots=True)
class Effort:
    """What the corrections of one model's predictions took: a round.

    Attributes
    ----------
    model_sha256 : str
        The model's weights.
    slices : int
        Slices that somebody edited, accepted or flagged.
    seconds : float
        Time spent at them.
    voxels : int
        Voxels changed in them.
    """

    model_sha256: str
    slices: int
    seconds: float
    voxels: int


def read_ledger(workspace: Workspace, case: str, folder: Path | None = None) -> CaseLedger:
    """What was done with a case so far.

    Parameters
    ----------
    workspace : Workspace
        Where it is kept.
    case : str
        The case's name, which another one may have had where other data were opened.
    folder : Path, optional
        Where the images of the case lie.

    Raises
    ------
    ValueError
        If the file is damaged, was written by a newer version, or is of a case whose images still lie in another
        folder. Where that is not there any more, the data were moved.
    """
    path = workspace.ledger_file(case)
    try:
        ledger = read_versioned(path, CaseLedger, "the ledger of a case")
    except FileNotFoundError:
        return CaseLedger(case=case)
    former = workspace.place_of(ledger.folder)
    if folder and ledger.folder and former.is_dir() and folder.is_dir() and not former.samefile(folder):
        raise ValueError(
            f"{path} tells of the {case} in {former}, not of that in {folder}: open the data as they were opened when "
            "it was corrected, or keep the corrections of one of them in another folder"
        )
    return ledger


def read_ledgers(workspace: Workspace) -> list[CaseLedger]:
    """What was done with all cases, by name."""
    names = [path.stem for path in sorted(workspace.ledger.glob("*.json")) if not path.name.startswith(".")]
    return [read_ledger(workspace, name) for name in names]


def write_ledger(workspace: Workspace, ledger: CaseLedger) -> None:
    """Write what was done with a case; the caller holds the lock of the case."""
    write_text(workspace.ledger_file(ledger.case), ledger.model_dump_json(indent=1) + "\n")


def reviewed_slices(workspace: Workspace, slices: Mapping[str, Sequence[int]]) -> dict[str, set[int]]:
    """Positions along Z of the slices that were edited or accepted, of cases given with their slice numbers."""
    reviewed = {}
    for name, all_numbers in slices.items():
        states = read_ledger(workspace, name).slices
        numbers = {number for number, review in states.items() if review.state in TRUE_STATES}
        reviewed[name] = {z for z, number in enumerate(all_numbers) if number in numbers}
    return reviewed


def efforts(ledgers: list[CaseLedger]) -> list[Effort]:
    """What corrections took, model by model, the first that was corrected first."""
    rounds: dict[str, list[SliceReview]] = {}
    done = [review for ledger in ledgers for review in ledger.slices.values() if review.state != "auto"]
    for review in sorted(done, key=lambda review: review.time):
        rounds.setdefault(review.model_sha256, []).append(review)
    return [
        Effort(sha, len(found), sum(one.seconds for one in found), sum(one.voxels_changed for one in found))
        for sha, found in rounds.items()
    ]
