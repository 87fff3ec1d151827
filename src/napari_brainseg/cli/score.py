"""``brainseg score``: how well masks agree with their references."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..core.cases import RESULT_FILE, find_masks
from ..core.config import ScoreConfig
from ..core.evaluation import POOR_DICE, CaseScores, score_cases
from ..core.mask_pairs import Pairing, pair_masks
from ..core.progress import OnProgress
from ..core.report_contents import PredictionReport, ScoredPredictions, ScoreReport, report_scores
from ..core.score_tables import figure_of, figure_title, shown
from ..core.words import counted, few
from .console import complain, name_failed, progress_shown, say
from .outputs import check_report, refuse_inside
from .settings_options import settings_options
from .tables import Column, score_table


@settings_options()
def score(
    call: typer.Context,
    predictions: Annotated[Path, typer.Argument(help="Folder of masks, or one mask.")],
    references: Annotated[Path, typer.Argument(help="Folder of cases with manual masks, or one mask.")],
    config: ScoreConfig,
    output: Annotated[Path | None, typer.Option(help="Folder for tables, summary and report.html.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the report of an earlier run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare masks with references, case by case, and say what they are worth together."""
    from ..core.reports import SCORE_FILES, write_score_report  # loads matplotlib

    check_report(output, SCORE_FILES, overwrite=overwrite)
    if output:
        refuse_inside([references], find_masks(references), output)
    with progress_shown() as on_progress:
        scored = score_folder(predictions, references, config, on_progress)
        _tell_swapped(scored.pairing)
        tell_left_out(scored)
        if not scored.cases:
            raise ValueError(f"no mask in {predictions} could be scored against {references}")
        report = report_scores(scored, references, config, call.obj)
        if output:
            write_score_report(report, scored, output, overwrite=overwrite, on_progress=on_progress)
    if as_json:
        say(report.model_dump_json(indent=1))
    else:
        say(_table(report, scored.cases))
        say()
        say(_in_words(report))
    tell_seen(report.predictions)
    if output and not as_json:
        say(f"{', '.join(SCORE_FILES)} are in {output}")


def score_folder(
    predictions: Path, references: Path, config: ScoreConfig, on_progress: OnProgress
) -> ScoredPredictions:
    """Pair the masks of two folders and score them."""
    pairing = pair_masks(predictions, references)
    not_scored: dict[str, str] = {}
    cases = score_cases(pairing.pairs, config, on_failure=not_scored.__setitem__, on_progress=on_progress)
    return ScoredPredictions(str(predictions), pairing, tuple(cases), not_scored)


def _tell_swapped(pairing: Pairing) -> None:
    """Say it where what should be judged seems to have been given as the truth: precision becomes sensitivity."""
    ours, theirs = (
        any((case.folder / RESULT_FILE).is_file() for case in cases)
        for cases in ([pair.predicted for pair in pairing.pairs], [pair.reference for pair in pairing.pairs])
    )
    if theirs and not ours:
        complain(
            f"WARNING: of the two, only the references have the {RESULT_FILE} of brainseg segment: predictions come "
            "first, so the two may be swapped"
        )


def tell_left_out(scored: ScoredPredictions) -> None:
    """Say which masks are not scored."""
    name_failed(scored.not_scored)
    if left_out := {case.name: case.left_out for case in scored.cases if case.left_out}:
        slices = counted(sum(left_out.values()), "slice", " ")
        complain(f"{slices} without a mask in the reference left out, of {few(left_out)}")
    if names := scored.pairing.only_predicted:
        complain(f"{counted(len(names), 'prediction')} without a reference: {few(names)}")
    if names := scored.pairing.only_reference:
        complain(f"{counted(len(names), 'reference')} without a prediction: {few(names)}")


def tell_seen(predictions: PredictionReport) -> None:
    """Say it where a model is judged by what it learned from."""
    if names := predictions.trained_on:
        complain(
            f"{predictions.source}: {len(names)} of {predictions.summary.cases} cases belong to patients that the "
            f"model was trained on ({few(names)}); their scores do not tell how well it does on new patients"
        )


def _table(report: ScoreReport, cases: Sequence[CaseScores]) -> str:
    from ..core.report_pages import main_figures

    summary = report.predictions.summary
    columns = [
        Column(figure_title(key), key, [figure_of(case.scores, key) for case in cases], summary.figures[key])
        for key in main_figures(summary)
        if not key.startswith("assd")
    ]
    pooled = [shown(item.key, summary.pooled.get(item.key)) for item in columns]
    counts = [str(item.summary.count) for item in columns]
    last = [["pooled over all voxels", *pooled], ["cases with a value", *counts]]
    return score_table([case.name for case in cases], columns, last)


def _in_words(report: ScoreReport) -> str:
    summary = report.predictions.summary
    slices = summary.slices
    poor = f": {few(summary.poor)}" if summary.poor else ""
    return "\n".join(
        (
            f"{counted(summary.cases, 'case')} of {counted(summary.patients, 'patient')}, per volume; "
            f"{len(summary.poor)} below a Dice of {POOR_DICE}{poor}",
            f"slices: mean Dice {shown('dice', slices.tumour_dice.mean)} of {slices.tumour_slices} with tumour, "
            f"nothing found in {slices.missed} of them; something found in {slices.false_alarms} of "
            f"{slices.tumour_free_slices} without",
            f"empty masks: {report.about.policy}; that decides {summary.both_empty} of {summary.cases} cases and "
            f"{slices.both_empty} of {slices.slices} slices",
        )
    )
