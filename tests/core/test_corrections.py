"""Corrected masks on disk: what is written, what is kept, what other windows do meanwhile."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_brainseg.core import corrections, files
from napari_brainseg.core.cases import Case, find_cases, find_masks
from napari_brainseg.core.corrections import VERSIONS, Corrections, with_corrections
from napari_brainseg.core.ledgers import ReviewState, read_ledger
from napari_brainseg.core.masks import Mask, read_mask, read_mask_alone
from napari_brainseg.core.volumes import Volume, read_volume
from napari_brainseg.core.workspaces import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "corrected")


@pytest.fixture
def anna(cases: list[Case]) -> Volume:
    return read_volume(cases[0])


@pytest.fixture
def predicted(cases: list[Case], anna: Volume) -> Mask:
    mask = read_mask(cases[0], anna)
    assert mask is not None
    return np.roll(mask, 2, axis=2)


@pytest.fixture
def every_save_is_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "_VERSION_SECONDS", 0.0)


def painted(mask: Mask, *slices: int, at: int = 5) -> Mask:
    """The same mask with a row of tumour, 64 voxels at the most, in some slices."""
    new = mask.copy()
    new[list(slices), at] = 1
    return new


def test_only_chosen_slices_are_written_in_kaggles_layout(workspace: Workspace, anna: Volume, predicted: Mask) -> None:
    mask = painted(predicted, 1, 2, 4)
    Corrections(workspace, anna).save(mask, [1, 4], predicted, reviewer="R", seconds=6, model_sha256="abc")

    folder = workspace.corrections("anna")
    assert sorted(path.name for path in folder.glob("*.tif")) == ["anna_2_mask.tif", "anna_5_mask.tif"]
    (case,) = find_masks(folder)
    np.testing.assert_array_equal(read_mask_alone(case)[0], mask[[1, 4]])
    reviews = read_ledger(workspace, "anna").slices
    assert list(reviews) == [2, 5]
    assert (reviews[2].state, reviews[2].reviewer, reviews[2].model_sha256) == ("edited", "R", "abc")
    assert reviews[2].seconds == 3
    assert reviews[2].voxels_changed == int((mask[1] != predicted[1]).sum()) > 0


def test_what_was_saved_is_found_again(workspace: Workspace, anna: Volume, predicted: Mask) -> None:
    mask = painted(predicted, 0, 3)
    first = Corrections(workspace, anna)
    first.save(mask, [0, 3], predicted)
    first.save(mask, [5], predicted, state="accepted")
    second = Corrections(workspace, anna)
    assert sorted(second.planes) == [0, 3, 5]
    for z in second.planes:
        np.testing.assert_array_equal(second.planes[z], mask[z])
    assert [second.state(z) for z in range(6)] == ["edited", "auto", "auto", "edited", "auto", "accepted"]


def test_seconds_add_up_and_the_prediction_stays_that_of_the_first_edit(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    """A new model's prediction must not make an old correction look smaller."""
    mask = painted(predicted, 1)
    Corrections(workspace, anna).save(mask, [1], predicted, seconds=2, model_sha256="old")
    again = Corrections(workspace, anna)
    again.save(painted(mask, 1, at=9), [1], painted(mask, 1, at=9), seconds=3, model_sha256="new")
    review = again.review(1)
    assert (review.seconds, review.model_sha256) == (5, "old")
    assert review.voxels_changed == int((painted(mask, 1, at=9)[1] != predicted[1]).sum())


def test_a_slice_as_predicted_is_no_correction_any_more(workspace: Workspace, anna: Volume, predicted: Mask) -> None:
    kept = Corrections(workspace, anna)
    kept.save(painted(predicted, 1), [1], predicted)
    kept.save(predicted, [1])
    assert kept.state(1) == "auto"
    assert not kept.planes
    assert not list(workspace.corrections("anna").glob("*.tif"))


