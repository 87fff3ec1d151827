"""Where commands write: refused before the work where that cannot be done, and never among the data."""

import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_brainseg.cli.outputs import refuse_inside
from napari_brainseg.core import models
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.exploration_reports import EXPLORATION_FILES
from napari_brainseg.core.reports import COMPARISON_FILES, SCORE_FILES


@pytest.fixture
def data(patients, tmp_path):
    return shutil.copytree(patients, tmp_path / "data")


@pytest.fixture
def commands(data, shifted):
    """Each command that writes into a folder, as far as that folder."""
    return {
        "segment": ("segment", data, "--output"),
        "score": ("score", shifted, data, "--output"),
        "compare": ("compare", data, shifted, "default", "--output"),
        "explore": ("explore", data, "--output"),
        "demo": ("demo", data, "--output"),
    }


@pytest.fixture
def no_work(monkeypatch):
    """Neither a model is loaded nor a mask scored nor a case explored."""

    def work(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr(models, "load_model", work)
    for command, name in (("score", "score_folder"), ("compare", "score_folder"), ("explore", "explore_cases")):
        monkeypatch.setattr(sys.modules[f"napari_brainseg.cli.{command}"], name, work)


FOLDER_COMMANDS = pytest.mark.parametrize("command", ["segment", "score", "compare", "explore", "demo"])


@FOLDER_COMMANDS
def test_a_file_in_the_place_of_the_folder_is_refused_before_the_work(
    brainseg, tiny_default, commands, tmp_path, no_work, command
):
    (tmp_path / "file").write_text("mine")
    told = brainseg(*commands[command], tmp_path / "file")
    assert (told.code, told.out) == (1, "")
    assert told.err == f"brainseg: {tmp_path / 'file'} is a file; allowed is a folder\n"
    told = brainseg(*commands[command], tmp_path / "file" / "deep")
    assert (told.code, told.out) == (1, "")
    assert f"cannot be written: {tmp_path / 'file'} is no folder\n" in told.err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder that nobody may write into")
@FOLDER_COMMANDS
def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(
    brainseg, tiny_default, commands, no_work, command
):
    told = brainseg(*commands[command], "/proc/x")
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("brainseg: /proc/x")
    assert " cannot be written: " in told.err
    assert told.err.count("\n") == 1
    assert "Errno" not in told.err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder that nobody may write into")
def test_a_picture_that_cannot_be_written_is_refused_before_the_work(brainseg, tiny_default, data, no_work):
    told = brainseg("explain", data / "anna", "--output", "/proc/x.png")
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("brainseg: /proc/x.png cannot be written: ")


@pytest.mark.parametrize(
    ("command", "name"),
    [("score", SCORE_FILES[0]), ("compare", COMPARISON_FILES[0]), ("explore", EXPLORATION_FILES[0])],
)
def test_the_flag_that_replaces_a_report_is_named(brainseg, commands, tmp_path, no_work, command, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    told = brainseg(*commands[command], tmp_path / "out")
    path = tmp_path / "out" / name
    assert told.err == f"brainseg: {path} exists already; choose another --output or give --overwrite\n"


def test_a_case_that_failed_is_told_without_the_number_of_an_error(brainseg, tiny_default, data, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "mask.tif")

    monkeypatch.setattr(sys.modules["napari_brainseg.cli.segment"], "write_segmentation", refuse)
    told = brainseg("segment", data / "anna", "--output", tmp_path / "out")
    assert told.err == "anna: mask.tif: permission denied\n0 segmented, 1 not\n"


@pytest.mark.parametrize("place", ["", "anna", "anna/deeper", "new/../bert"])
@pytest.mark.parametrize("command", ["segment", "score", "compare", "explore", "demo"])
def test_a_folder_of_data_or_of_a_case_is_refused_and_nothing_is_written(
    brainseg, tiny_default, commands, data, files_of, no_work, command, place
):
    before = files_of(data)
    told = brainseg(*commands[command], data / place)
    assert (told.code, told.out) == (1, "")
    assert f"{data / place} is not apart from the data, which lies in {data}" in told.err
    assert files_of(data) == before


def test_a_picture_among_the_slices_of_a_case_is_refused(brainseg, tiny_default, data, no_work):
    told = brainseg("explain", data / "anna", "--output", data / "anna" / "why.png")
    assert (told.code, told.out) == (1, "")
    assert f"{data / 'anna'} is not apart from the data" in told.err


def test_the_folder_of_a_scan_is_refused_but_not_where_the_scan_itself_was_given(
    brainseg, tiny_default, tiny_volume, tmp_path, no_work
):
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("a", "b"):
        nibabel.save(
            nibabel.Nifti1Image(tiny_volume.array[..., 1].transpose(2, 1, 0), np.eye(4)), scans / f"{name}.nii"
        )
    told = brainseg("segment", scans, "--output", scans)
    assert told.err == f"brainseg: {scans} is not apart from the data, which lies in {scans}; choose another --output\n"
    for place in (scans / "found", tmp_path):
        refuse_inside([scans], find_cases(scans), place)
    refuse_inside([scans / "a.nii"], find_cases(scans / "a.nii"), scans)


def test_results_beside_the_cases_are_passed_over(brainseg, tiny_default, commands, data):
    assert brainseg(*commands["segment"], data / "found").code == 0
    assert brainseg(*commands["explore"], data / "report").code == 0
    assert brainseg("cases", data).out.splitlines()[-1] == "4 cases, 4 can be used"
