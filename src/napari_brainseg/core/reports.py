"""Reports of scores as files: CSV, JSON, and a page that needs nothing but a browser."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from .files import atomic_path
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
    _write_text(page, folder / "report.html")
    _write_text(report.model_dump_json(indent=1) + "\n", folder / "summary.json")


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
    _write_text(page, folder / "report.html")
    _write_text(report.model_dump_json(indent=1) + "\n", folder / "comparison.json")


def refuse_existing(folder: Path | str, names: Iterable[str]) -> None:
    """Refuse a folder that holds one of some files or folders.

    Raises
    ------
    FileExistsError
        The message names it.
    """
    for name in names:
        if (path := Path(folder) / name).exists():
            raise FileExistsError(f"{path} exists already; choose another folder or allow overwriting")


def _folder(folder: Path | str, names: Iterable[str], overwrite: bool) -> Path:
    if not overwrite:
        refuse_existing(folder, names)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_text(text: str, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")
