"""The cases that a network learns from: decoded once, and drawn from slice by slice."""

import gc
import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from .cases import Case
from .config import ModelConfig, TrainConfig
from .devices import Device
from .masks import Mask, read_truth
from .peeks import fits_in_memory, free_bytes, peek
from .preprocessing import Intensities, measure_intensities, neighbours, normalise
from .progress import OnProgress, Progress
from .runs import CACHE_FOLDER
from .volumes import Array, Volume, read_volume

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One case, decoded: its images, mask and intensities.

    Attributes
    ----------
    known : ndarray or None
        (Z,) bool: slices whose mask is the truth; None where all are. The others are only seen as neighbours.
    """

    patient: str
    volume: Volume
    mask: Mask
    intensities: Intensities
    known: npt.NDArray[np.bool_] | None = None

    @property
    def slices(self) -> list[int]:
        """Positions along Z of the slices whose mask is the truth."""
        return list(range(len(self.mask))) if self.known is None else np.flatnonzero(self.known).tolist()


class Sampler:
    """Draws slices so that every patient counts the same, with a fixed share of slices with tumour.

    Parameters
    ----------
    samples : sequence of Sample
        The training cases.
    config : TrainConfig
        Slices of a step, tumour share, slices per epoch, share of rehearsal.
    rehearsed : collection of str
        Patients who are only drawn lest they be forgotten; the others get the rest, and where they have no slice of a
        kind, one of these is taken.

    Attributes
    ----------
    steps : int
        Training steps of an epoch.

    Raises
    ------
    ValueError
        If no slice has tumour.
    """

    def __init__(self, samples: Sequence[Sample], config: TrainConfig, rehearsed: Collection[str] = ()) -> None:
        self._config = config
        patients: dict[str, dict[bool, list[tuple[int, int]]]] = {}
        for number, sample in enumerate(samples):
            slices = patients.setdefault(sample.patient, {True: [], False: []})
            for index in sample.slices:
                slices[bool(sample.mask[index].any())].append((number, index))
        self._groups = {
            (kind, again): [
                slices[kind] for name, slices in patients.items() if slices[kind] and (name in rehearsed) is again
            ]
            for kind in (True, False)
            for again in (True, False)
        }
        new, old = (sum(map(len, self._groups[True, again])) for again in (False, True))
        if not new + old:
            raise ValueError("no training slice has tumour: there is nothing to learn from")
        self._rehearses = bool(rehearsed)
        self._has_empty = any(self._groups[False, again] for again in (True, False))
        self.steps = count_steps(config, new, old)

    def draw(self, generator: Generator) -> list[tuple[int, int]]:
        """(case, slice) of all slices of one step."""
        count = self._config.step_slices
        kinds = torch.rand(count, generator=generator) < self._config.tumour_share
        again = torch.zeros(count, dtype=torch.bool)
        if self._rehearses:
            again = torch.rand(count, generator=generator) < self._config.rehearsal
        wanted = [(bool(kind) or not self._has_empty, bool(old)) for kind, old in zip(kinds, again, strict=True)]
        patients = [_pick(self._groups[kind, old] or self._groups[kind, not old], generator) for kind, old in wanted]
        return [_pick(slices, generator) for slices in patients]


def count_steps(config: TrainConfig, tumour_slices: int, rehearsed_slices: int) -> int:
    """Training steps of an epoch by the tumour slices of both kinds of patients: rehearsal must not make it long."""
    drawn = 2 * (tumour_slices + rehearsed_slices)
    if tumour_slices and rehearsed_slices:
        drawn = round(2 * tumour_slices / (1 - config.rehearsal))
    return max(1, round((config.epoch_slices or drawn) / config.step_slices))


def _pick(items: Sequence[_T], generator: Generator) -> _T:
    return items[int(torch.randint(len(items), (1,), generator=generator))]


def make_batch(
    samples: Sequence[Sample], chosen: Sequence[tuple[int, int]], model: ModelConfig, device: Device
) -> tuple[Tensor, Tensor]:
    """Return normalised slices with their neighbours (B, S, C, Y, X), and masks (B, Y, X), where they are varied."""
    sides = tuple(max(samples[case].volume.shape[axis] for case, _ in chosen) for axis in (1, 2))
    slices = [
        _padded(samples[case].volume.array[neighbours(index, len(samples[case].mask), model.context)], sides, "edge")
        for case, index in chosen
    ]
    if any(array.dtype != np.uint8 for array in slices):
        slices = [array.astype(np.float32) for array in slices]
    stored = torch.from_numpy(np.stack(slices)).to(device.prepares_on).permute(0, 1, 4, 2, 3).contiguous()
    images = normalise(stored, [samples[case].intensities for case, _ in chosen])
    masks = [_padded(samples[case].mask[None, index], sides, "constant")[0] for case, index in chosen]
    return images, torch.from_numpy(np.stack(masks)).to(device.prepares_on)


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
        gc.collect()  # Windows removes no file that an array still maps
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
        truth = read_truth(case, volume)
        mask = truth.mask
        intensities = measure_intensities(volume.array, model.normalisation)
        if cache:
            volume = replace(volume, array=_on_disk(volume.array, cache))
            mask = _on_disk(mask, cache)
        known = None if truth.known.all() else truth.known
        samples.append(Sample(case.patient, volume, mask, intensities, known))
        on_progress(Progress("reading", number, len(cases)))
    return samples


def digest_of_truth(samples: Iterable[Sample]) -> str:
    """SHA-256 of the masks, and of which slices of them are the truth."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(np.packbits(sample.mask > 0).data)
        digest.update(str(sample.slices).encode())
    return digest.hexdigest()


def _on_disk(array: Array, folder: Path) -> Array:
    path = folder / uuid4().hex  # not by the name of the case, which may have namesakes
    np.memmap(path, array.dtype, "w+", shape=array.shape)[:] = array
    return np.memmap(path, array.dtype, "c", shape=array.shape)  # PyTorch wants what it reads to be writable
