"""How well the masks of many cases agree with their references."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field

from .cases import patient_of
from .config import ScoreConfig
from .mask_pairs import MaskPair, read_pair
from .metrics import DISTANCES, FIGURES, Scores, pool_scores, score_mask, score_slices
from .progress import OnProgress, Progress, ignore_progress
from .settings import Settings
from .volumes import Float64Array
from .words import plain

POOR_DICE = 0.6
"""Cases below are named: so little agreement helps nobody."""

_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class CaseScores:
    """Scores of one case.

    Attributes
    ----------
    name : str
        The case.
    site : str
        TCGA's code of the hospital, empty elsewhere.
    missing : tuple of str or None
        Sequences that the case does not have; None where there are no images to tell.
    scores : Scores
        Over the whole volume.
    slices : tuple of Scores
        Of each slice.
    slice_numbers : tuple of int
        Their numbers, as in the files' names.
    left_out : int
        Slices without a mask in the reference: of them nothing is known, and they count nowhere.
    """

    name: str
    site: str
    missing: tuple[str, ...] | None
    scores: Scores
    slices: tuple[Scores, ...]
    slice_numbers: tuple[int, ...]
    left_out: int = 0

    @property
    def patient(self) -> str:
        """Whom the case belongs to."""
        return patient_of(self.name)

    @property
    def sequences(self) -> str | None:
        """What group it is in by its sequences, None while they are not known."""
        if self.missing is None:
            return None
        return "some missing" if self.missing else "all sequences"


class Summary(Settings):
    """One figure over several cases or slices; None where there is no value."""

    count: int = Field(description="Values that the others are made of.")
    left_out: int = Field(description="Cases or slices without a value, which count nowhere.")
    patients: int = Field(description="Whom the values come from.")
    mean: float | None = None
    median: float | None = None
    sd: float | None = Field(None, description="Of the sample (n - 1).")
    lower_quartile: float | None = None
    upper_quartile: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    interval: tuple[float, float] | None = Field(
        None, description="95 % confidence interval of the mean: percentile bootstrap, patients drawn."
    )

    @classmethod
    def of(cls, values: Iterable[float | None], patients: Iterable[str]) -> Self:
        """Summary of values and of the patients that they come from."""
        pairs = list(zip(values, patients, strict=True))
        known = [(value, patient) for value, patient in pairs if value is not None]
        if not known:
            return cls(count=0, left_out=len(pairs), patients=0)
        array = np.array([value for value, _ in known], np.float64)
        quartiles = np.percentile(array, [0, 25, 50, 75, 100]).tolist()
        return cls(
            count=len(known),
            left_out=len(pairs) - len(known),
            patients=len({patient for _, patient in known}),
            mean=float(array.mean()),
            median=quartiles[2],
            sd=float(array.std(ddof=1)) if len(known) > 1 else None,
            lower_quartile=quartiles[1],
            upper_quartile=quartiles[3],
            minimum=quartiles[0],
            maximum=quartiles[4],
            interval=bootstrap_interval(array, [patient for _, patient in known]),
        )


class SliceSummary(Settings):
    """What the slices of all cases say, those with tumour in the reference apart from those without."""

    slices: int
    left_out: int = Field(description="Slices without a mask in the reference, which count nowhere.")
    dice: Summary = Field(description="Of all slices, by the policy for empty masks.")
    both_empty: int = Field(description="Slices without tumour in either mask, whose Dice is the policy's.")
    tumour_slices: int
    tumour_dice: Summary = Field(description="Of the slices with tumour in the reference.")
    missed: int = Field(description="Slices with tumour in the reference and none in the prediction.")
    tumour_free_slices: int
    false_alarms: int = Field(description="Slices without tumour in the reference and with some in the prediction.")
    false_voxels: int = Field(description="Voxels predicted on slices without tumour in the reference.")
    false_millilitres: float | None = Field(description="The same in mL; None while the spacing of a case is unknown.")


class ScoreSummary(Settings):
    """What the cases of a data set say together."""

    cases: int
    patients: int
    both_empty: int = Field(description="Cases without tumour in either mask.")
    figures: dict[str, Summary] = Field(description="Per volume; distances in mm and in voxels stand apart.")
    pooled: dict[str, float | None] = Field(description="Over the voxels of all cases together.")
    poor: tuple[str, ...] = Field(description=f"Cases with a Dice below {POOR_DICE}.")
    sites: dict[str, Summary] = Field(description="Dice per volume of the cases of each TCGA site.")
    sequences: dict[str, Summary] = Field(description="Dice per volume of cases with and without all sequences.")
    slices: SliceSummary


class Comparison(Settings):
    """Several predictions of the same cases side by side: Dice per volume, paired by case."""

    baseline: str
    dice: dict[str, dict[str, float | None]] = Field(description="Of each case, in each prediction.")
    summaries: dict[str, Summary] = Field(description="Of each prediction, over the cases that all of them have.")
    differences: dict[str, Summary] = Field(description="Each prediction minus the baseline, case by case.")
    not_shared: tuple[str, ...] = Field(description="Cases that are not scored in all predictions.")


def score_pair(pair: MaskPair, config: ScoreConfig | None = None) -> CaseScores:
    """Read the two masks of a case and score them on the slices that have a mask in the reference.

    Raises
    ------
    ValueError
        If a file is damaged or is no mask, or the two do not fit each other; the message names it.
    """
    masks, reference = read_pair(pair), pair.reference
    scores = score_mask(masks.predicted, masks.reference, masks.spacing, config)
    slices = score_slices(masks.predicted, masks.reference, masks.spacing, config)
    all_numbers = reference.numbers or range(1, len(masks.known) + 1)
    numbers = tuple(number for number, known in zip(all_numbers, masks.known, strict=True) if known)
    left_out = len(masks.known) - len(numbers)
    return CaseScores(pair.name, reference.site, masks.missing, scores, slices, numbers, left_out)


def score_cases(
    pairs: Sequence[MaskPair],
    config: ScoreConfig | None = None,
    *,
    on_failure: Callable[[str, str], None],
    on_progress: OnProgress = ignore_progress,
) -> list[CaseScores]:
    """Score case after case, with the masks of one in memory at a time.

    Parameters
    ----------
    pairs : sequence of MaskPair
        From `pair_masks`.
    config : ScoreConfig, optional
        Policy for empty masks, and whether distances are wanted.
    on_failure : callable
        Told the name of each case that cannot be scored, and why; the others go on.
    on_progress : callable
        Called after each case; it may raise `Cancelled`.
    """
    scored = []
    for done, pair in enumerate(pairs, 1):
        try:
            scored.append(score_pair(pair, config))
        except (ValueError, OSError, MemoryError) as error:
            on_failure(pair.name, plain(error))
        on_progress(Progress("scoring", done, len(pairs)))
    return scored


def summarise_scores(cases: Sequence[CaseScores]) -> ScoreSummary:
    """Summary of scored cases.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not cases:
        raise ValueError("there are no scores to summarise")
    pooled = pool_scores(case.scores for case in cases)
    return ScoreSummary(
        cases=len(cases),
        patients=len({case.patient for case in cases}),
        both_empty=sum(case.scores.both_empty for case in cases),
        figures=_figures(cases),
        pooled={figure.name: getattr(pooled, figure.name) for figure in FIGURES if figure.name not in DISTANCES},
        poor=tuple(case.name for case in cases if (case.scores.dice or 0) < POOR_DICE and case.scores.dice is not None),
        sites=_dice_by(cases, lambda case: case.site or None),
        sequences=_dice_by(cases, lambda case: case.sequences),
        slices=_summarise_slices(cases),
    )


