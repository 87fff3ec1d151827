"""Running a trained network over a volume."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .cases import patient_of
from .config import CHANNELS, FLAIR, ModelConfig, PostprocessConfig, SegmentConfig
from .devices import Device, choose_device, free_memory, is_out_of_memory
from .durations import now
from .masks import Mask
from .models import TrainedModel, versions
from .postprocessing import entropy, postprocess
from .preprocessing import head_mask, measure_intensities, neighbours, normalise, solid_head
from .progress import OnProgress, Progress, ignore_progress
from .results import SegmentationProvenance
from .volumes import Float32Array, Volume

_BOX_FOREGROUND, _BOX_SHARE, _MARGIN = 0.1, 0.02, 8
"""A row or column belongs to the head if in some slice the second share of it is brighter than the first share of the
bright end; so many pixels around the head are kept. Noise in the air stays below."""


@dataclass(frozen=True, slots=True, eq=False)
class SlicePrediction:
    """Probabilities of some slices, as soon as they are known.

    Attributes
    ----------
    indices : tuple of int
        Positions along Z.
    probability : ndarray
        (len(indices), Y, X), 0 to 1.
    """

    indices: tuple[int, ...]
    probability: Float32Array


OnSlices = Callable[[SlicePrediction], None]


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """What a model says of a volume.

    Attributes
    ----------
    mask : ndarray
        (Z, Y, X), 1 is tumour.
    probability : ndarray
        (Z, Y, X), 0 to 1: mean over the flipped views.
    provenance : SegmentationProvenance
        Model, settings, device, versions and seconds.
    """

    mask: Mask
    probability: Float32Array
    provenance: SegmentationProvenance

    @property
    def uncertainty(self) -> Float32Array:
        """Binary entropy of the probability in bits, (Z, Y, X): 0 where the model is sure, 1 where it is undecided."""
        return entropy(self.probability)


def segment(
    volume: Volume,
    model: TrainedModel,
    config: SegmentConfig | None = None,
    postprocessing: PostprocessConfig | None = None,
    *,
    first: int | None = None,
    only: tuple[int, ...] = (),
    on_slices: OnSlices | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Segmentation:
    """Segment the tumour in a volume.

    Parameters
    ----------
    volume : Volume
        Any number of slices of any height and width.
    model : TrainedModel
        From `load_model`.
    config : SegmentConfig, optional
        Device, flip test, batch size, threads.
    postprocessing : PostprocessConfig, optional
        Threshold and clean-up; the model's own if not given.
    first : int, optional
        The slice to segment first, with the others following outwards; the middle one if not given.
    only : tuple of int
        Segment no slices but these; the others stay 0.
    on_slices : callable, optional
        Called with each batch of slices as soon as it is known, and with the first slice alone.
    on_progress : callable
        Called after each batch; it may raise `Cancelled`.

    Raises
    ------
    ValueError
        If the volume is empty or constant, or the network gives NaN.
    """
    config = config or SegmentConfig()
    postprocessing = postprocessing or model.info.postprocess
    _check(volume)
    if wrong := [index for index in (*only, _start(volume, first)) if not 0 <= index < len(volume.array)]:
        raise ValueError(f"{volume.name} has no slice at {wrong[0]}: allowed are 0 to {len(volume.array) - 1}")
    started = time.perf_counter()
    device = choose_device(config.device, config.threads)
    runner = Runner(model.network, device, config.batch_size, config.tta, model.info.temperature)
    order = sorted(only or range(len(volume.array)), key=lambda index: abs(index - _start(volume, first)))
    probability = predict(volume, model.info.model, runner, order, on_slices=on_slices, on_progress=on_progress)
    provenance = provenance_of(volume, model, config, postprocessing, str(runner.device)).changed(
        {"seconds": round(time.perf_counter() - started, 3), "notes": tuple(runner.notes)}
    )
    return Segmentation(postprocess(probability, postprocessing), probability, provenance)


def provenance_of(
    volume: Volume, model: TrainedModel, config: SegmentConfig, postprocessing: PostprocessConfig, device: str
) -> SegmentationProvenance:
    """How a segmentation is made that takes no time yet."""
    return SegmentationProvenance(
        case=volume.name,
        model=model.info.name,
        weights_sha256=model.info.provenance.weights_sha256,
        trained_on=patient_of(volume.name) in model.info.seen_patients,
        temperature=model.info.temperature,
        settings=config,
        postprocess=postprocessing,
        device=device,
        seconds=0,
        created=now(),
        versions=versions(),
    )


class Runner:
    """A network on a device that keeps going when memory runs out: with half the batch, and at last on the CPU.

    It moves the network to its device: one network serves one runner at a time.

    Parameters
    ----------
    network : Module
        Gives logits.
    device : Device
        Where to compute.
    batch_size : int
        Slices at once.
    tta : bool
        Whether to average with the prediction on the mirrored image.
    temperature : float
        The model's; that of a network in training is 1.

    Attributes
    ----------
    device : Device
        Where it computes now.
    batch_size : int
        Slices it takes at once now.
    notes : list of str
        What had to be changed, for a person.
    """

    def __init__(
        self, network: nn.Module, device: Device, batch_size: int, tta: bool, temperature: float = 1.0
    ) -> None:
        self.device = device
        self.batch_size = batch_size
        self.notes: list[str] = []
        self._tta = tta
        self._temperature = temperature
        self._network = network.eval()
        try:
            network.to(device.name)
            return
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        self._use_cpu()

    def __call__(self, images: Tensor) -> Tensor:
        """Probabilities (B, Y, X), float32 on the CPU, of images (B, C, Y, X)."""
        while True:
            try:
                parts = [self._run(part) for part in images.split(self.batch_size)]
                return torch.cat(parts)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._use_less()  # outside, where the error no longer holds on to tensors

    def _run(self, images: Tensor) -> Tensor:
        images = images.to(self.device.name, self.device.dtype, memory_format=torch.channels_last)
        with torch.inference_mode(), self.device.autocast():
            probability = self._probability(images)
            if self._tta:
                probability = (probability + self._probability(images.flip(-1)).flip(-1)) / 2
        return probability[:, 0].cpu()

    def _probability(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self._network(images).float() / self._temperature)

    def _use_less(self) -> None:
        if self.batch_size > 1:
            self.batch_size //= 2
            self.notes.append(f"out of memory on the {self.device.name}: went on with {self.batch_size} slices at once")
        elif self.device.name != "cpu":
            self._use_cpu()
        else:
            raise MemoryError("not enough memory to segment even one slice on the CPU")
        free_memory()

    def _use_cpu(self) -> None:
        self.notes.append(f"out of memory on the {self.device.name}: went on with the CPU")
        self.device = choose_device("cpu", torch.get_num_threads())
        self._network.to("cpu")


def predict(
    volume: Volume,
    model: ModelConfig,
    runner: Runner,
    order: Sequence[int],
    *,
    on_slices: OnSlices | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Float32Array:
    """Probability of tumour in the given slices of a volume, in the given order; 0 in the others.

    Returns
    -------
    ndarray
        (Z, Y, X), float32.

    Raises
    ------
    ValueError
        If the network gives NaN.
    """
    rows, columns = head_box(volume, model)
    slices = _prepare(volume, np.s_[:], rows, columns, model, runner.device.dtype)
    probability = np.zeros(volume.shape, np.float32)
    height, width = probability[0, rows, columns].shape
    done = 0
    while done < len(order):
        count = 1 if on_slices and not done else runner.batch_size  # who looks on sees the first slice at once
        indices = tuple(order[done : done + count])
        seen = [slices[near] for index in indices for near in neighbours(index, len(slices), model.context)]
        images = torch.cat(seen).unflatten(0, (len(indices), -1)).flatten(1, 2)
        found = runner(images)[:, :height, :width].numpy()
        if not np.isfinite(found).all():
            raise ValueError(f"the model gives NaN for {volume.name}: its weights or the images are damaged")
        probability[list(indices), rows, columns] = found
        done += len(indices)
        if on_slices:
            on_slices(SlicePrediction(indices, probability[list(indices)]))
        on_progress(Progress("segmenting", done, len(order)))
    return probability


@dataclass(frozen=True, slots=True, eq=False)
class SliceInput:
    """What the network is fed for one slice.

    Attributes
    ----------
    images : Tensor
        (slices, C, Y, X), normalised: the slice between its neighbours, cut down to the head.
    head : Tensor
        (slices, Y, X), bool: what is not air.
    rows, columns : slice
        Where in the slice that lies.
    """

    images: Tensor
    head: Tensor
    rows: slice
    columns: slice


def slice_input(volume: Volume, z: int, model: ModelConfig) -> SliceInput:
    """What the network is fed for the slice at a position along Z.

    Raises
    ------
    ValueError
        If the volume is empty or constant, or has no such slice.
    """
    _check(volume)
    if not 0 <= z < len(volume.array):
        raise ValueError(f"{volume.name} has no slice at {z}: allowed are 0 to {len(volume.array) - 1}")
    rows, columns = head_box(volume, model)
    near = neighbours(z, len(volume.array), model.context)
    head = solid_head(head_mask(volume.array[..., CHANNELS.index(FLAIR)], model.normalisation)[near, rows, columns])
    images = torch.cat(_prepare(volume, near, rows, columns, model, torch.float32))
    return SliceInput(images[..., : head.shape[1], : head.shape[2]], torch.from_numpy(head), rows, columns)


def _prepare(
    volume: Volume,
    positions: slice | list[int],
    rows: slice,
    columns: slice,
    model: ModelConfig,
    dtype: torch.dtype,
) -> list[Tensor]:
    """Each of some slices normalised (1, C, Y, X) and padded to a size that the network takes."""
    measured = measure_intensities(volume.array, model.normalisation)
    array = volume.array[positions, rows, columns]
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
    stored = torch.from_numpy(np.ascontiguousarray(array)).permute(0, 3, 1, 2).contiguous()
    height, width = stored.shape[-2:]
    padding = [0, -width % model.size_multiple, 0, -height % model.size_multiple]
    return [  # one after another: each stays in the processor's cache, which halves the time
        functional.pad(normalise(one, [measured]), padding, mode="replicate").to(dtype) for one in stored.split(1)
    ]


def head_box(volume: Volume, model: ModelConfig) -> tuple[slice, slice]:
    """Rows and columns with anything but air in them, and a margin: the network need not see the rest."""
    flair = volume.array[:, ::2, ::2, CHANNELS.index(FLAIR)]
    bright = head_mask(flair, model.normalisation.model_copy(update={"foreground": _BOX_FOREGROUND}))
    box = []
    for axis in (1, 2):
        used = np.flatnonzero(bright.mean(axis=3 - axis).max(axis=0) > _BOX_SHARE)
        low, high = (2 * used[0], 2 * used[-1] + 2) if used.size else (0, volume.shape[axis])
        box.append(slice(max(low - _MARGIN, 0), min(high + _MARGIN, volume.shape[axis])))
    return box[0], box[1]


def _check(volume: Volume) -> None:
    if volume.array.size == 0:
        raise ValueError(f"{volume.name} has no voxels: its shape is {volume.array.shape}")
    if volume.array.shape[-1] != len(CHANNELS):
        raise ValueError(f"{volume.name} has {volume.array.shape[-1]} channels, but the model needs {len(CHANNELS)}")
    flair = volume.array[..., CHANNELS.index(FLAIR)]
    if flair.min() == flair.max():
        raise ValueError(f"{volume.name} is empty: every voxel of its FLAIR is {flair.flat[0]}")
    if volume.holds_mask:
        raise ValueError(f"{volume.name} is a mask: its FLAIR holds nothing but 0 and {flair.max()}; give its images")


def _start(volume: Volume, first: int | None) -> int:
    return len(volume.array) // 2 if first is None else first
