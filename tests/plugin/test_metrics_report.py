"""What is said of scores, on screen and in files."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_brainseg.core.config import ScoreConfig
from napari_brainseg.core.metrics import EMPTY_POLICIES, FIGURES, Scores, score_mask, score_slices
from napari_brainseg.plugin.metrics_report import PairReport, caution, shown, to_csv, to_markdown, write_report

SCORES = Scores(tp=40_000, fp=1_310, fn=2_000, tn=5_000_000, hd95=4.123, assd=0.87)


@pytest.fixture
def report() -> PairReport:
    ours, theirs = np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)
    ours[1, 2:5, 2:5], theirs[1, 2:6, 2:5] = 1, 1
    spacing, config = (2.0, 1.0, 1.0), ScoreConfig(empty="skip")
    volume, slices = score_mask(ours, theirs, spacing, config), score_slices(ours, theirs, spacing, config)
    return PairReport("anna prediction", "anna | manual", volume, slices, (7, 8, 9), (0, 1, 2))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dice", "0.96"),
        ("accuracy", "0.9993"),
        ("predicted", "41\u00a0310 voxels"),
        ("difference", "\u2212690 voxels"),
        ("relative_difference", "\u22121.6\u00a0%"),
        ("hd95", "4.1 voxels (voxel size unknown)"),
    ],
)
def test_figures_have_sensible_digits_and_units(name, words):
    assert shown(name, SCORES) == words


def test_zero_has_no_minus():
    nearly = Scores(tp=40_000, fp=0, fn=1, tn=5_000_000, spacing=(1.0, 1.0, 1.0))

    assert shown("relative_difference", nearly) == "+0.0\u00a0%"
    assert shown("difference", nearly) == "+0.00 mL"


def test_slices_that_do_not_count_are_in_no_row(report):
    text = to_csv(replace(report, counted=(1,)))

    assert "# Volume scores: 1 of 3 slices segmented; the others count nowhere\n" in text
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert [row.split(",")[:3] for row in rows[1:]] == [["volume", "", ""], ["slice", "8", "1"]]


def test_volumes_are_in_millilitres_once_the_voxel_size_is_known():
    scores = replace(SCORES, spacing=(5.0, 1.0, 1.0))

    assert shown("predicted", scores) == "206.55 mL"
    assert shown("difference", replace(scores, fn=0)) == "+6.55 mL"
    assert shown("hd95", scores) == "4.1 mm"


def test_what_says_nothing_is_a_dash():
    assert shown("hd95", Scores(tp=0, fp=1, fn=0, tn=3)) == "–"
    assert shown("dice", Scores(tp=0, fp=0, fn=0, tn=4, empty="skip")) == "–"


def test_markdown_has_names_policy_values_and_definitions(report):
    text = to_markdown(report)

    assert "- Prediction: anna prediction\n- Reference: anna | manual\n" in text
    assert f"- Empty masks: {EMPTY_POLICIES['skip']}\n" in text
    assert "- Voxel size: 2 x 1 x 1 mm (z, y, x)\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[2].startswith("| Dice | 0.86 | 2 TP / (2 TP + FP + FN)")
    assert all(figure.definition in text for figure in FIGURES)
    assert len({line.count("|") for line in rows}) == 1


def test_what_speaks_against_the_scores_goes_along_with_them(report):
    words = caution("default")
    flattered = replace(report, caution=words)
    assert "model default has learned from this patient" in words
    assert f"- Caution: {words}\n" in to_markdown(flattered)
    assert f"# Caution: {words}\n" in to_csv(flattered)
    assert "Caution" not in to_markdown(report) + to_csv(replace(report, caution=caution("")))


def test_csv_has_the_volume_and_each_slice_in_full_precision(report, tmp_path):
    path = tmp_path / "scores.csv"
    write_report(report, path)
    lines = path.read_text("utf-8").splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))

    assert [(row["scope"], row["slice"], row["z"]) for row in rows] == [
        ("volume", "", ""),
        ("slice", "7", "0"),
        ("slice", "8", "1"),
        ("slice", "9", "2"),
    ]
    volume, empty, tumour, _ = rows
    assert float(volume["dice"]) == report.volume.dice == float(tumour["dice"])
    assert float(volume["hd95"]) == report.volume.hd95
    assert (volume["tp"], volume["predicted_ml"], volume["distance_unit"]) == ("9", "0.018", "mm")
    assert (empty["dice"], tumour["hd95"]) == ("", "")
    assert "# Prediction: anna prediction" in comments
    assert f"# Empty masks: {EMPTY_POLICIES['skip']}" in comments
    assert all(any(figure.definition in line for line in comments) for figure in FIGURES)
    assert to_csv(report) == path.read_text("utf-8")


def test_ending_of_the_name_decides_the_form(report, tmp_path):
    write_report(report, tmp_path / "scores.MD")
    assert (tmp_path / "scores.MD").read_text("utf-8") == to_markdown(report)

    with pytest.raises(ValueError, match=r"scores\.xlsx; allowed are names ending in \.csv and \.md"):
        write_report(report, tmp_path / "scores.xlsx")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.MD"]
