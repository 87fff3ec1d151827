"""``brainseg compare``: several predictions of the same cases side by side."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ..core.cases import find_masks
from ..core.config import ScoreConfig, SegmentConfig
from ..core.evaluation import POOR_DICE, Comparison, gains_over
from ..core.model_folders import model_folder
from ..core.progress import OnProgress
from ..core.report_contents import ComparisonReport, ScoredPredictions, report_comparison
from ..core.results import write_segmentation
from ..core.volumes import read_volume
from ..core.words import counted, plain
from .console import complain, progress_shown, say
from .outputs import check_report, refuse_inside
from .score import score_folder, tell_left_out, tell_seen
from .settings_options import settings_options
from .tables import Column, score_table


@settings_options()
def compare(
    call: typer.Context,
    references: Annotated[Path, typer.Argument(help="Folder of cases with manual masks.")],
    predictions: Annotated[list[str], typer.Argument(help="Two or more: folders of masks, model folders, 'default'.")],
    config: ScoreConfig,
    running: SegmentConfig,
    output: Annotated[Path | None, typer.Option(help="Folder for table, summary and report.html.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the report of an earlier run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare predictions of the same cases, paired by case; a model segments the cases first."""
    from ..core.reports import COMPARISON_FILES, write_comparison_report  # loads matplotlib

    labels = _labels(predictions)
    check_report(output, COMPARISON_FILES, overwrite=overwrite)
    if output:
        refuse_inside([references], find_masks(references), output)
    scored: dict[str, ScoredPredictions] = {}
    with ExitStack() as stack:
        on_progress = stack.enter_context(progress_shown())
        for label, source in zip(labels, predictions, strict=True):
            if _is_model(source):
                masks = Path(stack.enter_context(TemporaryDirectory(prefix="brainseg-")))
                scored[label] = _score_model(source, masks, references, config, running, on_progress)
            else:
                scored[label] = score_folder(Path(source), references, config, on_progress)
            complain(f"{label}: {counted(len(scored[label].cases), 'case')} scored")
            tell_left_out(scored[label])
        report = report_comparison(scored, references, config, call.obj)
        if output:
            write_comparison_report(report, scored, output, overwrite=overwrite, on_progress=on_progress)
    if as_json:
        say(report.model_dump_json(indent=1))
    else:
        say(_table(report.comparison))
        say()
        say(_in_words(report))
    for item in report.predictions.values():
        tell_seen(item)
    if output and not as_json:
        say(f"{', '.join(COMPARISON_FILES)} are in {output}")


def _labels(predictions: Sequence[str]) -> list[str]:
    """What to call each: the end of its path, as long as it takes to tell them apart."""
    if len(predictions) < 2:
        raise ValueError("comparing needs at least two predictions of the same cases")
    for source in predictions:
        if not _is_model(source) and not Path(source).exists():
            raise FileNotFoundError(f"{source} is neither a folder of masks nor a model")
    paths = [Path(os.path.abspath(source) if Path(source).exists() else source).parts for source in predictions]
    if twice := [source for source, path in zip(predictions, paths, strict=True) if paths.count(path) > 1]:
        raise ValueError(f"{twice[0]} is given twice")
    labels = [path[-1] for path in paths]
    for length in range(2, max(map(len, paths)) + 1):
        labels = [
            "/".join(path[-length:]) if labels.count(label) > 1 else label
            for label, path in zip(labels, paths, strict=True)
        ]
    return labels


def _is_model(source: str) -> bool:
    try:
        model_folder(source)
    except FileNotFoundError:
        return False
    return True


def _score_model(
    model: str, folder: Path, references: Path, config: ScoreConfig, running: SegmentConfig, on_progress: OnProgress
) -> ScoredPredictions:
    """Segment the reference cases into a folder and score what came out."""
    from ..core.models import load_model
    from ..core.segmentation import segment

    trained = load_model(model)
    failed: dict[str, str] = {}
    for case in find_masks(references):
        try:
            volume = read_volume(case)
            found = segment(volume, trained, running, on_progress=on_progress)
            write_segmentation(found, volume, folder / case.name)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            failed[case.name] = plain(error)
    if not any(folder.iterdir()):
        raise ValueError(f"{references} holds no case that {model} could segment: {next(iter(failed.values()))}")
    scored = score_folder(folder, references, config, on_progress)
    others = tuple(name for name in scored.pairing.only_reference if name not in failed)
    return replace(
        scored,
        source=model,
        pairing=replace(scored.pairing, only_reference=others),
        not_scored={**failed, **scored.not_scored},
        models=(trained.info,),
    )


def _table(comparison: Comparison) -> str:
    dice = comparison.dice
    more = [gains_over(row, comparison.baseline) for row in dice.values()]
    columns = [
        Column(label, "dice", [row[label] for row in dice.values()], summary)
        for label, summary in comparison.summaries.items()
    ]
    poor = [sum(value is not None and value < POOR_DICE for value in item.values) for item in columns]
    columns += [
        Column(f"{label} - {comparison.baseline}", "dice", [row[label] for row in more], summary, sign=True)
        for label, summary in comparison.differences.items()
    ]
    last = [[f"cases below {POOR_DICE}", *map(str, poor), *([""] * len(comparison.differences))]]
    return score_table(list(dice), columns, last)


def _in_words(report: ComparisonReport) -> str:
    comparison = report.comparison
    lines = [f"Dice per volume of {counted(len(comparison.dice), 'case')}, paired by case"]
    for label, verdict in report.verdicts.items():
        lines.append(f"{label} against {comparison.baseline}: {verdict}")
    return "\n".join(lines)
