"""The split of ``brain-segmentation-pytorch``, from the names alone."""

import json

import pytest

from napari_brainseg.core.cases import Case
from napari_brainseg.core.splits import read_folds, reference_split


def test_ten_cases_are_drawn_from_the_sorted_names_whatever_their_order(tmp_path):
    cases = [Case(f"p{number:03d}", tmp_path, "slices") for number in range(110)]
    training, validation = reference_split(cases[::-1])
    # random.seed(42); random.sample(range(110), 10), as anybody can type
    assert [case.name for case in validation] == sorted(
        f"p{number:03d}" for number in (81, 14, 3, 94, 35, 31, 28, 17, 13, 86)
    )
    assert [case.name for case in training] == sorted({c.name for c in cases} - {c.name for c in validation})


@pytest.mark.realdata
def test_the_split_is_that_of_the_whole_data_set():
    """All ten are among the patients that nobody here trains on; these were held back because of it."""
    import csv
    from pathlib import Path

    shared = Path(__file__).resolve().parents[3] / "shared" / "lgg"
    if not (shared / "data.csv").is_file():
        pytest.skip("the table of patients is not beside the project, in ../shared/lgg")
    with (shared / "data.csv").open() as file:
        names = [row["Patient"] for row in csv.DictReader(file)]
    ours = {"_".join(name.split("_")[:3]) for fold in read_folds(shared / "folds.json") for name in fold}
    _, validation = reference_split([Case(name, Path(), "slices") for name in names])
    assert len(names) == 110
    assert ours.isdisjoint({case.name for case in validation})


def test_too_few_cases_are_refused_and_other_sets_are_told_apart(brainseg, patients, tmp_path):
    told = brainseg("reference-split", patients)
    assert (told.code, told.err) == (
        1,
        "brainseg: the reference split holds 10 cases out, but there are only 4\n",
    )
    for number in range(12):
        (tmp_path / "data" / f"p{number}").mkdir(parents=True)
        (tmp_path / "data" / f"p{number}" / f"p{number}_1.tif").write_bytes(b"")
    told = brainseg("reference-split", tmp_path / "data", "--output", tmp_path / "new" / "folds.json")
    assert told.code == 0
    assert "holds 12 cases, not 110" in told.err
    folds = json.loads((tmp_path / "new" / "folds.json").read_text())["folds"]
    assert [len(names) for names in folds] == [2, 10]
    assert told.out.splitlines()[1:] == folds[1]
    assert brainseg("reference-split", tmp_path / "data", "--output", tmp_path / "new" / "folds.json").code == 1
