"""Slices of layers that lie anywhere in the viewer."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_brainseg.plugin.slice_view import go_to_slice, slice_in_view, why_apart, why_not_in_view

MASK = np.zeros((4, 8, 8), np.uint8)
PLACE = {"scale": (5, 1, 1), "translate": (100, 0, 0)}


def test_a_slice_that_was_gone_to_is_in_view_wherever_the_layer_lies(viewer):
    layer = viewer.add_labels(MASK, **PLACE)
    go_to_slice(viewer, layer, 2)

    assert viewer.dims.point[0] == 110
    assert slice_in_view(viewer, layer) == 2


def test_beside_a_layer_its_nearest_slice_counts(viewer):
    layer = viewer.add_labels(MASK, **PLACE)
    viewer.add_labels(MASK, translate=(90, 0, 0))
    viewer.add_labels(MASK, translate=(200, 0, 0))

    viewer.dims.set_point(0, 90)
    assert slice_in_view(viewer, layer) == 0
    viewer.dims.set_point(0, 203)
    assert slice_in_view(viewer, layer) == 3


def test_axes_before_those_of_a_layer_are_left_alone(viewer):
    layer = viewer.add_labels(MASK, **PLACE)
    viewer.add_image(np.zeros((6, 4, 8, 8)), scale=(1, 5, 1, 1), translate=(0, 100, 0, 0))
    viewer.dims.set_point(0, 3)
    go_to_slice(viewer, layer, 1)

    assert viewer.dims.point[:2] == (3, 105)
    assert slice_in_view(viewer, layer) == 1


def test_a_flat_layer_and_none_have_one_slice(viewer):
    flat = viewer.add_labels(MASK[0])
    for layer in (flat, None):
        go_to_slice(viewer, layer, 2)
        assert slice_in_view(viewer, layer) == 0


def test_a_slice_is_in_view_only_where_the_viewer_goes_along_z(viewer):
    layer, flat = viewer.add_labels(MASK), viewer.add_labels(MASK[0])
    assert why_not_in_view(viewer, layer) == why_not_in_view(viewer, flat) == why_not_in_view(viewer, None) == ""

    viewer.dims.order = (1, 0, 2)
    assert why_not_in_view(viewer, layer) == "Go back to the view of slices along Z first."
    assert why_not_in_view(viewer, flat) == ""
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    assert why_not_in_view(viewer, layer) == "Go back to the view of slices along Z first."


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({}, None),
        ({"scale": (5, 1, 2)}, "a has scale (5.0, 1.0, 2.0), but b has (5.0, 1.0, 1.0): they must lie on each other"),
        ({"translate": (101, 0, 0)}, "a lies elsewhere than b: they must lie on each other"),
        ({"rotate": (0, 0, 10)}, "a lies elsewhere than b: they must lie on each other"),
    ],
)
def test_layers_lie_on_each_other_or_it_is_said_why_not(place, why):
    assert why_apart(Labels(MASK, **PLACE | place), Labels(MASK, **PLACE), ("a", "b")) == why
