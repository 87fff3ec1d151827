"""A run's figures epoch by epoch as curves, drawn without a window; in a thread, since it takes a tenth of a second."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..core.colours import AGREE, MANUAL, PREDICTION
from ..core.runs import EpochRow

_LEFT, _RIGHT, _BOTTOM, _TOP, _GAP = 54, 10, 36, 20, 22
"""Room for names and numbers, in pixels."""
_DPI = 100


@dataclass(frozen=True, slots=True)
class _Curve:
    title: str
    field: str
    colour: str


_PANELS = (
    ("Loss", (_Curve("training", "loss", MANUAL), _Curve("validation", "validation_loss", PREDICTION))),
    ("Validation", (_Curve("Dice", "validation_dice", PREDICTION), _Curve("IoU", "validation_iou", AGREE))),
    ("Rate", (_Curve("learning rate", "learning_rate", MANUAL),)),
)
"""In the colours of the report."""


@dataclass(frozen=True, slots=True)
class CurvesWanted:
    """What is to be drawn: epochs that ended, of how many, in which colours, and how large in pixels."""

    rows: tuple[EpochRow, ...]
    epochs: int
    background: str
    text: str
    width: int
    height: int
    ratio: float = 1.0


def render_curves(wanted: CurvesWanted) -> npt.NDArray[np.uint8]:
    """The curves as an image (Y, X, RGBA)."""
    canvas = FigureCanvasAgg(draw_curves(wanted))
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def draw_curves(wanted: CurvesWanted) -> Figure:
    """Loss, validation scores and learning rate above each other, along the epochs."""
    width, height = wanted.width, wanted.height
    figure = Figure((width / _DPI, height / _DPI), dpi=_DPI * wanted.ratio)
    panels = list(figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.4)))
    figure.subplots_adjust(
        left=_LEFT / width,
        right=1 - _RIGHT / width,
        bottom=_BOTTOM / height,
        top=1 - _TOP / height,
        hspace=_GAP / ((height - _BOTTOM - _TOP - 2 * _GAP) / 3),
    )
    _draw_panels(figure, panels, wanted.rows, wanted.epochs, (wanted.background, wanted.text))
    return figure


def _draw_panels(
    figure: Figure, panels: Sequence[Axes], rows: Sequence[EpochRow], epochs: int, theme: tuple[str, str]
) -> None:
    background, text = theme
    figure.set_facecolor(background)
    for axes, (label, curves) in zip(panels, _PANELS, strict=True):
        axes.set_facecolor("none")
        axes.set_ylabel(label, color=text, fontsize=8)
        axes.tick_params(colors=text, labelsize=8, length=2, labelbottom=axes is panels[-1])
        axes.yaxis.set_major_locator(MaxNLocator(2 if label == "Rate" else 4))
        axes.grid(color=text, alpha=0.15, linewidth=0.6)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        axes.yaxis.get_offset_text().set(color=text, fontsize=7)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(text)
        for curve in curves:
            _draw_curve(axes, curve, rows)
        if label == "Validation":
            axes.set_ylim(-0.03, 1.03)
            axes.set_yticks((0, 0.5, 1))
        elif rows:
            axes.set_ylim(bottom=0)
        if label != "Rate":
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(0, 1),
                ncols=2,
                frameon=False,
                fontsize=8,
                labelcolor=text,
                handlelength=1.6,
                borderaxespad=0.1,
                borderpad=0,
            )
    panels[-1].set_xlim(0.5, max(epochs, 2) + 0.5)
    panels[-1].set_xlabel("Epoch", color=text, fontsize=8, labelpad=2)
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _draw_curve(axes: Axes, curve: _Curve, rows: Sequence[EpochRow]) -> None:
    known = [(row.epoch, value) for row in rows if (value := getattr(row, curve.field)) is not None]
    axes.plot(
        [epoch for epoch, _ in known],
        [value for _, value in known],
        color=curve.colour,
        linewidth=1.3,
        marker="." if len(known) < 40 else None,
        markersize=4,
        label=curve.title,
    )
