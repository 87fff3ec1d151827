"""The folder of corrections: where it is, and that nobody writes into it at the same time as another."""

import multiprocessing
import os
import re
import stat
from pathlib import Path

import pytest

from napari_brainseg.core import workspaces
from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.workspaces import Workspace, check_workspace, default_workspace, workspace_around


def test_workspace_stands_beside_the_data(tmp_path: Path) -> None:
    assert default_workspace(tmp_path / "kaggle_3m").folder == tmp_path / "kaggle_3m-corrected"


def test_workspace_stands_beside_the_data_that_is_the_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kaggle_3m" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "kaggle_3m" / "a")
    assert default_workspace("..").folder == tmp_path / "kaggle_3m-corrected"


def test_workspace_of_one_case_is_that_of_the_data_set_where_it_is_there(tmp_path: Path) -> None:
    case = tmp_path / "kaggle_3m" / "anna"
    assert workspace_around(case).folder == tmp_path / "kaggle_3m" / "anna-corrected"
    with default_workspace(tmp_path / "kaggle_3m").locked("anna"):
        pass
    assert workspace_around(case).folder == tmp_path / "kaggle_3m-corrected"
    with default_workspace(case).locked("anna"):
        pass
    assert workspace_around(case).folder == tmp_path / "kaggle_3m" / "anna-corrected"


@pytest.mark.parametrize(
    ("place", "relation"), [("", "is"), ("deeper/still", "lies in"), ("..", "holds"), ("../..", "holds")]
)
def test_a_workspace_among_the_data_is_refused(cases: list[Case], place: str, relation: str) -> None:
    folder = cases[0].folder / place
    with pytest.raises(ValueError, match=f"{relation} the folder of anna; choose one outside the data"):
        check_workspace(folder, cases)


def test_a_workspace_elsewhere_is_allowed(cases: list[Case], tmp_path: Path) -> None:
    check_workspace(tmp_path, cases)
    check_workspace(cases[0].folder.parent / "corrected", cases)
    check_workspace(cases[0].folder / ".." / "corrected", cases)


def test_cases_are_not_looked_for_in_a_workspace_among_the_data(patients: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(patients)
    workspace = Workspace(tmp_path / "corrected")
    with workspace.locked("anna"):
        pass
    (workspace.corrections("anna")).mkdir(parents=True)
    (workspace.corrections("anna") / "anna_1.tif").write_bytes(b"")
    assert [case.name for case in find_cases(tmp_path)] == ["anna", "bert", "carl", "dora"]


def test_names_that_no_file_can_have_stay_inside(tmp_path: Path) -> None:
    assert Workspace(tmp_path).corrections("../a/b").parent == tmp_path / "corrections"


def _hold(folder: Path, held: "multiprocessing.synchronize.Event", end: "multiprocessing.synchronize.Event") -> None:
    with Workspace(folder).locked("anna"):
        held.set()
        end.wait(60)


def test_a_second_process_waits_and_then_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "_LOCK_SECONDS", 0.2)
    spawn = multiprocessing.get_context("spawn")
    held, end = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path, held, end))
    other.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(OSError, match="another program is writing anna and does not end"),
            Workspace(tmp_path).locked("anna"),
        ):
            pass
        with Workspace(tmp_path).locked("bert"):
            pass
    finally:
        end.set()
        other.join()
    with Workspace(tmp_path).locked("anna"):
        pass


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root is forbidden nothing")
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with (
        pytest.raises(PermissionError, match=re.escape(f"{tmp_path / 'w'} cannot be written to: permission denied")),
        Workspace(tmp_path / "w").locked("anna"),
    ):
        pass


def test_a_file_in_the_place_of_the_workspace_is_named(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("")
    with (
        pytest.raises(OSError, match=re.escape(f"{tmp_path / 'w'} cannot be written to: ")),
        Workspace(tmp_path / "w").locked("anna"),
    ):
        pass


def test_a_place_is_noted_from_the_workspace_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for workspace in (Workspace(tmp_path / "corrected"), Workspace(Path("corrected"))):
        assert workspace.note_of(tmp_path / "data" / "anna") == "../data/anna"
        assert workspace.place_of("../data/anna") == tmp_path / "data" / "anna"
        assert workspace.place_of(str(tmp_path / "other")) == tmp_path / "other"
