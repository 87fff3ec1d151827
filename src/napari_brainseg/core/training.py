"""Training a network: one plain loop that can be stopped, killed and resumed."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Generator, Tensor

from .augmentation import augment
from .batches import made_ahead
from .cases import Case
from .checkpoints import Checkpoint, keep_weights, load_best, load_checkpoint, save_best, save_checkpoint
from .config import ModelConfig, TrainConfig
from .devices import aside, choose_training_device, repeatable
from .distribution import joined_team, shared_end, writing_place
from .losses import create_loss
from .model_folders import ModelInfo, Provenance, as_ancestor, model_folder
from .models import TrainedModel, load_model, save_model
from .networks import SpaceToDepth, create_network, read_weights
from .optimisation import average_weights, prepare_step
from .progress import Cancelled, OnProgress, Progress, ignore_progress
from .runs import CHECKPOINT_FILE, EpochRow, Run, StateFile, add_epoch, is_stop_asked, read_run, write_run
from .sampling import Sample, Sampler, cache_folder, digest_of_truth, make_batch, read_samples
from .schedules import best_epoch, epochs_without_gain, learning_rate
from .splits import rehearsed_patients
from .tensorboards import TensorBoard
from .training_checks import check_folder, checked_run
from .training_pace import TrainingPace
from .training_reports import write_training_report
from .validation import PreviewSlices, Validation, validate

_REMEMBERED = 5
"""Patients that the parent had learned from, on whom it is measured what was forgotten."""


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
    model, loss, notes = run.model, create_loss(config), list[str]()

    def is_stopped() -> bool:
        return any(team.gather(is_stop_asked(output)))

    def report_reading(report: Progress) -> None:
        if team.size == 1 and is_stop_asked(output):  # a team looks together, after all have read
            raise Cancelled("stopped before the first step")
        state.update(message=f"reading case {report.done} of {report.total}")
        on_progress(report)

    def report_validation(report: Progress) -> None:
        state.update(message=f"validating case {report.done} of {report.total}", seconds=pace.seconds)
        on_progress(report)

    def tell(note: str) -> None:
        if note not in notes:
            notes.append(note)
            on_progress(Progress("training", epoch, config.epochs, note=note))

    every_case = [*train_cases, *validation_cases]
    with (
        joined_team(config, device) as team,
        repeatable(device),
        writing_place(output, team) as place,
        StateFile(place, config.epochs) as state,
        shared_end(team, output),
        cache_folder(every_case, config, place, on_progress) as cache,
        ThreadPoolExecutor(1) as worker,
    ):
        team.gather(None)  # none goes on before all have looked at what is in the folder
        samples = read_samples(train_cases, model, cache, report_reading)
        unseen = read_samples(validation_cases, model, cache, report_reading)
        rehearsed = rehearsed_patients(train_cases, start.info if start else None)
        remembered = [sample for sample in samples if sample.patient in rehearsed][:_REMEMBERED]
        sampler = Sampler(samples, config, rehearsed)
        if not resume:
            write_run(place, run)

        torch.manual_seed(config.seed)
        begun = resume and (output / CHECKPOINT_FILE).is_file()  # pretrained weights need not be there any more
        network = start.network if start else create_network(model.architecture if begun else model)
        teach, averaged = prepare_step(network, model, config, device, tell, team)
        generator = Generator()
        done = load_checkpoint(output, averaged, teach, generator) if resume else Checkpoint()
        drawn = generator.get_state()
        notes += done.notes
        epoch, losses, dice, parent_dice = done.epoch, list(done.losses), dict(done.dice), done.parent_dice
        truth = digest_of_truth([*samples, *unseen])
        if done.truth not in ("", truth):
            losses = []
            tell(f"masks were changed after epoch {epoch}: up to there the former ones were learned and judged by")
        pace = TrainingPace(config, sampler.steps, done.seconds)
        board = TensorBoard(place, config.tensorboard, epoch)
        previews = PreviewSlices(unseen or samples, place, model, device, "" if unseen else ", training")
        judged: Validation | None = None

        def judge(network: SpaceToDepth = averaged, cases: Sequence[Sample] = unseen) -> Validation:
            team.align(network)
            found = validate(network, cases, model, device, loss, tell, report_validation, team)
            pace.took("validation")
            return found

        def make() -> tuple[Tensor, ...]:
            undrawn = generator.get_state()
            try:
                images, masks = make_batch(samples, team.share(sampler.draw(generator)), model, device)
                images, masks = augment(images, masks, config.augmentation, config.window, team.split(generator))
            except RuntimeError:
                generator.set_state(undrawn)  # where memory was short, it is called again
                raise
            return images, masks, generator.get_state()

        make_aside = aside(device, make)

        def save() -> None:
            now = Checkpoint(
                epoch=epoch,
                losses=tuple(losses),
                seconds=pace.seconds,
                notes=tuple(notes),
                dice=dice,
                parent_dice=parent_dice,
                truth=truth,
            )
            save_checkpoint(place, now, averaged, teach, drawn)

        if start and not done.seconds:
            parent_dice = judge().dice
            previews.write(averaged, epoch)
        state.update(status="running", epoch=epoch, step=len(losses), steps=sampler.steps, message="")

        while epoch < config.epochs and not _rests(config, dice) and not is_stopped():
            if not losses:
                generator.manual_seed(_epoch_seed(config, epoch))
            torch.manual_seed(_epoch_seed(config, epoch))
            network.train()
            means, weights = (list(read_weights(one).values()) for one in (averaged, network))
            for batch in made_ahead(worker, make_aside, sampler.steps - len(losses)):
                images, masks, drawn = batch
                step = epoch * sampler.steps + len(losses)
                rate = learning_rate(config, step, config.epochs * sampler.steps, dice)
                losses.append(fmean(team.gather(teach(images, masks, rate))))
                average_weights(means, weights, min(config.ema, (1 + step) / (10 + step)))
                pace.took("step")
                left = pace.seconds_left(epoch, len(losses))
                state.update(step=len(losses), seconds=pace.seconds, seconds_left=left, message="")
                figures = {"loss": losses[-1], "minutes_left": round(left / 60, 1)}
                on_progress(Progress(f"epoch {epoch + 1}", len(losses), sampler.steps, figures))
                if is_stopped():
                    break
            if len(losses) < sampler.steps:
                break
            epoch += 1
            row = EpochRow(epoch=epoch, seconds=round(pace.seconds, 1), loss=float(np.mean(losses)), learning_rate=rate)
            losses = []
            judged = None
            if config.validates_after(epoch):
                previews.write(averaged, epoch)
                if unseen:
                    judged = judge()
                    row = row.model_copy(update={**judged.means, "seconds": round(pace.seconds, 1)})
                    dice[epoch] = judged.means.get("validation_dice", 0.0)
                    if best_epoch(dice) == epoch:
                        save_best(place, averaged)
            if config.keep_every and epoch % config.keep_every == 0:
                keep_weights(place, averaged, epoch)
            add_epoch(place, row)
            save()
            board.add(row)
            state.update(epoch=epoch, step=0, seconds=pace.seconds)
            pace.took("saving")
            figures = row.model_dump(exclude={"epoch", "seconds"}, exclude_none=True)
            on_progress(Progress("training", epoch, config.epochs, figures, note="checkpoint saved"))

        is_whole = epoch == config.epochs or _rests(config, dice)
        if not is_whole:
            state.update(status="stopping", message="saving")
            save()
            if not epoch:
                raise Cancelled(
                    "stopped before the first epoch ended: there is no model yet, but the run can be resumed"
                )
        kept = epoch
        if config.keep == "best" and dice:
            kept, judged = best_epoch(dice), None
            if team.leads:  # the others get them before they validate
                load_best(output, averaged)
            notes.append(f"weights of epoch {kept} of {epoch}, chosen by the validation Dice, which flatters them")
        if unseen and (judged is None or losses):
            judged = judge()
        forgotten: dict[str, Mapping[str, float]] = {}
        if parent and remembered:
            before_it = load_model(parent).network.to(device.name)
            forgotten = {
                "base_dice": judge(cases=remembered).dice,
                "parent_base_dice": judge(before_it, remembered).dice,
            }
        info = _info_of(run, start.info if start else None).model_copy(
            update={
                **forgotten,
                "corrected_slices": {case.name: case.corrected_slices for case in every_case if case.corrected_slices},
                "name": Path(os.path.abspath(output)).name,  # of "." too
                "epoch": kept,
                "validation_dice": judged.dice if judged else {},
                "parent_dice": parent_dice or {},
                "provenance": Provenance(
                    command=command,
                    device=f"{device} ({device.reason})",
                    seconds=round(pace.seconds, 1),
                    parent_sha256=run.parent_sha256,
                    notes=tuple(notes),
                ),
            }
        )
        trained = save_model(TrainedModel(info, averaged.eval().cpu()), place, overwrite=resume)
        write_training_report(place, trained.info, judged.worst if judged else {})
        ending = "finished" if is_whole else "stopped"
        state.update(status=ending, seconds=pace.seconds, seconds_left=0.0 if is_whole else None, message="")
    return trained


def _info_of(run: Run, parent: ModelInfo | None) -> ModelInfo:
    """What is known of the model before it is trained."""
    return ModelInfo(
        name="",
        model=run.model.architecture,
        training=run.training,
        train_cases=run.train_cases,
        validation_cases=run.validation_cases,
        lineage=(*parent.lineage, as_ancestor(parent)) if parent else (),
    )


def _epoch_seed(config: TrainConfig, epoch: int) -> int:
    return config.seed + 1_000_003 * (epoch + 1)


def _rests(config: TrainConfig, dice: Mapping[int, float]) -> bool:
    """Whether the validation Dice has not risen for so long that training ends."""
    return 0 < config.patience <= epochs_without_gain(dice)


def _place_of(parent: str | Path) -> str:
    """The name of a shipped model, or the folder of another wherever the run is resumed."""
    return str(Path(parent).absolute()) if model_folder(parent) == Path(parent) else str(parent)