def compare_scores(predictions: Mapping[str, Sequence[CaseScores]]) -> Comparison:
    """Compare predictions of the same cases; the first is the one that the others are measured against.

    Raises
    ------
    ValueError
        If there are fewer than two, or they have no case in common.
    """
    if len(predictions) < 2:
        raise ValueError("comparing needs at least two predictions of the same cases")
    found = {name: {case.name: case for case in cases} for name, cases in predictions.items()}
    names = list(dict.fromkeys(name for cases in found.values() for name in cases))
    shared = [name for name in names if all(name in cases for cases in found.values())]
    if not shared:
        raise ValueError(f"{', '.join(predictions)} have no case in common")
    patients = [patient_of(name) for name in shared]
    baseline, *others = predictions
    dice = {name: {key: cases[name].scores.dice for key, cases in found.items()} for name in shared}
    more = [gains_over(row, baseline) for row in dice.values()]
    return Comparison(
        baseline=baseline,
        dice=dice,
        summaries={key: Summary.of([row[key] for row in dice.values()], patients) for key in predictions},
        differences={key: Summary.of([row[key] for row in more], patients) for key in others},
        not_shared=tuple(name for name in names if name not in shared),
    )


def gains_over(dice: Mapping[str, float | None], baseline: str) -> dict[str, float | None]:
    """Dice of a case in each prediction but one, minus that in this one."""
    first = dice[baseline]
    return {
        label: None if value is None or first is None else value - first
        for label, value in dice.items()
        if label != baseline
    }


