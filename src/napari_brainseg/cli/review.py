"""``brainseg review``: what was corrected, how much work it was, and which models came of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.ledgers import REVIEW_STATES, CaseLedger, Effort, efforts, read_ledgers
from ..core.rounds import Round, adopt, find_rounds, model_in_use, name_models, read_adoptions, roll_back
from ..core.workspaces import Workspace, existing_workspace
from .console import complain, say


def review(
    folder: Annotated[Path, typer.Argument(help="Workspace: the folder that corrections are kept in.")],
    adopted: Annotated[
        str | None, typer.Option("--adopt", help="Use this model, a shipped one or a model folder, from now on.")
    ] = None,
    back: Annotated[bool, typer.Option("--roll-back", help="Go back to the model that was in use before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what was corrected in a workspace and which models came of it; adopt one of them, or go back."""
    workspace = existing_workspace(folder)
    if adopted and back:
        raise ValueError("--adopt and --roll-back were both given: allowed is one of them")
    if adopted:
        adopt(workspace, adopted)
    if back:
        roll_back(workspace)
    ledgers, rounds = read_ledgers(workspace), find_rounds(workspace, on_failure=lambda _, why: complain(why))
    if as_json:
        say(json.dumps(_content(workspace, ledgers, rounds), indent=1))
        return
    for ledger in ledgers:
        say(f"{ledger.case}: {_counts(ledger)}")
    named = name_models(workspace)
    for effort in efforts(ledgers):
        say(_words(effort, named))
    for found in rounds:
        say(_line(found))
    say(f"model in use: {model_in_use(workspace)}")


def _content(workspace: Workspace, ledgers: list[CaseLedger], rounds: list[Round]) -> dict[str, Any]:
    return {
        "cases": [ledger.model_dump() for ledger in ledgers],
        "efforts": [asdict(effort) for effort in efforts(ledgers)],
        "rounds": [
            {
                "folder": str(found.folder),
                "corrected_slices": found.corrected_slices,
                "before": found.before,
                "after": found.after,
                "base_before": found.base_before,
                "base_after": found.base_after,
                "weights_sha256": found.info.provenance.weights_sha256,
                "parent_sha256": found.info.provenance.parent_sha256,
                "was_adopted": found.was_adopted,
            }
            for found in rounds
        ],
        "adoptions": [adoption.model_dump() for adoption in read_adoptions(workspace)],
        "model_in_use": model_in_use(workspace),
    }


def _counts(ledger: CaseLedger) -> str:
    return ", ".join(f"{count} {state}" for state in REVIEW_STATES if (count := ledger.count(state))) or "nothing yet"


def _words(effort: Effort, named: Mapping[str, str]) -> str:
    of = named.get(effort.model_sha256, f"model {effort.model_sha256[:8]}" if effort.model_sha256 else "no model")
    return f"corrected from {of}: {effort.slices} slices, {effort.seconds / 60:.1f} min, {effort.voxels} voxels changed"


def _line(found: Round) -> str:
    words = [f"{found.folder.name}: {found.corrected_slices} corrected slices"]
    if found.after is not None:
        before = "" if found.before is None else f", before {found.before:.3f}"
        words.append(f"validation Dice {found.after:.3f}{before}")
    if found.base_before is not None and found.base_after is not None:
        words.append(f"known patients {found.base_after:.3f}, before {found.base_before:.3f}")
    return "; ".join([*words, "in use" if found.is_used else "adopted once" if found.was_adopted else "not adopted"])
