"""A picture of what `accuracy.py` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from calibration import Reliability

mpl.use("Agg")

from matplotlib import pyplot as plt

from napari_brainseg.core.colours import AGREE, CORRECTION, MANUAL, MISSED, PREDICTION, TOO_MUCH
from napari_brainseg.core.evaluation import POOR_DICE

COLOURS = (MISSED, PREDICTION, AGREE, CORRECTION, TOO_MUCH, MANUAL)


def draw(file: Path, before: Reliability, after: Reliability, sites: Mapping[str, Sequence[float]]) -> None:
    """Reliability before and after scaling, and Dice of each case by site with the median."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained", width_ratios=(1, 1.15))
    left.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect")
    for found, label, marker, colour in ((before, "as trained", "o", COLOURS[4]), (after, "scaled", "s", COLOURS[0])):
        known = found.voxels > 0
        text = f"{label}, error {found.error:.4f} ({found.middle_error:.3f} without the end bins)"
        left.plot(found.probability[known], found.tumour[known], marker=marker, color=colour, label=text)
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability that the model gives", ylabel="share of voxels with tumour")
    left.set_aspect("equal")
    left.set_title("Reliability inside the head")
    left.legend(loc="upper left", fontsize=8.5, frameon=False)

    spread = np.random.default_rng(0)
    for place, values in enumerate(sites.values()):
        colour = COLOURS[place % len(COLOURS)]
        right.scatter(place + spread.uniform(-0.22, 0.22, len(values)), values, s=26, alpha=0.75, color=colour)
        right.hlines(np.median(values), place - 0.32, place + 0.32, color="0.15", linewidth=2)
    right.axhline(POOR_DICE, color="0.6", linestyle="--", linewidth=1)
    right.set_xticks(range(len(sites)), [f"{site or 'other'}\n{len(sites[site])} cases" for site in sites])
    right.set(ylim=(0, 1), ylabel="Dice per volume")
    right.set_title(f"Unseen cases by site, with the median (dashed: {POOR_DICE})")
    right.grid(axis="y", alpha=0.3)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)
    plt.close(figure)
