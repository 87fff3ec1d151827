"""``brainseg demo``: the main job from end to end."""

import json
import shutil
import sys

import pytest

from napari_brainseg.core.cases import find_cases, find_masks
from napari_brainseg.core.masks import read_mask_alone, read_truth
from napari_brainseg.core.metrics import score_mask
from napari_brainseg.core.phantom import SAMPLE_CASES
from napari_brainseg.core.results import RESULT_FILE
from napari_brainseg.core.volumes import read_volume

PNG = b"\x89PNG\r\n\x1a\n"
demo_module = sys.modules["napari_brainseg.cli.demo"]


@pytest.fixture
def demo(brainseg, tiny_default, tmp_path):
    return lambda *arguments: brainseg("demo", *arguments, "--output", tmp_path / "out")


def test_own_cases_are_segmented_compared_and_drawn(demo, patients, tmp_path):
    told = demo(patients)
    out = tmp_path / "out"
    summary = json.loads((out / "summary.json").read_text())

    assert (told.code, told.err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["masks", "montage.png", "summary.json"]
    assert (out / "montage.png").read_bytes().startswith(PNG)
    assert summary["model"] == "tiny"
    assert summary["failed"] == {}
    assert [line["case"] for line in summary["cases"]] == ["anna", "bert", "carl", "dora"]
    for line, printed in zip(summary["cases"], told.out.splitlines(), strict=False):
        assert 0 <= line["dice"] <= 1
        agreement = "none in the manual mask" if line["case"] == "dora" else f"Dice {line['dice']:.2f}"
        assert f"{line['case']}: tumour {line['tumour_voxels']} voxels, {agreement}, " in printed
        assert (out / "masks" / line["case"] / RESULT_FILE).is_file()
        assert len(list((out / "masks" / line["case"]).glob("*_mask.tif"))) == 6
    assert told.out.splitlines()[-1] == f"masks, montage.png and summary.json are in {out}"


def test_cases_without_manual_masks_are_not_compared(demo, patients, tmp_path):
    data = tmp_path / "data" / "anna"
    shutil.copytree(patients / "anna", data, ignore=shutil.ignore_patterns("*_mask.tif"))
    told = demo(data)

    assert told.code == 0
    assert "no manual mask" in told.out
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["cases"][0]["dice"] is None
    assert (tmp_path / "out" / "montage.png").read_bytes().startswith(PNG)


def test_slices_without_a_manual_mask_are_left_out_of_dice(demo, patients, tmp_path):
    data = shutil.copytree(patients / "anna", tmp_path / "data" / "anna")
    (data / "anna_3_mask.tif").unlink()
    told = demo(data)
    (line,) = json.loads((tmp_path / "out" / "summary.json").read_text())["cases"]
    (case,) = find_cases(data)
    truth = read_truth(case, read_volume(case))
    (mine,) = find_masks(tmp_path / "out" / "masks" / "anna")
    found = read_mask_alone(mine)[0]

    assert "(1 slice without a mask left out)" in told.out
    assert line["dice"] == score_mask(found[truth.known], truth.mask[truth.known]).dice


def test_a_made_up_data_set_is_written_where_no_folder_is_given(demo, tmp_path, monkeypatch):
    write = demo_module.write_phantom_cases
    monkeypatch.setattr(demo_module, "write_phantom_cases", lambda folder: write(folder, shape=(4, 64, 64)))
    told = demo()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())

    assert told.code == 0, told.err
    assert [line["case"] for line in summary["cases"]] == [case.name for case in SAMPLE_CASES]
    assert len(list((tmp_path / "out" / "phantoms").iterdir())) == len(SAMPLE_CASES)


def test_a_second_run_refuses_and_changes_nothing(demo, patients, tmp_path, files_of):
    demo(patients / "anna")
    before = files_of(tmp_path / "out")
    told = demo(patients)

    assert told.code == 1
    assert "summary.json exists already; choose another --output or give --overwrite" in told.err
    assert files_of(tmp_path / "out") == before


def test_overwrite_replaces_an_earlier_run(demo, patients, tmp_path):
    demo(patients / "anna")
    assert demo(patients / "bert", "--overwrite").code == 0

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [line["case"] for line in summary["cases"]] == ["bert"]


def test_a_bad_case_is_named_and_the_others_are_done(demo, patients, tmp_path):
    data = shutil.copytree(patients, tmp_path / "data")
    (data / "bert" / "bert_2.tif").write_bytes(b"nothing")
    told = demo(data)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())

    assert told.code == 1
    assert told.err.startswith("bert: ")
    assert list(summary["failed"]) == ["bert"]
    assert len(summary["cases"]) == 3


def test_no_picture_is_named_where_no_case_could_be_read(demo, patients, tmp_path):
    data = shutil.copytree(patients / "bert", tmp_path / "bert")
    (data / "bert_2.tif").write_bytes(b"nothing")
    told = demo(data)

    assert told.code == 1
    assert told.out.splitlines()[-1] == f"summary.json is in {tmp_path / 'out'}"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["summary.json"]


def test_ctrl_c_leaves_only_whole_files_and_the_demo_can_be_repeated(demo, patients, tmp_path, monkeypatch, files_of):
    calls = []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read_truth(*arguments)

    monkeypatch.setattr(demo_module, "read_truth", interrupt)
    told = demo(patients)
    files = files_of(tmp_path / "out")

    assert (told.code, told.err) == (130, "stopped\n")
    assert {file.split("/")[1] for file in files} == {"anna", "bert"}
    assert not [file for file in files if "/." in file]
    told = demo(patients)
    assert told.err == (
        f"brainseg: {tmp_path / 'out' / 'masks'} exists already; choose another --output or give --overwrite\n"
    )
    assert files_of(tmp_path / "out") == files
    assert demo(patients, "--overwrite").code == 0


def test_a_picture_that_is_there_is_replaced_only_when_told_to(demo, patients, tmp_path, files_of):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "montage.png").write_bytes(b"mine")
    told = demo(patients / "anna")

    assert told.code == 1
    assert "montage.png exists already; choose another --output or give --overwrite" in told.err
    assert files_of(tmp_path / "out") == {"montage.png": b"mine"}


def test_a_cases_own_folder_is_refused(brainseg, tiny_default, patients, tmp_path, files_of):
    data = shutil.copytree(patients / "anna", tmp_path / "anna")
    before = files_of(data)
    told = brainseg("demo", data, "--output", data)

    assert told.code == 1
    assert "is not apart from the data" in told.err
    assert files_of(data) == before


def test_no_made_up_patients_are_written_among_real_ones(brainseg, tiny_default, patients, tmp_path, files_of):
    mine = shutil.copytree(patients, tmp_path / "mine")
    before = files_of(mine)
    told = brainseg("demo", "--output", mine)

    assert (told.code, told.out) == (1, "")
    assert told.err == (
        f"brainseg: {mine} is not apart from the data, which lies in {mine / 'anna'}; choose another --output\n"
    )
    assert files_of(mine) == before


def test_a_demo_can_be_repeated_into_its_own_folder(demo, monkeypatch):
    write = demo_module.write_phantom_cases
    monkeypatch.setattr(demo_module, "write_phantom_cases", lambda folder: write(folder, shape=(4, 64, 64)))
    assert demo().code == 0
    assert demo("--overwrite").code == 0
