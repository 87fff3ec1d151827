"""``brainseg compare``: predictions of folders and of models, paired by case."""

import csv
import json
import shutil

import pytest

from napari_brainseg.core.evaluation import compare_scores, score_cases
from napari_brainseg.core.mask_pairs import pair_masks
from napari_brainseg.core.report_contents import ComparisonReport
from napari_brainseg.core.reports import COMPARISON_FILES


@pytest.fixture(scope="module")
def better(patients, tmp_path_factory):
    """Predictions without a fault."""
    return shutil.copytree(patients, tmp_path_factory.mktemp("predictions") / "better")


@pytest.fixture(scope="module")
def expected(patients, shifted, better):
    """What core makes of it."""
    folders = {"shifted": shifted, "better": better}
    return compare_scores(
        {
            name: score_cases(pair_masks(folder, patients).pairs, on_failure=pytest.fail)
            for name, folder in folders.items()
        }
    )


def read_report(folder):
    return ComparisonReport.model_validate_json((folder / "comparison.json").read_text("utf-8"))


def test_two_folders_are_compared_case_by_case(brainseg, patients, shifted, better, expected):
    told = brainseg("compare", patients, shifted, better)
    lines = {line[:22].strip(): line[22:].split() for line in told.out.splitlines()}

    assert told.code == 0
    assert lines["case"] == ["shifted", "better", "better", "-", "shifted"]
    for name, dice in expected.dice.items():
        assert lines[name] == [f"{dice['shifted']:.3f}", "1.000", f"{1 - dice['shifted']:+.3f}"]
    assert lines["mean"][-1] == f"{expected.differences['better'].mean:+.3f}"
    assert "better against shifted: too few patients to tell" in told.out


def test_the_folder_holds_what_core_says(brainseg, patients, shifted, better, expected, tmp_path):
    brainseg("compare", patients, shifted, better, "--output", tmp_path / "out")
    report = read_report(tmp_path / "out")
    with (tmp_path / "out" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(COMPARISON_FILES)
    assert report.comparison == expected
    assert report.predictions["better"].source == str(better)
    assert report.predictions["better"].summary.figures["dice"].mean == 1
    for row in rows:
        dice = expected.dice[row["case"]]
        assert float(row["dice shifted"]) == dice["shifted"]
        assert float(row["better minus shifted"]) == dice["better"] - dice["shifted"]


def test_json_is_all_that_is_printed(brainseg, patients, shifted, better, expected):
    told = brainseg("compare", patients, shifted, better, "--json")

    assert ComparisonReport.model_validate_json(told.out).comparison == expected


def test_a_model_segments_the_cases_first(brainseg, patients, shifted, tiny_model, tmp_path):
    told = brainseg("compare", patients, shifted, tiny_model, "--output", tmp_path / "out", "--threads", "1")
    brainseg("segment", patients, "--model", tiny_model, "--output", tmp_path / "masks")
    told_of_masks = brainseg("compare", patients, shifted, tmp_path / "masks", "--json")
    report, other = read_report(tmp_path / "out"), ComparisonReport.model_validate_json(told_of_masks.out)
    (model,) = report.predictions["default"].models

    assert told.code == 0
    assert "default: 4 cases scored" in told.err
    assert report.predictions["default"].source == str(tiny_model)
    assert (model.name, len(model.cases)) == ("tiny", 4)
    assert report.comparison.summaries["default"] == other.comparison.summaries["masks"]


def test_a_shipped_model_is_known_by_its_name(brainseg, patients, shifted, tiny_default):
    told = brainseg("compare", patients / "anna", shifted / "anna", "default", "--json")

    assert list(json.loads(told.out)["predictions"]) == ["anna", "default"]


def test_a_model_is_not_praised_for_what_it_learned_from(brainseg, patients, shifted, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "learned")
    info = json.loads((folder / "model.json").read_text("utf-8"))
    (folder / "model.json").write_text(json.dumps(info | {"train_cases": ["anna", "dora"]}), "utf-8")
    told = brainseg("compare", patients, shifted, folder, "--output", tmp_path / "out")
    report = read_report(tmp_path / "out")

    assert "2 of 4 cases belong to patients that the model was trained on (anna, dora)" in told.err
    assert report.predictions["learned"].trained_on == ("anna", "dora")


def test_a_case_that_a_model_cannot_segment_is_named_and_the_others_compared(
    brainseg, patients, shifted, tiny_model, tmp_path
):
    data = shutil.copytree(patients, tmp_path / "data")
    (data / "bert" / "bert_2.tif").write_bytes(b"nothing")
    told = brainseg("compare", data, shifted, tiny_model, "--output", tmp_path / "out")
    report = read_report(tmp_path / "out")

    assert told.code == 0
    assert list(report.comparison.dice) == ["anna", "carl", "dora"]
    assert list(report.predictions["default"].not_scored) == ["bert"]
    assert report.predictions["default"].only_reference == ()


def test_labels_are_as_long_as_it_takes_to_tell_them_apart(brainseg, patients, shifted, better, tmp_path):
    first = shutil.copytree(shifted, tmp_path / "first" / "masks")
    second = shutil.copytree(better, tmp_path / "second" / "masks")
    told = brainseg("compare", patients, first, second, shifted, "--json")

    assert list(json.loads(told.out)["predictions"]) == ["first/masks", "second/masks", "shifted"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["shifted"], "comparing needs at least two predictions"),
        (["shifted", "nowhere"], "nowhere is neither a folder of masks nor a model"),
        (["shifted", "shifted"], "is given twice"),
    ],
)
def test_what_cannot_be_compared_is_said_at_once(brainseg, patients, shifted, monkeypatch, names, reason):
    monkeypatch.chdir(shifted.parent)
    told = brainseg("compare", patients, *names)

    assert told.code == 1
    assert reason in told.err
    assert len(told.err.splitlines()) == 1


def test_no_case_in_common_is_an_error(brainseg, patients, shifted, tmp_path):
    for name in ("anna", "bert"):
        shutil.copytree(shifted / "anna" if name == "anna" else shifted / "bert", tmp_path / "a" / name)
    for name in ("carl", "dora"):
        shutil.copytree(shifted / name, tmp_path / "b" / name)
    told = brainseg("compare", patients, tmp_path / "a", tmp_path / "b")

    assert told.code == 1
    assert "have no case in common" in told.err


@pytest.mark.parametrize("name", COMPARISON_FILES)
def test_a_folder_with_results_is_refused_and_left_alone(brainseg, patients, shifted, better, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    told = brainseg("compare", patients, shifted, better, "--output", tmp_path / "out")

    assert told.code == 1
    assert f"{tmp_path / 'out' / name} exists already" in told.err
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]
