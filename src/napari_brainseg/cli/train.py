"""``brainseg train``: cases with manual masks to a model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.cases import Case, find_cases, split_cases
from ..core.config import ModelConfig, Settings, TrainConfig
from ..core.model_folders import read_model_info
from .console import complain, progress_shown, say
from .settings_options import settings_options


@settings_options()
def train(
    call: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of cases with manual masks.")],
    output: Annotated[Path, typer.Option(help="Model folder to make.")],
    model: ModelConfig,
    config: TrainConfig,
    parent: Annotated[str | None, typer.Option("--from", help="Model to start from; its network is used.")] = None,
    folds: Annotated[Path | None, typer.Option(help="JSON file with lists of case names under 'folds'.")] = None,
    fold: Annotated[int, typer.Option(min=0, help="Which of the folds to validate on, from 0.")] = 0,
    validation_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of patients to validate on, where no folds are given.")
    ] = 0.2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")] = False,
) -> None:
    """Train a network, split by patient, and write a model folder."""
    if parent:
        model = read_model_info(parent).model.changed(_typed(call, model))
    with progress_shown() as on_progress:
        usable = _usable(find_cases(folder, on_progress=on_progress))
    if not usable:
        raise ValueError(f"{folder} holds no case that can be trained on")
    if folds:
        training, validation = _split_by_folds(usable, folds, fold)
    elif validation_share:
        training, validation = split_cases(usable, validation_share, config.seed)
    else:
        training, validation = usable, []
    complain(f"{len(training)} cases to train on, {len(validation)} to validate on")
    from ..core.training import train as train_model

    with progress_shown() as on_progress:
        trained = train_model(
            training,
            validation,
            output,
            model,
            config,
            parent=parent,
            resume=resume,
            command=call.obj,
            on_progress=on_progress,
        )
    info = trained.info
    for name, dice in info.validation_dice.items():
        say(f"{name}: Dice {dice:.3f}")
    score = "not validated" if info.mean_dice is None else f"mean Dice per volume {info.mean_dice:.3f}"
    say(f"{output}: {score}, {info.provenance.seconds / 60:.0f} min on {info.provenance.device}")


def _typed(call: typer.Context, settings: Settings) -> dict[str, Any]:
    """Those of the settings whose flags were typed, rather than left at their defaults."""
    sources = {name: call.get_parameter_source(name) for name in type(settings).model_fields}
    return {
        name: getattr(settings, name) for name, source in sources.items() if source and source.name == "COMMANDLINE"
    }


def _usable(cases: Sequence[Case]) -> list[Case]:
    usable = []
    for case in cases:
        if case.error or None in case.masks or not case.masks:
            complain(f"{case.name} is left out: {case.error or 'not every slice has a manual mask'}")
        else:
            usable.append(case)
    return usable


def _split_by_folds(cases: Sequence[Case], path: Path, fold: int) -> tuple[list[Case], list[Case]]:
    folds = _read_folds(path)
    if fold >= len(folds):
        raise ValueError(f"{path} has {len(folds)} folds, numbered from 0, but fold {fold} was asked for")
    usable = {case.name for case in cases}
    listed = {name for names in folds for name in names}
    if unlisted := [case.name for case in cases if case.name not in listed]:
        complain(f"{_names(unlisted)} left out: in none of the folds")
    if absent := [name for names in folds for name in names if name not in usable]:
        complain(f"{_names(absent)} in the folds but not among the usable cases")
    held_out = set(folds[fold])
    if not held_out & usable:
        raise ValueError(f"fold {fold} of {path} holds no usable case: there is nothing to validate on")
    return (
        [case for case in cases if case.name in listed - held_out],
        [case for case in cases if case.name in held_out],
    )


def _read_folds(path: Path) -> list[list[str]]:
    try:
        folds = json.loads(path.read_text("utf-8"))["folds"]
        are_names = all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in folds)
    except (ValueError, KeyError, TypeError):
        are_names = False
    if not are_names:
        raise ValueError(f"{path} holds no folds; allowed is JSON like {{'folds': [['case a'], ['case b']]}}")
    return list(folds)


def _names(names: Sequence[str]) -> str:
    """A few of the names, and how many more there are."""
    more = f" and {len(names) - 5} more are" if len(names) > 5 else " are" if len(names) > 1 else " is"
    return ", ".join(names[:5]) + more
