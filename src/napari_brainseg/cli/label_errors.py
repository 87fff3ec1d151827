"""``brainseg label-errors``: where manual masks may be wrong."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..core.cases import find_cases
from ..core.config import DoubtConfig, SegmentConfig
from ..core.model_folders import DEFAULT_MODEL
from ..core.workspaces import Workspace, default_workspace
from .console import complain, progress_shown, say
from .queue import complain_of, keep, refuse_existing, table_of
from .settings_options import settings_options


@settings_options()
def label_errors(
    folder: Annotated[Path, typer.Argument(help="A case folder, a folder of cases, a TIFF stack or a NIfTI file.")],
    config: DoubtConfig,
    segmenting: SegmentConfig,
    model: Annotated[str, typer.Option(help="A model that was not trained on these cases.")] = DEFAULT_MODEL,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Workspace of corrections, that beside the data if not given: its slices are left out."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file that gets the slices as a queue.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the queue of an earlier run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the slices where a model that has not seen them is sure that the manual mask is wrong."""
    refuse_existing(output, overwrite=overwrite)
    workspace = Workspace(corrections) if corrections else default_workspace(folder)
    cases = find_cases(folder)
    from ..core.label_errors import find_label_errors
    from ..core.models import load_model

    trained = load_model(model)
    with progress_shown() as on_progress:
        found = find_label_errors(cases, trained, workspace, config, segmenting, on_progress=on_progress)
    items = found.as_queue()
    if found.cases:
        keep(items, output, workspace if corrections else None)
    if as_json:
        content = {"errors": [asdict(error) for error in found.errors], "seen": found.seen, "failed": found.failed}
        say(json.dumps(content, indent=1))
    else:
        say(table_of(items) or f"nothing to doubt in {found.cases} cases with a manual mask")
    if found.seen:
        complain(
            f"WARNING: {trained.info.name} was trained on {len(found.seen)} of these {found.cases} cases, such as "
            f"{found.seen[0]}: it has learned their errors too, and its doubt says little; take a model of another fold"
        )
    complain_of(found.failed, found.cases)
