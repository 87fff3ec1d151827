"""Where the dots, boxes and axes of a plot of many cases go; what draws them is the page."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_LEFT, _RIGHT, _TOP, _ROW, _BELOW = 170, 20, 8, 52, 40
_WIDTH = 900
_DOT, _SPREAD = 8, 17
"""Room for a dot, and how far dots of like value may go up and down, in pixels."""

_FEWEST_FOR_BOX = 5
_NICE = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Dot:
    """One case: its place, and what to show of it under the pointer."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class DotRow:
    """Cases of one group; `box` holds minimum, quartiles and maximum, None for a handful of cases."""

    label: str
    y: float
    dots: tuple[Dot, ...]
    mean: float | None
    box: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Groups of cases above one axis."""

    width: int
    height: int
    left: int
    axis: int
    ticks: tuple[tuple[float, str], ...]
    mark: float
    rows: tuple[DotRow, ...]


def plot_dice(groups: Mapping[str, Mapping[str, float]], mark: float) -> DotPlot:
    """Plot Dice by group and case, with a line at `mark`."""
    return _plot(groups, 0, 1, mark, [tick / 5 for tick in range(6)], ".1f")


def plot_gains(groups: Mapping[str, Mapping[str, float]]) -> DotPlot:
    """Plot differences by group and case, with a line at 0."""
    largest = max((abs(value) for cases in groups.values() for value in cases.values()), default=0)
    end = next((nice for nice in _NICE if nice >= largest), 1.0)
    return _plot(groups, -end, end, 0, [-end, -end / 2, 0, end / 2, end], "+.2g" if end > _NICE[0] else "+.2f")


def _plot(
    groups: Mapping[str, Mapping[str, float]], low: float, high: float, mark: float, ticks: list[float], digits: str
) -> DotPlot:
    def place(value: float) -> float:
        return round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    rows = []
    for index, (label, cases) in enumerate(groups.items()):
        y = _TOP + (index + 0.5) * _ROW
        values = list(cases.values())
        boxed = np.percentile(values, [0, 25, 50, 75, 100]) if len(values) >= _FEWEST_FOR_BOX else None
        levels = _levels([place(value) for value in values])
        rows.append(
            DotRow(
                label=f"{label} ({len(values)})",
                y=y,
                dots=tuple(
                    Dot(place(value), round(y + level, 1), f"{name}: {value:.3f}")
                    for (name, value), level in zip(cases.items(), levels, strict=True)
                ),
                mean=place(sum(values) / len(values)) if values else None,
                box=None if boxed is None else tuple(place(float(value)) for value in boxed),
            )
        )
    bottom = _TOP + len(groups) * _ROW
    texts = tuple((place(tick), format(tick, digits) if tick else "0") for tick in ticks)
    return DotPlot(_WIDTH, bottom + _BELOW, _LEFT, bottom, texts, place(mark), tuple(rows))


def _levels(places: list[float]) -> list[float]:
    """How far each dot goes up or down so that those of like value can be told apart."""
    bins: dict[int, int] = {}
    steps = []
    for place in places:
        crowd = bins.get(key := round(place / _DOT), 0)
        bins[key] = crowd + 1
        steps.append((crowd + 1) // 2 * (1 if crowd % 2 else -1))
    widest = max(map(abs, steps), default=0)
    return [step * min(_DOT, _SPREAD / max(widest, 1)) for step in steps]
