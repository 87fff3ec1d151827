"""Who trains and who validates: whole patients, and none that the model to start from has seen."""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from .cases import Case, patient_of
from .files import write_text
from .model_folders import ModelInfo
from .peeks import peek
from .words import counted, few

VALIDATION_SHARE = 0.2
"""Of the patients, unless somebody says otherwise."""

Sides = tuple[list[Case], list[Case]]
"""Cases to train on and cases to validate on."""

REFERENCE_CASES, REFERENCE_COUNT = 110, 10
"""Cases of the whole data set, and those that the reference split holds out."""

_TELLING = 10
"""From so many patients on, a mean says something of new ones."""


def split_cases(cases: Sequence[Case], share: float, seed: int = 0, *, parent: ModelInfo | None = None) -> Sides:
    """Cases to train on and cases to validate on, no patient on both sides.

    Both sides have about the same share of each site, and of cases that lack sequences, as far as a look at them tells.

    Parameters
    ----------
    cases : sequence of Case
        At least two patients.
    share : float
        Share of patients to validate on; at least one, and never all. Of corrected ones it is rounded down: a person's
        work is to be learned from first.
    seed : int
        The same seed gives the same split.
    parent : ModelInfo, optional
        The model to start from: whom it was validated on stays in validation, whom it or one of its ancestors was
        trained on never comes there.

    Raises
    ------
    ValueError
        If the cases belong to fewer than two patients, or the parent leaves none for one of the sides.
    """
    patients = {case.patient for case in cases}
    if len(patients) < 2:
        raise ValueError(
            f"splitting by patient needs at least 2 patients, but there is {len(patients)}: add more, or train without "
            "validation"
        )
    count = min(max(1, round(share * len(patients))), len(patients) - 1)
    held, free = _held_and_free(cases, parent)
    wanted = min(max(count - len(held), 0), len(free))
    corrected = {case.patient for case in free if case.corrected_slices}
    plain = [case for case in free if case.patient not in corrected]
    of_corrected = min(int(share * len(corrected)), wanted)
    picked = _pick([case for case in free if case.patient in corrected], of_corrected, seed)
    picked |= _pick(plain, wanted - of_corrected, seed)
    if not held | picked:  # there is nobody else
        picked = _pick(free, 1, seed)
    return _sides(cases, held | picked, parent)


def split_into_folds(
    cases: Sequence[Case], count: int, fold: int, seed: int = 0, *, parent: ModelInfo | None = None
) -> Sides:
    """Cases to train on, and one of several folds, alike in sites and missing sequences, to validate on.

    Parameters
    ----------
    cases : sequence of Case
        As many patients as folds, or more.
    count, fold : int
        How many folds, and which of them, from 0.
    seed, parent
        As for `split_cases`; whom the parent was validated on is in the validation of every fold.

    Raises
    ------
    ValueError
        If there are too few patients, or there is no such fold.
    """
    held, free = _held_and_free(cases, parent)
    order = _alike(free, seed)
    if not 2 <= count <= len(order):
        raise ValueError(f"{count} folds were asked for; allowed are 2 to {len(order)}, the number of their patients")
    if not 0 <= fold < count:
        raise ValueError(f"there are {count} folds, numbered from 0, but fold {fold} was asked for")
    return _sides(cases, held | set(order[fold::count]), parent)


def split_by_folds(cases: Sequence[Case], folds: Sequence[Sequence[str]], fold: int) -> Sides:
    """Cases of all the other folds to train on, and those of one to validate on; cases in none are on neither side.

    Raises
    ------
    ValueError
        If there is no such fold, or none of its cases is there.
    """
    if not 0 <= fold < len(folds):
        raise ValueError(f"there are {len(folds)} folds, numbered from 0, but fold {fold} was asked for")
    listed, held_out = {name for names in folds for name in names}, set(folds[fold])
    validation = [case for case in cases if case.name in held_out]
    if not validation:
        raise ValueError(f"fold {fold} holds no usable case: there is nothing to validate on")
    return [case for case in cases if case.name in listed - held_out], validation


def reference_split(cases: Sequence[Case]) -> Sides:
    """The split that Buda's ``brain-segmentation-pytorch`` reports on: ten patients of the sorted names, seed 42.

    It is that split only for the whole data set of 110 patients.

    Raises
    ------
    ValueError
        If there are no more than ten cases.
    """
    ordered = sorted(cases, key=lambda case: case.name)
    if len(ordered) <= REFERENCE_COUNT:
        raise ValueError(f"the reference split holds {REFERENCE_COUNT} cases out, but there are only {len(ordered)}")
    drawn = {case.name for case in random.Random(42).sample(ordered, REFERENCE_COUNT)}
    return [case for case in ordered if case.name not in drawn], [case for case in ordered if case.name in drawn]


