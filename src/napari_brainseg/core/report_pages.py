"""Reports of scores as one page of HTML that loads nothing and runs nothing."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
import numpy as np

from . import colours, score_tables, words
from .dot_plots import plot_dice, plot_gains
from .evaluation import POOR_DICE, CaseScores, ScoreSummary, gains_over
from .mask_pairs import MaskPair, read_pair
from .masks import Mask
from .montages import MontageRow, differences_png, montage_png
from .progress import OnProgress, Progress, ignore_progress
from .report_contents import ComparisonReport, ScoredPredictions, ScoreReport
from .volumes import Array, read_volume, shown_flair

MOST_PICTURES = 12

_MAIN_FIGURES = ("dice", "iou", "sensitivity", "precision", "hd95_mm", "hd95_voxels", "assd_mm", "assd_voxels")


@dataclass(frozen=True, slots=True)
class Picture:
    """One slice of a case for the page."""

    case: CaseScores
    number: int
    png: str


def scores_page(report: ScoreReport, scored: ScoredPredictions, *, on_progress: OnProgress = ignore_progress) -> str:
    """Page of `ScoreReport`, with pictures of the worst cases; `on_progress` is called after each."""
    worst_first = sorted(scored.cases, key=_dice_last)
    shown = worst_first[:MOST_PICTURES]
    pictures = []
    for done, case in enumerate(shown, 1):
        index = _telling_slice(case)
        image, manual, prediction = _read_slice(scored.pairs[case.name], index)
        row = MontageRow(f"slice {case.slice_numbers[index]}", image, manual, prediction)
        pictures.append(Picture(case, case.slice_numbers[index], picture_data(montage_png(row))))
        on_progress(Progress("drawing", done, len(shown)))
    return render_page(
        "scores.html",
        report=report,
        summary=report.predictions.summary,
        keys=main_figures(report.predictions.summary),
        cases=worst_first,
        pictures=pictures,
        plot=plot_dice(_groups(scored.cases), POOR_DICE),
        in_millilitres=all(case.scores.spacing for case in scored.cases),
    )


def comparison_page(
    report: ComparisonReport,
    scored: Mapping[str, ScoredPredictions],
    *,
    on_progress: OnProgress = ignore_progress,
) -> str:
    """Page of `ComparisonReport`, with pictures where predictions differ most; `on_progress` is called after each."""
    comparison = report.comparison
    gains = {name: gains_over(row, comparison.baseline) for name, row in comparison.dice.items()}
    names = sorted(gains, key=lambda name: max(abs(gain or 0) for gain in gains[name].values()), reverse=True)
    differing = [name for name in names if any(gains[name].values())][:MOST_PICTURES]
    pictures = []
    for done, name in enumerate(differing, 1):
        pictures.append(_differences(name, scored))
        on_progress(Progress("drawing", done, len(differing)))
    labels = list(report.predictions)
    dice = {label: _known({name: row[label] for name, row in comparison.dice.items()}) for label in labels}
    return render_page(
        "comparison.html",
        report=report,
        comparison=comparison,
        labels=labels,
        others=labels[1:],
        keys=list(dict.fromkeys(key for item in report.predictions.values() for key in main_figures(item.summary))),
        names=names,
        gains=gains,
        pictures=pictures,
        plot=plot_dice(dice, POOR_DICE),
        gain_plot=plot_gains({label: _known({name: gains[name][label] for name in gains}) for label in labels[1:]}),
    )


def main_figures(summary: ScoreSummary) -> list[str]:
    """Keys of the figures that a table of cases has room for."""
    return [key for key in _MAIN_FIGURES if key in summary.figures]


def _differences(name: str, scored: Mapping[str, ScoredPredictions]) -> Picture:
    """Picture of the slice in which one prediction has the most wrong voxels more than another."""
    cases = [next(case for case in item.cases if case.name == name) for item in scored.values()]
    wrong = np.array([_wrong(case) for case in cases])
    index = int(np.argmax(np.ptp(wrong, axis=0)))
    slices = {label: _read_slice(item.pairs[name], index) for label, item in scored.items()}
    image, manual, _ = next(iter(slices.values()))
    number = cases[0].slice_numbers[index]
    predictions = {label: prediction for label, (_, _, prediction) in slices.items()}
    return Picture(cases[0], number, picture_data(differences_png(f"slice {number}", image, manual, predictions)))


def _read_slice(pair: MaskPair, index: int) -> tuple[Array, Mask, Mask]:
    """FLAIR, reference and prediction of a slice; FLAIR is black where there are no images."""
    masks = read_pair(pair)
    image: Array = np.zeros_like(masks.reference[index])
    if pair.reference.images:
        image = shown_flair(read_volume(pair.reference), int(np.flatnonzero(masks.known)[index]))
    return image, masks.reference[index], masks.predicted[index]


def _telling_slice(case: CaseScores) -> int:
    """Position of the slice with the most wrong voxels; where none is wrong, of that with the most tumour."""
    middle = len(case.slices) // 2

    def rank(index: int) -> tuple[int, int, int]:
        scores = case.slices[index]
        return scores.fp + scores.fn, scores.tp, -abs(index - middle)

    return max(range(len(case.slices)), key=rank)


def _wrong(case: CaseScores) -> list[int]:
    """Voxels of each slice on which the masks disagree."""
    return [scores.fp + scores.fn for scores in case.slices]


def _groups(cases: Sequence[CaseScores]) -> dict[str, dict[str, float]]:
    """Dice by case of all cases, and of those that have something in common."""
    groups: dict[str, dict[str, float | None]] = {"all cases": {}}
    for case in cases:
        for group in ("all cases", case.sequences, case.site and f"site {case.site}"):
            if group:
                groups.setdefault(group, {})[case.name] = case.scores.dice
    return {
        name: _known(groups[name])
        for name in sorted(groups, key=lambda name: (name != "all cases", name.startswith("site"), name))
    }


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _dice_last(case: CaseScores) -> tuple[bool, float]:
    """Worst first, those without a Dice last."""
    return case.scores.dice is None, case.scores.dice or 0


def picture_data(png: bytes) -> str:
    """Address of a picture that stands in the page itself."""
    return f"data:image/png;base64,{b64encode(png).decode()}"


def render_page(template: str, **content: Any) -> str:
    """Page made from a template of this package, which knows the colours and how figures are written."""
    return _pages().get_template(template).render(**content)


@cache
def _pages() -> jinja2.Environment:
    """Templates, kept since it takes longer to read one than to fill it."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals.update(
        {name: getattr(colours, name) for name in ("MANUAL", "PREDICTION", "AGREE", "MISSED", "TOO_MUCH")},
        counted=words.counted,
        few=words.few,
        figure_of=score_tables.figure_of,
        figure_title=score_tables.figure_title,
        poor=POOR_DICE,
        fewest=score_tables.FEWEST_FOR_INTERVAL,
        has_interval=score_tables.has_interval,
        shown=score_tables.shown,
        interval=score_tables.shown_interval,
    )
    return pages
