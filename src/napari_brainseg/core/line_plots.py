"""Where the lines and axes of a plot of figures by epoch go; what draws them is the page."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

_WIDTH, _HEIGHT = 900, 300
_LEFT, _RIGHT, _TOP, _BELOW = 70, 20, 10, 44


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: its name, colour, points as SVG has them, and a mark with a title for each where they are few."""

    label: str
    colour: str
    points: str
    marks: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class LinePlot:
    """Figures by epoch: ticks are places with their texts."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]


def plot_lines(
    figures: Mapping[str, Mapping[int, float]], colours: Mapping[str, str], limits: tuple[float, float] | None = None
) -> LinePlot:
    """Plot figures by epoch.

    Parameters
    ----------
    figures : Mapping
        Name to value by epoch.
    colours : Mapping
        Name to colour.
    limits : tuple of float, optional
        Ends of the axis; those of the figures if not given.
    """
    known = {name: values for name, values in figures.items() if values}
    epochs = [epoch for values in known.values() for epoch in values]
    x = _Axis(min(epochs), max(epochs), _LEFT, _WIDTH - _RIGHT, whole=True)
    every = [value for values in known.values() for value in values.values()]
    y = _Axis(*(limits or (min(every), max(every))), _HEIGHT - _BELOW, _TOP)
    lines = []
    for name, values in known.items():
        places = [(x.place(epoch), y.place(value)) for epoch, value in values.items()]
        titles = [f"{name} {value:.4g} after epoch {epoch}" for epoch, value in values.items()]
        marks = tuple((*place, title) for place, title in zip(places, titles, strict=True))
        lines.append(Line(name, colours[name], " ".join(f"{a},{b}" for a, b in places), marks))
    return LinePlot(
        _WIDTH, _HEIGHT, _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BELOW, x.ticks(".0f"), y.ticks(".3g"), tuple(lines)
    )


class _Axis:
    def __init__(self, low: float, high: float, start: float, end: float, *, whole: bool = False) -> None:
        if not np.isfinite([low, high]).all() or low == high:
            low, high = (low - 0.5, low + 0.5) if np.isfinite(low) else (0.0, 1.0)
        self._low, self._high, self._start, self._end = low, high, start, end
        self._locator = MaxNLocator(6, integer=whole, steps=[1, 2, 5, 10])

    def place(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self, digits: str) -> tuple[tuple[float, str], ...]:
        values = self._locator.tick_values(self._low, self._high)
        return tuple((self.place(float(v)), format(v, digits)) for v in values if self._low <= v <= self._high)