def bootstrap_interval(values: Float64Array, patients: Sequence[str]) -> tuple[float, float] | None:
    """95 % interval of the mean when patients are drawn with replacement, always alike; None for a single patient."""
    groups, inverse = np.unique(np.array(patients), return_inverse=True)
    if len(groups) < 2:
        return None
    sums, counts = np.bincount(inverse, values), np.bincount(inverse)
    drawn = np.random.default_rng(0).integers(len(groups), size=(_RESAMPLES, len(groups)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _figures(cases: Sequence[CaseScores]) -> dict[str, Summary]:
    figures = {figure.name: _summary(cases, figure.name) for figure in FIGURES if figure.name not in DISTANCES}
    for unit in ("mm", "voxels"):
        alike = [case for case in cases if case.scores.distance_unit == unit]
        if any(case.scores.hd95 is not None for case in alike):
            figures |= {f"{name}_{unit}": _summary(alike, name) for name in DISTANCES}
    return figures


def _summary(cases: Iterable[CaseScores], figure: str) -> Summary:
    cases = list(cases)
    return Summary.of([getattr(case.scores, figure) for case in cases], [case.patient for case in cases])


def _dice_by(cases: Iterable[CaseScores], group: Callable[[CaseScores], str | None]) -> dict[str, Summary]:
    groups: dict[str, list[CaseScores]] = {}
    for case in cases:
        if name := group(case):
            groups.setdefault(name, []).append(case)
    return {name: _summary(groups[name], "dice") for name in sorted(groups)}


def _summarise_slices(cases: Sequence[CaseScores]) -> SliceSummary:
    slices = [(scores, case.patient) for case in cases for scores in case.slices]
    with_tumour = [(scores, patient) for scores, patient in slices if scores.reference]
    without = [scores for scores, _ in slices if not scores.reference]
    false = pool_scores(without).fp if without else 0
    sizes = [scores.millilitres(scores.fp) for scores in without]
    return SliceSummary(
        slices=len(slices),
        left_out=sum(case.left_out for case in cases),
        dice=Summary.of([scores.dice for scores, _ in slices], [patient for _, patient in slices]),
        both_empty=sum(scores.both_empty for scores, _ in slices),
        tumour_slices=len(with_tumour),
        tumour_dice=Summary.of([scores.dice for scores, _ in with_tumour], [patient for _, patient in with_tumour]),
        missed=sum(not scores.predicted for scores, _ in with_tumour),
        tumour_free_slices=len(without),
        false_alarms=sum(scores.predicted > 0 for scores in without),
        false_voxels=false,
        false_millilitres=None if None in sizes else sum(size for size in sizes if size is not None),
    )