def write_folds(path: Path, folds: Sequence[Sequence[str]]) -> None:
    """Write lists of case names as `read_folds` reads them; the folder is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"folds": [list(names) for names in folds]}, indent=1) + "\n")


def read_folds(path: Path) -> list[list[str]]:
    """Lists of case names from a JSON file like ``{"folds": [["case a"], ["case b"]]}``.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    try:
        folds = json.loads(path.read_text("utf-8"))["folds"]
        are_names = all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in folds)
    except (ValueError, KeyError, TypeError):
        are_names = False
    if not are_names:
        raise ValueError(f"{path} holds no folds; allowed is JSON like {{'folds': [['case a'], ['case b']]}}")
    return list(folds)


def rehearsed_patients(train_cases: Sequence[Case], parent: ModelInfo | None) -> frozenset[str]:
    """Training patients that the model to start from knows as they are, uncorrected; none where there are no others."""
    known = parent.seen_patients if parent else frozenset()
    patients = {case.patient for case in train_cases}
    new = {case.patient for case in train_cases if case.corrected_slices} | (patients - known)
    return frozenset(patients - new if new else ())


def worth_of_rehearsal(train_cases: Sequence[Case], parent: ModelInfo) -> str:
    """What stands against forgetting, as a sentence."""
    if rehearsed := rehearsed_patients(train_cases, parent):
        count = counted(len(rehearsed), "patient")
        return f"{count} that {parent.name} knows and nobody corrected: rehearsed, so that it does not forget"
    if parent.seen_patients & {case.patient for case in train_cases}:
        return f"{parent.name} knows all of these patients"
    return f"no patient that {parent.name} has learned from is among these: it may forget what it knows of them"


def share_of_corrections(train_cases: Iterable[Case], validation_cases: Iterable[Case]) -> str:
    """How many corrected slices are learned from, as a sentence."""
    learned, held = ([case for case in side if case.corrected_slices] for side in (train_cases, validation_cases))
    count, total = (sum(case.corrected_slices for case in cases) for cases in (learned, learned + held))
    if not held:
        return f"{counted(total, 'corrected slice')} of {counted(len(learned), 'case')}"
    names = few((case.name for case in held), most=3)
    return f"{count} of {total} corrected slices are learned from: {names} validate{'s' * (len(held) == 1)}"


def worth_of(validation: Iterable[str]) -> str:
    """What the validation on cases of these names is worth, as a sentence; empty where their patients are enough."""
    count = len({patient_of(name) for name in validation})
    if not count:
        return "no patient to validate on: nothing tells how well the model does on new ones"
    if count < _TELLING:
        patients = counted(count, "patient")
        return f"{patients} to validate on: enough to see whether training works, too few to tell how good the model is"
    return ""


def _pick(cases: Sequence[Case], count: int, seed: int) -> set[str]:
    """So many patients, if there are, alike in kind to all."""
    order = _alike(cases, seed)
    count = min(count, len(order))
    offset = random.Random(seed).random()
    return {order[int((number + offset) * len(order) / count)] for number in range(count)}


def _held_and_free(cases: Sequence[Case], parent: ModelInfo | None) -> tuple[set[str], list[Case]]:
    """Patients whom the parent was validated on, and cases of those who may come to either side."""
    seen = parent.seen_patients if parent else frozenset()
    held = {patient_of(name) for name in parent.validation_cases} - seen if parent else set()
    free = [case for case in cases if case.patient not in seen | held]
    return held & {case.patient for case in cases}, free


def _sides(cases: Sequence[Case], held_out: set[str], parent: ModelInfo | None) -> Sides:
    training = [case for case in cases if case.patient not in held_out]
    validation = [case for case in cases if case.patient in held_out]
    if parent and not validation:
        raise ValueError(
            f"the model to start from, {parent.name}, was trained on all of these patients: none is left to validate "
            "on; add others, or train without validation"
        )
    if parent and not training:
        raise ValueError(
            f"the model to start from, {parent.name}, was validated on all of these patients, so that none is left to "
            "train on; add others, or train without validation"
        )
    return training, validation


def _alike(cases: Sequence[Case], seed: int) -> list[str]:
    """Patients in an order where those of one site, with or without all sequences, are together, else by chance."""
    kinds: dict[str, tuple[str, bool]] = {}
    for case in sorted(cases, key=lambda case: case.name):
        if case.patient not in kinds:
            kinds[case.patient] = case.site, _lacks_sequence(case)
    patients = sorted(kinds)
    random.Random(seed).shuffle(patients)
    return sorted(patients, key=lambda patient: kinds[patient])


def _lacks_sequence(case: Case) -> bool:
    """Whether a look at the case says so; what cannot be read is told where it is decoded."""
    try:
        return bool(peek(case).missing)
    except (ValueError, OSError):
        return False
