import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_distance import compute_average_surface_distance

from napari_brainseg.core.config import ScoreConfig
from napari_brainseg.core.metrics import FIGURES, Scores, pool_scores, score_mask, score_slices
from napari_brainseg.core.volumes import Array, Spacing

COUNTS = ScoreConfig(distances=False)
RATIOS = ("dice", "iou", "sensitivity", "precision")

shapes = hnp.array_shapes(min_dims=2, max_dims=3, max_side=5)


def voxels(mask: Array) -> set[tuple[int, ...]]:
    return set(zip(*np.nonzero(mask), strict=True))


@st.composite
def two_masks(draw: Any, shape: Any = shapes) -> tuple[Array, Array]:
    size = draw(shape)
    mask = hnp.arrays(np.uint8, size, elements=st.sampled_from([0, 0, 1, 255]))
    return draw(mask), draw(mask)


volumes = two_masks(hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
spacings = st.one_of(st.none(), st.tuples(*[st.floats(0.1, 5)] * 3))


def surface(mask: Array) -> list[tuple[int, ...]]:
    """Voxels with a face neighbour that is not in the mask."""
    inside = voxels(mask)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=mask.ndim) if sum(map(abs, step)) == 1]
    return [v for v in inside if any(tuple(np.add(v, step)) not in inside for step in steps)]


def way_to(voxel: tuple[int, ...], others: list[tuple[int, ...]], sizes: Spacing) -> float:
    return min(math.dist(np.multiply(voxel, sizes), np.multiply(other, sizes)) for other in others)


@given(two_masks())
def test_scores_are_those_of_sets_of_voxels(masks: tuple[Array, Array]) -> None:
    scores = score_mask(*masks, config=COUNTS)
    ours, theirs = map(voxels, masks)
    everything = masks[0].size
    assert (scores.tp, scores.fp, scores.fn) == (len(ours & theirs), len(ours - theirs), len(theirs - ours))
    assert scores.tn == everything - len(ours | theirs)
    assert (scores.predicted, scores.reference) == (len(ours), len(theirs))
    assert scores.accuracy == pytest.approx(1 - len(ours ^ theirs) / everything)
    assert scores.difference == len(ours) - len(theirs)
    if theirs:
        assert scores.sensitivity == pytest.approx(len(ours & theirs) / len(theirs))
        assert scores.relative_difference == pytest.approx(len(ours) / len(theirs) - 1)
    if ours:
        assert scores.precision == pytest.approx(len(ours & theirs) / len(ours))
    if len(theirs) < everything:
        background = everything - len(theirs)
        assert scores.specificity == pytest.approx((background - len(ours - theirs)) / background)
    if ours or theirs:
        assert scores.dice == pytest.approx(2 * len(ours & theirs) / (len(ours) + len(theirs)))
        assert scores.iou == pytest.approx(len(ours & theirs) / len(ours | theirs))


@given(two_masks())
def test_dice_and_iou_say_the_same_both_ways_round(masks: tuple[Array, Array]) -> None:
    one, other = score_mask(*masks), score_mask(*masks[::-1])
    assert one.dice is not None
    assert one.dice == other.dice
    assert one.iou == pytest.approx(one.dice / (2 - one.dice))
    assert (one.hd95, one.assd) == (pytest.approx(other.hd95), pytest.approx(other.assd))
    assert one.difference == -other.difference


@given(volumes, spacings)
def test_distances_are_those_between_all_pairs_of_surface_voxels(
    masks: tuple[Array, Array], spacing: Spacing | None
) -> None:
    scores = score_mask(*masks, spacing)
    assert scores.distance_unit == ("mm" if spacing else "voxels")
    if not (masks[0].any() and masks[1].any()):
        assert scores.hd95 is None
        assert scores.assd is None
        return
    ours, theirs = map(surface, masks)
    sizes = spacing or (1, 1, 1)
    there = [way_to(voxel, theirs, sizes) for voxel in ours]
    back = [way_to(voxel, ours, sizes) for voxel in theirs]
    assert scores.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert scores.assd == pytest.approx((sum(there) + sum(back)) / (len(there) + len(back)))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("spacing", [None, (3.0, 0.9, 1.1)], ids=["voxels", "mm"])
