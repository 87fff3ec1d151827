import numpy as np
import pytest
from scipy import ndimage

from napari_brainseg.core.config import PostprocessConfig
from napari_brainseg.core.postprocessing import postprocess
from napari_brainseg.core.volumes import Array


def boxes(*corners: tuple[slice, slice, slice], shape: tuple[int, int, int] = (6, 24, 24)) -> Array:
    probability = np.zeros(shape, np.float32)
    for corner in corners:
        probability[corner] = 0.9
    return probability


LARGE = np.s_[1:5, 2:12, 2:12]  # 400 voxels
MEDIUM = np.s_[1:3, 14:19, 14:19]  # 50 voxels
SMALL = np.s_[5:6, 20:23, 2:4]  # 6 voxels


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_threshold_takes_what_is_at_least_as_probable(threshold: float) -> None:
    probability = np.array([[[0.29, 0.3, 0.49, 0.5, 0.69, 0.7, 1.0]]])
    mask = postprocess(probability, PostprocessConfig(threshold=threshold))
    np.testing.assert_array_equal(mask, probability >= threshold)
    assert mask.dtype == np.uint8


def test_by_default_nothing_is_cleaned_up() -> None:
    probability = np.random.default_rng(0).random((4, 20, 20))
    np.testing.assert_array_equal(postprocess(probability, PostprocessConfig()), probability >= 0.5)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        pytest.param({"keep_share": 0.01}, [LARGE, MEDIUM, SMALL], id="above 1 % of the largest"),
        pytest.param({"keep_share": 0.015}, [LARGE, MEDIUM, SMALL], id="just as large as the share"),
        pytest.param({"keep_share": 0.1}, [LARGE, MEDIUM], id="above 10 %"),
        pytest.param({"keep_share": 0.125}, [LARGE, MEDIUM], id="just 12.5 %"),
        pytest.param({"keep_share": 0.13}, [LARGE], id="above 13 %"),
        pytest.param({"keep_share": 1}, [LARGE], id="only the largest"),
        pytest.param({"min_voxels": 6}, [LARGE, MEDIUM, SMALL], id="6 voxels"),
        pytest.param({"min_voxels": 7}, [LARGE, MEDIUM], id="7 voxels"),
        pytest.param({"min_voxels": 401}, [], id="more than there are"),
        pytest.param({"min_voxels": 7, "keep_share": 0.2}, [LARGE], id="both"),
    ],
)
def test_small_components_are_dropped(settings: dict[str, float], kept: list[tuple[slice, slice, slice]]) -> None:
    mask = postprocess(boxes(LARGE, MEDIUM, SMALL), PostprocessConfig(**settings))
    np.testing.assert_array_equal(mask, boxes(*kept) > 0)


def test_components_are_joined_across_slices_and_corners() -> None:
    """Two boxes that touch in one corner of neighbouring slices are one component."""
    probability = boxes(np.s_[0:2, 0:4, 0:4], np.s_[2:4, 4:8, 4:8])
    mask = postprocess(probability, PostprocessConfig(keep_share=1, min_voxels=64))
    np.testing.assert_array_equal(mask, probability > 0)


@pytest.mark.parametrize("settings", [{"keep_share": 1}, {"min_voxels": 3}, {"closing": True}, {"fill_holes": True}])
def test_empty_stays_empty(settings: dict[str, float]) -> None:
    assert not postprocess(np.zeros((3, 20, 20)), PostprocessConfig(**settings)).any()


def test_holes_are_filled_slice_by_slice() -> None:
    probability = boxes(LARGE)
    probability[2, 5:8, 5:8] = 0
    probability[3, 2, 6] = 0  # open to the outside: not a hole
    mask = postprocess(probability, PostprocessConfig(fill_holes=True))
    wanted = boxes(LARGE) > 0
    wanted[3, 2, 6] = False
    np.testing.assert_array_equal(mask, wanted)


def test_closing_joins_what_is_a_few_pixels_apart_within_a_slice() -> None:
    probability = boxes(np.s_[2:3, 4:20, 4:10], np.s_[2:3, 4:20, 12:18])
    mask = postprocess(probability, PostprocessConfig(closing=True))
    assert mask[2, 6:18, 10:12].all()
    assert not mask[[1, 3]].any()
    assert not mask[2, :4].any()
    assert not mask[2, :, :4].any()


def test_closing_adds_only() -> None:
    probability = np.random.default_rng(0).random((3, 30, 30))
    mask = postprocess(probability, PostprocessConfig(closing=True, threshold=0.8))
    assert mask[probability >= 0.8].all()


def test_closing_at_the_border_is_that_of_a_larger_image() -> None:
    probability = np.random.default_rng(1).random((2, 20, 20))
    config = PostprocessConfig(closing=True, threshold=0.85)
    padded = np.pad(probability, ((0, 0), (10, 10), (10, 10)))
    np.testing.assert_array_equal(postprocess(probability, config), postprocess(padded, config)[:, 10:-10, 10:-10])


def test_closing_uses_a_5_x_5_ellipse() -> None:
    footprint = np.ones((5, 5), bool)
    footprint[np.ix_([0, -1], [0, 1, 3, 4])] = False  # as OpenCV's MORPH_ELLIPSE
    probability = np.pad(np.random.default_rng(2).random((2, 30, 30)), ((0, 0), (6, 6), (6, 6)))
    mask = postprocess(probability, PostprocessConfig(closing=True, threshold=0.9))
    for plane, found in zip(probability, mask, strict=True):
        np.testing.assert_array_equal(found, ndimage.binary_closing(plane >= 0.9, footprint))


def test_border_touching_tumour_is_kept_whole() -> None:
    probability = boxes(np.s_[0:6, 0:10, 0:24])
    config = PostprocessConfig(keep_share=0.5, min_voxels=10, fill_holes=True, closing=True)
    np.testing.assert_array_equal(postprocess(probability, config), probability > 0)


def test_gaps_are_closed_before_small_components_are_counted() -> None:
    """Two halves that closing joins count as one component."""
    probability = boxes(np.s_[2:3, 4:8, 4:8], np.s_[2:3, 4:8, 9:13], LARGE[:1] + np.s_[14:20, 14:20])
    alone = postprocess(probability, PostprocessConfig(min_voxels=17))
    assert not alone[2, 4:8, 4:13].any()
    together = postprocess(probability, PostprocessConfig(min_voxels=17, closing=True))
    assert together[2, 4:8, 4:8].all()
