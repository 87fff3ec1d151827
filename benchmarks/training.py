"""Is training as fast as the network allows, and faster than a conventional MONAI loop?

    python benchmarks/training.py [FOLDER [THREADS]]

Without a folder, on made-up cases; of a folder, on its first cases. Network, loss, optimiser, batch and kinds of
augmentation are the same for all, and precision where nothing else is said. They are measured in turns in one run;
medians are printed. Batches alone are what is done before a network, slow or fast, gets to work. On a GPU MONAI also
gets processes that make its batches, and convolutions are also chosen by trying them out, which `train` does not do,
for then no run is like another.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, islice, repeat
from math import radians
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import describe_machine
from monai.data import CacheDataset, DataLoader
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandLambdad,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
)
from monai.utils import convert_to_tensor
from torch import Tensor
from torch.utils.data import RandomSampler

from napari_brainseg import Case, ModelConfig, Progress, TrainConfig, find_cases, train, write_phantom_cases
from napari_brainseg.core.augmentation import augment
from napari_brainseg.core.devices import Device, choose_training_device
from napari_brainseg.core.losses import create_loss
from napari_brainseg.core.networks import create_network
from napari_brainseg.core.optimisation import create_optimizer
from napari_brainseg.core.progress import ignore_progress
from napari_brainseg.core.sampling import Sample, Sampler, make_batch, read_samples

CASES, WORKERS = 4, 8
ROUNDS, STEPS, SLOW_STEPS = (3, 40, 3) if torch.cuda.is_available() else (5, 5, 5)
BARE, OURS, MONAI = "bare steps on ready tensors", "train", "MONAI, same network and precision"
TRIED = "bare steps, convolutions tried out"
PLAIN = "MONAI, same network in float32"
SERVED = f"MONAI with {WORKERS} processes for batches"
PLAIN_SERVED = f"MONAI in float32 with {WORKERS} processes for batches"
OUR_BATCHES, THEIR_BATCHES = "batches alone, ours", "batches alone, MONAI"


def main() -> None:
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    model = ModelConfig()
    config = TrainConfig(epochs=1, threads=threads, cache="memory")
    config = config.model_copy(update={"epoch_slices": (STEPS + 1) * config.batch_size})
    device = choose_training_device(threads=threads)
    with tempfile.TemporaryDirectory() as made, nullcontext(sys.argv[1] if len(sys.argv) > 1 else made) as folder:
        if folder == made:
            write_phantom_cases(folder)
        cases = [case for case in find_cases(folder) if case.has_masks and None not in case.masks][:CASES]
        samples = read_samples(cases, model, None, ignore_progress)
        loader = monai_loader(samples, model, config)
        plain = replace(device, dtype=torch.float32)
        ready = on(device, next(iter(loader)))
        make_ours = our_batches(samples, model, config, device)
        contestants: dict[str, Callable[[], float]] = {
            BARE: Steps(model, config, device, repeat(ready)),
            OURS: lambda: seconds_of_train(cases, model, config),
            OUR_BATCHES: lambda: seconds_of(make_ours),
        }
        if device.name == "cuda":
            served = monai_loader(samples, model, config, WORKERS)
            contestants[TRIED] = Steps(model, config, device, repeat(ready), tries_out=True)
            contestants[SERVED] = Steps(model, config, device, endless(served), ahead=2 * WORKERS)
            contestants[PLAIN_SERVED] = Steps(model, config, plain, endless(served), ahead=2 * WORKERS)
        slow: dict[str, Callable[[], float]] = {
            MONAI: Steps(model, config, device, endless(loader), SLOW_STEPS),
            THEIR_BATCHES: lambda: seconds_of((on(device, batch) for batch in endless(loader)), SLOW_STEPS),
        }
        if device.dtype != torch.float32:  # MONAI's engines compute in float32 on the CPU
            slow[PLAIN] = Steps(model, config, plain, endless(loader), SLOW_STEPS)
        for measure in (contestants | slow).values():
            measure()
        seconds: dict[str, list[float]] = {name: [] for name in contestants | slow}
        for _ in range(ROUNDS):
            for name, measure in (contestants | slow).items():
                seconds[name].append(measure())
    steps = dict.fromkeys(contestants, STEPS) | dict.fromkeys(slow, SLOW_STEPS)
    rates = {name: steps[name] * config.batch_size / median(values) for name, values in seconds.items()}
    slices = sum(len(case.images) for case in cases)
    print(f"{describe_machine()}; {device} ({device.reason}); {slices} slices of {len(cases)} cases")
    for name in [name for name in rates if name not in (OUR_BATCHES, THEIR_BATCHES)]:
        print(f"{name}: {rates[name]:.1f} slices a second, train reaches {rates[OURS] / rates[name]:.2f} of it")
    for name in (OUR_BATCHES, THEIR_BATCHES):
        share = rates[BARE] / (rates[BARE] + rates[name])
        print(f"{name}: {rates[name]:.0f} slices a second, {share:.2f} of the work of a step")
    print(f"ours are made {rates[OUR_BATCHES] / rates[THEIR_BATCHES]:.1f} times as fast as MONAI's")


class Steps:
    """The shortest loop there can be: forward, backward, optimiser. Calling it takes some steps and says how long."""

    def __init__(
        self,
        model: ModelConfig,
        config: TrainConfig,
        device: Device,
        batches: Iterator[Any],
        steps: int = STEPS,
        *,
        ahead: int = 0,
        tries_out: bool = False,
    ) -> None:
        self._network = create_network(model).to(device.name, memory_format=torch.channels_last).train()
        self._optimizer = create_optimizer(self._network, config)
        self._loss = create_loss(config)
        self._device = device
        self._scaler = torch.amp.GradScaler(device.name, enabled=device.dtype == torch.float16)
        self._batches = batches
        self._steps = steps
        self._ahead = ahead
        self._tries_out = tries_out

    def __call__(self) -> float:
        torch.backends.cudnn.benchmark = self._tries_out
        for _ in range(self._ahead):  # batches that were made while others were measured
            next(self._batches)
        started = now(self._device)
        for _ in range(self._steps):
            batch = on(self._device, next(self._batches))
            self._optimizer.zero_grad()
            with self._device.autocast():
                logits = self._network(batch["image"])
            loss = self._loss(logits.float(), batch["mask"])
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
        torch.backends.cudnn.benchmark = False
        return now(self._device) - started


def now(device: Device) -> float:
    """Seconds of a clock, when all is done that the GPU was told to do."""
    if device.name == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def on(device: Device, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Batch where the network wants it; nothing is copied where it lies there already."""
    return {
        name: convert_to_tensor(batch[name])
        .to(device.name, non_blocking=True)  # from pinned memory, where the loader has it
        .contiguous(memory_format=torch.channels_last)
        for name in ("image", "mask")
    }


