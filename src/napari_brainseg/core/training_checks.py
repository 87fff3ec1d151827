"""What is refused before a training begins: each function raises ValueError with a sentence that says why."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from .cases import Case
from .config import ModelConfig, TrainConfig
from .model_folders import INFO_FILE, ModelInfo
from .runs import CHECKPOINT_FILE, RUN_FILE, UNDER_WAY, Run, in_use, read_history, read_state
from .tensorboards import check_tensorboard

_WHERE = {"device", "threads", "precision", "cache", "tensorboard"}
"""Settings that may be others when a run is resumed: where and how to compute, not what."""
_LONG = {
    "train_cases": "training cases",
    "validation_cases": "validation cases",
    "parent_sha256": "weights to start from",
}
"""Of a run, what is too long to be told, and what to call it."""


def checked_run(
    train_cases: Sequence[Case],
    validation_cases: Sequence[Case],
    model: ModelConfig | None,
    config: TrainConfig,
    parent: ModelInfo | None,
) -> Run:
    """What is to be done, once it is checked that it can be."""
    if parent and model:
        check_network(parent.model, model)
    refuse_cases(train_cases, validation_cases, parent.seen_patients if parent else ())
    check_settings(config, has_validation=bool(validation_cases))
    return Run(
        model=model or (parent.model.architecture if parent else ModelConfig()),
        training=config,
        train_cases=tuple(case.name for case in train_cases),
        validation_cases=tuple(case.name for case in validation_cases),
        parent_sha256=parent.provenance.weights_sha256 if parent else None,
    )


def check_network(parents: ModelConfig, asked: ModelConfig) -> None:
    """Refuse another network than that of the model to start from; its first blocks may be frozen."""
    for name in ModelConfig.model_fields:
        ours, theirs = getattr(asked.architecture, name), getattr(parents.architecture, name)
        if ours != theirs:
            raise ValueError(f"{name} {ours} was asked for, but the model to start from has {theirs}, which is kept")
    if asked.pretrained:
        raise ValueError("pretrained weights were asked for, but there is a model to start from: give only one of them")


def refuse_cases(train_cases: Sequence[Case], validation_cases: Sequence[Case], known: Collection[str]) -> None:
    """Refuse cases without a mask, and a patient on both sides or one to validate on whom the parent knows."""
    if not train_cases:
        raise ValueError("there is no case to train on")
    for case in (*train_cases, *validation_cases):
        if not case.has_truth:
            raise ValueError(f"{case.name} has no manual mask and no correction, and cannot be trained on")
    if both := {case.patient for case in train_cases} & {case.patient for case in validation_cases}:
        raise ValueError(f"patient {min(both)} is among the training and the validation cases")
    if seen := {case.patient for case in validation_cases}.intersection(known):
        raise ValueError(
            f"the model to start from was trained on patient {min(seen)}, so it cannot be validated on that patient"
        )


def check_settings(config: TrainConfig, *, has_validation: bool) -> None:
    """Refuse what goes by the validation where there is none, and logs that nothing here can write."""
    watching = {
        "the schedule plateau": config.schedule == "plateau",
        "patience": config.patience > 0,
        "keeping the best weights": config.keep == "best",
    }
    if not has_validation and (name := next((name for name, wanted in watching.items() if wanted), "")):
        raise ValueError(f"{name} goes by the validation Dice, but there is no validation case")
    if config.tensorboard:
        check_tensorboard()


def check_folder(output: Path, run: Run, before: Run | None) -> None:
    """Refuse to go on with another run than the one that is there, or to begin where there is one or a model.

    Raises
    ------
    FileExistsError
        If there is one and none is to be resumed.
    OSError
        If another process is at it.
    ValueError
        If the one to be resumed is another, or what it left is damaged.
    """
    if before:
        if other := _first_difference(_what(before), _what(run)):
            longer = f", or train anew from its model into another folder (--from {output} --output NEW)"
            raise ValueError(
                f"{output / RUN_FILE} describes a run with {other}; resume with the same"
                + (longer if (output / INFO_FILE).exists() else "")
            )
        if (output / INFO_FILE).exists() and not (output / CHECKPOINT_FILE).exists():  # it would begin anew
            raise ValueError(
                f"{output / CHECKPOINT_FILE} is not there any more, so the run cannot be resumed, and its model stays; "
                "train anew into another folder"
            )
        read_history(output)  # rather now than after an epoch
    elif existing := [name for name in (INFO_FILE, RUN_FILE) if (output / name).exists()]:
        if (state := read_state(output)) and state.status in UNDER_WAY:
            raise in_use(output)
        raise FileExistsError(f"{output / existing[0]} exists already; resume that run or choose another folder")


def _what(run: Run) -> dict[str, Any]:
    """All that decides the result of a run."""
    places = dict.fromkeys(("parent", "corrections", "command", "directory"), True)
    return run.model_dump(exclude={"training": _WHERE, **places})


def _first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first setting that a run had otherwise, with both values, or which cases; empty if there is none."""
    for name, old in before.items():
        if old == now[name]:
            continue
        if isinstance(old, Mapping):
            return _first_difference(old, now[name])
        return f"other {_LONG[name]}" if name in _LONG else f"{name} {old}, not {now[name]}"
    return ""
