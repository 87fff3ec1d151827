"""Figures slice by slice as a strip of curves: a click goes to a slice, and a line marks the one in view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent, QWheelEvent

_HEIGHT = 72
"""Of a lane, in pixels."""
_LEFT, _RIGHT, _BOTTOM, _GAP = 52, 10, 34, 20
"""Room for names and numbers, in pixels."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Slices that stand out of a curve."""

    title: str
    slices: tuple[int, ...]
    colour: str


@dataclass(frozen=True, slots=True)
class Series:
    """A curve: a value per slice, None where there is none; without a colour it takes that of the window's text."""

    title: str
    values: Sequence[float | None]
    colour: str | None = None
    marks: Marks | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """Curves that share an axis, with its name and, if they are known, its ends."""

    label: str
    series: tuple[Series, ...]
    limits: tuple[float, float] | None = None


class StripPlot(FigureCanvasQTAgg):
    """Lanes above each other along the slices.

    Parameters
    ----------
    lanes : int
        How many there will be.
    """

    clicked = Signal(int)
    """Position of the slice that was clicked or dragged to."""

    def __init__(self, lanes: int) -> None:
        super().__init__(Figure())
        self._lanes: tuple[Lane, ...] = ()
        self._axes: list[Axes] = list(self.figure.subplots(lanes, 1, sharex=True, squeeze=False)[:, 0])
        self._current: int | None = None
        self._background, self._text = "white", "black"
        self.setFixedHeight(lanes * (_HEIGHT + _GAP) + _BOTTOM)
        self.setMinimumWidth(200)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """What is shown."""
        return self._lanes

    @property
    def current(self) -> int | None:
        """The slice that is marked."""
        return self._current

    def set_theme(self, background: str, text: str) -> None:
        """Take over the colours of the window."""
        self._background, self._text = background, text
        self._draw_lanes()

    def show_lanes(self, *lanes: Lane) -> None:
        """Show curves in place of the former; without any, the strip is empty."""
        self._lanes = lanes
        self._draw_lanes()

    def mark(self, index: int | None) -> None:
        """Mark a slice; only the line moves, no curve is drawn again."""
        if index != self._current:
            self._current = index
            self.update()

    def _slices(self) -> int:
        return max((len(series.values) for lane in self._lanes for series in lane.series), default=0)

    def _draw_lanes(self) -> None:
        self.figure.set_facecolor(self._background)
        for axes in self._axes:
            axes.clear()
            axes.set_visible(bool(self._lanes))
        for axes, lane in zip(self._axes, self._lanes, strict=False):
            self._draw_lane(axes, lane)
        self._axes[-1].set_xlim(-0.5, max(self._slices(), 1) - 0.5)
        self._axes[-1].set_xlabel("Slice (z)", color=self._text, fontsize=8, labelpad=2)
        self._axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
        self.draw_idle()

    def _draw_lane(self, axes: Axes, lane: Lane) -> None:
        axes.set_facecolor("none")
        axes.set_ylabel(lane.label, color=self._text, fontsize=8)
        axes.tick_params(colors=self._text, labelsize=8, length=2, labelbottom=axes is self._axes[-1])
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.grid(color=self._text, alpha=0.15, linewidth=0.6)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(self._text)
        for series in lane.series:
            values = np.array(series.values, float)  # None becomes nan, which leaves a gap
            colour = series.colour or self._text
            axes.plot(values, color=colour, linewidth=1.2, marker=".", markersize=3, label=series.title)
            if marks := series.marks:
                places = list(marks.slices)
                axes.plot(places, values[places], "o", markersize=5, color=marks.colour, label=marks.title)
        if lane.limits:
            low, high = lane.limits
            axes.set_yticks(np.linspace(low, high, 3))
            axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        else:
            axes.set_ylim(bottom=0)
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=4,
            frameon=False,
            fontsize=8,
            labelcolor=self._text,
            handlelength=0.8,
            handletextpad=0.4,
            columnspacing=0.8,
            borderaxespad=0.1,
            borderpad=0,
        )

    def _place(self, index: float) -> float:
        """Where a slice lies along the width, in Qt's pixels."""
        return float(self._axes[-1].transData.transform((index, 0))[0] / self.device_pixel_ratio)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the room for names and numbers as it is, whatever the width."""
        super().resizeEvent(event)
        width, height = max(self.width(), 120), max(self.height(), 120)
        lane = (height - _BOTTOM) / len(self._axes)
        self.figure.subplots_adjust(
            left=_LEFT / width,
            right=1 - _RIGHT / width,
            bottom=_BOTTOM / height,
            top=1 - _GAP / height,
            hspace=_GAP / (lane - _GAP),
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line of the slice in view over the curves, which are kept as a picture."""
        super().paintEvent(event)
        if self._current is None or not self._lanes:
            return
        painter = QPainter(self)
        painter.setPen(QPen(QColor(self._text), 1, Qt.PenStyle.DashLine))
        place = round(self._place(self._current))
        painter.drawLine(place, _GAP, place, self.height() - _BOTTOM)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the slice under the mouse."""
        if event.buttons() & Qt.MouseButton.LeftButton and self._lanes:
            first, second = self._place(0), self._place(1)
            index = round((event.position().x() - first) / (second - first))
            self.clicked.emit(min(max(index, 0), self._slices() - 1))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse while it is held."""
        self.mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave it to the column, which scrolls."""
        event.ignore()