def test_distances_are_those_of_monai(spacing: Spacing | None) -> None:
    rng = np.random.default_rng(0)
    masks = [np.zeros((8, 24, 20), np.uint8) for _ in range(2)]
    for mask in masks:
        z, y, x = rng.integers(1, 4, 3)
        mask[z : z + 4, y : y + 9, x : x + 12] = 1
        mask[rng.integers(8), rng.integers(24), rng.integers(20)] = 1
    theirs = [torch.from_numpy(mask)[None, None].float() for mask in masks]
    options = {"include_background": True, "symmetric": False, "spacing": spacing}
    scores = score_mask(*masks, spacing)
    hd95 = max(
        compute_hausdorff_distance(*pair, percentile=95, directed=True, include_background=True, spacing=spacing).item()
        for pair in (theirs, theirs[::-1])
    )
    there, back = (compute_average_surface_distance(*pair, **options).item() for pair in (theirs, theirs[::-1]))
    ours, others = (len(surface(mask)) for mask in masks)
    assert scores.hd95 == pytest.approx(hd95, rel=1e-5)
    assert scores.assd == pytest.approx((there * ours + back * others) / (ours + others), rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parallel_sheets_are_as_far_apart_as_the_voxel_size_says(axis: int) -> None:
    spacing = (5.0, 0.5, 2.0)
    masks = [np.zeros((9, 9, 9), bool) for _ in range(2)]
    for mask, place in zip(masks, (2, 6), strict=True):
        np.moveaxis(mask, axis, 0)[place] = True
    scores = score_mask(*masks, spacing)
    assert scores.dice == 0
    assert scores.hd95 == scores.assd == pytest.approx(4 * spacing[axis])


def ball(radius: float, shift: float = 0, size: int = 72) -> Array:
    z, y, x = np.indices((size,) * 3) - (size - 1) / 2
    return z**2 + y**2 + (x - shift) ** 2 <= radius**2


@pytest.mark.parametrize("shift", [4.0, 12.0, 30.0])
def test_shifted_balls_overlap_in_a_lens(shift: float) -> None:
    radius = 20.0
    lens = 1 - 3 * shift / (4 * radius) + shift**3 / (16 * radius**3)  # over the volume of one ball
    scores = score_mask(ball(radius, -shift / 2), ball(radius, shift / 2))
    assert scores.dice == pytest.approx(lens, abs=0.01)
    assert scores.iou == pytest.approx(lens / (2 - lens), abs=0.01)


def test_concentric_balls_are_one_radius_less_the_other_apart() -> None:
    scores = score_mask(ball(14), ball(24), (2.0, 2.0, 2.0))
    assert scores.sensitivity == pytest.approx((14 / 24) ** 3, abs=0.01)
    assert scores.precision == 1
    assert scores.assd == pytest.approx(2 * 10, rel=0.05)
    assert scores.hd95 == pytest.approx(2 * 10, rel=0.08)
    assert scores.millilitres(scores.reference) == pytest.approx(4 / 3 * math.pi * 48**3 / 1000, rel=0.01)


@pytest.mark.parametrize(
    ("empty", "both"), [("one", 1.0), ("zero", 0.0), ("skip", None)], ids=["one", "zero", "left out"]
)
def test_ratios_of_empty_masks_follow_the_policy(empty: Any, both: float | None) -> None:
    config = ScoreConfig(empty=empty)
    nothing, something = np.zeros((2, 3, 3), bool), np.ones((2, 3, 3), bool)
    neither = score_mask(nothing, nothing, config=config)
    assert [getattr(neither, name) for name in RATIOS] == [both] * 4
    assert neither.both_empty
    for masks in ((something, nothing), (nothing, something)):
        scores = score_mask(*masks, config=config)
        assert [getattr(scores, name) for name in RATIOS] == [0.0] * 4
        assert not scores.both_empty
        assert scores.hd95 is None
        assert scores.assd is None


def test_no_figure_is_ever_nan() -> None:
    nothing, something = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)
    for masks in itertools.product((nothing, something), repeat=2):
        scores = score_mask(*masks)
        values = [getattr(scores, figure.name) for figure in FIGURES]
        assert all(value is None or math.isfinite(value) for value in values)
    assert score_mask(something, nothing).relative_difference is None
    assert score_mask(nothing, something).specificity is None


@given(volumes)
def test_slices_are_scored_as_if_they_stood_alone_and_pool_to_the_volume(masks: tuple[Array, Array]) -> None:
    spacing = (2.0, 1.0, 1.0)
    slices = score_slices(*masks, spacing, COUNTS)
    assert slices == tuple(score_mask(*pair, spacing, COUNTS) for pair in zip(*masks, strict=True))
    assert pool_scores(slices) == score_mask(*masks, spacing, COUNTS)


def test_scores_of_other_policies_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="same policy"):
        pool_scores([Scores(1, 0, 0, 0), Scores(1, 0, 0, 0, empty="skip")])
    with pytest.raises(ValueError, match="if there are some"):
        pool_scores([])


def test_cases_of_other_voxel_size_pool_to_no_millilitres() -> None:
    pooled = pool_scores([Scores(1, 0, 0, 0, spacing=(1, 1, 1)), Scores(2, 0, 0, 0, spacing=(2, 1, 1))])
    assert pooled.tp == 3
    assert pooled.millilitres(3) is None


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.float32], ids=str)
def test_type_of_the_masks_does_not_matter(kind: Any) -> None:
    mask = np.array([[1, 0], [1, 1]])
    assert score_mask(mask.astype(kind), np.array([[1, 1], [0, 1]]), config=COUNTS) == Scores(2, 1, 1, 0)


def test_every_label_above_0_is_tumour() -> None:
    assert score_mask(np.array([[0, 1, 2, 4]]), np.array([[0, 255, 1, 0]]), config=COUNTS) == Scores(2, 1, 0, 1)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([[0.0, 0.37]]), "the predicted mask holds 0.37; allowed are labels: threshold probabilities first"),
        (np.array([[0.0, np.nan]]), "the predicted mask holds nan; allowed are labels"),
        (np.array([[0, -1]]), "the predicted mask holds -1; allowed are 0 for background and labels above it"),
        (np.array([["a", "b"]]), "the predicted mask holds <U1; allowed are bool and whole labels"),
        (np.zeros((2, 3)), "the masks have shapes (2, 3) and (1, 2), which must be the same"),
    ],
    ids=["probability", "nan", "negative", "text", "shape"],
)
def test_what_is_no_mask_is_refused(mask: Array, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        score_mask(mask, np.zeros((1, 2), bool))


def test_masks_without_voxels_are_refused() -> None:
    with pytest.raises(ValueError, match="no voxels"):
        score_slices(np.zeros((0, 4, 4)), np.zeros((0, 4, 4)))
