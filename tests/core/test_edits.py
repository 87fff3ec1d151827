"""Corrections on shapes of which one knows what must come out."""

from collections.abc import Callable
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from napari_brainseg.core.edits import (
    copy_slice,
    fill_between,
    gap_around,
    grow,
    keep_island,
    remove_island,
    shrink,
    smooth,
    snap,
)
from napari_brainseg.core.masks import Mask

SHAPE = (9, 64, 64)


def disk(radius: float, y: float = 32, x: float = 32) -> Mask:
    rows, columns = np.indices(SHAPE[1:])
    return (np.hypot(rows - y, columns - x) <= radius).astype(np.uint8)


def volume(**planes: Mask) -> Mask:
    """Mask with these planes, called z0 to z8."""
    mask = np.zeros(SHAPE, np.uint8)
    for name, plane in planes.items():
        mask[int(name[1:])] = plane
    return mask


masks = arrays.arrays(np.uint8, (4, 7, 6), elements=st.integers(0, 1))
BLOB = volume(z2=disk(8), z3=disk(9), z4=disk(7))
EDITS: dict[str, Callable[[Mask], Mask]] = {
    "fill_between": lambda mask: fill_between(mask, 2, 4),
    "remove_island": lambda mask: remove_island(mask, (3, 32, 32)),
    "keep_island": lambda mask: keep_island(mask, (3, 32, 32)),
    "smooth": lambda mask: smooth(mask, [2, 3]),
    "grow": lambda mask: grow(mask, [2, 3]),
    "shrink": lambda mask: shrink(mask, [2, 3]),
    "copy_slice": lambda mask: copy_slice(mask, 3, 5),
    "snap": lambda mask: snap(mask, np.zeros_like(mask), np.zeros(SHAPE, np.float32), 0.5),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_comes_out_is_another_mask_of_the_same_kind(name):
    mask = BLOB.copy()
    mask.flags.writeable = False

    edited = EDITS[name](mask)

    assert edited is not mask
    assert not np.shares_memory(edited, mask)
    assert (edited.shape, edited.dtype) == (mask.shape, np.uint8)
    assert set(np.unique(edited)) <= {0, 1}
    np.testing.assert_array_equal(mask, BLOB)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_a_patient_takes_no_noticeable_time(name):
    mask = np.zeros((88, 256, 256), np.uint8)
    mask[20:60, 60:140, 80:190] = 1
    mask[31:39] = 0
    edits = EDITS | {
        "fill_between": lambda mask: fill_between(mask, 30, 39),
        "remove_island": lambda mask: remove_island(mask, (25, 100, 100)),
        "keep_island": lambda mask: keep_island(mask, (25, 100, 100)),
        "snap": lambda mask: snap(mask, np.zeros_like(mask), np.zeros(mask.shape, np.float32), 0.5),
    }
    started = perf_counter()
    edits[name](mask)
    assert perf_counter() - started < 1  # some tens of milliseconds where nothing else runs


class TestGaps:
    MASK = volume(z2=disk(5), z3=disk(5), z7=disk(5))

    @pytest.mark.parametrize(
        ("z", "gap"), [(0, None), (1, None), (2, None), (3, None), (4, (3, 7)), (6, (3, 7)), (7, None), (8, None)]
    )
    def test_nearest_slices_with_tumour(self, z, gap):
        assert gap_around(self.MASK, z) == gap

    def test_none_where_there_is_no_tumour(self):
        assert gap_around(volume(), 4) is None

    @pytest.mark.parametrize("z", [-1, 9])
    def test_slices_that_are_not_there(self, z):
        with pytest.raises(ValueError, match=rf"there is no slice {z}; allowed are 0 to 8"):
            gap_around(self.MASK, z)


class TestFillBetween:
    def test_the_same_shape_goes_through(self):
        filled = fill_between(volume(z1=disk(8), z6=disk(8)), 1, 6)
        np.testing.assert_array_equal(filled, volume(**{f"z{z}": disk(8) for z in range(1, 7)}))

    def test_radius_changes_evenly(self):
        filled = fill_between(volume(z0=disk(4), z8=disk(20)), 0, 8)
        radii = np.sqrt(filled.sum(axis=(1, 2)) / np.pi)
        np.testing.assert_allclose(radii, np.linspace(4, 20, 9), atol=0.5)

    def test_order_of_the_slices_does_not_matter(self):
        mask = volume(z1=disk(5), z5=disk(9, 30, 36))
        np.testing.assert_array_equal(fill_between(mask, 5, 1), fill_between(mask, 1, 5))

    @pytest.mark.parametrize("distance", [8, 17, 40])
    def test_one_piece_moves_whether_its_places_overlap_or_not(self, distance):
        filled = fill_between(volume(z0=disk(8, 32, 12), z8=disk(8, 32, 12 + distance)), 0, 8)
        for z, plane in enumerate(filled):
            np.testing.assert_allclose(ndimage.center_of_mass(plane), (32, 12 + distance * z / 8), atol=0.6)
            assert plane.sum() == pytest.approx(disk(8).sum(), rel=0.1)

    def test_pieces_stay_where_they_are_and_one_without_a_counterpart_tapers(self):
        left, right = disk(8, 32, 15), disk(4, 32, 50)
        filled = fill_between(volume(z0=left | right, z4=left), 0, 4)
        assert all(np.array_equal(plane[:, :32], left[:, :32]) for plane in filled[:5])
        sizes = filled[:5, :, 32:].sum(axis=(1, 2))
        assert sizes[4] == 0
        assert np.all(np.diff(sizes.astype(int)) <= 0)

    def test_several_pieces_elsewhere_move_together(self):
        filled = fill_between(volume(z0=disk(5, 10, 10) | disk(5, 24, 10), z4=disk(9, 45, 45)), 0, 4)
        assert all(plane.any() for plane in filled[:5])

    def test_tumour_at_the_border_of_the_image(self):
        edge = np.zeros(SHAPE[1:], np.uint8)
        edge[:20] = 1
        filled = fill_between(volume(z0=edge, z2=edge), 0, 2)
        np.testing.assert_array_equal(filled[1], edge)

    def test_slices_full_of_tumour(self):
        filled = fill_between(volume(z0=disk(100), z2=disk(100)), 0, 2)
        assert filled[1].all()

    def test_single_voxels(self):
        filled = fill_between(volume(z0=disk(0), z2=disk(0)), 0, 2)
        np.testing.assert_array_equal(filled[1], disk(0))

    def test_what_lies_between_already_stays(self):
        speck = disk(2, 5, 5)
        filled = fill_between(volume(z0=disk(8), z1=speck, z2=disk(8)), 0, 2)
        np.testing.assert_array_equal(filled[1], disk(8) | speck)

    @pytest.mark.parametrize(("first", "last"), [(3, 4), (3, 3)])
    def test_nothing_changes_where_nothing_lies_between(self, first, last):
        np.testing.assert_array_equal(fill_between(BLOB, first, last), BLOB)

    @pytest.mark.parametrize(("mask", "empty"), [(BLOB, 0), (volume(), 0), (volume(z0=disk(3)), 4)])
    def test_slices_without_tumour(self, mask, empty):
        with pytest.raises(ValueError, match=rf"slice {empty} has no tumour; it takes two slices that have some"):
            fill_between(mask, 0, 4)

    @given(mask=masks)
    def test_tumour_is_only_added_and_only_between(self, mask):
        mask[0, 2, 3] = mask[3, 4, 1] = 1
        filled = fill_between(mask, 0, 3)
        np.testing.assert_array_equal(filled[[0, 3]], mask[[0, 3]])
        assert np.all(filled >= mask)


class TestIslands:
    LEFT, RIGHT = np.s_[1:4, 2:10, 2:10], np.s_[2:6, 30:40, 30:40]

    @pytest.fixture
    def mask(self):
        mask = volume()
        mask[self.LEFT] = mask[self.RIGHT] = 1
        return mask

    def test_one_is_removed_and_the_other_kept(self, mask):
        left = volume()
        left[self.LEFT] = 1
        np.testing.assert_array_equal(keep_island(mask, (1, 2, 2)), left)
        np.testing.assert_array_equal(remove_island(mask, (1, 2, 2)), mask - left)

    def test_pieces_that_touch_in_a_corner_are_one(self):
        mask = volume()
        mask[0:2, 0:4, 0:4] = mask[2:4, 4:8, 4:8] = 1
        assert not remove_island(mask, (0, 0, 0)).any()
        np.testing.assert_array_equal(keep_island(mask, (3, 7, 7)), mask)

    @pytest.mark.parametrize("point", [(0, 0, 0), (1, 2, 10), (-1, 5, 5), (9, 5, 5), (1, 5, 64)])
    @pytest.mark.parametrize("edit", [remove_island, keep_island])
    def test_points_beside_it(self, mask, edit, point):
        place = "z = {}, y = {}, x = {}".format(*point)
        with pytest.raises(ValueError, match=f"there is no tumour at {place}"):
            edit(mask, point)

    def test_masks_without_tumour(self):
        with pytest.raises(ValueError, match="there is no tumour at"):
            remove_island(volume(), (0, 0, 0))

    @given(mask=masks)
    def test_what_is_removed_and_what_is_kept_make_up_the_mask(self, mask):
        mask[1, 3, 2] = 1
        removed, kept = (edit(mask, (1, 3, 2)) for edit in (remove_island, keep_island))
        np.testing.assert_array_equal(removed + kept, mask)
        assert kept[1, 3, 2] == 1


class TestSlicesAlone:
    @pytest.mark.parametrize("edit", [smooth, grow, shrink])
    def test_other_slices_stay(self, edit):
        mask = np.random.default_rng(0).integers(0, 2, SHAPE, np.uint8)
        edited = edit(mask, [0, 8])
        np.testing.assert_array_equal(edited[1:8], mask[1:8])
        assert all((edited[z] != mask[z]).any() for z in (0, 8))

    @pytest.mark.parametrize("edit", [smooth, grow, shrink])
    def test_slices_know_nothing_of_each_other(self, edit):
        mask = np.random.default_rng(0).integers(0, 2, SHAPE, np.uint8)
        together = edit(mask, range(9))
        for z in range(9):
            np.testing.assert_array_equal(edit(mask[z : z + 1], [0])[0], together[z])

    @pytest.mark.parametrize("edit", [smooth, grow, shrink])
    def test_no_tumour_and_no_slices(self, edit):
        np.testing.assert_array_equal(edit(volume(), [4]), volume())
        np.testing.assert_array_equal(edit(BLOB, []), BLOB)

    @pytest.mark.parametrize("edit", [smooth, grow, shrink])
    def test_slices_that_are_not_there(self, edit):
        with pytest.raises(ValueError, match="there is no slice -1; allowed are 0 to 8"):
            edit(BLOB, [3, -1])

    def test_a_voxel_grows_to_a_cross_and_shrinks_back(self):
        grown = grow(volume(z4=disk(0)), [4])
        np.testing.assert_array_equal(grown, volume(z4=disk(1)))
        np.testing.assert_array_equal(shrink(grown, [4]), volume(z4=disk(0)))

    def test_growth_ends_at_the_border(self):
        assert grow(volume(z4=disk(0, 0, 0)), [4]).sum() == 3

    def test_the_border_of_the_image_is_not_an_outline(self):
        edge = np.zeros(SHAPE[1:], np.uint8)
        edge[:20] = 1
        np.testing.assert_array_equal(np.flatnonzero(shrink(volume(z4=edge), [4])[4].all(axis=1)), np.arange(19))

    def test_spikes_notches_and_specks_are_smoothed_away(self):
        square = np.zeros(SHAPE[1:], np.uint8)
        square[10:40, 10:40] = 1
        rough = square.copy()
        rough[5:10, 20] = rough[50:53, 50:53] = 1  # a spike and a speck
        rough[35:40, 30] = 0  # a notch
        smoothed = smooth(volume(z0=rough), [0])[0]
        assert not smoothed[:9].any()
        assert not smoothed[42:].any()
        assert smoothed[20:38, 15:35].all()

    def test_a_straight_outline_stays_up_to_the_border(self):
        edge = np.zeros(SHAPE[1:], np.uint8)
        edge[:20] = 1
        np.testing.assert_array_equal(smooth(volume(z0=edge), [0])[0], edge)

    def test_a_copy_replaces_what_was_there(self):
        np.testing.assert_array_equal(copy_slice(BLOB, 3, 4), volume(z2=disk(8), z3=disk(9), z4=disk(9)))
        np.testing.assert_array_equal(copy_slice(BLOB, 8, 3), volume(z2=disk(8), z4=disk(7)))

    @pytest.mark.parametrize(("source", "target"), [(-1, 0), (8, 9)])
    def test_copies_beyond_the_first_and_the_last_slice(self, source, target):
        with pytest.raises(ValueError, match="there is no slice"):
            copy_slice(BLOB, source, target)


class TestSnap:
    def test_paint_stays_where_tumour_is_probable_and_erasure_where_it_is_not(self):
        before = np.array([[[0, 0, 0, 1, 1, 1, 1, 0]]], np.uint8)
        after = np.array([[[1, 1, 1, 0, 0, 0, 1, 0]]], np.uint8)
        probability = np.array([[[0.1, 0.2, 0.9, 0.1, 0.2, 0.9, 0.1, 0.9]]], np.float32)
        np.testing.assert_array_equal(snap(after, before, probability, 0.2), [[[0, 1, 1, 0, 1, 1, 1, 0]]])

    @given(mask=masks, before=masks, minimum=st.sampled_from([0.0, 0.3, 1.0]))
    def test_what_no_stroke_touched_stays_and_the_rest_agrees_with_the_probability(self, mask, before, minimum):
        probability = np.random.default_rng(1).random(mask.shape)
        snapped = snap(mask, before, probability, minimum)
        touched = mask != before
        np.testing.assert_array_equal(snapped[~touched], mask[~touched])
        accepted = touched & (snapped == mask)
        np.testing.assert_array_equal(accepted, touched & ((mask > 0) == (probability >= minimum)))

    def test_shapes_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"before the stroke \(9, 64, 64\) and the probability \(9, 64\)"):
            snap(BLOB, BLOB, np.zeros((9, 64)), 0.5)
