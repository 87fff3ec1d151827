"""A run's figures epoch by epoch as curves, in the colours of the window."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from qtpy.QtGui import QResizeEvent, QWheelEvent

from ..core.colours import AGREE, MANUAL, PREDICTION
from ..core.runs import EpochRow

_HEIGHT = 290
_LEFT, _RIGHT, _BOTTOM, _TOP, _GAP = 54, 10, 36, 20, 22
"""Room for names and numbers, in pixels."""


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


class TrainCurves(FigureCanvasQTAgg):
    """Loss, validation scores and learning rate above each other, along the epochs."""

    def __init__(self) -> None:
        super().__init__(Figure())
        self.setFixedHeight(_HEIGHT)
        self.setMinimumWidth(200)
        self.setToolTip("Loss, validation Dice and IoU per volume, and learning rate, after each epoch.")
        self._axes: list[Axes] = list(self.figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.4)))
        self._rows: Sequence[EpochRow] = ()
        self._epochs = 1
        self._background, self._text = "white", "black"

    def set_theme(self, background: str, text: str) -> None:
        """Take over the colours of the window."""
        self._background, self._text = background, text
        self._draw()

    def show_rows(self, rows: Sequence[EpochRow], epochs: int) -> None:
        """Show the epochs that ended, of so many in all."""
        if (rows, epochs) != (self._rows, self._epochs):
            self._rows, self._epochs = rows, epochs
            self._draw()

    def _draw(self) -> None:
        _draw_panels(self.figure, self._axes, self._rows, self._epochs, (self._background, self._text))
        self.draw_idle()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the room for names and numbers as it is, whatever the width."""
        super().resizeEvent(event)
        width, height = max(self.width(), 120), _HEIGHT
        self.figure.subplots_adjust(
            left=_LEFT / width,
            right=1 - _RIGHT / width,
            bottom=_BOTTOM / height,
            top=1 - _TOP / height,
            hspace=_GAP / ((height - _BOTTOM - _TOP - 2 * _GAP) / 3),
        )

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave it to the column, which scrolls."""
        event.ignore()


def warm_up() -> None:
    """Draw once out of sight: the first time matplotlib looks for its fonts, which takes long. For a thread."""
    figure = Figure()
    FigureCanvasAgg(figure)
    row = EpochRow(epoch=1, seconds=1, loss=1, learning_rate=1, validation_dice=1)
    _draw_panels(figure, list(figure.subplots(3, 1, sharex=True)), [row], 2, ("white", "black"))
    figure.canvas.draw()


def _draw_panels(
    figure: Figure, panels: Sequence[Axes], rows: Sequence[EpochRow], epochs: int, theme: tuple[str, str]
) -> None:
    background, text = theme
    figure.set_facecolor(background)
    for axes, (label, curves) in zip(panels, _PANELS, strict=True):
        axes.clear()
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
