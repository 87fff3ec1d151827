"""The Explain part of the Segment tab: a map as a layer, figures in words, a stop that works."""

import numpy as np
import pytest
from napari.layers import Image
from superqt import QCollapsible

from napari_brainseg.plugin.explain import EXPLAIN, STOP
from napari_brainseg.plugin.layer_metadata import kind_of, notes


def maps(viewer) -> list[Image]:
    return [layer for layer in viewer.layers if kind_of(layer) == "saliency"]


@pytest.fixture
def explained(qtbot):
    """Explain a slice and wait for it."""

    def run(tab, method="gradcam") -> None:
        tab.explain.method["method"].value = method
        tab.explain.run()
        qtbot.waitUntil(lambda: not tab.explain.is_running, timeout=60_000)

    return run


@pytest.fixture
def tab(viewer, tiny_case, add_layers, open_segment_tab):
    add_layers(viewer, tiny_case)
    return open_segment_tab(viewer)


@pytest.mark.parametrize("method", ["occlusion", "gradcam", "smoothgrad"])
def test_the_slice_in_view_is_explained_in_a_layer_and_in_words(viewer, tab, explained, method):
    viewer.dims.set_point(0, 3)
    active = viewer.layers.selection.active = viewer.layers[0]
    explained(tab, method)
    (layer,) = maps(viewer)

    assert layer.name == f"bert {method}, slice 4"
    assert layer.data[3].max() == pytest.approx(1)
    assert not np.delete(layer.data, 3, axis=0).any()
    assert layer.colormap.name == "clear magma"  # longer ones are cut off in the layer controls
    assert (layer.colorbar.visible, tuple(layer.contrast_limits)) == (True, (0, 1))
    assert viewer.layers.selection.active is active
    assert kind_of(viewer.layers[viewer.layers.index(layer) + 1]) == "manual"
    assert notes(layer.metadata)["description"] in tab.explain.legend.text()
    assert "Slice 4" in tab.explain.line.text()
    assert tab.explain.line.text().count("<td>no&nbsp;") == 4
    assert "vs&nbsp;manual" in tab.explain.line.text()
    assert tab.explain.button.text() == EXPLAIN


def test_a_map_lies_on_its_images_and_replaces_the_former(viewer, tab, explained):
    for box, size in zip(tab.spacing, (5, 2, 2), strict=True):
        box.value = size
    tab._set_spacing()
    explained(tab)
    first = maps(viewer)
    viewer.dims.set_point(0, 0)
    explained(tab)
    (layer,) = maps(viewer)
    images = tab.picker.image

    assert layer not in first
    assert layer.data[0].any()
    assert tuple(layer.scale) == tuple(images.scale) == (5, 2, 2)
    assert layer.units == images.units
    assert layer.axis_labels == images.axis_labels


def test_what_is_said_goes_with_the_layer(viewer, tab, explained):
    explained(tab)
    assert tab.explain.legend.text()
    viewer.layers.remove(maps(viewer)[0])

    assert tab.explain.line.text() == tab.explain.legend.text() == ""


def test_the_button_stops_it_and_nothing_changes(viewer, tab, qtbot, gate):
    tab.explain.run()
    assert tab.explain.button.text() == STOP
    qtbot.waitUntil(lambda: bool(gate.threads), timeout=30_000)
    tab.explain.button.click()
    qtbot.waitUntil(lambda: not tab.explain.is_running, timeout=30_000)

    assert not maps(viewer)
    assert tab.explain.line.text() == "Stopped; nothing was changed."
    assert tab.explain.button.text() == EXPLAIN
    assert "MainThread" not in gate.threads


def test_without_images_the_button_says_why(viewer, open_segment_tab):
    tab = open_segment_tab(viewer)

    assert not tab.explain.button.isEnabled()
    assert tab.explain.button.toolTip() == "Open a case or an image first."


def test_images_that_are_closed_meanwhile_get_no_map(viewer, tab, qtbot, gate):
    tab.explain.run()
    qtbot.waitUntil(lambda: bool(gate.threads), timeout=30_000)
    viewer.layers.clear()
    gate.open()
    qtbot.waitUntil(lambda: not tab.explain.is_running, timeout=30_000)

    assert not viewer.layers
    assert "closed meanwhile" in tab.explain.line.text()


def test_a_failure_is_said_in_the_tab(viewer, tab, explained, monkeypatch):
    from napari_brainseg.core import models

    def fail(_: str) -> None:
        raise ValueError("the weights are damaged")

    monkeypatch.setattr(models, "load_model", fail)
    explained(tab)

    assert tab.explain.line.text() == "The weights are damaged."
    assert not maps(viewer)


def test_uncertainty_has_a_legend_while_its_layer_is_there(viewer, tab, finish):
    tab.run()
    finish(tab)
    assert tab.uncertainty_line.isHidden()
    tab.show_uncertainty.value = True
    assert not tab.uncertainty_line.isHidden()
    assert "undecided" in tab.uncertainty_line.text()
    tab.show_uncertainty.value = False
    assert tab.uncertainty_line.isHidden()


def test_in_a_real_window(make_napari_viewer, tiny_case, tiny_default, add_layers, explained, qtbot):
    from napari_brainseg.plugin.tabs import show_tab

    viewer = make_napari_viewer(show=True)
    add_layers(viewer, tiny_case)
    tab = show_tab(viewer, "Segment")
    explained(tab)
    (layer,) = maps(viewer)

    assert layer.visible
    part = tab.explain.parent()
    while not isinstance(part, QCollapsible):
        part = part.parent()
    part.expand(animate=False)
    explained(tab)
    line = tab.explain.line
    qtbot.waitUntil(lambda: line.height() >= line.heightForWidth(line.width()) > 40)
    assert tab.width() < 340
    tab.close()
