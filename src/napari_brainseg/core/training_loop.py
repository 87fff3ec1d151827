"""The loop of a training: steps, validations and checkpoints, and the model at its end."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from statistics import fmean

import torch
from torch import Generator, Tensor

from .augmentation import augment
from .batches import made_ahead
from .cases import Case
from .checkpoints import Checkpoint, keep_weights, load_best, load_checkpoint, save_best, save_checkpoint
from .devices import Device, aside
from .distribution import Team
from .losses import create_loss
from .model_folders import ModelInfo, Provenance, as_ancestor
from .models import TrainedModel, load_model, save_model
from .networks import SpaceToDepth, create_network, read_weights
from .optimisation import average_weights, prepare_step
from .progress import Cancelled, OnProgress, Progress
from .runs import CHECKPOINT_FILE, EpochRow, Run, StateFile, add_epoch, is_stop_asked, write_run
from .sampling import Sample, Sampler, digest_of_truth, make_batch, read_samples
from .schedules import best_epoch, epochs_without_gain, learning_rate
from .splits import rehearsed_patients
from .tensorboards import TensorBoard
from .training_pace import TrainingPace
from .training_reports import write_training_report
from .validation import PreviewSlices, Validation, validate

_REMEMBERED = 5
"""Patients that the parent had learned from, on whom it is measured what was forgotten."""


class TrainingLoop:
    """A training, read and ready for its next step.

    Parameters
    ----------
    run : Run
        What is to be done.
    start : TrainedModel or None
        The model to start from.
    train_cases, validation_cases : sequence of Case
        See `train`.
    resume : bool
        Whether to go on from the checkpoint in the run folder.
    cache : Path or None
        Folder for decoded images; None keeps them in memory.
    device : Device
        Where to compute.
    team : Team
        The processes that share the training.
    output, place : Path
        The run folder, and where this process writes.
    state : StateFile
        Where whoever follows the run reads how far it is.
    on_progress : callable
        See `train`.
    """

    def __init__(
        self,
        run: Run,
        start: TrainedModel | None,
        train_cases: Sequence[Case],
        validation_cases: Sequence[Case],
        *,
        resume: bool,
        cache: Path | None,
        device: Device,
        team: Team,
        output: Path,
        place: Path,
        state: StateFile,
        on_progress: OnProgress,
    ) -> None:
        self._run, self._config, self._model = run, run.training, run.model
        self._parent = start.info if start else None
        self._device, self._team, self._output, self._place = device, team, output, place
        self._resume, self._state, self._on_progress = resume, state, on_progress
        self._loss = create_loss(self._config)
        self._cases = [*train_cases, *validation_cases]
        self._samples = read_samples(train_cases, self._model, cache, self._report_reading)
        self._unseen = read_samples(validation_cases, self._model, cache, self._report_reading)
        rehearsed = rehearsed_patients(train_cases, self._parent)
        self._remembered = [sample for sample in self._samples if sample.patient in rehearsed][:_REMEMBERED]
        self._sampler = Sampler(self._samples, self._config, rehearsed)
        if not resume:
            write_run(place, run)

        self._epoch, self._notes = 0, list[str]()
        torch.manual_seed(self._config.seed)
        begun = resume and (output / CHECKPOINT_FILE).is_file()  # pretrained weights need not be there any more
        network = start.network if start else create_network(self._model.architecture if begun else self._model)
        self._teach, self._averaged = prepare_step(network, self._model, self._config, device, self._tell, team)
        self._generator, self._make_aside = Generator(), aside(device, self._make_batch)
        done = load_checkpoint(output, self._averaged, self._teach, self._generator) if resume else Checkpoint()
        self._drawn = self._generator.get_state()
        self._notes += done.notes
        self._epoch, self._losses = done.epoch, list(done.losses)
        self._dice, self._parent_dice = dict(done.dice), done.parent_dice
        self._truth = digest_of_truth([*self._samples, *self._unseen])
        if done.truth not in ("", self._truth):
            self._losses = []
            self._tell(
                f"masks were changed after epoch {self._epoch}: up to there the former ones were learned and judged by"
            )
        self._is_new = not done.seconds
        self._pace = TrainingPace(self._config, self._sampler.steps, done.seconds)
        self._board = TensorBoard(place, self._config.tensorboard, self._epoch)
        shown, remark = (self._unseen, "") if self._unseen else (self._samples, ", training")
        self._previews = PreviewSlices(shown, place, self._model, device, remark)
        self._judged: Validation | None = None
        """What the average says now."""

    def train(self, worker: Executor) -> TrainedModel:
        """Take all steps that are left, or those until someone asks to stop; errors are those of `train`."""
        if self._parent and self._is_new:
            self._parent_dice = self._judge().dice
            self._previews.write(self._averaged, self._epoch)
        self._state.update(
            status="running", epoch=self._epoch, step=len(self._losses), steps=self._sampler.steps, message=""
        )
        while not self._is_whole and not self._is_stopped():
            self._learn_epoch(worker)
            if len(self._losses) < self._sampler.steps:
                break
            self._end_epoch()
        if not self._is_whole:
            self._state.update(status="stopping", message="saving")
            self._save()
            if not self._epoch:
                raise Cancelled(
                    "stopped before the first epoch ended: there is no model yet, but the run can be resumed"
                )
        return self._finish()

    # an epoch

    def _learn_epoch(self, worker: Executor) -> None:
        """Take the steps that are left of it, or those until someone asks to stop."""
        seed = self._config.seed + 1_000_003 * (self._epoch + 1)
        if not self._losses:
            self._generator.manual_seed(seed)
        torch.manual_seed(seed)
        network = self._teach.network.train()
        means, weights = (list(read_weights(one).values()) for one in (self._averaged, network))
        left = self._sampler.steps - len(self._losses)
        for images, masks, drawn in made_ahead(worker, self._make_aside, left):
            self._drawn = drawn
            step = self._epoch * self._sampler.steps + len(self._losses)
            self._losses.append(fmean(self._team.gather(self._teach(images, masks, self._learning_rate(step)))))
            average_weights(means, weights, min(self._config.ema, (1 + step) / (10 + step)))
            self._pace.took("step")
            self._report_step()
            if self._is_stopped():
                return

    def _make_batch(self) -> tuple[Tensor, ...]:
        """Images, masks, and the state of the generator after they were drawn."""
        generator = self._generator
        undrawn = generator.get_state()
        try:
            chosen = self._team.share(self._sampler.draw(generator))
            images, masks = make_batch(self._samples, chosen, self._model, self._device)
            varied = augment(images, masks, self._config.augmentation, self._config.window, self._team.split(generator))
        except RuntimeError:
            generator.set_state(undrawn)  # where memory was short, it is called again
            raise
        return *varied, generator.get_state()

    def _learning_rate(self, step: int) -> float:
        """Of a step counted from the beginning of the run."""
        return learning_rate(self._config, step, self._config.epochs * self._sampler.steps, self._dice)

    def _end_epoch(self) -> None:
        """Validate if it is time to, write what the epoch brought, and save."""
        config, rate = self._config, self._learning_rate((self._epoch + 1) * self._sampler.steps - 1)
        self._epoch += 1
        row = EpochRow(epoch=self._epoch, seconds=0, loss=fmean(self._losses), learning_rate=rate)
        self._losses, self._judged = [], None
        if config.validates_after(self._epoch):
            self._previews.write(self._averaged, self._epoch)
            if self._unseen:
                self._judged = self._judge()
                row = row.model_copy(update=self._judged.means)
                self._dice[self._epoch] = self._judged.means.get("validation_dice", 0.0)
                if best_epoch(self._dice) == self._epoch:
                    save_best(self._place, self._averaged)
        row = row.model_copy(update={"seconds": round(self._pace.seconds, 1)})
        if config.keep_every and self._epoch % config.keep_every == 0:
            keep_weights(self._place, self._averaged, self._epoch)
        add_epoch(self._place, row)
        self._save()
        self._board.add(row)
        self._state.update(epoch=self._epoch, step=0, seconds=self._pace.seconds)
        self._pace.took("saving")
        figures = row.model_dump(exclude={"epoch", "seconds"}, exclude_none=True)
        self._on_progress(Progress("training", self._epoch, config.epochs, figures, note="checkpoint saved"))

    def _judge(self, network: SpaceToDepth | None = None, samples: Sequence[Sample] | None = None) -> Validation:
        """What a network says of some cases: the average of those of the validation, if none are given."""
        network, samples = network or self._averaged, self._unseen if samples is None else samples
        self._team.align(network)
        found = validate(
            network, samples, self._model, self._device, self._loss, self._tell, self._report_validation, self._team
        )
        self._pace.took("validation")
        return found

    def _save(self) -> None:
        now = Checkpoint(
            epoch=self._epoch,
            losses=tuple(self._losses),
            seconds=self._pace.seconds,
            notes=tuple(self._notes),
            dice=self._dice,
            parent_dice=self._parent_dice,
            truth=self._truth,
        )
        save_checkpoint(self._place, now, self._averaged, self._teach, self._drawn)

    # the end

    @property
    def _is_whole(self) -> bool:
        """Whether the last epoch has ended, or the validation Dice has not risen for so long that training ends."""
        return self._epoch == self._config.epochs or 0 < self._config.patience <= epochs_without_gain(self._dice)

    def _finish(self) -> TrainedModel:
        """Write the model that there is now, and its report."""
        kept = self._keep_best() if self._config.keep == "best" and self._dice else self._epoch
        if self._unseen and (self._judged is None or self._losses):
            self._judged = self._judge()
        info = self._info(kept, *self._measure_forgetting())
        trained = save_model(TrainedModel(info, self._averaged.eval().cpu()), self._place, overwrite=self._resume)
        write_training_report(self._place, trained.info, self._judged.worst if self._judged else {})
        left = 0.0 if self._is_whole else None
        ending = "finished" if self._is_whole else "stopped"
        self._state.update(status=ending, seconds=self._pace.seconds, seconds_left=left, message="")
        return trained

    def _keep_best(self) -> int:
        """Turn to the weights with the best validation Dice, and return their epoch."""
        kept = best_epoch(self._dice)
        if self._team.leads:  # the others get them before they validate
            load_best(self._output, self._averaged)
        self._judged = None
        self._notes.append(
            f"weights of epoch {kept} of {self._epoch}, chosen by the validation Dice, which flatters them"
        )
        return kept

    def _measure_forgetting(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Dice of patients that the parent had learned from, now and by the parent."""
        if not self._run.parent or not self._remembered:
            return {}, {}
        before = load_model(self._run.parent).network.to(self._device.name)
        return self._judge(samples=self._remembered).dice, self._judge(before, self._remembered).dice

    def _info(self, epoch: int, base: Mapping[str, float], parent_base: Mapping[str, float]) -> ModelInfo:
        parent = self._parent
        return ModelInfo(
            name=Path(os.path.abspath(self._output)).name,  # of "." too
            model=self._model.architecture,
            training=self._config,
            train_cases=self._run.train_cases,
            validation_cases=self._run.validation_cases,
            lineage=(*parent.lineage, as_ancestor(parent)) if parent else (),
            corrected_slices={case.name: case.corrected_slices for case in self._cases if case.corrected_slices},
            epoch=epoch,
            validation_dice=self._judged.dice if self._judged else {},
            parent_dice=self._parent_dice or {},
            base_dice=base,
            parent_base_dice=parent_base,
            provenance=Provenance(
                command=self._run.command,
                device=f"{self._device} ({self._device.reason})",
                seconds=round(self._pace.seconds, 1),
                parent_sha256=self._run.parent_sha256,
                notes=tuple(self._notes),
            ),
        )

    # what others hear, and what they ask for

    def _is_stopped(self) -> bool:
        return any(self._team.gather(is_stop_asked(self._output)))

    def _tell(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)
            self._on_progress(Progress("training", self._epoch, self._config.epochs, note=note))

    def _report_reading(self, report: Progress) -> None:
        if self._team.size == 1 and is_stop_asked(self._output):  # a team looks together, after all have read
            raise Cancelled("stopped before the first step")
        self._state.update(message=f"reading case {report.done} of {report.total}")
        self._on_progress(report)

    def _report_validation(self, report: Progress) -> None:
        self._state.update(message=f"validating case {report.done} of {report.total}", seconds=self._pace.seconds)
        self._on_progress(report)

    def _report_step(self) -> None:
        done, steps = len(self._losses), self._sampler.steps
        left = self._pace.seconds_left(self._epoch, done)
        self._state.update(step=done, seconds=self._pace.seconds, seconds_left=left, message="")
        figures = {"loss": self._losses[-1], "minutes_left": round(left / 60, 1)}
        self._on_progress(Progress(f"epoch {self._epoch + 1}", done, steps, figures))
