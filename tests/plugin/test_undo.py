"""Ctrl+Z after a mask was written by a tool, and after the brush."""

import numpy as np
import pytest
from napari.layers import Labels, Layer

from napari_brainseg.plugin.layers import mask_layer
from napari_brainseg.plugin.undo import add_to_step, is_drawing, is_writing, write_as_one_step

SHAPE = (6, 64, 64)


@pytest.fixture
def before() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:4, 20:40, 20:40] = 1
    return mask


@pytest.fixture
def after(before) -> np.ndarray:
    return np.roll(before, (1, 3, 0), axis=(0, 1, 2))


@pytest.fixture
def layer(viewer, tiny_volume, before) -> Labels:
    layer = viewer.add_layer(Layer.create(*mask_layer(before, tiny_volume, "manual")))
    layer.contour = 2
    return layer


def test_one_step_back_and_forth(layer, before, after):
    assert write_as_one_step(layer, after)
    np.testing.assert_array_equal(layer.data, after)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    layer.undo()  # there is no other step
    np.testing.assert_array_equal(layer.data, before)
    layer.redo()
    np.testing.assert_array_equal(layer.data, after)


def test_steps_of_tools_and_strokes_follow_each_other(layer, before, after):
    layer.paint((2, 5, 5), 1)
    painted = layer.data.copy()
    write_as_one_step(layer, after)
    layer.paint((0, 60, 60), 1)

    layer.undo()
    np.testing.assert_array_equal(layer.data, after)
    layer.undo()
    np.testing.assert_array_equal(layer.data, painted)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_nothing_to_change_is_no_step(layer, before):
    told = []
    layer.events.paint.connect(told.append)

    assert not write_as_one_step(layer, before)

    layer.undo()
    assert not told
    np.testing.assert_array_equal(layer.data, before)


def test_the_layer_keeps_its_array_and_tells_of_the_change_once_it_is_there(layer, after):
    data, told = layer.data, []
    layer.events.paint.connect(lambda _: told.append((layer.data.copy(), is_writing(layer))))

    write_as_one_step(layer, after)

    assert layer.data is data
    [(shown, was_writing)] = told
    np.testing.assert_array_equal(shown, after)
    assert was_writing
    assert not is_writing(layer)


def test_voxels_that_stay_tumour_keep_their_label(viewer):
    layer = viewer.add_labels(np.array([[[0, 3, 3]]], np.uint16))

    write_as_one_step(layer, np.array([[[1, 1, 0]]], np.uint8))

    assert layer.data.tolist() == [[[1, 3, 0]]]
    layer.undo()
    assert layer.data.tolist() == [[[0, 3, 3]]]


def test_what_is_in_view_shows_it(make_napari_viewer, before, after):
    viewer = make_napari_viewer()
    layer = viewer.add_labels(before.copy())
    for z in range(SHAPE[0]):
        viewer.dims.set_current_step(0, z)
        write_as_one_step(layer, after)
        assert np.array_equal(layer._slice.image.raw, after[z])
        layer.undo()
        assert np.array_equal(layer._slice.image.raw, before[z])


def test_masks_of_another_shape(layer):
    with pytest.raises(ValueError, match=r"the mask has shape \(5, 64, 64\), but .* has \(6, 64, 64\)"):
        write_as_one_step(layer, np.zeros((5, 64, 64), np.uint8))


def test_a_stroke_that_is_being_drawn_is_not_cut_in_two(layer, before, after):
    assert not is_drawing(layer)
    with layer.block_history():
        layer.paint((2, 5, 5), 1)
        assert is_drawing(layer)
        with pytest.raises(ValueError, match="a stroke is being drawn"):
            write_as_one_step(layer, after)
        layer.paint((2, 50, 5), 1)
    assert not is_drawing(layer)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_what_is_added_to_a_step_is_undone_and_redone_with_it(layer, before, after):
    def correct(event):
        layer.events.paint.disconnect(correct)
        add_to_step(layer, event.value, after)

    layer.events.paint.connect(correct)
    with layer.block_history():
        layer.paint((2, 5, 5), 1)

    np.testing.assert_array_equal(layer.data, after)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    layer.redo()
    np.testing.assert_array_equal(layer.data, after)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
