"""What a training would do, take and cost, without doing it."""

import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Generator, Tensor

from .augmentation import augment
from .batches import made_ahead
from .cases import Case
from .config import ModelConfig, TrainConfig
from .devices import aside, choose_training_device, repeatable
from .masks import known_areas
from .models import load_model
from .networks import create_network, read_weights
from .optimisation import average_weights, prepare_step
from .peeks import fits_in_memory, free_bytes, peek
from .progress import OnProgress, Progress, ignore_progress
from .sampling import Sample, Sampler, count_steps, make_batch, read_samples
from .segmentation import Runner, predict
from .splits import rehearsed_patients
from .training_checks import checked_run
from .training_pace import MeasuredPace

_STEPS = 3


@dataclass(frozen=True, slots=True)
class Side:
    """Cases on one side of the split."""

    patients: int
    cases: int
    slices: int
    tumour_slices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan(MeasuredPace):
    """What a training would do, take and cost.

    Attributes
    ----------
    training, validation : Side
        Who trains and who validates.
    weights, trained_weights : int
        Numbers in the network, and those of them that training changes.
    device : str
        Where it computes, and why.
    on_gpu : bool
        Whether that is a GPU with memory of its own.
    image_bytes, free_bytes : int
        What decoded images take, and the memory that is free.
    on_disk : bool
        Whether the images are kept on the disk.
    step_bytes : int
        The most that the process, or the GPU, held while steps were measured.
    """

    training: Side
    validation: Side
    weights: int
    trained_weights: int
    device: str
    on_gpu: bool
    image_bytes: int
    free_bytes: int
    on_disk: bool
    step_bytes: int

    @property
    def most_bytes(self) -> int:
        """Memory that the training takes at most where it computes: that of the GPU, if it is one."""
        return self.step_bytes + (0 if self.on_disk or self.on_gpu else self.image_bytes)


def plan_training(
    train_cases: Sequence[Case],
    validation_cases: Sequence[Case],
    model: ModelConfig | None = None,
    config: TrainConfig | None = None,
    *,
    parent: str | Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> TrainingPlan:
    """Measure a step of training and say what all of it would take; nothing is written.

    Parameters and errors are those of `train`. All masks are read, but the images of one case only; of the others one
    slice, or the header, is looked at.
    """
    config = config or TrainConfig.default(fine_tunes=parent is not None)
    start = load_model(parent) if parent else None
    model = checked_run(train_cases, validation_cases, model, config, start.info if start else None).model
    device = choose_training_device(config.device, config.threads, config.precision)
    peeks = [peek(case) for case in (*train_cases, *validation_cases)]
    areas = _read_areas([*train_cases, *validation_cases], on_progress)
    training, validation = _side(train_cases, areas), _side(validation_cases, areas)
    if not training.tumour_slices:
        raise ValueError("no training slice has tumour: there is nothing to learn from")
    rehearsed = rehearsed_patients(train_cases, start.info if start else None)
    old = _side([case for case in train_cases if case.patient in rehearsed], areas).tumour_slices
    steps = count_steps(config, training.tumour_slices - old, old)

    case = max(train_cases, key=lambda case: np.count_nonzero(areas[case.name]))
    (sample,) = read_samples([case], model, None, ignore_progress)
    torch.manual_seed(config.seed)
    network = start.network if start else create_network(model)
    teach, averaged = prepare_step(network, model, config, device, lambda _: None)
    sampler, generator = Sampler([sample], config), Generator().manual_seed(config.seed)
    network.train()
    means, weights = (list(read_weights(one).values()) for one in (averaged, network))
    step_seconds = math.inf

    def make() -> tuple[Tensor, ...]:
        stored = make_batch([sample], sampler.draw(generator), model, device)
        return augment(*stored, config.augmentation, config.window, generator)

    with repeatable(device), ThreadPoolExecutor(1) as worker:
        ended = time.perf_counter()
        # the first one is slow, and so is any that something else gets in the way of; one more batch, for none is
        # made beside the last step
        for number, batch in enumerate(islice(made_ahead(worker, aside(device, make), _STEPS + 1), _STEPS), 1):
            images, masks = batch
            teach(images, masks, config.learning_rate / 1000)
            average_weights(means, weights, config.ema)
            began, ended = ended, time.perf_counter()
            step_seconds = min(step_seconds, ended - began)
            on_progress(Progress("measuring", number, _STEPS))
    step_bytes = _most_bytes(device.name)
    slice_seconds = _seconds_of_segmenting(sample, model, Runner(network, device, 8, tta=False))
    return TrainingPlan(
        training=training,
        validation=validation,
        weights=sum(parameter.numel() for parameter in network.parameters()),
        trained_weights=sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad),
        device=f"{device} ({device.reason})",
        on_gpu=device.name == "cuda",
        image_bytes=sum(item.bytes for item in peeks),
        free_bytes=free_bytes(),
        on_disk=config.cache == "disk" or (config.cache == "auto" and not fits_in_memory(peeks)),
        step_bytes=step_bytes,
        steps=steps,
        step_seconds=step_seconds,
        validation_seconds=slice_seconds * validation.slices,
        validates_parent=start is not None,
    )


def _read_areas(cases: Sequence[Case], on_progress: OnProgress) -> dict[str, list[int]]:
    """Tumour voxels of each slice of which it is known, by case."""
    areas = {}
    for number, case in enumerate(cases, start=1):
        areas[case.name] = known_areas(case).tolist()
        on_progress(Progress("reading masks", number, len(cases)))
    return areas


def _side(cases: Sequence[Case], areas: dict[str, list[int]]) -> Side:
    slices = [area for case in cases for area in areas[case.name]]
    return Side(len({case.patient for case in cases}), len(cases), len(slices), sum(area > 0 for area in slices))


def _seconds_of_segmenting(sample: Sample, model: ModelConfig, runner: Runner) -> float:
    """Seconds per slice; the first run is slow."""
    best = math.inf
    for _ in range(2):
        began = time.perf_counter()
        predict(sample.volume, model, runner, range(len(sample.mask)))
        best = min(best, (time.perf_counter() - began) / len(sample.mask))
    return best


def _most_bytes(device: str) -> int:
    """The most memory that was taken at once: of the GPU, else of this process where the system keeps it."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
