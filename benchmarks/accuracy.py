"""How well do models of folds do on the patients that they have not seen, and can their probability be trusted?

    python benchmarks/accuracy.py DATA_SET_FOLDER MODEL_FOLDER... [--cache FOLDER] [--only PART...] [--figure FILE.png]
        [--worst FILE.png]

Each model segments the cases that it was validated on. Dice is that of a whole volume; no case is left out, the
threshold is 0.5 and nothing is cleaned up, but where it says so. Tables are in Markdown. Intervals are those of 95 %,
by drawing patients with replacement (percentile bootstrap, always the same draws). What is chosen for the cases of a
fold, such as a threshold or a temperature, is chosen on the cases of the other folds.

With --cache the predictions are kept, so that the next call takes seconds: 0.5 GB for each kind of view of 85 patients.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from statistics import fmean, median

import numpy as np
from accuracy_figure import draw
from calibration import (
    BINS,
    Reliability,
    count_logits,
    cross_entropy,
    fit_temperature,
    rank_errors,
    reliability,
    scaled,
)
from component_rules import best_rule, dice_of_rules
from machine import describe_machine
from out_of_fold import FLAIR_ALONE, FLIP, PLAIN, SIZES, OutOfFold, Unseen

from napari_brainseg import PostprocessConfig, ScoreConfig, SegmentConfig, read_volume, score_mask
from napari_brainseg.core.config import CHANNELS, FLAIR
from napari_brainseg.core.evaluation import POOR_DICE
from napari_brainseg.core.masks import slice_areas
from napari_brainseg.core.montages import MontageRow, write_montage
from napari_brainseg.core.postprocessing import postprocess
from napari_brainseg.core.score_tables import FEWEST_FOR_INTERVAL

DRAWS, WORST = 10_000, 6

Dice = dict[Unseen, float]


class Report:
    """Tables of the predictions on unseen cases; each method that PARTS names prints one."""

    def __init__(self, predictions: OutOfFold) -> None:
        self.predictions = predictions
        self.cases = predictions.cases
        self.folds = sorted({item.fold for item in self.cases})
        self.dice_of = cache(self._dice_of)
        self.counts = cache(self._counts)

    def dice(self) -> None:
        _print_summary("network", {name: self.dice_of(name) for name in (PLAIN, FLIP)})

    def by_case(self) -> None:
        plain, flipped = self.dice_of(PLAIN), self.dice_of(FLIP)
        rows = [(item.name, item.fold, plain[item], flipped[item]) for item in sorted(plain, key=plain.__getitem__)]
        _print_table(("case", "fold", PLAIN, FLIP), rows)

    def sites(self) -> None:
        _print_summary("site", self.dice_of_sites())

    def flair(self) -> None:
        _print_summary("images", {"all three": self.dice_of(PLAIN), FLAIR_ALONE: self.dice_of(FLAIR_ALONE)})

    def sizes(self) -> None:
        print("Slices were resampled, and the probability was brought back to the original ones and scored there.\n")
        _print_summary("images", {"as they are": self.dice_of(PLAIN)} | {name: self.dice_of(name) for name in SIZES})

    def rules(self) -> None:
        plain, tried = self.dice_of(PLAIN), {}
        for item in self.cases:
            tried[item] = dice_of_rules(self.predictions.probability(item), self.predictions.manual(item))
        chosen = {fold: best_rule(tried[item] for item in self.others(fold)) for fold in self.folds}
        cleaned = {item: self._score(item, PLAIN, chosen[item.fold]) for item in self.cases}
        masks = {"threshold 0.5, nothing cleaned": plain, "by the rule of the other folds": cleaned}
        masks["an upper bound: by the rule that suits each case best"] = {item: max(tried[item]) for item in self.cases}
        _print_summary("mask", masks)
        changes = [cleaned[item] - plain[item] for item in self.cases]
        print(f"\nChange of the mean: {fmean(changes):+.4f}{_interval(self.cases, changes, fmean, '+.4f')}.")
        for fold, rule in chosen.items():
            print(f"For fold {fold}: {_say(rule)}.")
        print(f"By all cases, for a model that is trained on all: {_say(best_rule(tried.values()))}.")

    def calibration(self) -> None:
        temperatures, (before, after) = self.temperatures(), self.reliabilities()
        print(f"Voxels inside the head, all cases together, in {BINS} bins of equal width of the probability.\n")
        rows = []
        for k in range(BINS):
            row = [f"{k / BINS:.1f} to {(k + 1) / BINS:.1f}"]
            for found in (before, after):
                row += [f"{100 * found.voxels[k] / found.voxels.sum():.2f} %", found.probability[k], found.tumour[k]]
            rows.append(row)
        names = ("voxels", "mean probability", "of them tumour")
        _print_table(("probability", *names, *(f"{name}, scaled" for name in names)), rows)
        entropies = [
            np.average(
                [cross_entropy(scaled(of[item.fold]), self.counts(item, PLAIN)) for item in self.cases],
                weights=[self.counts(item, PLAIN).sum() for item in self.cases],
            )
            for of in (dict.fromkeys(self.folds, 1.0), temperatures)
        ]
        print()
        names = ("expected calibration error", "without the first and the last bin", "cross-entropy in nats")
        rows = [
            (name, f"{found.error:.4f}", f"{found.middle_error:.3f}", f"{entropy:.4f}")
            for name, found, entropy in zip(("before", "after"), (before, after), entropies, strict=True)
        ]
        _print_table(("temperature scaling", *names), rows)
        print("\nTemperature by the other folds: " + ", ".join(f"{k}: {t:.2f}" for k, t in temperatures.items()))
        print(f"By all cases, for a model that is trained on all: {self._fit(self.cases):.2f}")

    def uncertainty(self) -> None:
        print("How entropy ranks voxels inside the head, wrong before right: mean over the cases.\n")
        rows = []
        for view in (PLAIN, FLIP):
            found = [ranks for item in self.cases if (ranks := rank_errors(self.counts(item, view)))]
            roc, precision, by_chance = (fmean(values) for values in zip(*found, strict=True))
            rows.append((view, len(found), roc, min(ranks[0] for ranks in found), precision, by_chance))
        names = (
            "cases with a wrong voxel",
            "area under ROC",
            "its smallest",
            "area under precision-recall",
            "by chance",
        )
        _print_table(("network", *names), rows)

    def draw(self, file: Path) -> None:
        before, after = self.reliabilities()
        draw(file, before, after, {site: list(dice.values()) for site, dice in self.dice_of_sites().items()})

    def draw_worst(self, file: Path) -> None:
        dice = self.dice_of(PLAIN)
        rows = []
        for item in sorted(dice, key=dice.__getitem__)[:WORST]:
            mask = postprocess(self.predictions.probability(item), PostprocessConfig())
            manual = self.predictions.manual(item).astype(np.uint8)
            z = int(slice_areas(mask != manual).argmax())
            volume = read_volume(item.case)
            title = f"{item.name.removeprefix('TCGA_')[:7]}, Dice {dice[item]:.2f}, slice {volume.slice_numbers[z]}"
            rows.append(MontageRow(title, volume.array[z, ..., CHANNELS.index(FLAIR)], manual[z], mask[z]))
        write_montage(rows, file)

    def dice_of_sites(self) -> dict[str, Dice]:
        sites: dict[str, Dice] = {}
        for item, value in sorted(self.dice_of(PLAIN).items(), key=lambda pair: pair[0].case.site):
            sites.setdefault(item.case.site, {})[item] = value
        return sites

    def others(self, fold: int) -> list[Unseen]:
        return [item for item in self.cases if item.fold != fold]

    def temperatures(self) -> dict[int, float]:
        return {fold: self._fit(self.others(fold)) for fold in self.folds}

    def reliabilities(self) -> tuple[Reliability, Reliability]:
        """As it is, and with the temperature of the other folds."""
        temperatures = self.temperatures()
        return (
            reliability((self.counts(item, PLAIN), 1.0) for item in self.cases),
            reliability((self.counts(item, PLAIN), temperatures[item.fold]) for item in self.cases),
        )

    def _fit(self, cases: Iterable[Unseen]) -> float:
        return fit_temperature(sum(self.counts(item, PLAIN) for item in cases))

    def _dice_of(self, view: str) -> Dice:
        return {item: self._score(item, view, PostprocessConfig()) for item in self.cases}

    def _score(self, item: Unseen, view: str, rule: PostprocessConfig) -> float:
        mask = postprocess(self.predictions.probability(item, view), rule)
        return score_mask(mask, self.predictions.manual(item), config=ScoreConfig(distances=False)).dice

    def _counts(self, item: Unseen, view: str) -> np.ndarray:
        inside = self.predictions.head(item)
        return count_logits(self.predictions.logits(item, view)[inside], self.predictions.manual(item)[inside])


PARTS: dict[str, Callable[[Report], None]] = {
    "dice": Report.dice,
    "cases": Report.by_case,
    "sites": Report.sites,
    "flair": Report.flair,
    "sizes": Report.sizes,
    "rules": Report.rules,
    "calibration": Report.calibration,
    "uncertainty": Report.uncertainty,
}
NESTED = ("rules", "calibration")
"""Parts that choose on other folds."""


def _print_summary(what: str, groups: dict[str, Dice]) -> None:
    rows = []
    for name, dice in groups.items():
        cases, values = list(dice), list(dice.values())
        centres = [f"{of(values):.3f}{_interval(cases, values, of, '.3f')}" for of in (fmean, median)]
        poor = f"{_count_poor(values)}{_interval(cases, values, _count_poor, '.0f')}"
        rows.append([name, len(values), *centres, min(values), poor])
    _print_table((what, "cases", "mean", "median", "smallest", f"below {POOR_DICE}"), rows)


def _count_poor(values: Iterable[float]) -> int:
    return sum(value < POOR_DICE for value in values)


def _interval(cases: list[Unseen], values: list[float], statistic: Callable[..., float], digits: str) -> str:
    """The interval as it stands behind a figure; nothing for a handful of patients, of whom it would say little."""
    by_patient: dict[str, list[float]] = {}
    for item, value in zip(cases, values, strict=True):
        by_patient.setdefault(item.case.patient, []).append(value)
    groups = [by_patient[patient] for patient in sorted(by_patient)]
    if len(groups) < FEWEST_FOR_INTERVAL:
        return ""
    drawn = np.random.default_rng(0).integers(len(groups), size=(DRAWS, len(groups)))
    found = [statistic([value for number in row for value in groups[number]]) for row in drawn.tolist()]
    low, high = np.percentile(found, [2.5, 97.5])
    return f" [{low:{digits}}, {high:{digits}}]"


def _print_table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    head = list(head)
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")


def _say(rule: PostprocessConfig) -> str:
    return f"threshold {rule.threshold}, keep share {rule.keep_share}, at least {rule.min_voxels} voxels"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cache", type=Path, help="folder for predictions; by default they are thrown away at the end")
    parser.add_argument("--figure", type=Path, help="PNG file for reliability and Dice by site; takes two folds")
    parser.add_argument("--worst", type=Path, help="PNG file for the worst cases where they are worst")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parse()
    settings = SegmentConfig(device=options.device, threads=options.threads, batch_size=16)
    with nullcontext(options.cache) if options.cache else tempfile.TemporaryDirectory() as folder:
        report = Report(OutOfFold(options.data, options.models, Path(folder), settings))
        print(f"{len(report.cases)} cases, folds: {len(report.folds)}. {describe_machine()}")
        for name in options.only:
            print(f"\n## {name}\n")
            if name in NESTED and len(report.folds) < 2:
                print("Left out: it takes models of at least two folds.")
            else:
                PARTS[name](report)
        if options.figure and len(report.folds) > 1:
            report.draw(options.figure)
        if options.worst:
            report.draw_worst(options.worst)


if __name__ == "__main__":
    main()
