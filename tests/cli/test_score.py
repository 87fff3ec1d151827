"""``brainseg score``: what it prints and writes, and how it goes on without what cannot be scored."""

import json
import shutil

import pytest

from napari_brainseg.core.config import ScoreConfig
from napari_brainseg.core.evaluation import score_cases, summarise_scores
from napari_brainseg.core.mask_pairs import pair_masks
from napari_brainseg.core.metrics import FIGURES
from napari_brainseg.core.report_contents import ScoreReport
from napari_brainseg.core.reports import SCORE_FILES


@pytest.fixture(scope="module")
def expected(shifted, patients):
    """What core makes of it."""
    return score_cases(pair_masks(shifted, patients).pairs, on_failure=pytest.fail)


@pytest.fixture
def copied(shifted, tmp_path):
    return shutil.copytree(shifted, tmp_path / "copied")


def test_the_table_holds_every_case_and_what_they_say_together(brainseg, shifted, patients, expected):
    told = brainseg("score", shifted, patients)
    lines = {line[:22].strip(): line[22:].split() for line in told.out.splitlines()}
    summary = summarise_scores(expected)

    assert (told.code, told.err) == (0, "")
    assert lines["case"] == ["Dice", "IoU", "Sensitivity", "Precision", "HD95", "(voxels)"]
    for case in expected:
        figures = [case.scores.dice, case.scores.iou, case.scores.sensitivity, case.scores.precision]
        distance = "-" if case.scores.hd95 is None else f"{case.scores.hd95:.1f}"
        assert lines[case.name] == [*(f"{figure:.3f}" for figure in figures), distance]
    assert lines["mean"][0] == f"{summary.figures['dice'].mean:.3f}"
    assert lines["median"][0] == f"{summary.figures['dice'].median:.3f}"
    assert lines["pooled over all voxels"][0] == f"{summary.pooled['dice']:.3f}"
    assert lines["cases with a value"] == ["4", "4", "4", "4", "3"]
    assert lines["95 % interval, from"] == ["-"] * 5, "four cases give none"


def test_the_policy_is_told_with_what_it_decides(brainseg, shifted, patients, expected):
    empty = sum(scores.both_empty for case in expected for scores in case.slices)
    told = brainseg("score", shifted, patients)

    assert "empty masks: both masks empty counts as 1, one of them empty as 0; that decides 1 of 4 cases" in told.out
    assert f"and {empty} of 24 slices" in told.out


@pytest.mark.parametrize(("policy", "dice"), [("one", "1.000"), ("zero", "0.000"), ("skip", "-")])
def test_the_policy_decides_what_a_case_without_tumour_counts(brainseg, shifted, patients, policy, dice):
    told = brainseg("score", shifted, patients, "--empty", policy)

    assert next(line for line in told.out.splitlines() if line.startswith("dora")).split()[1] == dice


def test_without_distances_there_is_no_column_of_them(brainseg, shifted, patients, tmp_path, read_csv):
    told = brainseg("score", shifted, patients, "--no-distances", "--output", tmp_path / "out")

    assert told.code == 0
    assert "HD95" not in told.out
    assert {row["hd95"] for row in read_csv(tmp_path / "out" / "scores.csv")} == {""}


def test_scores_csv_holds_the_values_of_core(brainseg, shifted, patients, expected, tmp_path, read_csv):
    brainseg("score", shifted, patients, "--output", tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "scores.csv")

    assert [row["case"] for row in rows] == ["anna", "bert", "carl", "dora"]
    assert [row["missing_sequences"] for row in rows] == ["none", "none", "pre-contrast post-contrast", "none"]
    for row, case in zip(rows, expected, strict=True):
        for name in ("tp", "fp", "fn", "tn", "predicted", "reference", *(figure.name for figure in FIGURES)):
            value = getattr(case.scores, name)
            assert (float(row[name]) if row[name] else None) == value, name
        assert row["distance_unit"] == "voxels"
        assert row["reference_ml"] == ""


