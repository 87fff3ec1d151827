"""What the sequences and the neighbour slices contribute to a prediction: it is made again without each of them.

Without pre- or post-contrast, FLAIR stands in for them, which is how a model is fed where a sequence is missing.
Nothing stands in for FLAIR: its tissue is made uniform, the median of the slice, while air stays air. So the network
sees a head of the usual shape and brightness in which FLAIR shows nothing; a picture that is constant all over would be
unlike any that it knows. Neighbours are replaced by the slice itself, as those beyond the first and last slice are.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import CHANNELS, FLAIR, ScoreConfig, SegmentConfig
from .devices import choose_device
from .metrics import score_mask
from .models import TrainedModel
from .segmentation import Runner, SliceInput, slice_input
from .volumes import Array, Volume

_FLAIR = CHANNELS.index(FLAIR)


@dataclass(frozen=True, slots=True)
class Contribution:
    """A prediction on a slice without something that the model usually sees.

    Attributes
    ----------
    without : str
        What is taken away.
    area, usual_area : int
        Voxels called tumour on the slice, without it and with everything.
    dice : float
        Agreement with the unchanged prediction; 1 where both are empty.
    manual_dice, usual_manual_dice : float or None
        Agreement of both with the manual mask; None without one.
    """

    without: str
    area: int
    usual_area: int
    dice: float
    manual_dice: float | None = None
    usual_manual_dice: float | None = None

    @property
    def sentence(self) -> str:
        """All of it in words."""
        words = f"Without {self.without}: {self.area} voxels instead of {self.usual_area}"
        if self.usual_area or self.area:
            words += f", Dice {self.dice:.2f} with the usual prediction"
        if self.manual_dice is not None:
            words += f"; {self.manual_dice:.2f} instead of {self.usual_manual_dice:.2f} with the manual mask"
        return f"{words}."


def which_sequences(
    volume: Volume,
    z: int,
    model: TrainedModel,
    manual: Array | None = None,
    segmenting: SegmentConfig | None = None,
    threshold: float | None = None,
) -> tuple[Contribution, ...]:
    """What the prediction on a slice is without each sequence that the case has.

    Parameters
    ----------
    volume : Volume
        The images.
    z : int
        Which slice.
    model : TrainedModel
        From `load_model`; it is left as it is.
    manual : ndarray, optional
        (Z, Y, X), a mask to compare with.
    segmenting : SegmentConfig, optional
        How to run the network.
    threshold : float, optional
        From which probability on a voxel is tumour; the model's own if not given.

    Raises
    ------
    ValueError
        If the volume is empty or constant, or has no such slice.
    """
    seen = slice_input(volume, z, model.info.model)
    variants = {name: _without(name, seen, volume.same_as_flair) for name in CHANNELS if name not in volume.missing}
    return _compare(volume, z, model, seen, variants, manual, segmenting, threshold)


def which_neighbours(
    volume: Volume,
    z: int,
    model: TrainedModel,
    manual: Array | None = None,
    segmenting: SegmentConfig | None = None,
    threshold: float | None = None,
) -> tuple[Contribution, ...]:
    """What the prediction on a slice is without its neighbours; nothing for a model that sees none.

    Parameters and errors are those of `which_sequences`.
    """
    seen, middle = slice_input(volume, z, model.info.model), model.info.model.context
    variants = {"neighbour slices": seen.images[middle].expand_as(seen.images)} if middle else {}
    return _compare(volume, z, model, seen, variants, manual, segmenting, threshold)


def _without(name: str, seen: SliceInput, same_as_flair: Sequence[bool]) -> Tensor:
    images = seen.images.clone()
    if name != FLAIR:
        images[:, CHANNELS.index(name)] = images[:, _FLAIR]
        return images
    for image, head in zip(images, seen.head, strict=True):
        for channel, is_flair in enumerate(same_as_flair):
            if (is_flair or channel == _FLAIR) and head.any():
                image[channel, head] = image[channel, head].median()
    return images


def _compare(
    volume: Volume,
    z: int,
    model: TrainedModel,
    seen: SliceInput,
    variants: dict[str, Tensor],
    manual: Array | None,
    segmenting: SegmentConfig | None,
    threshold: float | None,
) -> tuple[Contribution, ...]:
    segmenting = segmenting or SegmentConfig()
    least = model.info.postprocess.threshold if threshold is None else threshold
    device = choose_device(segmenting.device, segmenting.threads)
    network = copy.deepcopy(model.network)
    runner = Runner(network, device, segmenting.batch_size, segmenting.tta, model.info.temperature)
    called = (runner(torch.stack([seen.images, *variants.values()]).flatten(1, 2)) >= least).numpy()
    usual, truth = called[0], None if manual is None else manual[z, seen.rows, seen.columns] > 0
    return tuple(
        Contribution(
            without=name,
            area=int(mask.sum()),
            usual_area=int(usual.sum()),
            dice=_dice(mask, usual),
            manual_dice=None if truth is None else _dice(mask, truth),
            usual_manual_dice=None if truth is None else _dice(usual, truth),
        )
        for name, mask in zip(variants, called[1:], strict=True)
    )


def _dice(one: Array, other: Array) -> float:
    dice = score_mask(one, other, config=ScoreConfig(empty="one", distances=False)).dice
    assert dice is not None
    return dice
