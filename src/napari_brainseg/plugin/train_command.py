"""What a person wants to be trained, and the command line that does it."""

import shlex
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path

from ..core.cases import Case
from ..core.config import AugmentationConfig, ModelConfig, TrainConfig
from ..core.runs import Run
from ..core.splits import VALIDATION_SHARE
from .commands import flags

MODELS_FOLDER = "brainseg-models"
LOG_FILE = "train.log"


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """All that the command line is told.

    Attributes
    ----------
    folder : Path
        The cases.
    output : Path
        The run folder, which becomes the model folder.
    parent : str or None
        Name or folder of the model to start from; None for a new network.
    model : ModelConfig
        That network; a parent brings its own.
    config : TrainConfig
        How to train.
    share : float
        Share of patients to validate on.
    minutes : int or None
        About how long it may take, in place of the epochs.
    corrections : Path or None
        A workspace whose corrections win over the masks in the folder.
    """

    folder: Path
    output: Path
    parent: str | None
    model: ModelConfig
    config: TrainConfig
    share: float = VALIDATION_SHARE
    minutes: int | None = None
    corrections: Path | None = None

    def arguments(self) -> list[str]:
        """What follows ``brainseg``."""
        words = ["train", str(self.folder), "--output", str(self.output)]
        words += ["--corrections", str(self.corrections)] if self.corrections else []
        words += ["--from", self.parent] if self.parent else flags(self.model, ModelConfig())
        words += [] if self.share == VALIDATION_SHARE else ["--validation-share", f"{self.share:g}"]
        config, default = self.config, TrainConfig.default(fine_tunes=self.parent is not None)
        if self.minutes:
            words += ["--minutes", str(self.minutes)]
            config = config.changed({"epochs": default.epochs})
        return words + flags(config, default) + _augmentation_flags(config.augmentation)


def command_line(arguments: list[str]) -> str:
    """The command as a person would type it."""
    return shlex.join(["brainseg", *arguments])


def resume_arguments(command: str) -> list[str]:
    """What follows ``brainseg`` to go on with a run that was begun by a command.

    Raises
    ------
    ValueError
        If the command is none of these.
    """
    words = shlex.split(command)
    if words[:2] != ["brainseg", "train"]:
        raise ValueError(f"the run was begun by {command or 'an unknown command'}, so it cannot be resumed from here")
    return [*words[1:], *([] if "--resume" in words else ["--resume"])]


def data_folder(run: Run) -> Path | None:
    """Folder of the cases that a run learns from; None if its command does not begin with it."""
    words = shlex.split(run.command)
    is_known = words[:2] == ["brainseg", "train"] and words[2:] and not words[2].startswith("-")
    return Path(run.directory, words[2]) if is_known else None


def default_output(data: Path, today: date) -> Path:
    """Folder for a new model beside the data: the first of today's that is not taken."""
    models = data.parent / MODELS_FOLDER
    return next(folder for number in count(1) if not (folder := models / f"{today.isoformat()}-{number}").exists())


def why_not_there(output: Path, cases: list[Case]) -> str:
    """Why a new model cannot go into a folder, as a sentence; empty if it can."""
    try:
        is_there = output.exists()
    except OSError as error:  # such as a name that is too long
        return f"The new model cannot go into that folder: {error.strerror}."
    if is_there:
        return f"The folder {output.name} exists already in {output.parent}: choose another name."
    for case in cases:
        is_folder_of_its_own = case.layout == "slices"
        if is_folder_of_its_own and (case.folder == output or case.folder in output.parents):
            return f"The folder {output.parent} is inside that of case {case.name}: choose another one for the model."
    return ""


def _augmentation_flags(config: AugmentationConfig) -> list[str]:
    if config == AugmentationConfig():
        return []
    return ["--augmentation", config.preset] if config.preset else flags(config, AugmentationConfig())
