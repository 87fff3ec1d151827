"""``brainseg queue``: which slices to correct next."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..core.cases import Case, find_cases
from ..core.config import QueueConfig, SegmentConfig
from ..core.model_folders import DEFAULT_MODEL
from ..core.queues import QueueItem, write_queue
from ..core.workspaces import Workspace, check_workspace, existing_workspace, workspace_around
from .console import complain, name_failed, progress_shown, say
from .outputs import check_folder, check_output
from .settings_options import settings_options

Source = Annotated[Path, typer.Argument(help="A case folder, a folder of cases, a TIFF stack or a NIfTI file.")]
Corrections = Annotated[
    Path | None,
    typer.Option(help="Workspace of corrections, that beside the data if not given: its slices are left out."),
]
Output = Annotated[Path | None, typer.Option(help="JSON file that gets the slices as a queue.")]
Overwrite = Annotated[bool, typer.Option(help="Replace the queue of an earlier run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@settings_options(without=["tta"])  # the mirrored image is always looked at
def queue(
    folder: Source,
    config: QueueConfig,
    segmenting: SegmentConfig,
    model: Annotated[str, typer.Option(help="A shipped model or a model folder.")] = DEFAULT_MODEL,
    corrections: Corrections = None,
    output: Output = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say which slices to correct next, and why."""
    check_output(output, overwrite=overwrite)
    cases = find_cases(folder)
    workspace = workspace_of(corrections, folder, cases)
    from ..core.models import load_model
    from ..core.queue_search import find_queue

    trained = load_model(model)
    with progress_shown() as on_progress:
        found = find_queue(cases, trained, workspace, config, segmenting, on_progress=on_progress)
    if found.cases:
        keep(found.items, output, workspace if corrections else None)
    if as_json:
        say(json.dumps({"items": [item.model_dump() for item in found.items], "failed": found.failed}, indent=1))
    else:
        say(table_of(found.items))
    complain_of(found.failed, found.cases)


def workspace_of(corrections: Path | None, folder: Path, cases: list[Case]) -> Workspace:
    """The workspace that was named, which must be apart from the data, else the one beside them."""
    if corrections is None:
        return workspace_around(folder)
    check_workspace(corrections, cases)
    check_folder(corrections)
    if corrections.is_dir() and any(corrections.iterdir()):
        return existing_workspace(corrections)
    complain(f"a new workspace is begun in {corrections}")  # a name that was mistyped would go unnoticed
    return Workspace(corrections)


def keep(items: list[QueueItem], output: Path | None, workspace: Workspace | None) -> None:
    """Write a queue to a file and into a workspace, where the Review tab finds it."""
    if output:
        write_queue(output, items)
    if workspace:
        with workspace.locked("queue"):
            write_queue(workspace.queue, items)


def complain_of(failed: Mapping[str, str], done: int) -> None:
    """Name the cases that could not be looked at; with exit code 1 if there are any."""
    name_failed(failed)
    if failed:
        complain(f"{done} cases looked at, {len(failed)} not")
        raise typer.Exit(1)


def table_of(items: list[QueueItem]) -> str:
    """A line for each slice of a queue."""
    width = max((len(item.case) for item in items), default=0)
    return "\n".join(
        f"{rank:3d}  {item.case:{width}}  slice {item.slice_number:3d}  {'; '.join(item.reasons)}"
        for rank, item in enumerate(items, start=1)
    )
