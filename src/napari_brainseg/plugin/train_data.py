"""What a data folder offers to training: who trains, who validates, and how much of it is tumour."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.cases import Case, find_cases
from ..core.corrections import with_corrections
from ..core.masks import known_areas
from ..core.model_folders import ModelInfo
from ..core.progress import OnProgress, Progress
from ..core.splits import share_of_corrections, split_cases, worth_of, worth_of_rehearsal
from ..core.workspaces import Workspace
from .sentences import as_sentence


@dataclass(frozen=True, slots=True)
class CountedCase:
    """A case, and how many slices of it have tumour."""

    case: Case
    slices: int
    tumour_slices: int


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The cases of a folder that can be trained on, and why the others cannot."""

    folder: Path
    cases: tuple[CountedCase, ...]
    left_out: tuple[str, ...]

    @property
    def patients(self) -> int:
        """How many patients there are, whatever their cases."""
        return _patients(self.cases)

    @property
    def why_not(self) -> str:
        """Why nothing can be trained with them, as a sentence; empty if it can."""
        if self.patients < 2:
            return (
                f"Training needs at least 2 patients with manual masks, one to train on and one to validate on; "
                f"{self.folder.name} holds {self.patients}."
            )
        if not any(item.tumour_slices for item in self.cases):
            return f"No slice in {self.folder.name} has tumour: there is nothing to learn from."
        return ""


@dataclass(frozen=True, slots=True)
class Split:
    """Who trains and who validates."""

    training: tuple[CountedCase, ...]
    validation: tuple[CountedCase, ...]

    @property
    def worth(self) -> str:
        """What the validation is worth, as a sentence; empty where there is enough."""
        return worth_of(item.case.name for item in self.validation)


def read_training_data(folder: Path, workspace: Workspace | None, on_progress: OnProgress) -> TrainingData:
    """Find the cases of a folder and look into their masks, with what is corrected in a workspace.

    Raises
    ------
    OSError, ValueError
        If the folder cannot be read or holds no case.
    """
    counted: list[CountedCase] = []
    left_out: list[str] = []
    cases = find_cases(folder, on_progress=on_progress)
    cases = with_corrections(cases, workspace) if workspace else cases
    for done, case in enumerate(cases):
        on_progress(Progress("counting slices", done, len(cases)))
        if case.error or not case.has_truth:
            left_out.append(f"{case.name}: {case.error or 'it has no manual mask'}")
            continue
        try:
            areas = known_areas(case)
        except (OSError, ValueError) as error:
            left_out.append(f"{case.name}: {error}")
        else:
            counted.append(CountedCase(case, len(areas), int(np.count_nonzero(areas))))
    return TrainingData(folder, tuple(counted), tuple(left_out))


def split_data(data: TrainingData, share: float, seed: int, parent: ModelInfo | None) -> Split:
    """Split as the command line does that is told the same.

    Raises
    ------
    ValueError
        If nobody is left for one of the sides.
    """
    by_name = {item.case.name: item for item in data.cases}
    cases = [item.case for item in data.cases]
    sides = split_cases(cases, share, seed, parent=parent) if share else (cases, [])
    training, validation = (tuple(by_name[case.name] for case in side) for side in sides)
    return Split(training, validation)


def describe_corrections(data: TrainingData, split: Split | None, parent: ModelInfo | None) -> str:
    """What is corrected, and whether the parent may forget what it knows, in sentences."""
    training, validation = (
        [item.case for item in side] for side in ((split.training, split.validation) if split else (data.cases, ()))
    )
    sign = "⚠ " if any(case.corrected_slices for case in validation) else ""
    words = sign + as_sentence(share_of_corrections(training, validation))
    return f"{words} {as_sentence(worth_of_rehearsal(training, parent))}" if parent and split else words


def count(cases: Sequence[CountedCase]) -> tuple[int, int, int]:
    """Patients, slices, and slices with tumour."""
    return _patients(cases), sum(item.slices for item in cases), sum(item.tumour_slices for item in cases)


def _patients(cases: Sequence[CountedCase]) -> int:
    return len({item.case.patient for item in cases})
