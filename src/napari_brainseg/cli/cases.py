"""``brainseg cases``: what is in a folder."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.cases import Case, find_cases
from .console import progress_shown, say


def cases(
    folder: Annotated[Path, typer.Argument(help="A case folder, a folder of cases, a TIFF stack or a NIfTI file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the cases in a folder, with what is wrong with them."""
    with progress_shown() as on_progress:
        found = find_cases(folder, on_progress=on_progress)
    if as_json:
        say(json.dumps([_as_json(case) for case in found], indent=1))
    else:
        _say_table(found)
    if all(case.error for case in found):
        raise typer.Exit(1)


def _say_table(found: list[Case]) -> None:
    width = max(len(case.name) for case in found)
    for case in found:
        remarks = [f"cannot be used: {case.error}"] if case.error else list(map(str, case.problems))
        masks = sum(mask is not None for mask in case.masks)
        say(f"{case.name:{width}}  {_count(len(case.images), case)}, {masks} with mask  {'; '.join(remarks)}".rstrip())
    usable = sum(case.error is None for case in found)
    say(f"{len(found)} cases, {usable} can be used")


def _count(files: int, case: Case) -> str:
    return f"{files:3d} {'slices' if case.layout == 'slices' else 'files '}"


def _as_json(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "patient": case.patient,
        "site": case.site,
        "folder": str(case.folder),
        "layout": case.layout,
        "images": len(case.images),
        "masks": sum(mask is not None for mask in case.masks),
        "problems": list(map(str, case.problems)),
        "error": case.error,
    }
