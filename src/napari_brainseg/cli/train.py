"""``brainseg train``: cases with manual masks to a model."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from ..core.cases import WORKSPACE_FILE, Case, find_cases
from ..core.config import AugmentationConfig, AugmentationName, ModelConfig, TrainConfig
from ..core.corrections import with_corrections
from ..core.durations import in_words
from ..core.model_folders import ModelInfo, read_model_info
from ..core.progress import Cancelled, is_one_of_several
from ..core.runs import REPORT_FILE, Run, read_run
from ..core.settings_files import read_settings
from ..core.splits import (
    VALIDATION_SHARE,
    Sides,
    read_folds,
    share_of_corrections,
    split_by_folds,
    split_cases,
    split_into_folds,
    worth_of,
    worth_of_rehearsal,
)
from ..core.words import counted
from ..core.workspaces import Workspace
from . import INTERRUPTED
from .console import complain, progress_shown, say
from .interrupts import gentle_interrupts, saying_so
from .plans import say_plan
from .settings_options import checked, is_typed, settings_options

if TYPE_CHECKING:  # it loads torch
    from ..core.training_plans import TrainingPlan

_YEAR = 365 * 24 * 60
_SPLITTING = ("folds", "fold", "validation_share")


@settings_options(changes=AugmentationConfig, typed=(ModelConfig, TrainConfig))
def train(
    call: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of cases with manual masks.")],
    output: Annotated[Path, typer.Option(help="Model folder to make.")],
    typed: dict[str, Any],
    changes: dict[str, Any],
    parent: Annotated[str | None, typer.Option("--from", help="Model to start from; its network is used.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML or JSON file of settings, such as another run's run.json; flags win.")
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Workspace with corrected masks, which win over those in the folder.")
    ] = None,
    augmentation: Annotated[
        AugmentationName | None, typer.Option(help="Preset that the augmentation starts from.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="How many folds to make, or a JSON file with lists of case names under 'folds'.")
    ] = None,
    fold: Annotated[int, typer.Option(min=0, help="Which of the folds to validate on, from 0.")] = 0,
    validation_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of patients to validate on, where no folds are given.")
    ] = VALIDATION_SHARE,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=_YEAR, help="About how long it may take: as many epochs as end within, instead of --epochs."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it would take, and write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: as JSON.")] = False,
) -> None:
    """Train a network, split by patient, and write a model folder."""
    _check_flags({name for name in (*_SPLITTING, "minutes") if is_typed(call, name)}, typed, resume=resume)
    if as_json and not dry_run:
        raise typer.BadParameter("--json was given without --dry-run: a training itself is told in words")
    before = read_run(output) if resume else None
    if resume and before is None:
        raise ValueError(f"{output} holds no run to resume")
    parent = parent or (before.parent if before else None)
    workspace = _workspace(corrections, before)
    old = read_model_info(parent) if parent else None
    model, training = _settings(before, old, config, typed)
    if augmentation or changes:
        base = {"preset": augmentation} if augmentation else training.augmentation.model_dump()
        training = training.changed({"augmentation": checked(AugmentationConfig, {**base, **changes})})
    with progress_shown() as on_progress:
        found = find_cases(folder, on_progress=on_progress)
        usable = _usable(with_corrections(found, workspace) if workspace else found)
    if not usable:
        raise ValueError(f"{folder} holds no case that can be trained on")
    if before:
        sides = _sides_of(before, usable, folder)
    else:
        sides = _split(usable, folds, fold, validation_share, training.seed, old)
    plural = "" if len(sides[0]) == 1 else "s"
    complain(f"{len(sides[0])} case{plural} to train on, {len(sides[1])} to validate on")
    if worth := worth_of(case.name for case in sides[1]):
        complain(worth)
    if workspace:
        complain(share_of_corrections(*sides))
        if old:
            complain(worth_of_rehearsal(sides[0], old))
    if dry_run or (minutes and not before):  # a run to resume has its epochs
        plan = _plan(sides, model, training, parent)
        if minutes and not before:
            training = training.changed({"epochs": plan.epochs_within(minutes, training)})
            complain(f"{counted(training.epochs, 'epoch')} end within {minutes:g} min")
        if dry_run:
            _say_what_would_be_done(plan, sides, model, training, as_json=as_json)
            return
    from ..core.training import train as train_model

    try:
        with gentle_interrupts(output) as interrupts, progress_shown() as on_progress:
            trained = train_model(
                *sides,
                output,
                model,
                training,
                parent=parent,
                resume=resume,
                corrections=workspace.folder if workspace else None,
                command=call.obj,
                on_progress=saying_so(interrupts, on_progress),
            )
    except Cancelled as stop:
        complain(str(stop))
        raise typer.Exit(INTERRUPTED) from stop
    _say_scores(trained.info, output)
    if interrupts.asked:
        complain("--resume goes on where it was stopped")
        raise typer.Exit(INTERRUPTED)


def _settings(
    before: Run | None, parent: ModelInfo | None, file: Path | None, typed: dict[str, Any]
) -> tuple[ModelConfig, TrainConfig]:
    """Defaults for the start, or what a run to resume had; then those of a file; then those typed."""
    model = before.model if before else parent.model.architecture if parent else ModelConfig()
    training = before.training if before else TrainConfig.default(fine_tunes=parent is not None)
    found = read_settings(file) if file else {"model": {}, "training": {}}
    both = model.model_dump() | found["model"], training.model_dump() | found["training"]
    if file:
        try:
            ModelConfig.model_validate(both[0])
            TrainConfig.model_validate(both[1])
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    flags = [
        {name: value for name, value in typed.items() if name in group.model_fields}
        for group in (ModelConfig, TrainConfig)
    ]
    return checked(ModelConfig, both[0] | flags[0]), checked(TrainConfig, both[1] | flags[1])


def _workspace(asked: Path | None, before: Run | None) -> Workspace | None:
    """The workspace that was asked for, else that of a run to resume."""
    if asked:
        if not Workspace(asked).is_there:
            raise ValueError(f"{asked} is no workspace of corrections: it holds no {WORKSPACE_FILE}")
        return Workspace(asked)
    if before is None or before.corrections is None:
        return None
    workspace = Workspace(Path(before.corrections))
    if not workspace.is_there:
        raise ValueError(
            f"the run to resume learns from the corrections in {workspace.folder}, which are not there any more: say "
            "with --corrections where they are"
        )
    return workspace


def _usable(cases: Sequence[Case]) -> list[Case]:
    usable = []
    for case in cases:
        if case.error or not case.has_truth:
            complain(f"{case.name} is left out: {case.error or 'it has no manual mask'}")
            continue
        if None in case.masks:
            known = {number for number, file in zip(case.numbers, case.masks, strict=False) if file}
            known |= {number for number, file in case.corrections if file}
            known -= {number for number, file in case.corrections if not file}  # somebody is in doubt
            complain(f"{case.name}: only the {len(known)} slices that have a mask are learned from")
        usable.append(case)
    return usable


def _split(
    cases: Sequence[Case], folds: str | None, fold: int, share: float, seed: int, parent: ModelInfo | None
) -> Sides:
    if folds and folds.isdecimal():
        return split_into_folds(cases, int(folds), fold, seed, parent=parent)
    if folds:
        return _split_by_file(cases, Path(folds), fold)
    try:
        return split_cases(cases, share, seed, parent=parent) if share else (list(cases), [])
    except ValueError as error:
        raise ValueError(f"{error} (--validation-share 0)") from error


def _split_by_file(cases: Sequence[Case], path: Path, fold: int) -> Sides:
    lists = read_folds(path)
    try:
        sides = split_by_folds(cases, lists, fold)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    usable, listed = {case.name for case in cases}, {name for names in lists for name in names}
    if unlisted := [case.name for case in cases if case.name not in listed]:
        complain(f"{_names(unlisted)} left out: in none of the folds")
    if absent := [name for names in lists for name in names if name not in usable]:
        complain(f"{_names(absent)} in the folds but not among the usable cases")
    return sides


def _sides_of(run: Run, cases: Sequence[Case], folder: Path) -> Sides:
    """The split of a run that is to go on."""
    by_name = {case.name: case for case in cases}
    if absent := [name for name in (*run.train_cases, *run.validation_cases) if name not in by_name]:
        raise ValueError(f"{_names(absent)} not among the usable cases of {folder}, but part of the run to resume")
    return [by_name[name] for name in run.train_cases], [by_name[name] for name in run.validation_cases]


def _names(names: Sequence[str]) -> str:
    """A few of the names, and how many more there are."""
    more = f" and {len(names) - 5} more are" if len(names) > 5 else " are" if len(names) > 1 else " is"
    return ", ".join(names[:5]) + more


def _check_flags(given: Collection[str], typed: Mapping[str, Any], *, resume: bool) -> None:
    """Pass over no flag in silence: refuse one that another makes void, and say which a run needs no more."""
    if resume and given:  # whoever repeats the command that began the run has given them rightly
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        complain(f"the run goes on with the split and the epochs that it was begun with, whatever {flags} says")
        return
    if "fold" in given and "folds" not in given:
        raise typer.BadParameter("--fold was given without --folds: it is one of them")
    if "folds" in given and "validation_share" in given:
        raise typer.BadParameter("--folds and --validation-share were both given: give one of them")
    if "minutes" in given and "epochs" in typed:
        raise typer.BadParameter("--epochs and --minutes were both given: give one of them")
    if "minutes" in given and is_one_of_several():
        raise typer.BadParameter("--minutes is measured in one process: give --epochs where several share the training")


def _plan(sides: Sides, model: ModelConfig, config: TrainConfig, parent: str | None) -> "TrainingPlan":
    from ..core.training_plans import plan_training

    with progress_shown() as on_progress:
        return plan_training(*sides, model, config, parent=parent, on_progress=on_progress)


def _say_what_would_be_done(
    plan: "TrainingPlan", sides: Sides, model: ModelConfig, config: TrainConfig, *, as_json: bool
) -> None:
    if as_json:
        names = [[case.name for case in side] for side in sides]
        content = asdict(plan) | {"most_bytes": plan.most_bytes, "epochs": config.epochs}
        content |= {"seconds": plan.seconds(config), "train_cases": names[0], "validation_cases": names[1]}
        say(json.dumps(content, indent=1))
    else:
        say_plan(plan, sides, model, config)


def _say_scores(info: ModelInfo, output: Path) -> None:
    for name, dice in info.validation_dice.items():
        old = info.parent_dice.get(name)
        say(f"{name}: Dice {dice:.3f}" + (f", before {old:.3f}" if old is not None else ""))
    for name, dice in info.base_dice.items():
        say(f"{name}, known before: Dice {dice:.3f}, before {info.parent_base_dice[name]:.3f}")
    score = "not validated" if info.mean_dice is None else f"mean Dice per volume {info.mean_dice:.3f}"
    assert info.training
    epochs = "" if info.epoch == info.training.epochs else f", after epoch {info.epoch} of {info.training.epochs}"
    say(f"{output / REPORT_FILE} shows how it went")
    say(f"{output}: {score}{epochs}, {in_words(info.provenance.seconds)} on {info.provenance.device}")
