"""``brainseg explore``: what it prints and writes, and how it goes on without what cannot be read."""

import json
import shutil

import pytest

from napari_brainseg.core.exploration_reports import EXPLORATION_FILES


@pytest.fixture
def broken(patients, tmp_path):
    folder = shutil.copytree(patients, tmp_path / "broken")
    (folder / "bert" / "bert_3.tif").write_bytes(b"no image")
    return folder


def test_the_summary_is_printed(brainseg, patients):
    told = brainseg("explore", patients)

    assert (told.code, told.err) == (0, "")
    assert "patients: 4" in told.out
    assert "slices: 24" in told.out
    assert "dora" in next(line for line in told.out.splitlines() if "empty in every slice" in line)


def test_a_bad_case_is_a_finding_and_the_others_go_on(brainseg, broken):
    told = brainseg("explore", broken)

    assert told.code == 0
    assert "cases: 3" in told.out
    assert "unreadable cases: 1" in told.out
    assert "error    bert     3  " in told.out


def test_json_holds_summary_cases_and_findings(brainseg, broken):
    told = json.loads(brainseg("explore", broken, "--json").out)

    assert told["summary"]["cases"] == len(told["cases"]) == 3
    assert {"severity": "error", "kind": "unreadable", "case": "bert", "slice": 3}.items() <= told["findings"][
        0
    ].items()


def test_thresholds_can_be_given(brainseg, patients):
    assert "The whole tumour has only" in brainseg("explore", patients, "--smallest", 100_000).out
    assert brainseg("explore", patients, "--outside", 2).code == 2


def test_output_is_not_replaced_unasked(brainseg, patients, tmp_path, files_of):
    folder = tmp_path / "out"
    assert brainseg("explore", patients, "--output", folder).code == 0
    before = files_of(folder)

    told = brainseg("explore", patients, "--output", folder, "--seed", 3)

    assert told.code == 1
    assert "exists already" in told.err
    assert files_of(folder) == before
    assert set(before) <= set(EXPLORATION_FILES)
    assert brainseg("explore", patients, "--output", folder, "--overwrite").code == 0


def test_where_nothing_can_be_read_the_exit_code_is_1(brainseg, broken):
    told = brainseg("explore", broken / "bert", "--json")

    assert told.code == 1
    assert "none of the 1 cases could be read" in told.err
