"""Who trains and who validates."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_brainseg.core import splits
from napari_brainseg.core.cases import Case
from napari_brainseg.core.config import ModelConfig
from napari_brainseg.core.model_folders import Ancestor, ModelInfo
from napari_brainseg.core.splits import (
    read_folds,
    rehearsed_patients,
    share_of_corrections,
    split_by_folds,
    split_cases,
    split_into_folds,
    worth_of,
    worth_of_rehearsal,
)


def visits(count: int, times: int = 2) -> list[Case]:
    return [
        Case(f"TCGA_CS_{4000 + patient}_1996010{visit}", Path(), "slices")
        for patient in range(count)
        for visit in range(times)
    ]


def test_share_of_corrections_names_who_only_validates() -> None:
    anna, bert, *others = [
        Case(name, Path(), "slices", corrections=((1, Path()), (2, Path()), (3, None)))
        for name in ("anna", "bert", "carl", "dora", "emil")
    ]
    plain = Case("zoe", Path(), "slices")
    assert share_of_corrections([anna, plain], [plain]) == "2 corrected slices of 1 case"
    assert share_of_corrections([plain], [bert]) == "0 of 2 corrected slices are learned from: bert validates"
    assert share_of_corrections([anna], [bert, *others]) == (
        "2 of 10 corrected slices are learned from: bert, carl, dora and 1 more validate"
    )


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_split_keeps_visits_of_a_patient_together(share: float) -> None:
    cases = visits(10)
    train, validation = split_cases(cases, share, seed=3)
    patients = [{case.patient for case in part} for part in (train, validation)]
    assert not patients[0] & patients[1]
    assert len(train) + len(validation) == len(cases)
    assert len(patients[1]) == min(max(1, share * 10), 9)


def test_split_is_the_same_for_the_same_seed_in_any_order() -> None:
    cases = visits(10)
    once = {case.name for case in split_cases(cases, 0.3, seed=5)[1]}
    assert once == {case.name for case in split_cases(cases[::-1], 0.3, seed=5)[1]}
    others = [{case.name for case in split_cases(cases, 0.3, seed=seed)[1]} for seed in range(5)]
    assert any(other != once for other in others)


def test_split_of_two_patients_gives_one_each() -> None:
    train, validation = split_cases(visits(2), 0.1)
    assert (len({case.patient for case in train}), len({case.patient for case in validation})) == (1, 1)


def test_split_of_one_patient_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 patients, but there is 1"):
        split_cases(visits(1, times=3), 0.5)


# Sites and missing sequences


def patients(sites: dict[str, int]) -> list[Case]:
    names = [f"TCGA_{site}_{number:04d}_19960101" for site, count in sites.items() for number in range(count)]
    return [Case(name, Path(), "slices") for name in names]


@pytest.fixture
def half_lack_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "_lacks_sequence", lambda case: int(case.patient[-1]) % 2 == 0)


def kinds(cases: list[Case]) -> Counter[tuple[str, bool]]:
    return Counter((case.site, int(case.patient[-1]) % 2 == 0) for case in cases)


@pytest.mark.usefixtures("half_lack_sequences")
@pytest.mark.parametrize("seed", range(5))
def test_each_side_has_its_share_of_sites_and_of_missing_sequences(seed: int) -> None:
    cases = patients({"CS": 20, "DU": 40, "HT": 60})
    _, validation = split_cases(cases, 0.2, seed)
    assert len(validation) == 24
    for kind, count in kinds(cases).items():
        assert abs(kinds(validation)[kind] - 0.2 * count) < 1


@pytest.mark.usefixtures("half_lack_sequences")
def test_folds_are_alike_and_each_patient_is_in_one() -> None:
    cases = patients({"CS": 20, "DU": 41, "HT": 7})
    folds = [split_into_folds(cases, 5, fold, seed=2)[1] for fold in range(5)]
    assert sorted(case.name for fold in folds for case in fold) == sorted(case.name for case in cases)
    assert {len(fold) for fold in folds} == {13, 14}
    for kind, count in kinds(cases).items():
        assert all(abs(kinds(fold)[kind] - count / 5) <= 1 for fold in folds)


def test_folds_come_from_the_seed() -> None:
    cases = visits(10)
    assert split_into_folds(cases, 3, 1, 4) == split_into_folds(cases, 3, 1, 4)
    assert split_into_folds(cases, 3, 1, 4) != split_into_folds(cases, 3, 1, 5)


@pytest.mark.parametrize(
    ("count", "fold", "message"), [(1, 0, "allowed are 2 to 4"), (5, 0, "2 to 4"), (3, 3, "fold 3")]
)
def test_folds_that_cannot_be_are_refused(count: int, fold: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_into_folds(visits(4), count, fold)


def test_missing_sequences_are_seen_in_a_slice(cases: list[Case]) -> None:
    assert [splits._lacks_sequence(case) for case in cases] == [False, False, True, False]
    assert not splits._lacks_sequence(Case("nothing", Path(), "slices"))


# A model to start from


def parent(**fields: Any) -> ModelInfo:
    return ModelInfo(name="old", model=ModelConfig(), **fields)


def names(cases: list[Case]) -> set[str]:
    return {case.name for case in cases}


@pytest.mark.parametrize("seed", range(8))
def test_whom_the_parent_was_validated_on_stays_and_whom_it_was_trained_on_never_comes(seed: int) -> None:
    cases = visits(10, times=1)
    everyone = [case.name for case in cases]
    old = parent(train_cases=tuple(everyone[:4]), validation_cases=(everyone[4],))
    training, validation = split_cases(cases, 0.3, seed, parent=old)
    assert everyone[4] in names(validation)
    assert not names(validation) & set(everyone[:4])
    assert len(validation) == 3
    assert len(training) == 7
    training, validation = split_into_folds(cases, 5, seed % 5, parent=old)
    assert everyone[4] in names(validation)
    assert not names(validation) & set(everyone[:4])
    assert len(validation) == 2


def test_another_visit_of_a_patient_counts_as_seen() -> None:
    cases = visits(2, times=1)
    old = parent(train_cases=(cases[0].name.replace("19960100", "20010101"),))
    assert split_cases(cases, 0.5, parent=old) == (cases[:1], cases[1:])


def test_what_an_ancestor_has_seen_does_not_come_to_validation() -> None:
    cases = visits(3, times=1)
    first = Ancestor(name="first", weights_sha256="1", train_cases=(cases[0].name, cases[1].name))
    old = parent(lineage=(first,), train_cases=(cases[0].name,), validation_cases=(cases[1].name,))
    assert split_cases(cases, 0.6, parent=old) == (cases[:2], cases[2:])


def test_parent_that_leaves_a_side_empty_is_refused() -> None:
    cases = visits(3, times=1)
    everyone = tuple(case.name for case in cases)
    with pytest.raises(ValueError, match="old, was trained on all of these patients: none is left to validate on"):
        split_cases(cases, 0.3, parent=parent(train_cases=everyone))
    with pytest.raises(ValueError, match="old, was validated on all of these patients, so that none is left to train"):
        split_cases(cases, 0.3, parent=parent(validation_cases=everyone))


# Folds of a file


def test_folds_of_a_file(cases: list[Case], tmp_path: Path) -> None:
    file = tmp_path / "folds.json"
    file.write_text(json.dumps({"folds": [["anna", "zoe"], ["bert"]]}))
    folds = read_folds(file)
    assert split_by_folds(cases, folds, 0) == (cases[1:2], cases[:1])
    assert split_by_folds(cases, folds, 1) == (cases[:1], cases[1:2])
    with pytest.raises(ValueError, match="there are 2 folds, numbered from 0, but fold 2"):
        split_by_folds(cases, folds, 2)
    with pytest.raises(ValueError, match="fold 0 holds no usable case"):
        split_by_folds(cases[2:], folds, 0)


def test_what_a_validation_is_worth_is_said() -> None:
    assert worth_of([]).startswith("no patient to validate on")
    assert worth_of(names(visits(1, times=3))).startswith(
        "1 patient to validate on: enough to see whether training works"
    )
    assert worth_of(names(visits(9))).startswith("9 patients to validate on")
    assert worth_of(names(visits(10))) == ""


# Rehearsal


def test_patients_that_the_parent_knows_are_rehearsed_unless_they_were_corrected() -> None:
    parent = ModelInfo(
        name="second",
        model=ModelConfig(),
        train_cases=("b",),
        lineage=(Ancestor(name="first", weights_sha256="", train_cases=("a", "c")),),
    )
    a, b, c, new = (Case(name, Path(), "slices") for name in ("a", "b", "c", "new"))
    corrected = replace(c, corrections=((1, Path("1.tif")),))
    assert rehearsed_patients([a, b, c, new], parent) == {"a", "b", "c"}
    assert rehearsed_patients([a, b, corrected], parent) == {"a", "b"}
    assert rehearsed_patients([a, b, c], parent) == frozenset()
    assert rehearsed_patients([a, new], None) == frozenset()


def corrected(case: Case) -> Case:
    return replace(case, corrections=((1, Path("1.tif")),))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "held"), [(1, 0), (4, 0), (5, 1), (10, 2)])
def test_corrected_patients_are_learned_from_first(count: int, held: int, seed: int) -> None:
    cases = [Case(f"p{number:02d}", Path(), "slices") for number in range(20)]
    cases = [corrected(case) if number < count else case for number, case in enumerate(cases)]
    _, validation = split_cases(cases, 0.2, seed)
    assert len(validation) == 4
    assert sum(case.corrected_slices for case in validation) == held


def test_where_all_patients_were_corrected_one_validates() -> None:
    cases = [corrected(Case(name, Path(), "slices")) for name in "abc"]
    train, validation = split_cases(cases, 0.2)
    assert (len(train), len(validation)) == (2, 1)


def test_whom_the_parent_was_validated_on_is_enough_to_let_all_corrected_ones_train() -> None:
    parent = ModelInfo(name="m", model=ModelConfig(), train_cases=("b",), validation_cases=("a",))
    a, b, c = (Case(name, Path(), "slices") for name in "abc")
    train, validation = split_cases([a, b, corrected(c)], 0.2, parent=parent)
    assert ([case.name for case in train], [case.name for case in validation]) == (["b", "c"], ["a"])
    assert worth_of_rehearsal(train, parent).startswith("1 patient that m knows and nobody corrected: rehearsed")
    assert worth_of_rehearsal([b], parent) == "m knows all of these patients"
    assert worth_of_rehearsal([corrected(c)], parent).startswith("no patient that m has learned from is among these")
