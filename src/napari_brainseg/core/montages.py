"""Pictures of image, manual mask and prediction side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from . import colours
from .config import CHANNELS, FLAIR
from .files import atomic_path
from .masks import Mask, slice_areas
from .volumes import Array, Volume


@dataclass(frozen=True, slots=True)
class MontageRow:
    """One slice of a montage: its FLAIR image, masks (Y, X), and what to write beside it."""

    title: str
    image: Array
    manual: Mask | None
    prediction: Mask


def montage_row(volume: Volume, prediction: Mask, manual: Mask | None, title: str) -> MontageRow:
    """Row that shows the slice where manual mask and prediction together are largest."""
    area = slice_areas(prediction) + (0 if manual is None else slice_areas(manual))
    index = int(area.argmax()) if area.any() else len(prediction) // 2
    flair = volume.array[index, ..., CHANNELS.index(FLAIR)]
    number = volume.slice_numbers[index]
    return MontageRow(f"{title}, slice {number}", flair, None if manual is None else manual[index], prediction[index])


def write_montage(rows: Sequence[MontageRow], path: Path) -> None:
    """Write a PNG with one row per slice: the image, the manual mask and the prediction outlined on it."""
    figure = Figure(figsize=(7.5, 2.75 * len(rows)), facecolor="black", layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for (image_axis, manual_axis, prediction_axis), row in zip(axes, rows, strict=True):
        image_axis.set_title(row.title, color="white", fontsize=9, loc="left")
        manual_title = "manual mask" if row.manual is not None else "no manual mask"
        manual_axis.set_title(manual_title, color=colours.MANUAL, fontsize=9, loc="left")
        prediction_axis.set_title("prediction", color=colours.PREDICTION, fontsize=9, loc="left")
        masks = ((manual_axis, row.manual, colours.MANUAL), (prediction_axis, row.prediction, colours.PREDICTION))
        for axis in (image_axis, manual_axis, prediction_axis):
            axis.imshow(row.image, cmap="gray", interpolation="nearest")
            axis.set_axis_off()
        for axis, mask, colour in masks:
            if mask is not None and mask.any():
                axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
