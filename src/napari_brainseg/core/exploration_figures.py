"""What is in a data set, as plots in the colours of a page or a window."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .colours import AGREE, CORRECTION, MANUAL, MISSED, PREDICTION, TOO_MUCH
from .config import CHANNELS
from .exploration import BINS, Exploration
from .patient_tables import AGE, SHOWN

_LINES = (MANUAL, PREDICTION, AGREE, TOO_MUCH, CORRECTION, MISSED)
_DPI = 100
_MOST_SITES = len(_LINES)


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of what the plots stand on."""

    background: str
    text: str


LIGHT, DARK = Theme("#ffffff", "#1b1f24"), Theme("#16191d", "#e6e9ed")
"""Those of the page."""


def figure_names(exploration: Exploration) -> dict[str, str]:
    """What each figure that the data set has enough for shows, by its name."""
    return {name: title for name, (title, _, panels) in FIGURES.items() if panels(exploration)}


def figure_png(name: str, exploration: Exploration, theme: Theme) -> bytes:
    """PNG of one of `figure_names`."""
    buffer = BytesIO()
    _draw(name, exploration, theme, 900, 1.0).savefig(buffer, format="png")
    return buffer.getvalue()


def figure_pixels(name: str, exploration: Exploration, theme: Theme, width: int, ratio: float) -> npt.NDArray[np.uint8]:
    """Image (Y, X, RGBA) of one of `figure_names`, so many pixels wide, each of them `ratio` dots."""
    canvas: Any = FigureCanvasAgg(_draw(name, exploration, theme, width, ratio))
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def _draw(name: str, exploration: Exploration, theme: Theme, width: int, ratio: float) -> Figure:
    _, draw, panels = FIGURES[name]
    count = panels(exploration)
    columns = min(count, max(width // 290, 1))  # below each other where the window is narrow
    rows = -(-count // columns)
    height = 300 if width > 500 else 215
    figure = Figure((width / _DPI, rows * height / _DPI), dpi=_DPI * ratio, facecolor=theme.background)
    figure.set_layout_engine("constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.set_axis_off()
    draw(figure, axes[:count], exploration)
    drawn: list[Any] = [*figure.axes, *(child for axis in figure.axes for child in axis.child_axes)]
    for axis in drawn:
        _colour(axis, theme.text)
    return figure


def _colour(axis: Axes, text: str) -> None:
    axis.set_facecolor("none")
    axis.tick_params(colors=text, labelsize=8, length=2)
    for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
        label.set(color=text, fontsize=9)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom") and axis.axison)
        spine.set_color(text)
    if legend := axis.get_legend():
        for entry in legend.get_texts():
            entry.set(color=text, fontsize=8, parse_math=False)


def _draw_slices(figure: Figure, axes: list[Axes], exploration: Exploration) -> None:
    by_site, per_case = axes
    sites = exploration.sites
    names = [_no_formula(name or "all") for name in sites]
    areas = [[area for found in cases for area in found.known_areas] for cases in sites.values()]
    tumour = [sum(area > 0 for area in known) for known in areas]
    free = [len(known) - count for known, count in zip(areas, tumour, strict=True)]
    slices = [sum(found.shape[0] for found in cases) for cases in sites.values()]
    unknown = [count - len(known) for count, known in zip(slices, areas, strict=True)]
    base = [0] * len(slices)
    for counts, colour, label in (
        (free, MANUAL, "without tumour"),
        (tumour, PREDICTION, "with tumour"),
        (unknown, "gray", "no manual mask"),
    ):
        if any(counts):
            by_site.bar(names, counts, bottom=base, color=colour, label=label)
            base = [below + count for below, count in zip(base, counts, strict=True)]
    by_site.set(xlabel="Site" if any(sites) else "", ylabel="Slices")
    by_site.set_ylim(0, max(slices, default=1) * 1.6 + 1)
    by_site.legend(frameon=False, loc="upper left", handlelength=1, labelspacing=0.2)  # one below the other: room
    per_case.hist(lengths := [found.shape[0] for found in exploration.cases], bins=_whole_bins(lengths), color=MANUAL)
    per_case.set(xlabel="Slices per case", ylabel="Cases")
    per_case.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _whole_bins(counts: list[int]) -> list[float]:
    low, high = min(counts), max(counts)
    width = max(1, -(-(high - low + 1) // 20))
    return [edge - 0.5 for edge in range(low, high + width + 1, width)]


def _draw_sizes(figure: Figure, axes: list[Axes], exploration: Exploration) -> None:
    whole = [voxels for found in exploration.cases if (voxels := found.tumour_voxels)]
    areas = [area for found in exploration.cases for area in found.known_areas if area]
    for axis, values, xlabel, ylabel in zip(
        axes,
        (whole, areas),
        ("Tumour of a case (voxels)", "Tumour in a slice (pixels)"),
        ("Cases", "Slices"),
        strict=True,
    ):
        low, high = np.log10(min(values)), np.log10(max(values))
        axis.hist(values, bins=list(np.logspace(low - 0.01, high + 0.01, 25)), color=PREDICTION)
        axis.set_xscale("log")
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.axvline(float(np.median(values)), color=MISSED, linewidth=1.5, linestyle="--")
        axis.set_title(f"median {np.median(values):,.0f} (dashed)".replace(",", " "))


def _draw_intensities(figure: Figure, axes: list[Axes], exploration: Exploration) -> None:
    start = round(exploration.config.foreground * BINS)
    sites = sorted(exploration.sites.items(), key=lambda item: -len(item[1]))
    groups = dict(sorted(sites[:_MOST_SITES]))
    scaled = any(found.is_scaled for found in exploration.cases)
    for channel, axis in enumerate(axes):
        for (name, cases), colour in zip(groups.items(), _LINES, strict=False):
            present = [found for found in cases if CHANNELS[channel] not in found.missing]
            if present:
                counts = np.sum([found.histograms[channel] for found in present], axis=0)[start:].astype(float)
                share = counts.reshape(-1, 2).sum(axis=1) if len(counts) % 2 == 0 else counts
                values = np.linspace(start, BINS - 1, len(share))
                label = f"{name or 'all'} ({len(present)})"
                axis.plot(values, 100 * share / max(share.sum(), 1), color=colour, linewidth=1.3, label=label)
        axis.set(title=CHANNELS[channel], xlabel="Intensity" + (" (share of 255)" if scaled else " (0 to 255)"))
        axis.set_xlim(0, BINS - 1)
        axis.set_ylim(bottom=0)
        if axis.lines:
            axis.legend(frameon=False, loc="upper right", handlelength=1.2, labelspacing=0.2)
        else:
            axis.text(0.5, 0.5, "no case has it", ha="center", transform=axis.transAxes, color="gray")
    for axis in axes:
        axis.set_ylabel("Voxels (%)")


def _draw_positions(figure: Figure, axes: list[Axes], exploration: Exploration) -> None:
    axis = axes[0]
    shown = axis.imshow(100 * exploration.positions, cmap="magma", interpolation="bilinear")
    head = np.mean([found.head for found in exploration.cases], axis=0)
    if head.min() < 0.5 < head.max():
        axis.contour(head, levels=[0.5], colors=["white"], linewidths=0.8)
    axis.set(xticks=[], yticks=[], xlabel="white: where most heads end")
    axis.set_frame_on(False)
    axis.set_anchor("W")
    figure.colorbar(shown, cax=axis.inset_axes((1.05, 0, 0.05, 1)), label="Slices with tumour (%)")


def _draw_patients(figure: Figure, axes: list[Axes], exploration: Exploration) -> None:
    for axis, (title, values) in zip(axes, _described(exploration).items(), strict=True):
        if title == "Age":
            axis.hist([float(value) for value in values], bins=12, color=MANUAL)
            axis.set(xlabel="Age at diagnosis (years)")
        else:
            counts = Counter(values)
            codes = sorted(counts)
            axis.bar(list(map(_no_formula, codes)), [counts[code] for code in codes], color=MANUAL)
            axis.set(xlabel=f"{title} (code in data.csv)")
        axis.set_ylabel("Patients")
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _described(exploration: Exploration) -> dict[str, list[str]]:
    """What the table says of each patient, by title; a patient with two cases counts once."""
    rows = {found.case.patient: exploration.table.row(found.case) for found in exploration.cases}
    found = {title: [row[column] for row in rows.values() if column in row] for column, title in SHOWN.items()}
    found["Age"] = [row[AGE] for row in rows.values() if row.get(AGE, "").replace(".", "", 1).isdigit()]
    return {title: values for title, values in found.items() if values}


def _no_formula(name: str) -> str:
    return name.replace("$", r"\$")


def _has_tumour(exploration: Exploration) -> bool:
    return exploration.totals["tumour slices"] > 0


_Draw = Callable[[Figure, list[Axes], Exploration], None]
FIGURES: Mapping[str, tuple[str, _Draw, Callable[[Exploration], int]]] = {
    "slices": ("Slices with and without tumour", _draw_slices, lambda _: 2),
    "tumour-sizes": ("How large the tumours are", _draw_sizes, lambda found: 2 * _has_tumour(found)),
    "intensities": ("Intensities in each channel", _draw_intensities, lambda _: len(CHANNELS)),
    "positions": ("Where the tumours are", _draw_positions, lambda found: int(_has_tumour(found))),
    "patients": ("What data.csv says of the patients", _draw_patients, lambda found: len(_described(found))),
}
"""What each shows, how it is drawn, and on how many axes: none where the data set has not enough for it."""
