"""Pictures of what augmentation makes of a slice, to judge its strength by eye."""

from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Generator

from . import colours
from .augmentation import augment
from .cases import Case
from .config import CHANNELS, FLAIR, AugmentationConfig, ModelConfig
from .devices import Device
from .masks import Mask, largest_slice, read_mask
from .preprocessing import measure_intensities
from .sampling import Sample, make_batch
from .volumes import Array, Volume, read_volume

_ROWS, _COLUMNS = 3, 4
_FLAIR = CHANNELS.index(FLAIR)


def read_with_tumour(cases: Iterable[Case]) -> tuple[Volume, Mask]:
    """Images and manual mask of the first case that has tumour.

    Raises
    ------
    ValueError
        If there is none, or a file is damaged.
    """
    for case in cases:
        if case.error is None and case.has_masks:
            volume = read_volume(case)
            mask = read_mask(case, volume)
            if mask is not None and mask.any():
                return volume, mask
    raise ValueError("there is no case with a manual mask that has tumour")


def draw_augmentation(
    volume: Volume,
    mask: Mask,
    config: AugmentationConfig,
    model: ModelConfig | None = None,
    *,
    window: int = 192,
    seed: int = 0,
) -> Figure:
    """Draw the slice with the most tumour as it is, and eleven times as training would get it.

    Each picture is the FLAIR with the manual mask outlined, beside it pre-contrast and post-contrast half as large. All
    have the same range of grey, so that a change of brightness or contrast is seen.

    Parameters
    ----------
    volume : Volume
        Of one case.
    mask : ndarray
        Its manual mask (Z, Y, X).
    config : AugmentationConfig
        How to vary it.
    model : ModelConfig, optional
        How intensities are normalised.
    window : int
        Edge of the square that training cuts out, in pixels.
    seed : int
        The same seed draws the same pictures.
    """
    model = model or ModelConfig()
    index = largest_slice(mask)
    sample = Sample(volume.name, volume, mask, measure_intensities(volume.array, model.normalisation))
    device = Device("cpu", torch.float32, "a picture is quickly drawn")
    draw = Generator().manual_seed(seed)
    still = AugmentationConfig.model_validate("none")
    plain, varied = (
        augment(*make_batch([sample], [(0, index)] * count, model, device), settings, window, draw)
        for count, settings in ((1, still), (_ROWS * _COLUMNS - 1, config))
    )
    images, masks = (torch.cat(pair).numpy() for pair in zip(plain, varied, strict=True))
    sequences = images[:, model.context * len(CHANNELS) :][:, : len(CHANNELS)]
    limits = float(sequences[0].min()), float(sequences[0].max())

    figure = Figure(figsize=(3.3 * _COLUMNS, 2.35 * _ROWS + 0.4), facecolor="black")
    figure.set_layout_engine("constrained")
    preset = f"augmentation {config.preset}" if config.preset else "augmentation of your own"
    title = f"{volume.name}, slice {volume.slice_numbers[index]}: {preset}, seed {seed}"
    figure.suptitle(f"{title}. FLAIR with manual mask; small: pre- and post-contrast", color="white", fontsize=10)
    for number, axis in enumerate(figure.subplots(_ROWS, _COLUMNS).flat):
        _show(axis, sequences[number], masks[number, 0], limits)
        axis.set_title(f"variant {number}" if number else "as it is", color="white", fontsize=9, loc="left")
    return figure


def _show(axis: Axes, sequences: Array, mask: Array, limits: tuple[float, float]) -> None:
    flair = sequences[_FLAIR]
    height = len(flair) // 2
    others = [sequences[number, ::2, ::2][:height] for number in range(len(CHANNELS)) if number != _FLAIR]
    axis.imshow(np.hstack([flair[: 2 * height], np.vstack(others)]), cmap="gray", vmin=limits[0], vmax=limits[1])
    axis.set_axis_off()
    if mask.any():
        axis.contour(mask, levels=[0.5], colors=[colours.MANUAL], linewidths=1.2)
