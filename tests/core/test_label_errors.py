"""Errors planted in masks are found, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_brainseg.core import label_errors
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import DoubtConfig, SegmentConfig
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.label_errors import MISSED, TOO_MUCH, LabelError, find_label_errors
from napari_brainseg.core.masks import read_mask, write_mask
from napari_brainseg.core.models import load_model
from napari_brainseg.core.phantom import PhantomCase, write_phantom_cases
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import Workspace

CPU = SegmentConfig(device="cpu", threads=1)
SQUARE = np.s_[20:40, 200:220]


@pytest.fixture(scope="module")
def shipped():
    return load_model()


@pytest.fixture
def case(tmp_path):
    """A phantom of which one slice lost its tumour, and another one has a square of it in the air."""
    (folder,) = write_phantom_cases(tmp_path / "data", [PhantomCase("anna", 1)], (8, 256, 256))
    (case,) = find_cases(folder)
    mask = read_mask(case, read_volume(case))
    largest = int(mask.sum(axis=(1, 2)).argmax())
    mask[largest] = 0
    mask[0][SQUARE] = 1
    write_mask(mask, folder, read_volume(case), overwrite=True)
    return case, largest


def test_planted_errors_are_found_and_nothing_else(shipped, case, tmp_path):
    planted, largest = case
    found = find_label_errors([planted], [shipped], Workspace(tmp_path / "none"), segmenting=CPU)

    assert {(error.kind, error.z, error.slice_number) for error in found.errors} == {
        (MISSED, largest, largest + 1),
        (TOO_MUCH, 0, 1),
    }
    assert [error.voxels for error in found.errors] == sorted((error.voxels for error in found.errors), reverse=True)
    assert next(error.voxels for error in found.errors if error.kind == TOO_MUCH) == pytest.approx(400, abs=20)
    assert (found.cases, found.seen, found.failed) == (1, (), {})


def test_what_somebody_accepted_is_not_doubted_again(shipped, case, tmp_path):
    planted, largest = case
    workspace, volume = Workspace(tmp_path / "corrections"), read_volume(planted)
    Corrections(workspace, volume).save(read_mask(planted, volume), [largest], state="accepted")
    found = find_label_errors([planted], [shipped], workspace, segmenting=CPU)

    assert [error.kind for error in found.errors] == [TOO_MUCH]


@pytest.fixture
def probability_of(monkeypatch):
    """Segmenting gives what a function makes of the manual mask."""

    def use(function):
        class Segmented:
            def __init__(self, volume, *_, **__):
                (case,) = find_cases(volume.source)
                self.probability = function(read_mask(case, volume).astype(np.float32))

        monkeypatch.setattr(label_errors, "segment", Segmented)

    return use


def test_a_rim_that_everybody_draws_differently_is_no_error(untrained, cases, probability_of, tmp_path):
    probability_of(lambda mask: ndimage.binary_erosion(mask, np.ones((1, 3, 3))).astype(np.float32))

    assert not find_label_errors(cases[:2], [untrained], Workspace(tmp_path), DoubtConfig(min_voxels=1)).errors


def test_a_model_that_is_not_sure_says_nothing(untrained, cases, probability_of, tmp_path):
    probability_of(lambda mask: 0.8 - 0.6 * mask)
    config = DoubtConfig(min_voxels=1)

    assert not find_label_errors(cases[:2], [untrained], Workspace(tmp_path), config).errors
    config = config.changed({"sure": 0.75, "count": 3})
    assert len(find_label_errors(cases[:2], [untrained], Workspace(tmp_path), config).errors) == 3


def test_a_case_that_the_model_fails_on_does_not_fill_the_list(untrained, cases, probability_of, tmp_path):
    probability_of(lambda mask: 1.0 - mask)
    config = DoubtConfig(min_voxels=1, per_case=1)
    found = find_label_errors(cases[:2], [untrained], Workspace(tmp_path), config)

    assert sorted(item.case for item in found.as_queue()) == ["anna", "bert"]
    most = {case: max(e.voxels for e in found.errors if e.case == case) for case in ("anna", "bert")}
    every = find_label_errors(cases[:2], [untrained], Workspace(tmp_path), config.changed({"per_case": 9})).errors
    assert most == {case: max(e.voxels for e in every if e.case == case) for case in most}
    assert len(every) > len(found.errors)


def test_cases_that_the_model_has_learned_from_are_named(untrained, cases, tmp_path):
    info = untrained.info.model_copy(update={"train_cases": ("anna", "nobody")})
    found = find_label_errors(cases[:2], [replace(untrained, info=info)], Workspace(tmp_path), segmenting=CPU)

    assert found.seen == ("anna",)


def test_each_case_is_judged_by_a_model_that_has_not_seen_it(untrained, cases, tmp_path, monkeypatch):
    folds = [
        replace(untrained, info=untrained.info.model_copy(update={"train_cases": (name,)})) for name in ("anna", "bert")
    ]
    judges = {}
    segment = label_errors.segment

    def noting(volume, model, *rest, **named):
        judges[volume.name] = model.info.train_cases
        return segment(volume, model, *rest, **named)

    monkeypatch.setattr(label_errors, "segment", noting)
    found = find_label_errors(cases[:2], folds, Workspace(tmp_path), segmenting=CPU)

    assert judges == {"anna": ("bert",), "bert": ("anna",)}
    assert found.seen == ()


def test_a_slice_with_both_kinds_is_one_item_of_the_queue():
    errors = [LabelError("a", 3, 2, MISSED, 50), LabelError("b", 1, 0, MISSED, 60), LabelError("a", 3, 2, TOO_MUCH, 40)]
    first, second = label_errors.FoundLabelErrors(errors, 2, (), {}).as_queue()

    assert (first.case, first.z, first.slice_number, first.score) == ("a", 2, 3, 90)
    assert first.reasons == (f"{MISSED}: about 50 voxels", f"{TOO_MUCH}: about 40 voxels")
    assert second.case == "b"


def test_the_slice_with_most_voxels_of_both_kinds_comes_first():
    errors = [LabelError("a", 1, 0, MISSED, 60), LabelError("a", 3, 2, MISSED, 50), LabelError("a", 3, 2, TOO_MUCH, 40)]
    kept = label_errors._largest(errors, DoubtConfig(per_case=1))

    assert kept == errors[1:]


def test_no_model_is_refused(cases, tmp_path):
    with pytest.raises(ValueError, match="give one at least"):
        find_label_errors(cases[:2], [], Workspace(tmp_path))
