"""``brainseg label-errors``: where manual masks may be wrong."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ..core.cases import find_cases
from ..core.config import DoubtConfig, SegmentConfig
from ..core.model_folders import DEFAULT_MODEL
from .console import complain, progress_shown, say
from .outputs import check_output
from .queue import AsJson, Corrections, Output, Overwrite, Source, complain_of, keep, table_of, workspace_of
from .settings_options import settings_options


@settings_options()
def label_errors(
    folder: Source,
    config: DoubtConfig,
    segmenting: SegmentConfig,
    model: Annotated[
        list[str],
        typer.Option(
            help="A model that was not trained on these cases; several, such as those of all folds, share them."
        ),
    ] = [DEFAULT_MODEL],  # noqa: B006 - never changed
    corrections: Corrections = None,
    output: Output = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """List the slices where a model that has not seen them is sure that the manual mask is wrong."""
    check_output(output, overwrite=overwrite)
    cases = find_cases(folder)
    workspace = workspace_of(corrections, folder, cases)
    from ..core.label_errors import find_label_errors
    from ..core.models import load_model

    models = [load_model(name) for name in model]
    with progress_shown() as on_progress:
        found = find_label_errors(cases, models, workspace, config, segmenting, on_progress=on_progress)
    if not (found.cases or found.failed):
        raise ValueError(f"{folder}: no case has a manual mask")
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
            f"WARNING: {' and '.join(item.info.name for item in models)} learned from {len(found.seen)} of these "
            f"{found.cases} cases, such as {found.seen[0]}, and from their errors too: doubt says little there; take "
            "models of other folds"
        )
    complain_of(found.failed, found.cases)
