"""Reports of scores: true to the scores, whole or not there, and safe to open anywhere."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from napari_brainseg.core import report_pages
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import ScoreConfig
from napari_brainseg.core.evaluation import Summary, score_cases
from napari_brainseg.core.mask_pairs import pair_masks
from napari_brainseg.core.model_folders import ModelInfo, Provenance
from napari_brainseg.core.report_contents import ScoredPredictions, report_comparison, report_scores
from napari_brainseg.core.reports import SCORE_FILES, write_comparison_report, write_score_report
from napari_brainseg.core.results import write_segmentation
from napari_brainseg.core.score_tables import figure_of, shown, shown_interval
from napari_brainseg.core.segmentation import segment
from napari_brainseg.core.volumes import read_volume


def scored(predictions, references, config=None, models=()):
    pairing = pair_masks(predictions, references)
    failed = {}
    cases = score_cases(pairing.pairs, config, on_failure=failed.__setitem__)
    return ScoredPredictions(str(predictions), pairing, tuple(cases), failed, tuple(models))


@pytest.fixture
def write(tmp_path):
    """Score, write the report, and return its page."""

    def run(predictions, references, config=None):
        config = config or ScoreConfig()
        found = scored(predictions, references, config)
        write_score_report(report_scores(found, references, config, "brainseg score a b"), found, tmp_path / "out")
        return (tmp_path / "out" / "report.html").read_text("utf-8")

    return run


class Page(HTMLParser):
    """Which tags and attributes there are, what text, and whether every tag is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += " ".join(data.split()) + " "

    def values(self, tag, attribute):
        return [value for name, key, value in self.attributes if (name, key) == (tag, attribute)]


def test_the_page_tells_the_headline_and_the_cases_worst_first(write, shifted, patients):
    found = scored(shifted, patients)
    page = Page(write(shifted, patients))
    dice = {case.name: case.scores.dice for case in found.cases}
    pictures = [text.split(" of ")[1].split(":")[0] for text in page.values("img", "alt")]

    assert f"{np.mean(list(dice.values())):.2f} Dice per volume, mean" in page.text
    assert pictures == sorted(dice, key=dice.get)
    assert dice["dora"] == 1
    for name, value in dice.items():
        assert f"{name} {value:.3f}" in page.text
    assert "have no tumour in the reference, and each that is left empty counts as 1" in page.text
    assert page.tags.count("circle") == 4 * 2, "once among all, once among those with or without all sequences"


def test_pictures_show_the_slice_with_the_most_wrong_voxels(write, shifted, patients):
    case = scored(shifted, patients).cases[0]
    wrong = [scores.fp + scores.fn for scores in case.slices]
    alts = Page(write(shifted, patients)).values("img", "alt")

    assert wrong[0] < max(wrong)
    assert any(alt.startswith(f"Slice {np.argmax(wrong) + 1} of anna") for alt in alts)
    assert any(alt.startswith("Slice 4 of dora") for alt in alts), "the middle where there is nothing"


def test_pictures_show_the_most_tumour_where_nothing_is_wrong(write, patients):
    case = scored(patients, patients).cases[0]
    areas = [scores.tp for scores in case.slices]

    assert f"Slice {np.argmax(areas) + 1} of anna" in write(patients, patients)


def test_the_page_loads_and_runs_nothing(write, shifted, patients):
    html = write(shifted, patients)
    page = Page(html)

    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", html)
    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "href"]
    sources = page.values("img", "src")
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)


def test_names_are_text_whatever_they_hold(write, shifted, patients, tmp_path):
    name = "<script>alert('ü€')<&\"脳"
    data, masks = tmp_path / "data", tmp_path / "masks <b>"
    for source, target in ((patients, data), (shifted, masks)):
        shutil.copytree(source / "anna", target / name)
        shutil.copytree(source / "bert", target / "bert")
    html = write(masks, data)
    page = Page(html)

    assert "script" not in page.tags
    assert "b" in page.tags
    assert name in page.text
    assert "masks <b>" in page.text
    assert "&lt;script&gt;" in html


def test_no_more_pictures_than_a_person_looks_at(write, shifted, patients, monkeypatch):
    monkeypatch.setattr(report_pages, "MOST_PICTURES", 1)
    page = Page(write(shifted, patients))

    assert page.tags.count("img") == 1
    assert "The other 3 cases are in the table." in page.text


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("zero", "is too strict: the 16 slices"),
        ("skip", "leaves out the 16"),
        ("one", "To find nothing anywhere would"),
    ],
)
def test_the_page_tells_what_the_policy_does_to_slices(write, shifted, patients, policy, says):
    assert says in Page(write(shifted, patients, ScoreConfig(empty=policy))).text


def test_a_case_that_no_figure_says_anything_of_has_its_report(write, shifted, patients):
    page = Page(write(shifted / "dora", patients / "dora", ScoreConfig(empty="skip")))

    assert "- Dice per volume, mean too few patients for an interval" in page.text


def test_masks_without_images_have_their_report(write, shifted):
    page = Page(write(shifted, shifted))

    assert page.tags.count("img") == 4
    assert "missing sequences" not in page.text


