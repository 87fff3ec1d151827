"""Scores as rows of tables, with the digits that a person needs."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from .cases import patient_of
from .evaluation import CaseScores, Comparison, Summary, gains_over
from .files import atomic_path
from .metrics import DISTANCES, FIGURES, Scores

Row = dict[str, str | int | float | None]

FEWEST_FOR_INTERVAL = 5
"""Patients, who are what is drawn."""

_TITLES = {figure.name: figure.title for figure in FIGURES}
_DIGITS = {"specificity": ".4f", "accuracy": ".4f", "difference": "+,.0f", "relative_difference": "+.1%"}
_COUNTS = ("tp", "fp", "fn", "tn", "predicted", "reference")


def case_row(case: CaseScores) -> Row:
    """All that is known of a case, figures in full precision."""
    return {
        "case": case.name,
        "patient": case.patient,
        "site": case.site,
        "missing_sequences": None if case.missing is None else " ".join(case.missing) or "none",
        "slices": len(case.slices),
        "slices_without_mask": case.left_out,
        **score_row(case.scores),
    }


def score_row(scores: Scores) -> Row:
    """All that scores say, in full precision."""
    return {
        **_counts(scores),
        "predicted_ml": scores.millilitres(scores.predicted),
        "reference_ml": scores.millilitres(scores.reference),
        **{figure.name: getattr(scores, figure.name) for figure in FIGURES},
        "distance_unit": scores.distance_unit,
    }


def slice_rows(case: CaseScores) -> Iterator[Row]:
    """All that is known of the slices of a case, from the first on."""
    names = [figure.name for figure in FIGURES if figure.name not in DISTANCES]
    for number, scores in zip(case.slice_numbers, case.slices, strict=True):
        figures: Row = {name: getattr(scores, name) for name in names}
        yield {"case": case.name, "slice": number, **_counts(scores), **figures}


def comparison_rows(comparison: Comparison) -> list[Row]:
    """Dice of each case in each prediction, and how much better each of them is than the first."""
    rows = []
    for name, dice in comparison.dice.items():
        row: Row = {"case": name, "patient": patient_of(name)}
        row |= {f"dice {label}": value for label, value in dice.items()}
        more = gains_over(dice, comparison.baseline)
        row |= {f"{label} minus {comparison.baseline}": value for label, value in more.items()}
        rows.append(row)
    return rows


def _counts(scores: Scores) -> Row:
    return {name: getattr(scores, name) for name in _COUNTS}


def write_csv(rows: Sequence[Row], path: Path, columns: Sequence[str] = ()) -> None:
    """Write rows that all have the same columns, to be named where there may be no row; None is an empty cell."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def figure_of(scores: Scores, key: str) -> float | None:
    """Figure of a case by its key in `ScoreSummary.figures`, None where it is given in another unit."""
    name, _, unit = key.partition("_")
    if name not in DISTANCES:
        return float(value) if (value := getattr(scores, key)) is not None else None
    return float(value) if unit == scores.distance_unit and (value := getattr(scores, name)) is not None else None


def figure_title(key: str) -> str:
    """What a figure of `ScoreSummary.figures` is called, with its unit."""
    name, _, unit = key.partition("_")
    if key == "difference":
        return f"{_TITLES[key]} (voxels)"
    return f"{_TITLES[name]} ({unit})" if name in DISTANCES else _TITLES[key]


def shown(key: str, value: float | None, *, sign: bool = False) -> str:
    """Figure with the digits that it deserves."""
    if value is None:
        return "-"
    digits = _DIGITS.get(key) or (".1f" if key.partition("_")[0] in DISTANCES else ".3f")
    text = format(value, f"+{digits}" if sign and not digits.startswith("+") else digits)
    return text.replace(",", " ").replace("%", " %")


def has_interval(summary: Summary) -> bool:
    """Whether the interval says something: drawn from a handful of patients it is hardly more than their range."""
    return summary.interval is not None and summary.patients >= FEWEST_FOR_INTERVAL


def shown_interval(key: str, summary: Summary, *, sign: bool = False) -> str:
    """95 % interval of the mean with the digits that it deserves."""
    if summary.interval is None or not has_interval(summary):
        return "-"
    low, high = (shown(key, end, sign=sign) for end in summary.interval)
    return f"{low} to {high}"
