"""The cases that a network learns from: decoded once, and drawn from slice by slice."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

from .cases import Case
from .config import ModelConfig, TrainConfig
from .devices import Device
from .masks import Mask, read_mask
from .peeks import fits_in_memory, free_bytes, peek
from .preprocessing import Intensities, measure_intensities, neighbours, normalise
from .progress import OnProgress, Progress
from .runs import CACHE_FOLDER
from .volumes import Array, Volume, read_volume

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One case, decoded: its images, mask and intensities."""

    patient: str
    volume: Volume
    mask: Mask
    intensities: Intensities


class Sampler:
    """Draws slices so that every patient counts the same, with a fixed share of slices with tumour.

    Parameters
    ----------
    samples : sequence of Sample
        The training cases.
    config : TrainConfig
        Slices of a step, tumour share, slices per epoch.

    Attributes
    ----------
    steps : int
        Training steps of an epoch.

    Raises
    ------
    ValueError
        If no slice has tumour.
    """

    def __init__(self, samples: Sequence[Sample], config: TrainConfig) -> None:
        self._config = config
        patients: dict[str, dict[bool, list[tuple[int, int]]]] = {}
        for number, sample in enumerate(samples):
            slices = patients.setdefault(sample.patient, {True: [], False: []})
            for index, plane in enumerate(sample.mask):
                slices[bool(plane.any())].append((number, index))
        self._kinds = {kind: [slices[kind] for slices in patients.values() if slices[kind]] for kind in (True, False)}
        tumour_slices = sum(map(len, self._kinds[True]))
        if not tumour_slices:
            raise ValueError("no training slice has tumour: there is nothing to learn from")
        count = config.epoch_slices or 2 * tumour_slices
        self.steps = max(1, round(count / config.step_slices))

    def draw(self, generator: Generator) -> list[tuple[int, int]]:
        """(case, slice) of all slices of one step."""
        wanted = torch.rand(self._config.step_slices, generator=generator) < self._config.tumour_share
        kinds = [bool(kind) or not self._kinds[False] for kind in wanted]
        patients = [_pick(self._kinds[kind], generator) for kind in kinds]
        return [_pick(slices, generator) for slices in patients]


def _pick(items: Sequence[_T], generator: Generator) -> _T:
    return items[int(torch.randint(len(items), (1,), generator=generator))]


def make_batch(
    samples: Sequence[Sample], chosen: Sequence[tuple[int, int]], model: ModelConfig, device: Device
) -> tuple[Tensor, Tensor]:
    """Return normalised slices with their neighbours (B, S, C, Y, X), and masks (B, Y, X), on the device."""
    sides = tuple(max(samples[case].volume.shape[axis] for case, _ in chosen) for axis in (1, 2))
    slices = [
        _padded(samples[case].volume.array[neighbours(index, len(samples[case].mask), model.context)], sides, "edge")
        for case, index in chosen
    ]
    if any(array.dtype != np.uint8 for array in slices):
        slices = [array.astype(np.float32) for array in slices]
    stored = torch.from_numpy(np.stack(slices)).to(device.name).permute(0, 1, 4, 2, 3).contiguous()
    images = normalise(stored, [samples[case].intensities for case, _ in chosen])
    masks = [_padded(samples[case].mask[None, index], sides, "constant")[0] for case, index in chosen]
    return images, torch.from_numpy(np.stack(masks)).to(device.name)


def _padded(array: Array, sides: tuple[int, ...], mode: Literal["edge", "constant"]) -> Array:
    """(S, Y, X, ...) made as large as the largest slice of its batch."""
    if array.shape[1:3] == sides:
        return array
    widths = [(0, 0), *((0, side - size) for side, size in zip(sides, array.shape[1:3], strict=True))]
    return np.pad(array, [*widths, *[(0, 0)] * (array.ndim - 3)], mode)


@contextmanager
def cache_folder(
    cases: Sequence[Case], config: TrainConfig, output: Path, on_progress: OnProgress
) -> Iterator[Path | None]:
    """Folder for decoded images while the block runs, None where memory holds them all.

    Raises
    ------
    ValueError
        If a case cannot be read, or the disk is too small as well.
    """
    folder = output / CACHE_FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # left by a kill
    peeks = [peek(case) for case in cases]
    if config.cache == "memory" or (config.cache == "auto" and fits_in_memory(peeks)):
        yield None
        return
    needed, free = sum(item.bytes for item in peeks), shutil.disk_usage(output).free
    if needed > free:
        raise ValueError(
            f"decoded, the cases take {needed / 1e9:.1f} GB, but there are {free_bytes() / 1e9:.1f} GB of free memory "
            f"and {free / 1e9:.1f} GB on the disk of {output}: train on fewer, or choose another folder"
        )
    note = f"decoded, the cases take {needed / 1e9:.1f} GB: they are kept on the disk meanwhile"
    on_progress(Progress("reading", 0, len(cases), note=note))
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_samples(
    cases: Sequence[Case], model: ModelConfig, cache: Path | None, on_progress: OnProgress
) -> list[Sample]:
    """Decode cases into memory, or into files of a folder that are mapped into memory as they are used.

    Raises
    ------
    ValueError
        If a file cannot be read; the message names it.
    """
    samples = []
    for number, case in enumerate(cases, start=1):
        volume = read_volume(case)
        mask = read_mask(case, volume)
        assert mask is not None
        intensities = measure_intensities(volume.array, model.normalisation)
        if cache:
            volume = replace(volume, array=_on_disk(volume.array, cache / f"{case.name}.images"))
            mask = _on_disk(mask, cache / f"{case.name}.mask")
        samples.append(Sample(case.patient, volume, mask, intensities))
        on_progress(Progress("reading", number, len(cases)))
    return samples


def _on_disk(array: Array, path: Path) -> Array:
    np.memmap(path, array.dtype, "w+", shape=array.shape)[:] = array
    return np.memmap(path, array.dtype, "c", shape=array.shape)  # PyTorch wants what it reads to be writable
