"""Training a network: a run that can be stopped, killed and resumed."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .cases import Case
from .config import ModelConfig, TrainConfig
from .devices import choose_training_device, repeatable
from .distribution import joined_team, shared_end, writing_place
from .model_folders import model_folder
from .models import TrainedModel, load_model
from .progress import OnProgress, ignore_progress
from .runs import StateFile, read_run
from .sampling import cache_folder
from .training_checks import check_folder, checked_run
from .training_loop import TrainingLoop


def train(
    train_cases: Sequence[Case],
    validation_cases: Sequence[Case],
    output: Path | str,
    model: ModelConfig | None = None,
    config: TrainConfig | None = None,
    *,
    parent: str | Path | None = None,
    resume: bool = False,
    corrections: Path | str | None = None,
    command: str = "",
    on_progress: OnProgress = ignore_progress,
) -> TrainedModel:
    """Train a network on cases with manual masks and write it to a model folder.

    The weights kept are the running average at the end; unless `config.keep` says so, no epoch is picked by its
    validation score, so the score of the last epoch is an honest one.

    Parameters
    ----------
    train_cases, validation_cases : sequence of Case
        Usable cases with a manual mask or a correction of at least one slice, no patient on both sides; the latter may
        be empty. Slices without either are neither learned nor counted.
    output : Path or str
        The run folder, which becomes the model folder; `runs` reads what stands in it meanwhile. Whoever calls
        `runs.ask_to_stop` gets the model as it is then.
    model : ModelConfig, optional
        The network; the parent's if it is not given, and no other if there is one.
    config : TrainConfig, optional
        How to train; `TrainConfig.default` if it is not given.
    parent : str or Path, optional
        A model to start from.
    resume : bool
        Go on with the run in `output`, after the last step that was saved. The result is that of a run never
        interrupted, unless masks were changed meanwhile: then the epoch at hand begins anew, and the model says so.
        Settings that are not given are those of the run.
    corrections : Path or str, optional
        The workspace that the corrections of the cases come from, recorded for whoever resumes the run.
    command : str
        Recorded in the model.
    on_progress : callable
        Called after each step and epoch, and when memory runs out and a step has to take its slices in parts; it may
        raise `Cancelled`, which leaves a run that can be resumed after the last epoch that ended.

    Returns
    -------
    TrainedModel
        Its `info.epoch` tells whether the run was ended early.

    Raises
    ------
    FileExistsError
        If there is a model or a run in `output` already and `resume` is not set.
    OSError
        If another process trains in `output`.
    ValueError
        If the cases cannot be trained on, a patient is on both sides or was trained on by the parent or an ancestor of
        it, the run to resume was another one, the parent has another network, or the loss becomes NaN.
    Cancelled
        If someone asked to stop before the first epoch ended.
    MemoryError
        If there is not enough for a single slice. What the last whole epoch left can be resumed.
    """
    output = Path(output)
    before = read_run(output) if resume else None
    if resume and before is None:
        raise ValueError(f"{output} holds no run to resume")
    if before:
        model, config, parent = model or before.model, config or before.training, parent or before.parent
    config = config or TrainConfig.default(fine_tunes=parent is not None)
    start = load_model(parent) if parent else None
    run = checked_run(train_cases, validation_cases, model, config, start.info if start else None).model_copy(
        update={
            "parent": _place_of(parent) if parent else None,
            "corrections": os.path.abspath(corrections) if corrections else None,
            "command": command,
            "directory": str(Path.cwd()),
        }
    )
    check_folder(output, run, before)
    device = choose_training_device(config.device, config.threads, config.precision)
    with (
        joined_team(config, device) as team,
        repeatable(device),
        writing_place(output, team) as place,
        StateFile(place, config.epochs) as state,
        shared_end(team, output),
        cache_folder([*train_cases, *validation_cases], config, place, on_progress) as cache,
        ThreadPoolExecutor(1) as worker,
    ):
        team.gather(None)  # none goes on before all have looked at what is in the folder
        return TrainingLoop(
            run,
            start,
            train_cases,
            validation_cases,
            resume=resume,
            cache=cache,
            device=device,
            team=team,
            output=output,
            place=place,
            state=state,
            on_progress=on_progress,
        ).train(worker)


def _place_of(parent: str | Path) -> str:
    """The name of a shipped model, or the folder of another wherever the run is resumed."""
    return str(Path(parent).absolute()) if model_folder(parent) == Path(parent) else str(parent)
