"""Reports of scores as files: CSV, JSON, and a page that needs nothing but a browser."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from .files import refuse_existing, write_text
from .progress import OnProgress, ignore_progress
from .report_contents import ComparisonReport, ScoredPredictions, ScoreReport
from .report_pages import comparison_page, scores_page
from .score_tables import comparison_rows, slice_rows, write_csv

SCORE_FILES = ("scores.csv", "slices.csv", "report.html", "summary.json")
COMPARISON_FILES = ("comparison.csv", "report.html", "comparison.json")


def write_score_report(
    report: ScoreReport,
    scored: ScoredPredictions,
    folder: Path | str,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Write `SCORE_FILES` into a folder.

    Raises
    ------
    FileExistsError
        If one of them is there already and `overwrite` is not set; nothing is written then.
    """
    folder = _folder(folder, SCORE_FILES, overwrite)
    page = scores_page(report, scored, on_progress=on_progress)
    write_csv(report.cases, folder / "scores.csv")
    write_csv([row for case in scored.cases for row in slice_rows(case)], folder / "slices.csv")
    write_text(folder / "report.html", page)
    write_text(folder / "summary.json", report.model_dump_json(indent=1) + "\n")


def write_comparison_report(
    report: ComparisonReport,
    scored: Mapping[str, ScoredPredictions],
    folder: Path | str,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Write `COMPARISON_FILES` into a folder.

    Raises
    ------
    FileExistsError
        If one of them is there already and `overwrite` is not set; nothing is written then.
    """
    folder = _folder(folder, COMPARISON_FILES, overwrite)
    page = comparison_page(report, scored, on_progress=on_progress)
    write_csv(comparison_rows(report.comparison), folder / "comparison.csv")
    write_text(folder / "report.html", page)
    write_text(folder / "comparison.json", report.model_dump_json(indent=1) + "\n")


def _folder(folder: Path | str, names: Iterable[str], overwrite: bool) -> Path:
    if not overwrite:
        refuse_existing(folder, names)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
