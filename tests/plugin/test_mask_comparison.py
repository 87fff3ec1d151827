"""Two masks side by side, without a window."""

import numpy as np
import pytest

from napari_brainseg.core.metrics import pool_scores, score_mask, score_slices
from napari_brainseg.plugin import mask_comparison
from napari_brainseg.plugin.mask_comparison import AGREE, MISSED, TOO_MUCH, MaskComparison

SPACING = (5.0, 1.0, 1.0)


@pytest.fixture
def masks():
    generator = np.random.default_rng(3)
    return generator.integers(0, 2, (4, 20, 20), np.uint8), generator.integers(0, 2, (4, 20, 20), np.uint8)


@pytest.fixture
def counted(monkeypatch):
    """How many slices were counted, call by call."""
    calls = []

    def count(ours, theirs, *rest):
        calls.append(len(ours))
        return score_slices(ours, theirs, *rest)

    monkeypatch.setattr(mask_comparison, "score_slices", count)
    return calls


def test_scores_are_those_of_core(masks):
    comparison = MaskComparison(*masks, SPACING, "one")

    assert tuple(comparison.slices) == score_slices(*masks, SPACING)
    assert comparison.volume == pool_scores(score_slices(*masks, SPACING))


def test_only_edited_slices_are_counted_again(masks, counted):
    ours, theirs = masks
    comparison = MaskComparison(ours, theirs, None, "one")
    counted.clear()

    assert comparison.update(ours, theirs) == []
    ours[2, :4] ^= 1
    theirs[0] = 0
    assert comparison.update(ours, theirs) == [0, 2]

    assert counted == [2]
    assert tuple(comparison.slices) == score_slices(ours, theirs)
    assert comparison.update(ours, theirs) == []


def test_what_was_compared_is_kept_while_the_masks_are_edited(masks):
    ours, theirs = masks
    comparison = MaskComparison(ours, theirs, None, "one")
    kept = comparison.masks()
    before = ours.copy()
    ours[:] = 1

    assert np.array_equal(comparison.masks()[0], before)
    comparison.update(ours, theirs)
    assert np.array_equal(kept[0], before)


def test_a_label_that_must_not_be_leaves_everything_as_it_was():
    ours = np.zeros((3, 4, 4), np.int8)
    comparison = MaskComparison(ours, ours.copy(), None, "one")
    edited = ours.copy()
    edited[1, 0, 0] = -1

    with pytest.raises(ValueError, match="holds -1"):
        comparison.update(edited, ours)

    assert comparison.slices[1].both_empty
    assert comparison.update(ours, ours) == []


def test_policy_for_empty_masks_counts_nothing_again(counted):
    empty = np.zeros((2, 4, 4), np.uint8)
    comparison = MaskComparison(empty, empty, None, "one")
    assert [scores.dice for scores in comparison.slices] == [1, 1]

    comparison.set_empty("skip")

    assert [scores.dice for scores in comparison.slices] == [None, None]
    assert comparison.volume.empty == "skip"
    assert counted == [2]
    edited = empty.copy()
    edited[0, 0, 0] = 1
    comparison.update(edited, empty)
    assert {scores.empty for scores in comparison.slices} == {"skip"}


def test_slices_disagree_if_enough_voxels_differ_and_dice_is_low():
    ours, theirs = np.zeros((5, 40, 40), np.uint8), np.zeros((5, 40, 40), np.uint8)
    ours[1, 0, :10] = 1  # ten voxels too much: a few
    ours[2, 0, :11] = 1  # one more
    theirs[3, 0, :11] = 1  # missed
    ours[4, :20], theirs[4, :22] = 1, 1  # many differ, but Dice is high

    assert MaskComparison(ours, theirs, None, "one").notable == (2, 3)


def test_disagreement_labels_each_voxel():
    ours, theirs = np.array([[[0, 0, 1, 2]]] * 2, np.uint8), np.array([[[0, 1, 0, 1]]] * 2, np.uint8)
    comparison = MaskComparison(ours, theirs, None, "one")

    assert comparison.disagreement([1]).tolist() == [[[0, MISSED, TOO_MUCH, AGREE]]]


def test_flat_masks_are_one_slice():
    ours, theirs = np.eye(4, dtype=np.uint8), np.ones((4, 4), np.uint8)
    comparison = MaskComparison(ours, theirs, None, "one")

    assert comparison.volume == score_mask(ours, theirs, config=mask_comparison.ScoreConfig(distances=False))
    assert comparison.masks()[0].shape == (4, 4)
    ours[0, 1] = 1
    assert comparison.update(ours, theirs) == [0]


def test_other_masks_are_told_from_edited_ones(masks):
    ours, theirs = masks
    comparison = MaskComparison(ours, theirs, SPACING, "one")

    assert comparison.fits(ours + 1, theirs, SPACING)
    assert not comparison.fits(ours[:2], theirs[:2], SPACING)
    assert not comparison.fits(ours.astype(int), theirs, SPACING)
    assert not comparison.fits(ours, theirs, None)


def test_slices_that_were_not_segmented_count_nowhere():
    ours, theirs = np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)
    theirs[:, 2:7, 2:7] = ours[1, 2:7, 2:6] = 1
    comparison = MaskComparison(ours, theirs, None, "one", segmented=(1,))

    assert comparison.counted == (1,)
    assert comparison.volume == comparison.slices[1]
    assert comparison.notable == ()
    assert [part.any(axis=(1, 2)).tolist() for part in comparison.masks()] == [[False, True, False]] * 2
    assert comparison.disagreement([0, 1, 2]).any(axis=(1, 2)).tolist() == [False, True, False]

    ours[2] = 1
    assert comparison.update(ours, theirs, segmented=(0, 1)) == [0, 2]
    assert comparison.counted == (0, 1)
    assert comparison.notable == (0,)