def test_slices_csv_holds_the_values_of_core(brainseg, shifted, patients, expected, tmp_path, read_csv):
    brainseg("score", shifted, patients, "--output", tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "slices.csv")
    slices = [
        (case.name, number, scores)
        for case in expected
        for number, scores in zip(case.slice_numbers, case.slices, strict=True)
    ]

    assert len(rows) == 24
    for row, (name, number, scores) in zip(rows, slices, strict=True):
        assert (row["case"], int(row["slice"])) == (name, number)
        assert (int(row["tp"]), float(row["dice"])) == (scores.tp, scores.dice)


def test_the_folder_holds_all_files_and_the_summary_of_core(brainseg, shifted, patients, expected, tmp_path):
    told = brainseg("score", shifted, patients, "--output", tmp_path / "out", "--empty", "zero")
    report = ScoreReport.model_validate_json((tmp_path / "out" / "summary.json").read_text("utf-8"))
    zero = score_cases(pair_masks(shifted, patients).pairs, ScoreConfig(empty="zero"), on_failure=pytest.fail)

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(SCORE_FILES)
    assert report.predictions.summary == summarise_scores(zero)
    assert report.about.config == ScoreConfig(empty="zero")
    assert report.about.policy.startswith("both masks empty counts as 0")
    assert report.about.command.startswith("brainseg score ")
    assert report.about.definitions.keys() == {figure.title for figure in FIGURES}
    assert {"python", "napari-brainseg", "numpy", "scipy"} == report.about.versions.keys()
    assert told.out.splitlines()[-1].endswith(f"are in {tmp_path / 'out'}")


def test_json_is_all_that_is_printed(brainseg, shifted, patients, expected, tmp_path):
    told = brainseg("score", shifted, patients, "--json", "--output", tmp_path / "out")
    content = json.loads(told.out)

    assert [case["dice"] for case in content["cases"]] == [case.scores.dice for case in expected]
    assert content["predictions"]["summary"]["figures"]["dice"]["count"] == 4
    written = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert content == written


def test_what_has_no_partner_is_listed_and_the_others_are_scored(brainseg, copied, patients, tmp_path, read_csv):
    shutil.move(copied / "anna", copied / "zoe")
    for file in (copied / "zoe").iterdir():
        file.rename(file.with_name(file.name.replace("anna", "zoe")))
    told = brainseg("score", copied, patients, "--output", tmp_path / "out")
    report = ScoreReport.model_validate_json((tmp_path / "out" / "summary.json").read_text("utf-8"))

    assert told.code == 0
    assert told.err == "1 prediction without a reference: zoe\n1 reference without a prediction: anna\n"
    assert (report.predictions.only_predicted, report.predictions.only_reference) == (("zoe",), ("anna",))
    assert [row["case"] for row in read_csv(tmp_path / "out" / "scores.csv")] == ["bert", "carl", "dora"]


def test_a_bad_file_is_named_and_the_others_are_scored(brainseg, copied, patients, tmp_path):
    bad = copied / "bert" / "bert_2_mask.tif"
    bad.write_bytes(b"nothing")
    told = brainseg("score", copied, patients, "--output", tmp_path / "out")
    report = ScoreReport.model_validate_json((tmp_path / "out" / "summary.json").read_text("utf-8"))

    assert told.code == 0
    assert told.err.startswith("bert: ")
    assert str(bad) in told.err
    assert list(report.predictions.not_scored) == ["bert"]
    assert str(bad) in report.predictions.not_scored["bert"]
    assert report.predictions.summary.cases == 3
    assert "bert_2_mask.tif" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_slices_without_a_mask_are_told_and_left_out(brainseg, shifted, patients, tmp_path, read_csv):
    some = shutil.copytree(patients, tmp_path / "some")
    (some / "anna" / "anna_3_mask.tif").unlink()
    told = brainseg("score", shifted, some, "--output", tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "scores.csv")

    assert told.code == 0
    assert told.err == "1 slice without a mask in the reference left out, of anna\n"
    assert [(row["slices"], row["slices_without_mask"]) for row in rows][:2] == [("5", "1"), ("6", "0")]
    assert "1 slice without a mask in the reference" in (tmp_path / "out" / "report.html").read_text().replace(
        "\u2009", " "
    )


