"""Training a network: one plain loop that can be stopped, killed and resumed."""

import copy
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor, nn
from torch.nn import functional

from .augmentation import augment
from .cases import Case, patient_of
from .config import ModelConfig, PostprocessConfig, ScoreConfig, Settings, TrainConfig
from .devices import Device, choose_device
from .files import atomic_path
from .masks import Mask, read_mask
from .metrics import score_mask
from .model_folders import INFO_FILE, ModelInfo, Provenance
from .models import TrainedModel, load_model, save_model
from .networks import SpaceToDepth, create_network, read_weights, write_weights
from .optimisation import TrainingStep, average_weights, learning_rate
from .postprocessing import postprocess
from .preprocessing import Intensities, measure_intensities, neighbours, normalise
from .progress import OnProgress, Progress, ignore_progress
from .segmentation import Runner, predict
from .volumes import Volume, read_volume

_CHECKPOINT_FILE = "last.safetensors"
_RUN_FILE = "run.json"
_HISTORY_FILE = "history.csv"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One case in memory: its images, mask and intensities."""

    patient: str
    volume: Volume
    mask: Mask
    intensities: Intensities


class Run(Settings):
    """What a run folder says of itself, so that it can be resumed with nothing else."""

    model: ModelConfig
    training: TrainConfig
    train_cases: tuple[str, ...]
    validation_cases: tuple[str, ...]
    parent_sha256: str | None = None


class _Checkpoint(Settings):
    """What a checkpoint says beside its tensors; as it is here before the first epoch."""

    epoch: int = 0
    seconds: float = 0.0
    at_once: int | None = None
    notes: tuple[str, ...] = ()


def train(
    train_cases: Sequence[Case],
    validation_cases: Sequence[Case],
    output: Path | str,
    model: ModelConfig | None = None,
    config: TrainConfig | None = None,
    *,
    parent: str | Path | None = None,
    resume: bool = False,
    command: str = "",
    on_progress: OnProgress = ignore_progress,
) -> TrainedModel:
    """Train a network on cases with manual masks and write it to a model folder.

    The weights kept are the running average at the end; no epoch is picked by its validation score, so the score of
    the last epoch is an honest one.

    Parameters
    ----------
    train_cases, validation_cases : sequence of Case
        Usable cases with a mask for every slice, no patient on both sides; the latter may be empty.
    output : Path or str
        The run folder, which becomes the model folder.
    model : ModelConfig, optional
        The network; the parent's if it is not given, and no other if there is one.
    config : TrainConfig, optional
        How to train.
    parent : str or Path, optional
        A model to start from.
    resume : bool
        Go on with the run in `output`, after the last epoch it finished. Each epoch draws from a seed of its own, so
        the result is that of a run never interrupted.
    command : str
        Recorded in the model.
    on_progress : callable
        Called after each step and epoch, and when memory runs out and a step has to take its slices in parts; it may
        raise `Cancelled`, which leaves a run that can be resumed.

    Raises
    ------
    FileExistsError
        If there is a model or a run in `output` already and `resume` is not set.
    ValueError
        If the cases cannot be trained on, a patient is on both sides or was trained on by the parent, the run to resume
        was another one, the parent has another network, or the loss becomes NaN.
    MemoryError
        If there is not enough for a single slice. What the last whole epoch left can be resumed.
    """
    output = Path(output)
    config = config or TrainConfig()
    start = load_model(parent) if parent else None
    if start and model:
        _check_network(start.info.model, model)
    model = start.info.model if start else model or ModelConfig()
    run = Run(
        model=model,
        training=config,
        train_cases=tuple(case.name for case in train_cases),
        validation_cases=tuple(case.name for case in validation_cases),
        parent_sha256=start.info.provenance.weights_sha256 if start else None,
    )
    _check_patients(train_cases, validation_cases, start.info.train_cases if start else ())
    _check_folder(output, run, resume=resume)
    device = _for_training(choose_device(config.device, config.threads))
    training = _read_samples(train_cases, model, on_progress)
    validation = _read_samples(validation_cases, model, on_progress)
    sampler = Sampler(training, config)
    _write_run(output, run)

    torch.manual_seed(config.seed)
    network = (start.network if start else create_network(model)).to(device.name)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = copy.deepcopy(network)
    notes: list[str] = []

    def tell(note: str) -> None:
        if note not in notes:
            notes.append(note)
            on_progress(Progress("training", epoch, config.epochs, note=note))

    teach = TrainingStep(network, config, device, tell)
    before = _load_checkpoint(output, network, averaged, teach.optimizer) if resume else _Checkpoint()
    teach.at_once = before.at_once or config.batch_size
    notes += before.notes
    epoch = before.epoch
    started = time.perf_counter() - before.seconds
    dice: dict[str, float] = {}

    for epoch in range(before.epoch, config.epochs):
        generator = Generator().manual_seed(config.seed + 1_000_003 * (epoch + 1))
        torch.manual_seed(config.seed + 1_000_003 * (epoch + 1))
        losses = []
        network.train()
        for number, chosen in enumerate(sampler.epoch(generator)):
            step = epoch * sampler.steps + number
            images, masks = make_batch(training, chosen, model, device)
            images, masks = augment(images, masks, config.augmentation, config.window, generator)
            rate = learning_rate(config, step, config.epochs * sampler.steps)
            losses.append(teach(images, masks, rate))
            average_weights(averaged, network, min(config.ema, (1 + step) / (10 + step)))
            on_progress(Progress(f"epoch {epoch + 1}", number + 1, sampler.steps, {"loss": losses[-1]}))
        metrics = {"loss": float(np.mean(losses)), "learning_rate": rate}
        if validation and ((epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs):
            dice = validate(averaged, validation, model, device, tell, on_progress)
            metrics["validation_dice"] = fmean(dice.values())
        seconds = time.perf_counter() - started
        state = _Checkpoint(epoch=epoch + 1, seconds=seconds, at_once=teach.at_once, notes=tuple(notes))
        _save_checkpoint(output, network, averaged, teach.optimizer, state)
        _add_history(output, epoch + 1, seconds, metrics)
        on_progress(Progress("training", epoch + 1, config.epochs, metrics, note="checkpoint saved"))

    info = ModelInfo(
        name=output.name,
        model=model,
        training=config,
        train_cases=run.train_cases,
        validation_cases=run.validation_cases,
        validation_dice=dice or validate(averaged, validation, model, device, tell, on_progress),
        provenance=Provenance(
            command=command,
            device=f"{device} ({device.reason})",
            seconds=round(time.perf_counter() - started, 1),
            parent_sha256=run.parent_sha256,
            notes=tuple(notes),
        ),
    )
    return save_model(TrainedModel(info, averaged.eval().cpu()), output, overwrite=resume)


class Sampler:
    """Draws slices so that every patient counts the same, with a fixed share of slices with tumour.

    Parameters
    ----------
    samples : sequence of Sample
        The training cases.
    config : TrainConfig
        Batch size, tumour share, slices per epoch.

    Raises
    ------
    ValueError
        If no slice has tumour.
    """

    def __init__(self, samples: Sequence[Sample], config: TrainConfig) -> None:
        self._config = config
        self._patients: dict[str, dict[bool, list[tuple[int, int]]]] = {}
        for number, sample in enumerate(samples):
            slices = self._patients.setdefault(sample.patient, {True: [], False: []})
            for index, plane in enumerate(sample.mask):
                slices[bool(plane.any())].append((number, index))
        tumour_slices = sum(len(slices[True]) for slices in self._patients.values())
        if not tumour_slices:
            raise ValueError("no training slice has tumour: there is nothing to learn from")
        count = config.epoch_slices or 2 * tumour_slices
        self.steps = max(1, round(count / config.batch_size))

    def epoch(self, generator: Generator) -> Iterator[list[tuple[int, int]]]:
        """Batches of (case, slice) for one epoch."""
        with_tumour = [slices for slices in self._patients.values() if slices[True]]
        without = [slices for slices in self._patients.values() if slices[False]]
        for _ in range(self.steps):
            wanted = torch.rand(self._config.batch_size, generator=generator) < self._config.tumour_share
            kinds = [bool(kind) or not without for kind in wanted]
            patients = [_pick(with_tumour if kind else without, generator) for kind in kinds]
            yield [_pick(patient[kind], generator) for patient, kind in zip(patients, kinds, strict=True)]


def _pick(items: Sequence[_T], generator: Generator) -> _T:
    return items[int(torch.randint(len(items), (1,), generator=generator))]


def make_batch(
    samples: Sequence[Sample], chosen: Sequence[tuple[int, int]], model: ModelConfig, device: Device
) -> tuple[Tensor, Tensor]:
    """Return normalised slices with their neighbours (B, S, C, Y, X), and masks (B, Y, X), on the device."""
    height = max(samples[case].volume.shape[1] for case, _ in chosen)
    width = max(samples[case].volume.shape[2] for case, _ in chosen)
    images, masks = [], []
    for case, index in chosen:
        sample = samples[case]
        array = sample.volume.array[neighbours(index, len(sample.mask), model.context)]
        stored = torch.from_numpy(array if array.dtype == np.uint8 else array.astype(np.float32))
        padding = [0, width - array.shape[2], 0, height - array.shape[1]]
        slices = normalise(stored.permute(0, 3, 1, 2).to(device.name), [sample.intensities])
        images.append(functional.pad(slices, padding, mode="replicate"))
        masks.append(functional.pad(torch.from_numpy(sample.mask[index]), padding))
    return torch.stack(images), torch.stack(masks).to(device.name)


def _for_training(device: Device) -> Device:
    """Small gradients vanish in float16; bfloat16 keeps them."""
    return replace(device, dtype=torch.float32) if device.dtype == torch.float16 else device


def validate(
    network: SpaceToDepth,
    samples: Sequence[Sample],
    model: ModelConfig,
    device: Device,
    tell: Callable[[str], None],
    on_progress: OnProgress,
) -> dict[str, float]:
    """Dice per volume of each case that has one, without flips and without post-processing."""
    runner = Runner(network, device, batch_size=8, tta=False)
    scores = {}
    try:
        for number, sample in enumerate(samples, start=1):
            probability = predict(sample.volume, model, runner, range(len(sample.mask)))
            mask = postprocess(probability, PostprocessConfig())
            if (dice := score_mask(mask, sample.mask, config=ScoreConfig(distances=False)).dice) is not None:
                scores[sample.volume.name] = dice
            on_progress(Progress("validating", number, len(samples)))
    finally:
        network.to(device.name)  # the runner goes on with the CPU where memory runs out, training does not
    for note in runner.notes:
        tell(f"validation: {note}")
    return scores


def _read_samples(cases: Sequence[Case], model: ModelConfig, on_progress: OnProgress) -> list[Sample]:
    samples = []
    for number, case in enumerate(cases, start=1):
        if not case.has_masks or None in case.masks:
            raise ValueError(f"{case.name} has slices without a manual mask and cannot be trained on")
        volume = read_volume(case)
        mask = read_mask(case, volume)
        assert mask is not None
        samples.append(Sample(case.patient, volume, mask, measure_intensities(volume.array, model.normalisation)))
        on_progress(Progress("reading", number, len(cases)))
    return samples


def _check_network(parents: ModelConfig, asked: ModelConfig) -> None:
    for name in ModelConfig.model_fields:
        ours, theirs = getattr(asked, name), getattr(parents, name)
        if ours != theirs:
            raise ValueError(f"{name} {ours} was asked for, but the model to start from has {theirs}, which is kept")


def _check_patients(train_cases: Sequence[Case], validation_cases: Sequence[Case], known: Sequence[str]) -> None:
    if not train_cases:
        raise ValueError("there is no case to train on")
    if both := {case.patient for case in train_cases} & {case.patient for case in validation_cases}:
        raise ValueError(f"patient {min(both)} is among the training and the validation cases")
    if seen := {patient_of(name) for name in known} & {case.patient for case in validation_cases}:
        raise ValueError(
            f"the model to start from was trained on patient {min(seen)}, so it cannot be validated on that patient"
        )


def _check_folder(output: Path, run: Run, *, resume: bool) -> None:
    path = output / _RUN_FILE
    if resume:
        if not path.is_file():
            raise ValueError(f"{output} holds no run to resume")
        try:
            before = Run.model_validate_json(path.read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is damaged: the run cannot be resumed, train anew into another folder") from error
        if before != run:
            raise ValueError(f"{path} describes a run with other cases or settings; resume with the same ones")
        return
    if existing := [name for name in (INFO_FILE, _RUN_FILE) if (output / name).exists()]:
        raise FileExistsError(f"{output / existing[0]} exists already; resume that run or choose another folder")


def _write_run(output: Path, run: Run) -> None:
    """Only once all cases are read: what cannot be trained on leaves nothing behind that would be in the way."""
    output.mkdir(parents=True, exist_ok=True)
    with atomic_path(output / _RUN_FILE) as temporary:
        temporary.write_text(run.model_dump_json(indent=1) + "\n", "utf-8")


def _save_checkpoint(
    output: Path, network: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer, state: _Checkpoint
) -> None:
    """Everything that the next epoch depends on, in one file, replaced in one move."""
    tensors = {f"network.{name}": tensor for name, tensor in read_weights(network).items()}
    tensors |= {f"averaged.{name}": tensor for name, tensor in read_weights(averaged).items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(output / _CHECKPOINT_FILE) as temporary:
        temporary.write_bytes(save(tensors, {"state": state.model_dump_json()}))


def _load_checkpoint(
    output: Path, network: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer
) -> _Checkpoint:
    path = output / _CHECKPOINT_FILE
    if not path.is_file():  # stopped before the first epoch ended
        return _Checkpoint()
    try:
        with safe_open(path, "pt") as file:
            state = _Checkpoint.model_validate_json(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: the run cannot be resumed, train anew into another folder") from error
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "averaged": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    write_weights(network, parts["network"])
    write_weights(averaged, parts["averaged"])
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        number, key = name.split(".")
        states.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def _add_history(output: Path, epoch: int, seconds: float, metrics: dict[str, float]) -> None:
    """One row per epoch; rows of epochs that a kill undid are dropped."""
    path = output / _HISTORY_FILE
    columns = ["epoch", "seconds", "loss", "learning_rate", "validation_dice"]
    rows = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epoch]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows([*rows, {"epoch": epoch, "seconds": round(seconds, 1)} | metrics])
