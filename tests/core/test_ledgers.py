"""What was done with each slice, as it stands on disk."""

import re
from pathlib import Path

import pytest

from napari_brainseg.core.ledgers import (
    CaseLedger,
    Effort,
    SliceReview,
    efforts,
    read_ledger,
    read_ledgers,
    reviewed_slices,
    write_ledger,
)
from napari_brainseg.core.workspaces import Workspace

LEDGER = CaseLedger(
    case="anna",
    slices={
        2: SliceReview(state="accepted", reviewer="Ö", time="2026-01-01T00:00:02", seconds=2.5, model_sha256="a"),
        3: SliceReview(state="edited", time="2026-01-01T00:00:01", seconds=4, voxels_changed=7, model_sha256="b"),
        9: SliceReview(state="flagged", time="2026-01-01T00:00:03", seconds=1, voxels_changed=5, model_sha256="a"),
        10: SliceReview(time="2026-01-01T00:00:00", seconds=100, model_sha256="c"),
    },
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.ledger.mkdir()
    return workspace


def test_a_ledger_is_read_as_it_was_written(workspace: Workspace) -> None:
    write_ledger(workspace, LEDGER)
    assert read_ledger(workspace, "anna") == LEDGER
    assert read_ledgers(workspace) == [LEDGER]
    assert LEDGER.count("accepted") == LEDGER.count("auto") == 1


def test_nothing_is_known_of_other_cases(workspace: Workspace) -> None:
    assert read_ledger(workspace, "bert") == CaseLedger(case="bert")
    assert read_ledgers(workspace) == []


def test_first_version_is_read_forever(workspace: Workspace) -> None:
    (workspace.ledger / "anna.json").write_text(
        '{"schema_version": 1, "case": "anna", "slices": {"14": {"state": "edited", "reviewer": "R", '
        '"time": "2026-11-27T14:02:11+00:00", "seconds": 12.5, "voxels_changed": 213, "model_sha256": "abc"}}}'
    )
    assert read_ledger(workspace, "anna").slices[14] == SliceReview(
        state="edited",
        reviewer="R",
        time="2026-11-27T14:02:11+00:00",
        seconds=12.5,
        voxels_changed=213,
        model_sha256="abc",
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is damaged"),
        ('{"case": "anna", "slices": {"1": {"state": "fine"}}}', "is damaged"),
        ('{"schema_version": 3, "case": "anna", "new": 1}', "has schema version 3, but up to 2 can be read here"),
    ],
)
def test_a_ledger_that_cannot_be_read_is_named(workspace: Workspace, content: str, reason: str) -> None:
    (workspace.ledger / "anna.json").write_text(content)
    with pytest.raises(ValueError, match=re.escape(f"{workspace.ledger / 'anna.json'} {reason}")):
        read_ledger(workspace, "anna")


def test_effort_is_told_for_each_model_that_was_corrected() -> None:
    assert efforts([LEDGER]) == [Effort("b", 1, 4, 7), Effort("a", 2, 3.5, 5)]


def test_slices_that_somebody_looked_at_are_known_by_position(workspace: Workspace) -> None:
    write_ledger(workspace, LEDGER)
    numbers = (1, 2, 3, 10)
    assert reviewed_slices(workspace, {"anna": numbers, "bert": numbers}) == {"anna": {1, 2}, "bert": set()}


def test_what_a_kill_left_half_written_is_no_ledger(workspace: Workspace) -> None:
    write_ledger(workspace, LEDGER)
    (workspace.ledger / f".{'0' * 32}.json").write_text('{"schema_')
    assert read_ledgers(workspace) == [LEDGER]