def test_an_accepted_slice_is_kept_even_as_predicted_and_an_edit_makes_it_edited(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    kept = Corrections(workspace, anna)
    kept.save(predicted, [1], predicted, state="accepted")
    assert list(kept.planes) == [1]
    kept.save(painted(predicted, 1), [1])
    assert kept.state(1) == "edited"
    kept.save(painted(predicted, 1), [1], state="accepted")
    kept.save(painted(predicted, 1), [1])
    assert kept.state(1) == "edited"


def test_time_shared_out_over_many_slices_is_not_lost(workspace: Workspace, anna: Volume, predicted: Mask) -> None:
    kept = Corrections(workspace, anna)
    for _ in range(100):
        kept.save(predicted, range(6), predicted, state="accepted", seconds=0.24)
    assert sum(kept.review(z).seconds for z in range(6)) == pytest.approx(24)


@pytest.mark.usefixtures("every_save_is_a_version")
@pytest.mark.parametrize("name", ["anna", "anna [1]"])
def test_a_bounded_number_of_former_masks_is_kept(
    workspace: Workspace, anna: Volume, predicted: Mask, name: str
) -> None:
    kept = Corrections(workspace, replace(anna, name=name))
    masks = [painted(predicted, 1, at=at) for at in range(VERSIONS + 3)]
    for mask in masks:
        kept.save(mask, [1], predicted)
    versions = kept.versions(1)
    assert len(versions) == VERSIONS
    assert versions == sorted(versions, key=lambda version: version.time, reverse=True)
    for version, mask in zip(versions, masks[-2::-1], strict=False):
        np.testing.assert_array_equal(version.read(), mask[1])
    assert not kept.versions(2)


def test_strokes_of_the_same_minute_make_no_versions_but_an_accepted_mask_does(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    kept = Corrections(workspace, anna)
    for at in range(5):
        kept.save(painted(predicted, 1, at=at), [1], predicted)
    assert not kept.versions(1)
    kept.save(painted(predicted, 1), [1], state="accepted")
    kept.save(painted(predicted, 1, at=8), [1])
    assert [version.read().tolist() for version in kept.versions(1)] == [painted(predicted, 1)[1].tolist()]


def test_windows_that_edit_different_slices_do_not_touch_each_others(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    one, two = Corrections(workspace, anna), Corrections(workspace, anna)
    mine, theirs = painted(predicted, 1), painted(predicted, 2, at=7)
    assert not one.save(mine, [1], predicted).overtaken
    assert not two.save(theirs, [2], predicted).overtaken
    assert one.refresh() == (2,)
    assert one.refresh() == ()
    np.testing.assert_array_equal(one.planes[2], theirs[2])
    np.testing.assert_array_equal(Corrections(workspace, anna).planes[1], mine[1])
    assert list(read_ledger(workspace, "anna").slices) == [2, 3]


def test_the_mask_of_another_window_is_kept_as_a_version_and_told(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    one, two = Corrections(workspace, anna), Corrections(workspace, anna)
    mine, theirs = painted(predicted, 1), painted(predicted, 1, at=7)
    two.save(theirs, [1], predicted)
    assert one.save(mine, [1], predicted).overtaken == (1,)
    np.testing.assert_array_equal(one.planes[1], mine[1])
    np.testing.assert_array_equal(one.versions(1)[0].read(), theirs[1])


EDITOR = """
import sys
from pathlib import Path
import numpy as np
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import Workspace
case = find_cases(sys.argv[1])[0]
volume = read_volume(case)
kept = Corrections(Workspace(Path(sys.argv[2])), volume)
mask = np.zeros(volume.shape, np.uint8)
for number in range(int(sys.argv[4])):
    z = int(sys.argv[3]) + 2 * (number % 3)
    mask[z].flat[number] = 1
    kept.save(mask, [z], np.zeros_like(mask), seconds=1)
    print(number, flush=True)
"""


def editor(cases: list[Case], workspace: Workspace, first: int, count: int) -> "subprocess.Popen[str]":
    """Process that paints one voxel after another in every second slice."""
    words = [sys.executable, "-c", EDITOR, cases[0].folder, workspace.folder, str(first), str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_two_processes_lose_nothing_of_each_other(cases: list[Case], workspace: Workspace, anna: Volume) -> None:
    count = 30
    others = [editor(cases, workspace, first, count) for first in (0, 1)]
    for other in others:
        other.communicate(timeout=120)
        assert other.returncode == 0
    kept = Corrections(workspace, anna)
    assert sorted(kept.planes) == [0, 1, 2, 3, 4, 5]
    assert [int(kept.planes[z].sum()) for z in range(6)] == [count // 3] * 6
    assert sum(kept.review(z).seconds for z in range(6)) == 2 * count


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_after_a_kill_everything_that_was_saved_is_there_and_whole(
    cases: list[Case], workspace: Workspace, anna: Volume
) -> None:
    with editor(cases, workspace, 0, 4000) as process:
        assert process.stdout
        while (saved := int(process.stdout.readline())) < 40:
            pass
        process.send_signal(signal.SIGKILL)
        saved = max([saved, *map(int, process.stdout.read().splitlines())])
    kept = Corrections(workspace, anna)
    found = sum(int(plane.sum()) for plane in kept.planes.values())
    assert saved + 1 <= found <= saved + 2
    kept.save(np.ones(anna.shape, np.uint8), [0])
    assert kept.planes[0].all()


def full_disk(written: int) -> Callable[..., Any]:
    """What writes a mask, until so many were written and the disk is full."""
    left, real = [written], corrections.write_slice_mask

    def write(path: Path, plane: Mask) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, plane)

    return write


def test_a_full_disk_is_said_and_leaves_what_was_there(
    workspace: Workspace, anna: Volume, predicted: Mask, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Corrections(workspace, anna)
    kept.save(painted(predicted, 1), [1], predicted)
    with monkeypatch.context() as patch:
        patch.setattr(corrections, "write_slice_mask", full_disk(2))
        with pytest.raises(OSError, match=r"anna_4_mask\.tif cannot be written: no space left on device"):
            kept.save(painted(predicted, 2, 3), [2, 3], predicted)
    again = Corrections(workspace, anna)
    assert sorted(again.planes) == [1, 2]
    assert [again.state(z) for z in (1, 2, 3)] == ["edited", "edited", "auto"]
    kept.save(painted(predicted, 2, 3), [2, 3], predicted)
    assert sorted(Corrections(workspace, anna).planes) == [1, 2, 3]
    assert not [path for path in workspace.folder.rglob(".*.tif") if path.is_file()]


def test_a_mask_of_another_size_is_named(workspace: Workspace, anna: Volume, predicted: Mask) -> None:
    Corrections(workspace, anna).save(painted(predicted, 1), [1], predicted)
    smaller = replace(anna, array=anna.array[:, :32])
    with pytest.raises(ValueError, match=r"anna_2_mask\.tif has size \(64, 64\), but its image has \(32, 64\)"):
        Corrections(workspace, smaller)


def test_training_takes_edited_and_accepted_slices_and_nothing_that_is_in_doubt(
    cases: list[Case], workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    kept = Corrections(workspace, anna)
    kept.save(painted(predicted, 1), [1], predicted)
    kept.save(predicted, [2], predicted, state="accepted")
    kept.save(painted(predicted, 3), [3], predicted, state="flagged")
    first, second, *_ = with_corrections(cases, workspace)
    folder = workspace.corrections("anna")
    assert first.corrections == ((2, folder / "anna_2_mask.tif"), (3, folder / "anna_3_mask.tif"), (4, None))
    assert first.has_truth
    assert second == cases[1]


def test_temporary_files_are_no_masks(workspace: Workspace, anna: Volume, predicted: Mask) -> None:
    """What a kill leaves behind while a file is written is hidden, and never read."""
    Corrections(workspace, anna).save(painted(predicted, 1), [1], predicted)
    with files.atomic_path(workspace.corrections("anna") / "anna_3_mask.tif") as path:
        path.write_bytes(b"half")
        assert len(find_masks(workspace.corrections("anna"))[0].masks) == 1


def test_a_mask_that_another_window_accepted_meanwhile_is_kept_as_a_version_and_told(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    one = Corrections(workspace, anna)
    mine, later = painted(predicted, 1), painted(predicted, 1, at=9)
    one.save(mine, [1], predicted)
    two = Corrections(workspace, anna)
    two.save(mine, [1], state="accepted")
    assert one.save(later, [1], predicted).overtaken == (1,)
    assert [version.read().tolist() for version in one.versions(1)] == [mine[1].tolist()]
    assert not one.save(painted(later, 1, at=11), [1], predicted).overtaken


def test_a_slice_that_another_window_flagged_meanwhile_is_told(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    one = Corrections(workspace, anna)
    Corrections(workspace, anna).save(predicted, [1], predicted, state="flagged")
    assert one.save(painted(predicted, 1), [1], predicted).overtaken == (1,)


def test_windows_that_accept_the_same_mask_do_not_overtake_each_other(
    workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    one, two = Corrections(workspace, anna), Corrections(workspace, anna)
    two.save(predicted, [1], predicted, state="accepted")
    assert not one.save(predicted, [1], predicted, state="accepted").overtaken
    assert not one.versions(1)


@pytest.mark.parametrize("state", ["auto", None])
def test_a_correction_taken_back_at_once_can_be_restored(
    workspace: Workspace, anna: Volume, predicted: Mask, state: ReviewState | None
) -> None:
    kept = Corrections(workspace, anna)
    for at in (3, 5, 7):
        kept.save(painted(predicted, 1, at=at), [1], predicted)
    kept.save(predicted, [1], predicted, state=state)
    assert not kept.planes
    assert [version.read().tolist() for version in kept.versions(1)] == [painted(predicted, 1, at=7)[1].tolist()]


@pytest.mark.usefixtures("every_save_is_a_version")
@pytest.mark.parametrize("name", ["{} (conflicted copy)", "{}.sync-conflict-20260101-120000-ABCDEFG", "anna_2_mask."])
def test_what_a_sync_tool_leaves_among_former_masks_is_none(
    workspace: Workspace, anna: Volume, predicted: Mask, name: str
) -> None:
    kept = Corrections(workspace, anna)
    for at in range(VERSIONS + 1):
        kept.save(painted(predicted, 1, at=at), [1], predicted)
    versions = kept.versions(1)
    copy = versions[0].file.with_name(name.format(versions[0].file.stem) + ".tif")
    shutil.copy(versions[0].file, copy)
    assert kept.versions(1) == versions
    kept.save(painted(predicted, 1, at=20), [1], predicted)
    assert kept.versions(1)[1:] == versions[:-1]
    assert copy.is_file()


@pytest.fixture
def namesakes(patients: Path, tmp_path: Path) -> Path:
    """A data set of two sites, each with a patient called anna."""
    for site, name in (("a", "anna"), ("b", "bert")):
        folder = shutil.copytree(patients / name, tmp_path / "data" / site / "anna")
        for path in folder.iterdir():
            path.rename(path.with_name(path.name.replace(name, "anna")))
    return tmp_path / "data"


def test_corrections_never_go_to_a_namesake_in_another_folder(
    namesakes: Path, workspace: Workspace, predicted: Mask
) -> None:
    first, second = find_cases(namesakes)
    assert (first.name, second.name) == ("anna", "anna (2)")
    for case in (first, second):
        Corrections(workspace, read_volume(case)).save(predicted, [1], state="accepted")
    assert [case.corrected_slices for case in with_corrections((first, second), workspace)] == [1, 1]
    (alone,) = find_cases(namesakes / "b")
    message = (
        f"{workspace.ledger_file('anna')} tells of the anna in {namesakes / 'a' / 'anna'}, not of that in "
        f"{namesakes / 'b' / 'anna'}: open the data as they were opened"
    )
    for use in (lambda: Corrections(workspace, read_volume(alone)), lambda: with_corrections([alone], workspace)):
        with pytest.raises(ValueError, match=re.escape(message)):
            use()


def test_a_ledger_that_a_namesake_got_meanwhile_is_left_alone(
    namesakes: Path, workspace: Workspace, predicted: Mask
) -> None:
    (one,), (other,) = (find_cases(namesakes / site) for site in "ab")
    kept = Corrections(workspace, read_volume(other))
    Corrections(workspace, read_volume(one)).save(predicted, [1], state="accepted")
    before = workspace.ledger_file("anna").read_bytes()
    with pytest.raises(ValueError, match="tells of the anna in"):
        kept.save(predicted, [2], state="accepted")
    assert workspace.ledger_file("anna").read_bytes() == before


@pytest.mark.parametrize("moves", ["data", "both", "nothing, but it is opened by a link"])
def test_corrections_of_data_that_were_moved_stay_theirs(
    namesakes: Path, workspace: Workspace, predicted: Mask, tmp_path: Path, moves: str
) -> None:
    Corrections(workspace, read_volume(find_cases(namesakes)[0])).save(predicted, [1], state="accepted")
    place = tmp_path / "elsewhere"
    place.mkdir()
    if moves == "both":
        shutil.copytree(workspace.folder, place / workspace.folder.name)  # where it was, all is there still
        data = Path(shutil.copytree(namesakes, place / "data"))
        workspace = Workspace(place / workspace.folder.name)
    elif moves == "data":
        data = Path(shutil.move(namesakes, place / "renamed"))
    else:
        data = place / "link"
        data.symlink_to(namesakes)
    case = find_cases(data)[0]
    assert with_corrections([case], workspace)[0].corrected_slices == 1
    kept = Corrections(workspace, read_volume(case))
    assert list(kept.planes) == [1]
    kept.save(predicted, [2], state="accepted")
    assert workspace.place_of(read_ledger(workspace, "anna").folder) == data / "a" / "anna"


def test_a_ledger_from_before_folders_were_noted_is_read_and_notes_it(
    cases: list[Case], workspace: Workspace, anna: Volume, predicted: Mask
) -> None:
    Corrections(workspace, anna).save(predicted, [1], predicted, state="accepted")
    file = workspace.ledger_file("anna")
    content = json.loads(file.read_text())
    assert content.pop("folder") == os.path.relpath(cases[0].folder, workspace.folder)
    file.write_text(json.dumps(content | {"schema_version": 1}))
    kept = Corrections(workspace, anna)
    assert list(kept.planes) == [1]
    kept.save(predicted, [2], predicted, state="accepted")
    assert workspace.place_of(read_ledger(workspace, "anna").folder) == cases[0].folder


def test_what_a_kill_left_half_written_is_removed_in_time(workspace: Workspace, anna: Volume, predicted: Mask) -> None:
    kept = Corrections(workspace, anna)
    kept.save(painted(predicted, 1), [1], predicted)
    folder = workspace.corrections("anna")
    left = [workspace.ledger / f".{'0' * 32}.json", folder / f".{'1' * 32}.tif", folder / ".versions" / f".{'2' * 32}"]
    for path in left:
        path.write_text("{")
        os.utime(path, (0, 0))
    (fresh := folder / f".{'3' * 32}.tif").touch()
    kept.save(painted(predicted, 2), [2], predicted)
    assert not any(path.exists() for path in left)
    assert fresh.exists()
    assert sorted(Corrections(workspace, anna).planes) == [1, 2]
