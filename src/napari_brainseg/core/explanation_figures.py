"""Pictures of what a prediction rests on."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import colours
from .config import CHANNELS, FLAIR
from .volumes import Array, Volume, tissue_range

if TYPE_CHECKING:
    from .contributions import Contribution
    from .saliency import Explanation


def draw_explanation(
    volume: Volume,
    explanation: "Explanation",
    contributions: Sequence["Contribution"],
    manual: Array | None = None,
) -> Figure:
    """Draw FLAIR with the outlines, the map with its colour bar, and a table of what was taken away.

    Parameters
    ----------
    volume : Volume
        The images that were explained.
    explanation : Explanation
        From `explain`.
    contributions : sequence of Contribution
        From `which_sequences` and `which_neighbours`.
    manual : ndarray, optional
        (Z, Y, X), a mask that is outlined too.
    """
    channel = volume.array[..., CHANNELS.index(FLAIR)]
    low, high = tissue_range(channel)
    figure = Figure(figsize=(7.4, 5.2), facecolor="black")
    figure.set_layout_engine("constrained", h_pad=0.08)
    places = figure.add_gridspec(2, 2, height_ratios=(3.3, 1.4))
    image, saliency, table = (figure.add_subplot(place) for place in (places[0, 0], places[0, 1], places[1, :]))
    made = explanation.provenance
    image.set_title(f"{volume.name}, slice {made.slice_number}", color="white", fontsize=9, loc="left")
    image.imshow(channel[explanation.z], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if manual is not None:
        _outline(image, manual[explanation.z], colours.MANUAL)
    saliency.set_title(f"{made.settings.method}, model {made.model}", color="white", fontsize=9, loc="left")
    shown = saliency.imshow(explanation.map, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    for axis in (image, saliency):
        _outline(axis, explanation.prediction, colours.PREDICTION)
        axis.set_axis_off()
    bar = figure.colorbar(shown, ax=saliency, shrink=0.85, ticks=(0, 0.5, 1))
    bar.ax.tick_params(colors="white", labelsize=8)
    bar.set_label("importance, largest = 1", color="white", fontsize=8)
    _write_table(table, explanation.sentence, contributions, has_manual=manual is not None)
    return figure


def _outline(axis: Axes, mask: Array, colour: str) -> None:
    if mask.any():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)


def _write_table(axis: Axes, sentence: str, contributions: Sequence["Contribution"], *, has_manual: bool) -> None:
    axis.set_axis_off()
    axis.set_title(fill(sentence, 110), color="white", fontsize=8.5, loc="left")
    if not contributions:
        return
    usual = contributions[0]
    heads = ["", "voxels", "Dice with all"] + ["Dice with manual"] * has_manual
    rows = [["with everything", str(usual.usual_area), "", *_shown(usual.usual_manual_dice)]]
    rows += [
        [f"without {one.without}", str(one.area), f"{one.dice:.2f}", *_shown(one.manual_dice)] for one in contributions
    ]
    table = axis.table(rows, colLabels=heads, cellLoc="right", loc="center", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(8.5)
    table.auto_set_column_width(list(range(len(heads))))
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#444444")
        colour = colours.PREDICTION if row == 0 and column == 1 else "white"
        cell.get_text().set_color(colours.MANUAL if row == 0 and column == 3 else colour)
        if column == 0:
            cell.get_text().set_horizontalalignment("left")


def _shown(dice: float | None) -> list[str]:
    return [] if dice is None else [f"{dice:.2f}"]
