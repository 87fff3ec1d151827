"""What a network says of cases that it does not learn from, while it learns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from .config import CHANNELS, FLAIR, ModelConfig, PostprocessConfig, ScoreConfig
from .devices import Device
from .distribution import Team
from .losses import Loss
from .masks import Mask, largest_slice, slice_areas
from .metrics import score_mask
from .networks import SpaceToDepth
from .postprocessing import postprocess
from .progress import OnProgress, Progress, ignore_progress
from .runs import write_preview, write_previews
from .sampling import Sample
from .segmentation import Runner, predict
from .training_reports import WorstSlice
from .volumes import Array, Float32Array, tissue_range

_BATCH = 8
_PREVIEWS = 4


@dataclass(frozen=True, slots=True)
class Validation:
    """How well a network does on each case, without flips and without post-processing.

    Attributes
    ----------
    loss : Mapping of str to float
        The training loss of each whole volume.
    dice, iou : Mapping of str to float
        Per volume; a case that has none is left out.
    worst : Mapping of str to WorstSlice
        Where each case is worst.
    """

    loss: dict[str, float]
    dice: dict[str, float]
    iou: dict[str, float]
    worst: dict[str, WorstSlice]

    @property
    def means(self) -> dict[str, float]:
        """Means over the cases, as the history has them."""
        figures = {"validation_loss": self.loss, "validation_dice": self.dice, "validation_iou": self.iou}
        return {name: fmean(values.values()) for name, values in figures.items() if values}


def validate(
    network: SpaceToDepth,
    samples: Sequence[Sample],
    model: ModelConfig,
    device: Device,
    loss: Loss,
    tell: Callable[[str], None],
    on_progress: OnProgress,
    team: Team = Team(),  # noqa: B008 - frozen
) -> Validation:
    """Segment each case and compare it where its mask is known; a team shares the cases out."""
    runner = Runner(network, device, _BATCH, tta=False)
    result = Validation({}, {}, {}, {})
    mine = team.share(samples)
    try:
        for number, sample in enumerate(mine, start=1):
            name = sample.volume.name
            probability = predict(sample.volume, model, runner, range(len(sample.mask)))
            mask = postprocess(probability, PostprocessConfig())
            known = sample.slices
            scores = score_mask(mask[known], sample.mask[known], config=ScoreConfig(distances=False))
            result.loss[name] = _loss_of(probability[known], sample.mask[known], loss)
            if scores.dice is not None and scores.iou is not None:
                result.dice[name], result.iou[name] = scores.dice, scores.iou
            worst = known[int(slice_areas(mask[known] != sample.mask[known]).argmax())]
            result.worst[name] = WorstSlice(sample.volume, sample.mask, worst, mask[worst].copy())
            on_progress(Progress("validating", number, len(mine)))
    finally:
        network.to(device.name)  # the runner goes on with the CPU where memory runs out, training does not
    for note in runner.notes:
        tell(f"validation: {note}")
    return _merged(team.gather(result), samples) if team.size > 1 else result


def _merged(parts: Sequence[Validation], samples: Sequence[Sample]) -> Validation:
    """What all found, in the order of the cases."""
    names = [sample.volume.name for sample in samples]
    loss, dice, iou = (
        {name: figures[name] for name in names for figures in found if name in figures}
        for found in ([part.loss for part in parts], [part.dice for part in parts], [part.iou for part in parts])
    )
    worst = {name: part.worst[name] for name in names for part in parts if name in part.worst}
    return Validation(loss, dice, iou, worst)


def _loss_of(probability: Float32Array, mask: Mask, loss: Loss) -> float:
    logits = torch.logit(torch.from_numpy(probability), eps=1e-6).unsqueeze(1)
    return float(loss(logits, torch.from_numpy(mask).unsqueeze(1).float()))


class PreviewSlices:
    """A few slices that are segmented after each validation, so that a person sees them sharpen.

    Parameters
    ----------
    samples : sequence of Sample
        Of the first of them the slice with the largest tumour is taken.
    folder : Path
        The run folder, where the slices are written.
    model : ModelConfig
        What the network is fed.
    device : Device
        Where to compute.
    remark : str
        Added to the names.
    """

    def __init__(
        self, samples: Sequence[Sample], folder: Path, model: ModelConfig, device: Device, remark: str
    ) -> None:
        self._chosen = [(sample, _telling_slice(sample.mask)) for sample in samples[:_PREVIEWS]]
        self._folder, self._model, self._device = folder, model, device
        flair = [sample.volume.array[..., CHANNELS.index(FLAIR)] for sample, _ in self._chosen]
        images = [_as_bytes(array, index) for array, (_, index) in zip(flair, self._chosen, strict=True)]
        names = [f"{sample.volume.name}, slice {sample.volume.slice_numbers[i]}{remark}" for sample, i in self._chosen]
        write_previews(folder, _stack(images), _stack([sample.mask[index] for sample, index in self._chosen]), names)

    def write(self, network: SpaceToDepth, epoch: int) -> None:
        """Write what the network says of them after an epoch."""
        runner = Runner(network, self._device, _BATCH, tta=False)
        found = [
            predict(sample.volume, self._model, runner, [index], on_progress=ignore_progress)[index]
            for sample, index in self._chosen
        ]
        network.to(self._device.name)
        write_preview(self._folder, epoch, _stack(found))


def _telling_slice(mask: Mask) -> int:
    return largest_slice(mask) if mask.any() else len(mask) // 2


def _as_bytes(flair: Array, index: int) -> Array:
    low, high = tissue_range(flair)
    shown: Array = (np.clip((flair[index] - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return shown


def _stack(planes: Sequence[Array]) -> Array:
    """(N, Y, X) of planes that may differ in size, padded with 0."""
    height, width = (max(plane.shape[axis] for plane in planes) for axis in (0, 1))
    return np.stack([np.pad(p, [(0, height - p.shape[0]), (0, width - p.shape[1])]) for p in planes])
