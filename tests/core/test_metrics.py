import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_brainseg.core.metrics import Scores, score_mask
from napari_brainseg.core.volumes import Array

shapes = hnp.array_shapes(min_dims=2, max_dims=3, max_side=5)


def voxels(mask: Array) -> set[tuple[int, ...]]:
    return set(zip(*np.nonzero(mask), strict=True))


@st.composite
def two_masks(draw: Any) -> tuple[Array, Array]:
    shape = draw(shapes)
    mask = hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 255]))
    return draw(mask), draw(mask)


@given(two_masks())
def test_scores_are_those_of_sets_of_voxels(masks: tuple[Array, Array]) -> None:
    scores = score_mask(*masks)
    ours, theirs = map(voxels, masks)
    assert (scores.tp, scores.fp, scores.fn) == (len(ours & theirs), len(ours - theirs), len(theirs - ours))
    assert scores.tp + scores.fp + scores.fn + scores.tn == masks[0].size
    if ours or theirs:
        assert scores.dice == pytest.approx(2 * len(ours & theirs) / (len(ours) + len(theirs)))
        assert scores.iou == pytest.approx(len(ours & theirs) / len(ours | theirs))
    else:
        assert scores.dice == scores.iou == 1


@given(two_masks())
def test_dice_and_iou_say_the_same_both_ways_round(masks: tuple[Array, Array]) -> None:
    one, other = score_mask(*masks), score_mask(*masks[::-1])
    assert one.dice == other.dice
    assert one.iou == pytest.approx(one.dice / (2 - one.dice))


@pytest.mark.parametrize(
    ("predicted", "reference", "dice"),
    [
        pytest.param([0, 0], [0, 0], 1.0, id="both empty"),
        pytest.param([1, 0], [0, 0], 0.0, id="reference empty"),
        pytest.param([0, 0], [0, 1], 0.0, id="prediction empty"),
        pytest.param([1, 0], [255, 0], 1.0, id="1 and 255 agree"),
        pytest.param([1, 1], [1, 0], 2 / 3, id="one voxel too many"),
    ],
)
def test_dice_of_small_masks(predicted: list[int], reference: list[int], dice: float) -> None:
    assert score_mask(np.array(predicted), np.array(reference)).dice == pytest.approx(dice)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32], ids=str)
def test_type_of_the_masks_does_not_matter(kind: Any) -> None:
    mask = np.array([[1, 0], [1, 1]])
    assert score_mask(mask.astype(kind), np.array([[1, 1], [0, 1]])) == Scores(tp=2, fp=1, fn=1, tn=0)


def test_masks_of_different_shape_are_refused() -> None:
    message = "the masks have shapes (2, 3) and (3, 2), which must be the same"
    with pytest.raises(ValueError, match=re.escape(message)):
        score_mask(np.zeros((2, 3)), np.zeros((3, 2)))
