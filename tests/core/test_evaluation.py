import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.config import CHANNELS, FLAIR, ScoreConfig
from napari_brainseg.core.evaluation import (
    CaseScores,
    Summary,
    bootstrap_interval,
    compare_scores,
    score_cases,
    summarise_scores,
)
from napari_brainseg.core.mask_pairs import pair_masks, read_pair
from napari_brainseg.core.masks import MaskFormat, read_mask, write_mask
from napari_brainseg.core.metrics import Scores, score_mask
from napari_brainseg.core.progress import Cancelled, Progress
from napari_brainseg.core.volumes import Array, Volume, read_volume

COUNTS = ScoreConfig(distances=False)


def never(name: str, reason: str) -> None:
    pytest.fail(f"{name}: {reason}")


def a_case(name: str, dice: float, missing: tuple[str, ...] | None = (), slices: tuple[Scores, ...] = ()) -> CaseScores:
    """A case whose prediction is a thousand voxels, and so is its reference."""
    tp = round(1000 * dice)
    scores = Scores(tp, 1000 - tp, 1000 - tp, 10_000)
    site = name.split("_")[1] if name.startswith("TCGA") else ""
    return CaseScores(name, site, missing, scores, slices, tuple(range(1, len(slices) + 1)))


@pytest.mark.parametrize("format", ["kaggle", "tiff", "nifti"])
@pytest.mark.parametrize("as_reference", [False, True], ids=["predicted", "reference too"])
def test_masks_of_every_format_give_the_same_scores(
    cases: list[Case], patients: Path, tmp_path: Path, format: MaskFormat, as_reference: bool
) -> None:
    references = tmp_path / "theirs" if as_reference else patients
    for case in cases[:2]:
        volume = read_volume(case)
        mask = read_mask(case, volume)
        assert mask is not None
        write_mask(np.roll(mask, 2, axis=2), tmp_path / "ours" / case.name, volume, format=format)
        if as_reference:  # masks alone, without images
            write_mask(mask, references / case.name, volume, format=format)
    scored = score_cases(pair_masks(tmp_path / "ours", references).pairs, COUNTS, on_failure=never)
    for case, found in zip(cases[:2], scored, strict=True):
        mask = read_mask(case, read_volume(case))
        assert mask is not None
        expected = score_mask(np.roll(mask, 2, axis=2), mask, config=COUNTS)
        assert (found.scores.tp, found.scores.fp, found.scores.fn) == (expected.tp, expected.fp, expected.fn)
        assert found.missing is None if as_reference else found.missing == ()


def test_files_not_called_masks_count_as_masks_where_there_are_no_others(
    shifted: Path, patients: Path, tmp_path: Path
) -> None:
    shutil.copytree(shifted, tmp_path / "renamed")
    for file in (tmp_path / "renamed").glob("*/*.tif"):
        file.rename(file.with_name(file.name.replace("_mask", "")))
    assert len(score_cases(pair_masks(tmp_path / "renamed", patients).pairs, on_failure=never)) == 4