def test_nothing_to_score_is_an_error_and_nothing_is_written(brainseg, copied, patients, tmp_path):
    for folder in copied.iterdir():
        (folder / f"{folder.name}_2_mask.tif").write_bytes(b"nothing")
    told = brainseg("score", copied, patients, "--output", tmp_path / "out")

    assert told.code == 1
    assert told.err.splitlines()[-1] == f"brainseg: no mask in {copied} could be scored against {patients}"
    assert len(told.err.splitlines()) == 5
    assert not (tmp_path / "out").exists()


def test_folders_without_a_case_in_common_are_an_error(brainseg, shifted, patients, tmp_path):
    shutil.copytree(shifted / "anna", tmp_path / "a" / "anna")
    shutil.copytree(shifted / "bert", tmp_path / "a" / "bert")
    shutil.copytree(patients / "dora", tmp_path / "b" / "dora")
    told = brainseg("score", tmp_path / "a", tmp_path / "b")

    assert told.code == 1
    assert "2 predictions without a reference: anna, bert" in told.err
    assert "could be scored" in told.err


def test_two_single_masks_need_no_common_name(brainseg, shifted, patients, tmp_path):
    shutil.copytree(shifted / "anna", tmp_path / "other")
    told = brainseg("score", tmp_path / "other", patients / "anna")

    assert told.code == 0
    assert told.out.splitlines()[1].startswith("anna ")


@pytest.mark.parametrize("name", SCORE_FILES)
def test_a_folder_with_results_is_refused_and_left_alone(brainseg, shifted, patients, tmp_path, files_of, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    before = files_of(tmp_path / "out")
    told = brainseg("score", shifted, patients, "--output", tmp_path / "out")

    assert told.code == 1
    assert told.err.startswith(f"brainseg: {tmp_path / 'out' / name} exists already")
    assert told.out == ""
    assert files_of(tmp_path / "out") == before


def test_overwrite_replaces_an_earlier_report(brainseg, shifted, patients, tmp_path, read_csv):
    brainseg("score", shifted, patients, "--output", tmp_path / "out")
    told = brainseg("score", shifted / "anna", patients / "anna", "--output", tmp_path / "out", "--overwrite")

    assert told.code == 0
    assert [row["case"] for row in read_csv(tmp_path / "out" / "scores.csv")] == ["anna"]


def test_a_model_judged_by_what_it_learned_from_is_told(brainseg, patients, tiny_default, tmp_path, read_csv):
    path = tiny_default / "model.json"
    before = path.read_text("utf-8")
    path.write_text(json.dumps(json.loads(before) | {"train_cases": ["bert"]}), "utf-8")
    try:
        brainseg("segment", patients / "anna", patients / "bert", "--output", tmp_path / "masks")
        told = brainseg("score", tmp_path / "masks", patients, "--output", tmp_path / "out")
    finally:
        path.write_text(before, "utf-8")
    report = ScoreReport.model_validate_json((tmp_path / "out" / "summary.json").read_text("utf-8"))
    (model,) = report.predictions.models

    assert "1 of 2 cases belong to patients that the model was trained on (bert)" in told.err
    assert (model.name, model.cases, model.trained_on) == ("tiny", ("anna", "bert"), ("bert",))
    assert model.weights_sha256 == json.loads(before)["provenance"]["weights_sha256"]
    assert {row["weights_sha256"] for row in read_csv(tmp_path / "out" / "scores.csv")} == {model.weights_sha256}


def test_it_is_said_where_predictions_and_references_may_be_swapped(brainseg, patients, copied):
    for folder in copied.iterdir():
        (folder / "segmentation.json").write_text("{}")
    assert brainseg("score", copied, patients).err == ""
    told = brainseg("score", patients, copied)
    assert told.code == 0
    assert told.err.startswith(
        "WARNING: of the two, only the references have the segmentation.json of brainseg segment"
    )
    assert brainseg("score", copied, copied).err == ""
