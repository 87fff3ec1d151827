"""Pictures of image, manual mask and prediction side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from . import colours
from .config import CHANNELS, FLAIR
from .files import atomic_path
from .masks import Mask, Truth, slice_areas
from .volumes import Array, Volume

_PANEL = 2.5
"""Width of a picture in inches."""


@dataclass(frozen=True, slots=True, eq=False)
class MontageRow:
    """One slice of a montage: its FLAIR image, masks (Y, X), and what to write beside it."""

    title: str
    image: Array
    manual: Mask | None
    prediction: Mask


def montage_row(volume: Volume, prediction: Mask, truth: Truth, title: str) -> MontageRow:
    """Row that shows the slice where manual mask and prediction together are largest."""
    area = slice_areas(prediction) + slice_areas(truth.mask)
    index = int(area.argmax()) if area.any() else len(prediction) // 2
    flair = volume.array[index, ..., CHANNELS.index(FLAIR)]
    number = volume.slice_numbers[index]
    manual = truth.mask[index] if truth.known[index] else None
    return MontageRow(f"{title}, slice {number}", flair, manual, prediction[index])


def write_montage(rows: Sequence[MontageRow], path: Path) -> None:
    """Write a PNG with one row per slice: the image, manual mask and prediction outlined on it, and how they differ."""
    write_figure(_draw_rows(rows), path)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a drawing as PNG.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_png(figure, temporary)


def save_png(figure: Figure, target: Path | BytesIO) -> None:
    """Save a drawing whose words are shown as they are: the name of a case may hold dollars, and is no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    figure.savefig(target, format="png", dpi=100)


def montage_png(row: MontageRow) -> bytes:
    """PNG of one row of a montage."""
    return _as_png(_draw_rows([row]))


def differences_png(title: str, image: Array, manual: Mask, predictions: Mapping[str, Mask]) -> bytes:
    """PNG of one slice: the image, the manual mask outlined on it, and how each prediction differs from that."""
    figure, ((image_axis, manual_axis, *axes),) = _panels(1, 2 + len(predictions))
    _show(image_axis, image, title, "white")
    _show(manual_axis, image, "manual mask", colours.MANUAL, manual)
    for axis, (name, prediction) in zip(axes, predictions.items(), strict=True):
        _show_difference(axis, image, manual, prediction)
        axis.set_title(name, color=colours.PREDICTION, fontsize=9, loc="left")
    return _as_png(figure)


def sheet_png(slices: Sequence[tuple[str, Array, Mask]]) -> bytes:
    """PNG of titled slices, two to a row: the image, its mask, and the mask outlined on the image."""
    figure, axes = _panels(-(-len(slices) // 2), 6)
    panels = [axis for row in axes for axis in row]
    for axis in panels:
        axis.set_axis_off()
    for index, (title, image, mask) in enumerate(slices):
        image_axis, mask_axis, overlay_axis = panels[3 * index : 3 * index + 3]
        _show(image_axis, image, title, "white")
        _show(mask_axis, mask, "mask", colours.MANUAL)
        _show(overlay_axis, image, "overlay", colours.MANUAL, mask)
    return _as_png(figure)


def _draw_rows(rows: Sequence[MontageRow]) -> Figure:
    compared = any(row.manual is not None for row in rows)
    figure, axes = _panels(len(rows), 4 if compared else 3)
    for (image_axis, manual_axis, prediction_axis, *difference_axis), row in zip(axes, rows, strict=True):
        _show(image_axis, row.image, row.title, "white")
        manual_title = "manual mask" if row.manual is not None else "no manual mask"
        _show(manual_axis, row.image, manual_title, colours.MANUAL, row.manual)
        _show(prediction_axis, row.image, "prediction", colours.PREDICTION, row.prediction)
        for axis in difference_axis:
            axis.set_axis_off()
            if row.manual is not None:
                _show_difference(axis, row.image, row.manual, row.prediction)
                _name_colours(axis)
    return figure


def _panels(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    figure = Figure(figsize=(_PANEL * columns, 2.75 * rows), facecolor="black")
    figure.set_layout_engine("constrained", h_pad=0.1)
    return figure, figure.subplots(rows, columns, squeeze=False, subplot_kw={"xticks": (), "yticks": ()}).tolist()


def _show(axis: Axes, image: Array, title: str, colour: str, mask: Mask | None = None) -> None:
    is_empty = mask is not None and not mask.any()
    axis.set_title(f"{title}: none here" if is_empty else title, color=colour, fontsize=9, loc="left")
    axis.imshow(image, cmap="gray", interpolation="nearest")
    axis.set_axis_off()
    if mask is not None and not is_empty:
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)


def _show_difference(axis: Axes, image: Array, manual: Mask, prediction: Mask) -> None:
    ours, theirs = prediction > 0, manual > 0
    overlay = np.zeros((*ours.shape, 4))
    for where, colour in (
        (ours & theirs, colours.AGREE),
        (theirs & ~ours, colours.MISSED),
        (ours & ~theirs, colours.TOO_MUCH),
    ):
        overlay[where] = *to_rgb(colour), 0.75
    axis.imshow(image, cmap="gray", interpolation="nearest")
    axis.imshow(overlay, interpolation="nearest")
    axis.set_axis_off()


def _name_colours(axis: Axes) -> None:
    """Write above a picture of differences what its colours mean."""
    meanings = {"both": colours.AGREE, "missed": colours.MISSED, "too much": colours.TOO_MUCH}
    axis.legend(
        handles=[Patch(color=colour, label=name) for name, colour in meanings.items()],
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=3,
        frameon=False,
        borderpad=0,
        fontsize=9,
        labelcolor="white",
        handlelength=0.8,
        handletextpad=0.4,
        columnspacing=1,
    )


def _as_png(figure: Figure) -> bytes:
    buffer = BytesIO()
    save_png(figure, buffer)
    return buffer.getvalue()