def seconds_of_train(cases: list[Case], model: ModelConfig, config: TrainConfig) -> float:
    """Seconds from the end of the first step of a training to the end of its last."""
    ends: list[float] = []

    def note(progress: Progress) -> None:
        if progress.stage == "epoch 1":
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        train(cases, [], Path(folder) / "run", model, config, on_progress=note)
    assert len(ends) == STEPS + 1
    return ends[-1] - ends[0]


def seconds_of(batches: Iterator[Any], steps: int = STEPS) -> float:
    """Seconds that making some batches takes."""
    started = time.perf_counter()
    for _ in islice(batches, steps):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return time.perf_counter() - started


def our_batches(samples: list[Sample], model: ModelConfig, config: TrainConfig, device: Device) -> Iterator[Any]:
    """What `train` teaches a network, without one."""
    sampler, generator = Sampler(samples, config), torch.Generator().manual_seed(0)
    while True:
        images, masks = make_batch(samples, sampler.draw(generator), model, device)
        yield augment(images, masks, config.augmentation, config.window, generator)


def endless(loader: Any) -> Iterator[Any]:
    """Batches of one epoch after another."""
    return chain.from_iterable(repeat(loader))


def monai_loader(samples: list[Sample], model: ModelConfig, config: TrainConfig, workers: int = 0) -> Any:
    """Normalised slices in memory, varied one by one as `augment` varies a batch."""
    host = Device("cpu", torch.float32, "")
    places = [(case, index) for case, sample in enumerate(samples) for index in range(len(sample.mask))]
    batches = [make_batch(samples, [place], model, host) for place in places]
    slices = [{"image": image[0].flatten(0, 1), "mask": mask.float()} for image, mask in batches]
    ways, sequences, chance = config.augmentation, 3, config.augmentation.chance
    shift, turn = ways.shift * config.window, radians(ways.rotation)

    def reversed_slices(image: Tensor) -> Tensor:
        return image.unflatten(0, (-1, sequences)).flip(0).flatten(0, 1)

    def without_contrast(image: Tensor) -> Tensor:
        planes = image.unflatten(0, (-1, sequences))
        return planes[:, [1] * sequences].flatten(0, 1)

    return DataLoader(
        CacheDataset(
            slices,
            Compose(
                [
                    RandAffined(
                        ("image", "mask"),
                        spatial_size=(config.window, config.window),
                        prob=1,
                        rotate_range=(turn,),
                        shear_range=(ways.shear, ways.shear),
                        translate_range=(shift, shift),
                        scale_range=tuple((low - 1, high - 1) for low, high in (ways.scale, ways.scale)),
                        mode=("bilinear", "nearest"),
                        padding_mode=("border", "zeros"),
                    ),
                    RandFlipd(("image", "mask"), prob=ways.flip, spatial_axis=1),
                    RandLambdad("image", reversed_slices, prob=ways.reverse),
                    RandLambdad("image", without_contrast, prob=ways.modality_dropout),
                    RandSimulateLowResolutiond(
                        "image",
                        prob=chance,
                        zoom_range=ways.low_resolution,
                        downsample_mode="area",
                        upsample_mode="bilinear",
                    ),
                    RandGaussianSmoothd("image", ways.blur, ways.blur, prob=chance),
                    RandAdjustContrastd("image", prob=chance, gamma=ways.gamma),
                    RandGaussianNoised("image", prob=chance, std=ways.noise),
                    RandScaleIntensityd("image", tuple(g - 1 for g in ways.gain), prob=1, channel_wise=True),
                    RandShiftIntensityd("image", ways.offset, prob=1, channel_wise=True),
                ]
            ),
            progress=False,
        ),
        batch_size=config.batch_size,
        sampler=RandomSampler(range(len(slices)), replacement=True, num_samples=10**6),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="fork" if workers else None,
    )


if __name__ == "__main__":
    main()
