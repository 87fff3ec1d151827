"""``brainseg queue``: which slices to correct next."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..core.cases import find_cases
from ..core.config import QueueConfig, SegmentConfig
from ..core.corrections import with_corrections
from ..core.ledgers import reviewed_slices
from ..core.masks import read_truth
from ..core.model_folders import DEFAULT_MODEL
from ..core.queues import QueueItem, rank_slices, write_queue
from ..core.workspaces import Workspace, default_workspace
from .console import complain, progress_shown, say
from .segment import read_ahead
from .settings_options import settings_options


@settings_options()
def queue(
    folder: Annotated[Path, typer.Argument(help="A case folder, a folder of cases, a TIFF stack or a NIfTI file.")],
    config: QueueConfig,
    segmenting: SegmentConfig,
    model: Annotated[str, typer.Option(help="A shipped model or a model folder.")] = DEFAULT_MODEL,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Workspace of corrections, that beside the data if not given: its slices are left out."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file that gets the queue.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the queue of an earlier run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which slices to correct next, and why."""
    if output and output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; choose another --output or give --overwrite")
    workspace = Workspace(corrections) if corrections else default_workspace(folder)
    cases = find_cases(folder)
    from ..core.models import load_model
    from ..core.signal_measurement import measure_signals

    trained = load_model(model)
    signals, failed = {}, {}
    with progress_shown() as on_progress:
        for case, volume in read_ahead(cases):
            if isinstance(volume, str):
                failed[case.name] = volume
                continue
            try:
                (corrected,) = with_corrections([case], workspace)
                truth = read_truth(corrected, volume)
                manual = truth.mask if corrected.has_truth else None
                signals[case.name] = measure_signals(
                    volume, trained, segmenting, manual, known=truth.known, on_progress=on_progress
                )
            except (ValueError, OSError, RuntimeError, MemoryError) as error:
                failed[case.name] = str(error)
    numbers = {name: item.slice_numbers for name, item in signals.items()}
    items = rank_slices(signals, config, reviewed_slices(workspace, numbers))
    if output and signals:
        write_queue(output, items)
    if corrections and signals:
        with workspace.locked("queue"):
            write_queue(workspace.queue, items)
    if as_json:
        say(json.dumps({"items": [item.model_dump() for item in items], "failed": failed}, indent=1))
    else:
        say(_table(items))
    for name, reason in failed.items():
        complain(reason if reason.startswith(name) else f"{name}: {reason}")
    if failed:
        complain(f"{len(signals)} cases looked at, {len(failed)} not")
        raise typer.Exit(1)


def _table(items: list[QueueItem]) -> str:
    width = max((len(item.case) for item in items), default=0)
    return "\n".join(
        f"{rank:3d}  {item.case:{width}}  slice {item.slice_number:3d}  {item.score:7.0f}  {'; '.join(item.reasons)}"
        for rank, item in enumerate(items, start=1)
    )