def test_nothing_is_written_over_and_a_failure_leaves_no_trace(write, shifted, patients, tmp_path, monkeypatch):
    write(shifted, patients)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(FileExistsError, match=r"scores\.csv exists already"):
        write(shifted, patients)
    assert sorted(before) == sorted(SCORE_FILES)
    monkeypatch.setattr(report_pages, "read_pair", lambda _: (_ for _ in ()).throw(ValueError("gone")))
    found = scored(shifted, patients)
    with pytest.raises(ValueError, match="gone"):
        write_score_report(report_scores(found, patients, ScoreConfig()), found, tmp_path / "out", overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_drawing_reports_how_far_it_is(shifted, patients, tmp_path):
    found, seen = scored(shifted, patients), []
    write_score_report(report_scores(found, patients, ScoreConfig()), found, tmp_path, on_progress=seen.append)

    assert [(step.stage, step.done, step.total) for step in seen] == [("drawing", done, 4) for done in range(1, 5)]


@pytest.fixture
def segmented(patients, untrained, tmp_path):
    """Masks of a model whose weights have a digest."""
    info = untrained.info.model_copy(update={"provenance": Provenance(weights_sha256="abc")})
    for case in find_cases(patients)[:2]:
        volume = read_volume(case)
        found = segment(volume, replace(untrained, info=info))
        write_segmentation(found, volume, tmp_path / "segmented" / case.name)
    return tmp_path / "segmented"


def test_the_model_is_read_from_the_record_beside_the_masks(segmented, patients):
    report = report_scores(scored(segmented, patients), patients, ScoreConfig())
    (model,) = report.predictions.models

    assert (model.name, model.weights_sha256, model.cases, model.trained_on) == (
        "untrained",
        "abc",
        ("anna", "bert"),
        (),
    )
    assert [case["weights_sha256"] for case in report.cases] == ["abc", "abc"]


def test_cases_that_a_known_model_was_trained_on_are_told(segmented, patients, untrained, tmp_path):
    info = ModelInfo(
        name="untrained",
        model=untrained.info.model,
        train_cases=("bert",),
        provenance=Provenance(weights_sha256="abc"),
    )
    found = scored(segmented, patients, models=[info])
    report = report_scores(found, patients, ScoreConfig())
    write_score_report(report, found, tmp_path / "out")

    assert report.predictions.trained_on == ("bert",)
    text = Page((tmp_path / "out" / "report.html").read_text("utf-8")).text
    assert "1 of 2 cases belong to patients that the model was trained on" in text


def test_a_record_of_other_masks_is_not_believed(segmented, patients):
    for number in range(1, 7):
        (segmented / "bert" / f"bert_{number}_mask.tif").rename(segmented / "bert" / f"mine_{number}_mask.tif")
    report = report_scores(scored(segmented, patients), patients, ScoreConfig())

    assert [model.cases for model in report.predictions.models] == [("anna",)]


def test_the_page_of_a_comparison_shows_where_predictions_differ(shifted, patients, tmp_path):
    found = {"shifted": scored(shifted, patients), "<i>same": scored(patients, patients)}
    report = report_comparison(found, patients, ScoreConfig())
    write_comparison_report(report, found, tmp_path)
    html = (tmp_path / "report.html").read_text("utf-8")
    page = Page(html)

    assert "i" not in page.tags
    assert "<i>same against shifted, case by case: too few patients to tell" in " ".join(page.text.split())
    assert len(page.values("img", "src")) == 3, "nothing differs in dora"
    assert "dora 1.000 1.000 +0.000" in " ".join(page.text.split())
    assert not re.search(r"https?://", html)


@pytest.mark.parametrize(
    ("interval", "trained", "says"),
    [
        ((0.01, 0.05), False, "better on patients like these"),
        ((-0.05, -0.01), False, "worse on patients like these"),
        ((-0.01, 0.05), False, "these cases do not tell which is better"),
        ((0.01, 0.05), True, "no verdict, as b learned from some of these patients"),
    ],
)
def test_a_verdict_is_no_bolder_than_its_interval(segmented, patients, untrained, interval, trained, says):
    info = ModelInfo(
        name="untrained",
        model=untrained.info.model,
        train_cases=("bert",) * trained,
        provenance=Provenance(weights_sha256="abc"),
    )
    found = {"a": scored(patients, patients), "b": scored(segmented, patients, models=[info])}
    report = report_comparison(found, patients, ScoreConfig())
    difference = Summary(count=20, left_out=0, patients=20, mean=sum(interval) / 2, interval=interval)
    comparison = report.comparison.model_copy(update={"differences": {"b": difference}})

    assert report.model_copy(update={"comparison": comparison}).verdicts["b"].endswith(says)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("dice", 0.83149, "0.831"),
        ("specificity", 0.99906, "0.9991"),
        ("difference", -11563, "-11 563"),
        ("relative_difference", 0.0323, "+3.2 %"),
        ("hd95_mm", 37.0945, "37.1"),
        ("dice", None, "-"),
    ],
)
def test_figures_have_the_digits_that_they_deserve(key, value, text):
    assert shown(key, value) == text


def test_an_interval_of_a_handful_of_patients_is_not_shown():
    summary = Summary(count=9, left_out=0, patients=5, mean=0.5, interval=(0.4, 0.6))

    assert shown_interval("dice", summary) == "0.400 to 0.600"
    assert shown_interval("dice", summary, sign=True) == "+0.400 to +0.600"
    assert shown_interval("dice", summary.model_copy(update={"patients": 4})) == "-"


def test_a_distance_is_given_in_its_own_unit_only(shifted, patients):
    scores = scored(shifted, patients).cases[0].scores

    assert figure_of(scores, "hd95_voxels") == scores.hd95
    assert figure_of(scores, "hd95_mm") is None
    assert figure_of(replace(scores, spacing=(5, 1, 1)), "hd95_mm") == scores.hd95