def test_a_case_that_cannot_be_scored_is_named_and_the_others_go_on(
    shifted: Path, patients: Path, tmp_path: Path
) -> None:
    shutil.copytree(shifted, broken := tmp_path / "broken")
    (damaged := broken / "anna" / "anna_2_mask.tif").write_bytes(b"no image")
    (broken / "bert" / "bert_5_mask.tif").unlink()
    failed: dict[str, str] = {}
    seen: list[Progress] = []
    scored = score_cases(
        pair_masks(broken, patients).pairs, COUNTS, on_failure=failed.__setitem__, on_progress=seen.append
    )
    assert [case.name for case in scored] == ["carl", "dora"]
    assert str(damaged) in failed["anna"]
    assert failed["bert"] == "bert: only the reference has a slice 5; both must have the same slices"
    assert [(progress.done, progress.total) for progress in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_scoring_can_be_stopped(shifted: Path, patients: Path) -> None:
    def stop(progress: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        score_cases(pair_masks(shifted, patients).pairs, COUNTS, on_failure=never, on_progress=stop)


def test_missing_sequences_and_slice_numbers_come_from_the_images(shifted: Path, patients: Path) -> None:
    scored = {case.name: case for case in score_cases(pair_masks(shifted, patients).pairs, COUNTS, on_failure=never)}
    assert scored["carl"].missing == ("pre-contrast", "post-contrast")
    assert scored["anna"].missing == ()
    assert scored["anna"].slice_numbers == (1, 2, 3, 4, 5, 6)


def test_summary_is_that_of_the_textbook() -> None:
    values = [0.9, 0.5, None, 0.8, 0.95]
    known = [0.5, 0.8, 0.9, 0.95]
    summary = Summary.of(values, ["a", "b", "c", "d", "e"])
    mean = sum(known) / 4
    assert (summary.count, summary.left_out) == (4, 1)
    assert summary.mean == pytest.approx(mean)
    assert summary.median == pytest.approx(0.85)
    assert summary.sd == pytest.approx((sum((value - mean) ** 2 for value in known) / 3) ** 0.5)
    assert (summary.minimum, summary.maximum) == (0.5, 0.95)
    assert summary.lower_quartile == pytest.approx(0.5 + 0.75 * 0.3)
    assert summary.upper_quartile == pytest.approx(0.9 + 0.25 * 0.05)


def test_summary_of_nothing_gives_nothing() -> None:
    assert Summary.of([None, None], ["a", "b"]) == Summary(count=0, left_out=2, patients=0)
    assert Summary.of([0.5], ["a"]).sd is None


def test_interval_agrees_with_all_resamples_there_can_be() -> None:
    values = np.array([0.2, 0.6, 0.7, 0.9])
    every = [np.mean(drawn) for drawn in itertools.product(values, repeat=4)]
    interval = bootstrap_interval(values, ["a", "b", "c", "d"])
    assert interval == pytest.approx(tuple(np.percentile(every, [2.5, 97.5])), abs=0.02)


def test_more_cases_of_the_same_patients_make_no_mean_more_certain() -> None:
    values, patients = np.array([0.2, 0.6, 0.7, 0.9]), ["a", "b", "c", "d"]
    assert bootstrap_interval(np.tile(values, 5), patients * 5) == pytest.approx(bootstrap_interval(values, patients))
    assert bootstrap_interval(values, ["a"] * 4) is None


def test_repeated_visits_count_as_one_patient() -> None:
    cases = [a_case("TCGA_CS_4941_19960909", 0.9), a_case("TCGA_CS_4941_19970101", 0.5)]
    summary = summarise_scores(cases)
    assert (summary.cases, summary.patients) == (2, 1)
    assert summary.figures["dice"].patients == 1
    assert summary.figures["dice"].interval is None


def test_cases_are_grouped_by_site_and_sequences_and_poor_ones_named() -> None:
    summary = summarise_scores(
        [
            a_case("TCGA_CS_0001_1", 0.9),
            a_case("TCGA_CS_0002_1", 0.7, missing=("post-contrast",)),
            a_case("TCGA_DU_0003_1", 0.5),
            a_case("mine", 0.6, missing=None),
        ]
    )
    assert {site: found.mean for site, found in summary.sites.items()} == pytest.approx({"CS": 0.8, "DU": 0.5})
    assert summary.sequences["all sequences"].mean == pytest.approx(0.7)
    assert summary.sequences["some missing"].mean == pytest.approx(0.7)
    assert summary.poor == ("TCGA_DU_0003_1",)
    assert summary.figures["dice"].mean == pytest.approx(0.675)
    assert summary.pooled["dice"] == pytest.approx(2700 / 4000)


def test_slices_with_and_without_tumour_stand_apart() -> None:
    slices = (
        Scores(8, 0, 2, 90),  # Dice 8 / 9
        Scores(0, 0, 5, 95),  # missed
        Scores(0, 3, 0, 97),  # false alarm
        Scores(0, 0, 0, 100),
        Scores(0, 0, 0, 100),
    )
    found = summarise_scores([a_case("a", 0.9, slices=slices)]).slices
    assert (found.slices, found.tumour_slices, found.tumour_free_slices) == (5, 2, 3)
    assert (found.missed, found.false_alarms, found.false_voxels, found.both_empty) == (1, 1, 3, 2)
    assert found.tumour_dice.mean == pytest.approx((8 / 9 + 0) / 2)
    assert found.dice.mean == pytest.approx((8 / 9 + 0 + 0 + 1 + 1) / 5)
    assert found.false_millilitres is None


def test_slices_left_out_by_the_policy_are_counted() -> None:
    slices = tuple(Scores(*counts, empty="skip", spacing=(1, 1, 1)) for counts in [(1, 1, 0, 8), (0, 0, 0, 10)])
    found = summarise_scores([a_case("a", 0.9, slices=slices)]).slices
    assert (found.dice.count, found.dice.left_out, found.both_empty) == (1, 1, 1)
    assert found.false_millilitres == 0


def test_distances_in_mm_and_in_voxels_are_never_averaged_together() -> None:
    first, second = a_case("a", 0.9), a_case("b", 0.8)
    known = replace(first, scores=replace(first.scores, spacing=(1, 1, 1), hd95=4.0, assd=1.0))
    unknown = replace(second, scores=replace(second.scores, hd95=20.0, assd=7.0))
    figures = summarise_scores([known, unknown]).figures
    assert (figures["hd95_mm"].mean, figures["hd95_voxels"].mean) == (4.0, 20.0)
    assert "hd95" not in figures


def test_there_must_be_scores_to_summarise() -> None:
    with pytest.raises(ValueError, match="no scores"):
        summarise_scores([])


def test_comparison_is_paired_by_case() -> None:
    base = [a_case("a", 0.9), a_case("b", 0.5), a_case("c", 0.7)]
    other = [a_case("b", 0.6), a_case("a", 0.8), a_case("d", 0.1)]
    found = compare_scores({"base": base, "other": other})
    assert found.baseline == "base"
    assert found.not_shared == ("c", "d")
    assert found.dice["b"] == {"base": pytest.approx(0.5), "other": pytest.approx(0.6)}
    assert found.summaries["base"].mean == pytest.approx(0.7)
    assert found.differences["other"].mean == pytest.approx(0, abs=1e-9)
    assert found.differences["other"].maximum == pytest.approx(0.1)
    assert list(found.differences) == ["other"]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        compare_scores({"only": [a_case("a", 0.9)]})
    with pytest.raises(ValueError, match="one, two have no case in common"):
        compare_scores({"one": [a_case("a", 0.9)], "two": [a_case("b", 0.9)]})


def test_summaries_are_plain_json() -> None:
    content: Any = json.loads(summarise_scores([a_case("TCGA_CS_0001_1", 0.9)]).model_dump_json())
    assert content["sites"]["CS"]["mean"] == pytest.approx(0.9)


@pytest.mark.realdata
def test_scores_of_real_cases_agree_with_plain_numpy(real_cases_folder: Path, tmp_path: Path) -> None:
    expected = {}
    for case in find_cases(real_cases_folder):
        volume = read_volume(case)
        manual = read_mask(case, volume)
        assert manual is not None
        guess = bright(volume)
        write_mask(guess, tmp_path / case.name, volume)
        both, size = int((guess * manual.astype(int)).sum()), int(guess.sum()) + int(manual.sum())
        per_slice = [
            2 * (a * b).sum() / (a.sum() + b.sum()) if (a.sum() + b.sum()) else 1.0
            for a, b in zip(guess.astype(float), manual.astype(float), strict=True)
        ]
        expected[case.name] = (2 * both / size, both / (size - both), per_slice)
    for found in score_cases(pair_masks(tmp_path, real_cases_folder).pairs, COUNTS, on_failure=never):
        dice, iou, per_slice = expected[found.name]
        assert found.scores.dice == pytest.approx(dice, abs=1e-9)
        assert found.scores.iou == pytest.approx(iou, abs=1e-9)
        assert [item.dice for item in found.slices] == pytest.approx(per_slice, abs=1e-9)


def bright(volume: Volume) -> Array:
    """Guess with something in common with the tumour: the brightest voxels of FLAIR."""
    flair = volume.array[..., CHANNELS.index(FLAIR)]
    return (flair > np.percentile(flair, 98)).astype(np.uint8)


def test_slices_without_a_mask_in_the_reference_count_nowhere(shifted: Path, patients: Path, tmp_path: Path) -> None:
    shutil.copytree(patients / "anna", tmp_path / "some" / "anna")
    (tmp_path / "some" / "anna" / "anna_3_mask.tif").unlink()
    (whole,) = score_cases(pair_masks(shifted / "anna", patients / "anna").pairs, COUNTS, on_failure=never)
    (pair,) = pair_masks(shifted / "anna", tmp_path / "some" / "anna").pairs
    (found,) = score_cases([pair], COUNTS, on_failure=never)
    assert whole.slices[2].reference > 0
    assert found.slice_numbers == (1, 2, 4, 5, 6)
    assert found.slices == tuple(scores for index, scores in enumerate(whole.slices) if index != 2)
    assert found.scores.reference == whole.scores.reference - whole.slices[2].reference
    assert (found.left_out, whole.left_out) == (1, 0)
    assert (summarise_scores([found, whole]).slices.left_out, read_pair(pair).known.tolist()[2]) == (1, False)


def test_a_case_without_masks_is_called_that(shifted: Path, patients: Path, tmp_path: Path) -> None:
    shutil.copytree(patients, tmp_path / "some")
    for file in (tmp_path / "some" / "anna").glob("*_mask.tif"):
        file.unlink()
    failed: dict[str, str] = {}
    scored = score_cases(pair_masks(shifted, tmp_path / "some").pairs, COUNTS, on_failure=failed.__setitem__)
    assert len(scored) == 3
    assert failed["anna"].startswith(
        f"{tmp_path / 'some' / 'anna'} has no mask of anna: none of its files is called one, and "
    )
