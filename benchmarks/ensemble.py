"""Do several recipes together say more of a patient than each alone? Their logits are averaged.

    python benchmarks/ensemble.py DATA_SET_FOLDER --models MODEL_FOLDER... --models MODEL_FOLDER... [--cache FOLDER]

Each --models names the models of folds of one recipe. Dice is that of a whole volume, at a threshold of 0.5, on the
cases that none of the recipes' models had seen when it was asked; the difference to the first recipe is taken case by
case, with its standard error. The predictions in --cache are those of `benchmarks/accuracy.py`.
"""

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean, median, stdev

import numpy as np
from machine import describe_machine
from out_of_fold import OutOfFold

from napari_brainseg import ScoreConfig, SegmentConfig, score_mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path, nargs="+", action="append", required=True)
    parser.add_argument("--cache", type=Path, help="folder for predictions; by default they are thrown away at the end")
    options = parser.parse_args()
    settings = SegmentConfig(batch_size=16)
    with nullcontext(options.cache) if options.cache else tempfile.TemporaryDirectory() as folder:
        recipes = [OutOfFold(options.data, folders, Path(folder), settings) for folders in options.models]
        dice = dice_of(recipes)
    names = [str(folders[0].parent.name) for folders in options.models]
    print(f"{len(dice)} cases. {describe_machine()}")
    print("| network | mean | median | difference |\n|---|---|---|---|")
    for name, values in zip([*names, "together"], zip(*dice, strict=True), strict=True):
        gains = [value - first for value, (first, *_) in zip(values, dice, strict=True)]
        error = stdev(gains) / len(gains) ** 0.5
        print(f"| {name} | {fmean(values):.3f} | {median(values):.3f} | {fmean(gains):+.3f} ± {error:.3f} |")


def dice_of(recipes: list[OutOfFold]) -> list[list[float]]:
    """For each case that all have: Dice by each recipe, and by all together."""
    found = []
    by_name = [{item.name: item for item in recipe.cases} for recipe in recipes]
    for name in sorted(set.intersection(*map(set, by_name))):
        logits = [recipe.logits(items[name]) for recipe, items in zip(recipes, by_name, strict=True)]
        manual = recipes[0].manual(by_name[0][name])
        masks = [one >= 0 for one in (*logits, np.mean(logits, axis=0))]
        found.append([score_mask(mask, manual, config=ScoreConfig(distances=False)).dice for mask in masks])
    return found


if __name__ == "__main__":
    main()
