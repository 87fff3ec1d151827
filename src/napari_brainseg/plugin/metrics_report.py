"""What the Metrics tab says of two masks, in words and digits: on screen, as Markdown and as CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from ..core.files import atomic_path
from ..core.metrics import DISTANCES, EMPTY_POLICIES, FIGURES, Figure, Scores
from ..core.score_tables import Row, score_row

NOTHING = "–"
"""Stands where a figure says nothing."""

HEADLINE = FIGURES[:2]
VOLUMES = (
    Figure("predicted", "Prediction", "Volume of the prediction."),
    Figure("reference", "Reference", "Volume of the reference."),
)
TABLE = (*VOLUMES, *FIGURES[2:])
"""What stands in the table under the headline."""

_FINE = ("specificity", "accuracy")
"""Figures near 1, of which two digits would show 1.00 always."""

_AMOUNTS = ("predicted", "reference", "difference")


@dataclass(frozen=True, slots=True)
class PairReport:
    """The scores of a prediction against a reference, with all it takes to understand them.

    Attributes
    ----------
    prediction, reference : str
        Names of the layers.
    volume : Scores
        Over all slices that count together, with distances.
    slices : tuple of Scores
        Of each slice.
    slice_numbers : tuple of int
        Their numbers, as in the files' names.
    counted : tuple of int
        Positions along Z of those that count.
    caution : str
        Why the scores flatter; empty if nothing is known against them.
    """

    prediction: str
    reference: str
    volume: Scores
    slices: tuple[Scores, ...]
    slice_numbers: tuple[int, ...]
    counted: tuple[int, ...]
    caution: str = ""


def caution(model: str) -> str:
    """What has to be said of scores on a patient that a model of this name has learned from; nothing without one."""
    return (
        f"The model {model} has learned from this patient: this does not tell how well it does on others."
        if model
        else ""
    )


def scope(counted: int, slices: int) -> str:
    """Which slices the scores of a volume speak of."""
    if counted < slices:
        return f"{counted} of {slices} slices segmented; the others count nowhere"
    return f"all {slices} slices together"


def shown(name: str, scores: Scores) -> str:
    """Figure as a person reads it, with its unit."""
    value = getattr(scores, name)
    if value is None:
        return NOTHING
    if name in _AMOUNTS:
        return amount(value, scores, sign=name == "difference")
    if name == "relative_difference":
        return _minus(f"{value:+z.1%}").replace("%", "\u00a0%")
    if name in DISTANCES:
        unit = "mm" if scores.spacing else "voxels (voxel size unknown)"
        return f"{value:.1f} {unit}"
    return f"{value:.4f}" if name in _FINE else f"{value:.2f}"


def amount(voxels: int, scores: Scores, *, sign: bool = False) -> str:
    """Volume in mL where the voxel size is known, else in voxels."""
    plus = "+" if sign else ""
    millilitres = scores.millilitres(voxels)
    if millilitres is None:
        return f"{_minus(f'{voxels:{plus},}')} voxels".replace(",", "\u00a0")
    return f"{_minus(f'{millilitres:{plus}z.2f}')} mL"


def to_markdown(report: PairReport) -> str:
    """Names, policy and a table of the scores of the volume with their definitions."""
    rows = [(figure.title, shown(figure.name, report.volume), figure.definition) for figure in (*HEADLINE, *TABLE)]
    lines = [
        *(f"- {line}" for line in _preface(report)),
        "",
        "| Score | Value | Definition |",
        "| --- | --- | --- |",
        *("| " + " | ".join(_cell(text) for text in row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def to_csv(report: PairReport) -> str:
    """One row for the volume and one per slice, in full precision; names, policy and definitions as ``#`` lines."""
    text = StringIO()
    definitions = [f"{figure.title} ({figure.name}): {figure.definition}" for figure in FIGURES]
    text.writelines(f"# {line}\n" for line in (*_preface(report), *definitions))
    writer = csv.DictWriter(text, list(_row(report.volume)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(report))
    return text.getvalue()


def write_report(report: PairReport, path: Path) -> None:
    """Write a report as CSV, or as Markdown where the name ends in ``.md``.

    Raises
    ------
    ValueError
        If the name ends in neither.
    """
    writers = {".csv": to_csv, ".md": to_markdown}
    if path.suffix.lower() not in writers:
        raise ValueError(f"scores cannot be saved as {path.name}; allowed are names ending in {' and '.join(writers)}")
    with atomic_path(path) as temporary:
        temporary.write_text(writers[path.suffix.lower()](report), "utf-8", newline="\n")


def _preface(report: PairReport) -> Iterator[str]:
    yield f"Prediction: {' '.join(report.prediction.split())}"
    yield f"Reference: {' '.join(report.reference.split())}"
    yield f"Volume scores: {scope(len(report.counted), len(report.slices))}"
    if report.caution:
        yield f"Caution: {report.caution}"
    yield f"Empty masks: {EMPTY_POLICIES[report.volume.empty]}"
    spacing = report.volume.spacing
    yield "Voxel size: " + (" x ".join(f"{size:g}" for size in spacing) + " mm (z, y, x)" if spacing else "unknown")


def _rows(report: PairReport) -> Iterator[Row]:
    yield _row(report.volume)
    for z in report.counted:
        yield _row(report.slices[z], "slice", report.slice_numbers[z], z)


def _row(scores: Scores, scope: str = "volume", number: int | str = "", z: int | str = "") -> Row:
    return {"scope": scope, "slice": number, "z": z, **score_row(scores)}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
