"""The Segment tab as a person uses it: choose, segment, stop, tune, edit, copy."""

import json
import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from qtpy.QtCore import QEvent, QSettings, Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_brainseg.cli import main
from napari_brainseg.core import model_folders, segmentation
from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.config import PostprocessConfig, SegmentConfig
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.model_folders import INFO_FILE, WEIGHTS_FILE
from napari_brainseg.core.models import load_model
from napari_brainseg.core.phantom import PhantomCase, make_phantom, write_phantom_cases
from napari_brainseg.core.results import RESULT_FILE, SegmentationResult
from napari_brainseg.core.rounds import adopt
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import default_workspace
from napari_brainseg.plugin import segment_widget
from napari_brainseg.plugin.layer_metadata import METADATA
from napari_brainseg.plugin.segment_form import RUN, STOP, STOPPING
from napari_brainseg.plugin.segment_widget import SegmentWidget

SEPARATE = "Three separate layers..."
NOTHING = "Open a case or an image first"
SHAPE = (6, 64, 64)


def images_of(widget: SegmentWidget) -> tuple[str, ...]:
    return tuple(widget.images.choices)


def predictions(viewer) -> list[Labels]:
    return [layer for layer in viewer.layers if "prediction" in layer.name]


def paint(layer: Labels) -> None:
    """One stroke of the brush in a corner of slice 1."""
    layer.data_setitem((np.array([1, 1]), np.array([3, 3]), np.array([3, 4])), 1 - layer.data[1, 3, 3])


def find_layout(path: Path) -> Case:
    """A case whose only use is to say how the mask at a path is stored."""
    return Case("saved", path.parent, "nifti" if path.suffix == ".gz" else "stack")


def delete(tab: SegmentWidget) -> None:
    """Destroy the Qt side of a tab, as Qt does once it is back in its event loop."""
    tab.deleteLater()
    QApplication.sendPostedEvents(tab, QEvent.Type.DeferredDelete)
    with pytest.raises(RuntimeError, match="has been deleted"):
        tab.isVisible()


@pytest.fixture
def tab(viewer, tiny_volume, add_layers, open_segment_tab) -> SegmentWidget:
    """The tab beside one opened phantom."""
    add_layers(viewer, tiny_volume)
    return open_segment_tab(viewer)


@pytest.fixture
def segmented(tab, finish) -> SegmentWidget:
    """The tab after the phantom was segmented."""
    tab.run()
    finish(tab)
    return tab


@pytest.fixture
def expected(tiny_volume, tiny_default) -> segmentation.Segmentation:
    """What core makes of the phantom."""
    return segmentation.segment(tiny_volume, load_model("default"))


# the picker


def test_nothing_open_disables_the_buttons_and_says_why(viewer, open_segment_tab):
    tab = open_segment_tab(viewer)

    assert images_of(tab) == (NOTHING,)
    for button in (tab.run_button, tab.slice_button):
        assert not button.enabled
        assert button.native.toolTip() == f"{NOTHING}."
    for control in (tab.threshold, tab.show_probability, tab.show_uncertainty, tab.save_button):
        assert not control.enabled
        assert control.native.toolTip() == "Segment first."


def test_layers_that_were_there_before_the_tab_are_offered(tab):
    assert images_of(tab) == ("anna",)
    assert tab.images.value == "anna"
    assert tab.run_button.enabled


def test_picker_follows_layers_added_renamed_and_removed(viewer, open_segment_tab):
    tab = open_segment_tab(viewer)
    first = viewer.add_image(np.zeros(SHAPE), name="first")
    assert (images_of(tab), tab.images.value) == (("first",), "first")

    second = viewer.add_image(np.zeros((*SHAPE, 3), np.uint8), name="second", rgb=True)
    assert (images_of(tab), tab.images.value) == (("first", "second", SEPARATE), "second")

    second.name = "renamed"
    assert (images_of(tab), tab.images.value) == (("first", "renamed", SEPARATE), "renamed")

    viewer.layers.remove(second)
    assert (images_of(tab), tab.images.value) == (("first",), "first")

    viewer.layers.remove(first)
    assert (images_of(tab), tab.images.value) == ((NOTHING,), NOTHING)
    assert not tab.run_button.enabled


def test_images_that_cannot_be_chosen_say_why(viewer, open_segment_tab):
    tab = open_segment_tab(viewer)
    assert tab.images_line.isHidden()
    movie = viewer.add_image(np.zeros((2, 4, 8, 10)), name="movie")
    why = "movie has shape (2, 4, 8, 10); allowed are (Z, Y, X) and (Y, X), grey or RGB."
    assert (tab.images_line.text(), tab.images_line.isHidden()) == (why, False)
    assert tab.run_button.native.toolTip() == why
    tab.run()
    assert tab.status.text() == why

    viewer.add_image([np.zeros((8, 16, 16)), np.zeros((4, 8, 8))], multiscale=True, name="scan")
    assert tab.images_line.text() == f"{why} scan is kept at several resolutions; allowed are images of one."
    viewer.add_image(np.zeros(SHAPE), name="first")
    assert images_of(tab) == ("first",)
    assert tab.run_button.enabled

    viewer.layers.remove(movie)
    viewer.layers.remove("scan")
    assert tab.images_line.isHidden()


def test_a_long_name_does_not_widen_the_tab(tab, viewer):
    viewer.add_image(np.zeros(SHAPE), name="sub-0001_ses-01_acq-axial_run-01_space-MNI152NLin6Asym_desc-preproc_FLAIR")
    tab.show()

    assert tab.widget().minimumSizeHint().width() < tab.minimumWidth()


def test_renaming_another_layer_leaves_the_choice(viewer, open_segment_tab):
    viewer.add_image(np.zeros(SHAPE), name="first")
    second = viewer.add_image(np.zeros(SHAPE), name="second")
    tab = open_segment_tab(viewer)
    tab.images.value = "first"
    second.name = "another"

    assert tab.images.value == "first"


def test_a_newly_opened_case_is_chosen(tab, viewer, add_layers):
    add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])

    assert images_of(tab) == ("anna", "bert")
    assert tab.images.value == "bert"


def test_a_new_mask_leaves_the_choice(tab, viewer, add_layers):
    add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])
    tab.images.value = "anna"
    viewer.add_labels(np.zeros(SHAPE, np.uint8))

    assert tab.images.value == "anna"


def test_two_cases_of_one_name_can_both_be_chosen(tab, viewer, add_layers):
    namesake = make_phantom(5, SHAPE, name="anna")[0]
    add_layers(viewer, namesake)

    assert images_of(tab) == ("anna", "anna (2)")
    assert tab.picker.volume() is namesake


def test_a_case_replaced_by_another_is_no_choice_any_more(tab, viewer, add_layers):
    former = list(viewer.layers)
    for layer in former:
        viewer.layers.remove(layer)
    add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])

    assert images_of(tab) == ("bert",)
    assert tab.picker.volume().name == "bert"


def test_separate_layers_are_asked_for_only_where_they_are_chosen(viewer, open_segment_tab):
    array = make_phantom(1, SHAPE)[0].array
    layers = [viewer.add_image(array[..., channel], name=f"c{channel}") for channel in range(3)]
    tab = open_segment_tab(viewer)
    assert tab.channels[0].native.isHidden()

    tab.images.value = SEPARATE
    assert not tab.channels[0].native.isHidden()
    for box, layer in zip(tab.channels, layers, strict=True):
        box.value = layer

    assert np.array_equal(tab.picker.volume().array, array)
    layers[0].name = "renamed"
    assert tab.images.value == SEPARATE
    assert tab.channels[0].value is layers[0]


def test_separate_layers_that_do_not_fit_give_a_sentence(viewer, open_segment_tab):
    flair = viewer.add_image(np.zeros(SHAPE), name="flair")
    post = viewer.add_image(np.zeros((5, 64, 64)), name="post")
    tab = open_segment_tab(viewer)
    tab.images.value = SEPARATE
    tab.run()
    assert tab.status.text() == "choose the layer that holds FLAIR: the model cannot do without it"

    tab.channels[1].value, tab.channels[2].value = flair, post
    tab.run()
    assert tab.status.text().startswith("post-contrast has shape (5, 64, 64), but FLAIR has (6, 64, 64)")
    assert not tab.is_running
    assert not predictions(viewer)


@pytest.mark.parametrize("shape", [(6, 64, 64), (6, 64, 64, 3), (64, 64), (64, 64, 3)], ids=str)
def test_plain_images_are_segmented_where_they_lie(viewer, open_segment_tab, finish, tiny_volume, shape):
    array = tiny_volume.array if shape[-1] == 3 else tiny_volume.array[..., 1]
    array = array if shape[0] == 6 else array[3]
    place = {"scale": (4, 0.5, 0.5)[-array.ndim :], "translate": (7, 8, 9)[-array.ndim :]}
    if shape[-1] == 3:
        place = {name: values[-(array.ndim - 1) :] for name, values in place.items()}
    images = viewer.add_image(array, name="plain", rgb=shape[-1] == 3, **place)
    tab = open_segment_tab(viewer)
    tab.run()
    finish(tab)

    (layer,) = predictions(viewer)
    assert layer.data.any()
    assert layer.data.shape == (6 if shape[0] == 6 else 1, 64, 64)
    position = (1, 2, 3)[-images.ndim :]
    assert layer.data_to_world((0, 2, 3))[-2:] == images.data_to_world((0, 2, 3)[-images.ndim :])[-2:]
    if images.ndim == 3:
        assert layer.data_to_world(position) == images.data_to_world(position)


# segmenting


def test_run_gives_the_mask_that_core_gives_on_the_images_with_its_provenance(segmented, viewer, expected):
    (layer,) = predictions(viewer)
    images = viewer.layers["anna FLAIR"]
    provenance = layer.metadata[METADATA]["provenance"]

    assert 0.1 < expected.mask.mean() < 0.9
    assert np.array_equal(layer.data, expected.mask)
    assert layer.contour == 2
    assert np.array_equal(layer.scale, images.scale)
    assert (layer.units, layer.axis_labels) == (images.units, images.axis_labels)
    assert layer.editable
    assert provenance["model"] == "default"
    assert provenance["weights_sha256"] == expected.provenance.weights_sha256
    assert provenance["postprocess"] == PostprocessConfig().model_dump()
    assert provenance["versions"]["torch"]
    assert (provenance["slices"], provenance["finished"]) == ((0, 1, 2, 3, 4, 5), True)
    assert segmented.status.text().startswith("Done in ")
    assert segmented.run_button.text == RUN


def test_in_the_real_window_the_slice_in_view_comes_first_by_key(
    make_napari_viewer, tiny_volume, add_layers, open_segment_tab, half_done, finish, qtbot
):
    viewer = make_napari_viewer()
    add_layers(viewer, tiny_volume)
    tab = open_segment_tab(viewer)
    viewer.window.add_dock_widget(tab, name="Segment")
    viewer.dims.set_point(0, 5)
    gate = half_done(tab)

    assert set(np.flatnonzero(tab.result.probability.any(axis=(1, 2)))) == {5}
    layer = tab.result.layer
    assert layer.data[5].any()
    assert not layer.data[:4].any()
    assert not layer.editable
    assert tab.run_button.text == STOP
    viewer.dims.set_point(0, 0)  # the window is free to scroll
    gate.open()
    finish(tab)
    assert layer.data[:4].any()
    assert layer.editable

    viewer.window._qt_viewer.canvas.native.setFocus()
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, "S", Qt.KeyboardModifier.ShiftModifier)
    assert tab.is_running
    finish(tab)


def test_the_key_gives_a_sentence_where_nothing_is_open(viewer, open_segment_tab):
    tab = open_segment_tab(viewer)
    (action,) = [action for key, action in viewer.keymap.items() if str(key) == "Shift+S"]
    action(viewer)

    assert tab.status.text() == f"{NOTHING}: there is nothing to segment"
    assert not tab.is_running


def test_progress_counts_slices(tab, half_done, qtbot):
    half_done(tab)

    qtbot.waitUntil(lambda: re.fullmatch(r"1 of 6 slices, \d+ s left", tab.status.text()) is not None)
    assert (tab.progress.value, tab.progress.max) == (1, 6)


def test_the_network_is_prepared_and_run_off_the_gui_thread(
    viewer, tiny_volume, add_layers, open_segment_tab, finish, monkeypatch
):
    threads: dict[str, set[threading.Thread]] = {"prepare": set(), "segment": set()}
    prepare, segment = segment_widget.prepare_engine, segment_widget.segment_in_task

    def note(kind: str, function: Callable) -> Callable:
        def noted(*arguments):
            threads[kind].add(threading.current_thread())
            return function(*arguments)

        return noted

    monkeypatch.setattr(segment_widget, "prepare_engine", note("prepare", prepare))
    monkeypatch.setattr(segment_widget, "segment_in_task", note("segment", segment))
    add_layers(viewer, tiny_volume)
    tab = open_segment_tab(viewer)
    tab.run()
    finish(tab)

    assert all(threads.values())
    assert threading.main_thread() not in threads["prepare"] | threads["segment"]


def test_running_again_replaces_the_layer(segmented, viewer, finish, expected):
    former = segmented.result.layer
    segmented.run()
    finish(segmented)

    (layer,) = predictions(viewer)
    assert layer is not former
    assert layer.name == "anna prediction"
    assert np.array_equal(layer.data, expected.mask)


def test_running_again_keeps_an_edited_layer_and_adds_a_new_one(segmented, viewer, finish, expected):
    edited = segmented.result.layer
    paint(edited)
    kept = edited.data.copy()
    segmented.run()
    finish(segmented)

    assert len(predictions(viewer)) == 2
    assert np.array_equal(edited.data, kept)
    assert edited.name == "anna prediction (edited)"
    assert np.array_equal(segmented.result.layer.data, expected.mask)


def test_a_stroke_that_was_undone_is_no_edit(segmented, viewer, finish):
    paint(segmented.result.layer)
    segmented.result.layer.undo()
    segmented.run()
    finish(segmented)

    assert [layer.name for layer in predictions(viewer)] == ["anna prediction"]


def test_going_back_and_forth_between_two_cases_leaves_one_layer_each(segmented, viewer, add_layers, finish):
    add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])
    for name in ("bert", "anna", "bert", "anna"):
        segmented.images.value = name
        segmented.run()
        finish(segmented)

    assert sorted(layer.name for layer in predictions(viewer)) == ["anna prediction", "bert prediction"]


def test_threshold_and_size_belong_to_the_case_that_is_chosen(segmented, viewer, add_layers, finish, qtbot):
    segmented.threshold.value = 0.6
    qtbot.waitUntil(lambda: segmented.result.settings.threshold == 0.6)
    anna = segmented.result.layer.data.copy()
    size = f"Tumour {np.count_nonzero(anna)} voxels"
    add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])
    assert segmented.result is None
    assert segmented.size_line.text() == ""
    assert not segmented.threshold.enabled

    segmented.run()
    finish(segmented)
    segmented.threshold.value = 0.4
    qtbot.waitUntil(lambda: segmented.result.settings.threshold == 0.4)
    segmented.images.value = "anna"

    assert segmented.threshold.value == 0.6
    assert segmented.size_line.text().replace("\u2009", "").startswith(size)
    assert np.array_equal(segmented.result.layer.data, anna)


def test_the_result_of_a_case_stays_with_it_when_layers_are_reordered(segmented, viewer):
    viewer.layers.move(viewer.layers.index("anna FLAIR"), 0)

    assert segmented.result.layer is viewer.layers["anna prediction"]
    assert segmented.threshold.enabled


def test_a_double_click_starts_and_a_later_click_stops(tab, qtbot, gate, finish):
    button = tab.run_button.native
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert tab.run_button.text == STOP

    qtbot.wait(QApplication.doubleClickInterval() + 100)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert tab.run_button.text == STOPPING
    gate.open()
    finish(tab)


def test_stop_keeps_the_slices_that_are_done(tab, viewer, half_done, finish, expected):
    gate = half_done(tab)
    done = tab.result.probability.any(axis=(1, 2))
    tab.run()  # the same button
    assert tab.run_button.text == STOPPING
    assert not tab.run_button.enabled
    gate.open()
    finish(tab)

    layer = tab.result.layer
    assert 0 < np.count_nonzero(done) < 6
    assert np.array_equal(layer.data[done], expected.mask[done])
    assert not layer.data[~done].any()
    assert layer.editable
    assert tab.status.text() == "Stopped: the slices that were done stay, the others are empty."
    provenance = layer.metadata[METADATA]["provenance"]
    assert provenance["finished"] is False
    assert provenance["slices"] == tuple(np.flatnonzero(done))
    assert 0 < provenance["seconds"] < 60
    whole = expected.provenance.model_dump()
    same = whole.keys() - {"seconds", "created", "settings"}
    assert {key: provenance[key] for key in same} == {key: whole[key] for key in same}
    assert provenance["settings"] == whole["settings"] | {"batch_size": 2}
    tab.show_probability.value = True
    assert np.array_equal(viewer.layers["anna probability"].data.any(axis=(1, 2)), done)
    assert (tab.run_button.text, tab.run_button.enabled, tab.slice_button.enabled) == (RUN, True, True)


def test_this_slice_needs_one_in_view(tab, viewer):
    viewer.dims.ndisplay = 3
    assert tab.run_button.enabled
    assert not tab.slice_button.enabled
    assert tab.slice_button.native.toolTip() == "Go back to the view of slices along Z first."

    viewer.dims.ndisplay = 2
    assert tab.slice_button.enabled


def test_stop_before_the_first_slice_leaves_the_former_result(segmented, monkeypatch, finish, expected):
    layer = segmented.result.layer
    ready = threading.Event()
    prepare = segment_widget.prepare_engine

    def prepare_slowly(*arguments):
        assert ready.wait(10)
        return prepare(*arguments)

    monkeypatch.setattr(segment_widget, "prepare_engine", prepare_slowly)
    segmented.run()
    segmented.stop()
    ready.set()
    finish(segmented)

    assert segmented.result.layer is layer
    assert np.array_equal(layer.data, expected.mask)
    assert segmented.status.text() == "Stopped: no slice was done yet."


def test_layers_added_in_mid_run_do_not_bring_the_buttons_back(tab, half_done, viewer):
    half_done(tab)
    viewer.add_image(np.zeros(SHAPE), name="another")
    assert not tab.slice_button.enabled
    assert tab.run_button.text == STOP

    tab.stop()
    viewer.add_image(np.zeros(SHAPE), name="and another")
    assert tab.run_button.text == STOPPING
    assert not tab.run_button.enabled


def test_a_result_removed_in_mid_run_stops_it(tab, half_done, finish, viewer):
    gate = half_done(tab)
    viewer.layers.remove(tab.result.layer)
    assert tab.run_button.text == STOPPING
    gate.open()
    finish(tab)

    assert tab.status.text() == "Stopped: the mask was taken out of the viewer."
    assert not predictions(viewer)
    assert tab.run_button.text == RUN
    assert not tab.threshold.enabled
    tab.run()
    finish(tab)
    assert len(predictions(viewer)) == 1


def test_the_case_closed_in_mid_run_does_no_harm(tab, half_done, finish, viewer):
    gate = half_done(tab)
    for layer in list(viewer.layers):
        viewer.layers.remove(layer)
    gate.open()
    finish(tab)

    assert not viewer.layers
    assert images_of(tab) == (NOTHING,)
    assert not tab.run_button.enabled


def test_images_closed_before_the_first_slice_get_no_result(tab, monkeypatch, finish, viewer):
    ready = threading.Event()
    prepare = segment_widget.prepare_engine

    def prepare_slowly(*arguments):
        assert ready.wait(10)
        return prepare(*arguments)

    monkeypatch.setattr(segment_widget, "prepare_engine", prepare_slowly)
    tab.run()
    viewer.layers.clear()
    ready.set()
    finish(tab)

    assert not viewer.layers
    assert tab.status.text() == "Stopped: no slice was done yet."


def test_removing_the_result_clears_what_was_said_of_it(segmented, viewer):
    assert segmented.size_line.text()
    viewer.layers.remove(segmented.result.layer)

    assert segmented.size_line.text() == ""
    assert not segmented.threshold.enabled


def test_a_damaged_model_gives_a_sentence_and_leaves_result_and_tab_usable(
    segmented, viewer, tmp_path, save_tiny_model, finish, qtbot, expected
):
    folder = save_tiny_model(tmp_path / "broken")
    (folder / WEIGHTS_FILE).write_bytes(b"nothing")
    segmented.models.choose(str(folder))
    qtbot.waitUntil(lambda: "is damaged" in segmented.status.text(), timeout=10_000)
    assert segmented.device_line.text() == ""

    segmented.run()
    finish(segmented)
    assert segmented.status.text().startswith(f"{folder / WEIGHTS_FILE} is damaged")
    assert np.array_equal(predictions(viewer)[0].data, expected.mask)
    assert (segmented.run_button.text, segmented.run_button.enabled) == (RUN, True)

    segmented.models.choose("default")
    segmented.run()
    finish(segmented)
    assert segmented.status.text().startswith("Done in ")


def test_nan_from_the_network_gives_a_sentence_and_no_empty_mask(tab, viewer, tmp_path, save_tiny_model, finish):
    tab.models.choose(str(save_tiny_model(tmp_path / "nan", nan=True)))
    tab.run()
    finish(tab)

    assert tab.status.text().startswith("the model gives NaN for anna")
    assert not predictions(viewer)
    assert (tab.run_button.text, tab.run_button.enabled) == (RUN, True)


def test_images_that_cannot_be_segmented_give_a_sentence(viewer, open_segment_tab, finish):
    viewer.add_image(np.full(SHAPE, np.nan), name="broken")
    tab = open_segment_tab(viewer)
    tab.run()
    assert tab.status.text().startswith("broken holds 24576 values that are NaN")

    viewer.add_image(np.zeros(SHAPE), name="black")
    tab.run()
    finish(tab)
    assert tab.status.text().startswith("black is empty")
    assert not predictions(viewer)


def test_this_slice_fills_no_slice_but_the_one_in_view(tab, viewer, finish, expected):
    viewer.dims.set_point(0, 4)
    tab.run(this_slice=True)
    finish(tab)
    layer = tab.result.layer
    assert np.flatnonzero(layer.data.any(axis=(1, 2))).tolist() == [4]
    assert np.array_equal(layer.data[4], expected.mask[4])

    viewer.dims.set_point(0, 1)
    tab.run(this_slice=True)
    finish(tab)
    assert tab.result.layer is layer
    assert np.flatnonzero(layer.data.any(axis=(1, 2))).tolist() == [1, 4]
    assert layer.metadata[METADATA]["provenance"]["slices"] == (1, 4)
    assert tab.size_line.text().endswith(". 2 of 6 slices segmented.")


@pytest.mark.parametrize("undone", [False, True], ids=["edited", "edited and undone"])
def test_this_slice_after_an_edit_keeps_the_edit_and_the_other_slices(segmented, viewer, finish, expected, undone):
    edited = segmented.result.layer
    paint(edited)
    if undone:
        edited.undo()
    segmented.run(this_slice=True)
    finish(segmented)

    assert len(predictions(viewer)) == (1 if undone else 2)
    assert segmented.result.layer is not edited
    assert np.array_equal(segmented.result.layer.data, expected.mask)
    segmented.result.layer.undo()
    segmented.result.layer.redo()
    assert np.array_equal(segmented.result.layer.data, expected.mask)


def test_slices_of_two_models_are_not_put_together(segmented, viewer, finish, tmp_path, save_tiny_model, expected):
    segmented.models.choose(str(save_tiny_model(tmp_path / "mine", seed=3)))
    viewer.dims.set_point(0, 4)
    segmented.run(this_slice=True)
    finish(segmented)

    former, layer = predictions(viewer)
    assert np.flatnonzero(layer.data.any(axis=(1, 2))).tolist() == [4]
    assert layer.metadata[METADATA]["provenance"]["model"] == "mine"
    assert (former.name, former.visible) == ("anna prediction (former)", False)
    assert np.array_equal(former.data, expected.mask)
    assert segmented.status.text().endswith("The former mask is kept as 'anna prediction (former)', hidden.")


# what is said of the result


def test_size_counts_voxels_until_the_voxel_size_is_known(segmented, expected):
    voxels = np.count_nonzero(expected.mask)
    largest = np.count_nonzero(expected.mask, axis=(1, 2)).argmax()

    text = segmented.size_line.text().replace("\u2009", "")
    assert text.startswith(f"Tumour {voxels} voxels (voxel size unknown: set it for mL)")
    assert text.endswith(f"largest in slice {largest + 1} (z = {largest}).")


def test_size_follows_the_brush(segmented, qtbot):
    before = segmented.size_line.text()
    paint(segmented.result.layer)

    qtbot.waitUntil(lambda: segmented.size_line.text() != before)


def test_images_in_millimetres_give_millilitres(viewer, open_segment_tab, finish, tiny_volume):
    viewer.add_image(tiny_volume.array, rgb=True, scale=(5, 1, 2), units=("mm",) * 3)
    tab = open_segment_tab(viewer)
    tab.run()
    finish(tab)

    millilitres = np.count_nonzero(tab.result.layer.data) * 10 / 1000
    assert tab.size_line.text().startswith(f"Tumour {millilitres:.1f} mL, ")


@pytest.mark.parametrize("kind", ["case", "grey", "rgb", "flat", "separate"])
def test_a_voxel_size_moves_all_layers_of_the_case_and_gives_millilitres(
    viewer, add_layers, open_segment_tab, finish, tiny_volume, kind
):
    array = tiny_volume.array
    if kind == "case":
        add_layers(viewer, tiny_volume)
    elif kind == "separate":
        for channel in range(3):
            viewer.add_image(array[..., channel], name=f"c{channel}")
    else:
        viewer.add_image({"grey": array[..., 1], "rgb": array, "flat": array[3, ..., 1]}[kind], rgb=kind == "rgb")
    tab = open_segment_tab(viewer)
    if kind == "separate":
        tab.images.value = SEPARATE
        for box, layer in zip(tab.channels, viewer.layers, strict=True):
            box.value = layer
    tab.show_probability.value = True
    viewer.dims.set_point(0, 4)
    tab.run()
    finish(tab)
    for box, size in zip(tab.spacing, (5.0, 0.5, 0.75), strict=True):
        box.value = size
    tab.spacing_button.native.click()

    assert len(viewer.layers) == {"case": 5, "separate": 5}.get(kind, 3)
    for layer in viewer.layers:
        assert tuple(layer.scale) == (5, 0.5, 0.75)[-layer.ndim :]
        assert {str(unit) for unit in layer.units} == {"millimeter"}
    millilitres = np.count_nonzero(tab.result.layer.data) * 5 * 0.5 * 0.75 / 1000
    assert tab.size_line.text().startswith(f"Tumour {millilitres:.1f} mL, ")
    assert tab.picker.volume().spacing == (5, 0.5, 0.75)
    if kind != "flat":
        assert viewer.dims.current_step[0] == 4

    layer = tab.result.layer
    tab.run()
    finish(tab)
    assert len(predictions(viewer)) == 1
    assert tab.result.layer is not layer
    assert tuple(tab.result.layer.scale)[-2:] == (0.5, 0.75)


@pytest.mark.parametrize("again", [False, True], ids=["known", "opened again"])
def test_the_voxel_size_shown_is_that_of_the_case(viewer, open_segment_tab, add_layers, tiny_case, tiny_volume, again):
    tab = open_segment_tab(viewer)
    case = add_layers(viewer, tiny_case)
    for box, size in zip(tab.spacing, (5, 0.46875, 0.5), strict=True):
        box.native.setDecimals(5)
        box.value = size
    tab.spacing_button.native.click()
    assert tab.status.text() == "Voxel size 5 × 0.46875 × 0.5 mm (z, y, x) for all layers of bert."
    if again:
        for layer in case:
            viewer.layers.remove(layer)
    add_layers(viewer, tiny_volume)
    assert [box.value for box in tab.spacing] == [1, 1, 1]

    if again:
        add_layers(viewer, tiny_case)
    tab.images.value = "bert"
    assert [box.value for box in tab.spacing] == [5, 0.46875, 0.5]
    assert tab.picker.volume().spacing == (5, 0.46875, 0.5)


def test_what_was_said_of_one_case_does_not_stay_beside_another(segmented, viewer, add_layers):
    assert segmented.status.text().startswith("Done in ")
    viewer.layers.move(0, 2)
    assert segmented.status.text().startswith("Done in ")
    add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])

    assert segmented.status.text() == ""


def test_a_run_that_ends_beside_another_case_says_whose_it_was(tab, half_done, finish, viewer, add_layers):
    gate = half_done(tab)
    add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])
    gate.open()
    finish(tab)

    assert tab.status.text().startswith("anna: Done in ")


# threshold, clean-up and maps


@pytest.fixture
def no_network(segmented, expected, monkeypatch):
    """From now on the network must not run."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the network was run")

    monkeypatch.setattr(segmentation, "predict", fail)
    monkeypatch.setattr(segmentation.Runner, "__call__", fail)


def test_the_threshold_moves_the_mask_without_the_network(segmented, no_network, expected, qtbot):
    layer, sizes = segmented.result.layer, []
    for threshold in (0.2, 0.4, 0.6, 0.8):
        segmented.threshold.value = threshold
        wanted = expected.probability >= segmented.threshold.value
        qtbot.waitUntil(lambda wanted=wanted: np.array_equal(layer.data, wanted))
        sizes.append(np.count_nonzero(layer.data))

    assert sizes == sorted(set(sizes), reverse=True)
    assert segmented.result.layer is layer
    assert layer.metadata[METADATA]["provenance"]["postprocess"]["threshold"] == pytest.approx(0.8)


def test_clean_up_changes_the_mask_without_the_network(segmented, no_network, expected, qtbot):
    wanted = segmentation.postprocess(expected.probability, PostprocessConfig(keep_share=1, closing=True))
    segmented.clean_up["keep_share"].value = 1
    segmented.clean_up["closing"].value = True

    assert not np.array_equal(wanted, expected.mask)
    qtbot.waitUntil(lambda: np.array_equal(segmented.result.layer.data, wanted))


def test_the_threshold_after_an_edit_keeps_the_edit_and_undo_stays_sane(segmented, viewer, expected, qtbot):
    edited = segmented.result.layer
    paint(edited)
    kept = edited.data.copy()
    segmented.threshold.value = 0.6
    qtbot.waitUntil(lambda: segmented.result.layer is not edited)

    assert np.array_equal(edited.data, kept)
    assert np.array_equal(segmented.result.layer.data, expected.probability >= 0.6)
    segmented.result.layer.undo()
    assert np.array_equal(segmented.result.layer.data, expected.probability >= 0.6)
    assert len(predictions(viewer)) == 2

    again = segmented.result.layer
    paint(again)
    segmented.threshold.value = 0.7
    qtbot.waitUntil(lambda: segmented.result.layer is not again)
    assert again.name != edited.name
    assert segmented.status.text() == f"Your edits are kept as '{again.name}', hidden."


def test_a_threshold_moved_in_mid_run_holds_for_the_whole_result(tab, half_done, finish, expected, qtbot):
    gate = half_done(tab)
    tab.threshold.value = 0.6
    qtbot.waitUntil(lambda: tab.result.settings.threshold == 0.6)
    gate.open()
    finish(tab)

    assert np.array_equal(tab.result.layer.data, expected.probability >= 0.6)
    assert tab.result.layer.metadata[METADATA]["provenance"]["postprocess"]["threshold"] == 0.6
    assert tab.threshold.value == 0.6


def test_maps_appear_and_disappear_with_their_boxes(segmented, viewer, expected):
    segmented.show_probability.value = True
    segmented.show_uncertainty.value = True
    # other batches round otherwise
    assert np.allclose(viewer.layers["anna probability"].data, expected.probability, atol=1e-5)
    assert np.allclose(viewer.layers["anna uncertainty"].data, expected.uncertainty, atol=1e-4)

    segmented.show_probability.value = False
    assert "anna probability" not in viewer.layers
    assert "anna uncertainty" in viewer.layers


def test_maps_wanted_before_a_second_run_come_with_it_once(segmented, viewer, finish):
    segmented.show_probability.value = True
    segmented.run()
    finish(segmented)

    assert [layer.name for layer in viewer.layers if "probability" in layer.name] == ["anna probability"]


def test_maps_are_not_offered_as_images(segmented):
    segmented.show_probability.value = True

    assert images_of(segmented) == ("anna",)


# models


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"validation_dice": {"a": 0.5, "b": 0.75}}, "Dice 0.62 per volume on 2 validation cases"),
        ({"recipe_dice": {"a": 0.8}}, "Dice 0.80 per volume on 1 unseen cases, for the same recipe"),
        ({}, "not validated"),
    ],
)
def test_the_model_line_tells_score_and_date(tab, tmp_path, save_tiny_model, scores, words):
    folder = save_tiny_model(tmp_path / "mine")
    content = json.loads((folder / INFO_FILE).read_text())
    (folder / INFO_FILE).write_text(json.dumps(content | {"validation_dice": {}} | scores))
    tab.models.choose(str(folder))

    assert tab.model_line.text() == f"{words}; trained 2024-05-06"


def test_the_device_line_tells_where_and_why(tab):
    assert re.fullmatch(r"\w+( GPU)?, \w+, about \d+ s for these 6 slices", tab.device_line.text())
    assert tab.device_line.toolTip().startswith("Why there: ")


def test_the_device_line_speaks_of_a_single_slice(tab, viewer):
    viewer.add_image(np.zeros((32, 32)), name="flat")

    assert tab.device_line.text().endswith("s for this slice")


def test_all_shipped_models_are_offered(
    viewer, tiny_volume, add_layers, open_segment_tab, save_tiny_model, tmp_path, monkeypatch
):
    for name in ("fast", "default"):
        save_tiny_model(tmp_path / "package" / "models" / name)
    monkeypatch.setattr(model_folders, "files", lambda _: tmp_path / "package")
    add_layers(viewer, tiny_volume)
    tab = open_segment_tab(viewer)
    box = tab.model.native
    assert [box.itemText(row) for row in range(2)] == ["default (shipped)", "fast (shipped)"]

    tab.model.value = "fast"
    assert tab.models.name == "fast"
    assert tab.models.is_by_hand
    assert tab.model.choices == ("default", "fast", "Choose a model folder...")  # once, not as one used lately too


def test_a_folder_that_holds_no_model_is_refused_and_the_former_stays(tab, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    tab.model.value = "Choose a model folder..."

    assert tab.status.text().startswith(f"{tmp_path} is not a model: allowed are")
    assert tab.model.value == "default"
    assert tab.model_line.text().startswith("Dice 0.62")


def test_a_dialog_that_is_cancelled_changes_nothing(tab, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    tab.model.value = "Choose a model folder..."

    assert tab.model.value == "default"
    assert tab.status.text() == ""


def test_the_model_in_use_where_a_case_comes_from_is_chosen_unless_a_person_has_chosen_another(
    viewer, tiny_case, add_layers, open_segment_tab, tmp_path, save_tiny_model, tiny_volume
):
    used, other = (str(save_tiny_model(tmp_path / name)) for name in ("used", "other"))
    data = tmp_path / "data"
    for name in ("bert", "anna"):
        shutil.copytree(tiny_case, data / name)
    adopt(default_workspace(data), used)
    add_layers(viewer, data / "bert")
    tab = open_segment_tab(viewer)  # as after a restart
    assert tab.models.name == used

    add_layers(viewer, tiny_case)  # of a data set where no model was adopted
    assert tab.models.name == "default"
    add_layers(viewer, tiny_volume)  # of none
    assert tab.models.name == "default"
    tab.model.value = used
    add_layers(viewer, tiny_case)
    assert tab.models.name == used, "a person has chosen it"
    tab.models.choose(other)
    add_layers(viewer, data / "anna")
    assert tab.models.name == used


def test_a_chosen_folder_is_used(tab, tmp_path, save_tiny_model, monkeypatch, finish, tiny_volume):
    folder = save_tiny_model(tmp_path / "mine", seed=3)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    tab.model.value = "Choose a model folder..."
    tab.run()
    finish(tab)

    assert tab.model.value == str(folder)
    assert tab.result.provenance.model == "mine"
    assert np.array_equal(tab.result.layer.data, segmentation.segment(tiny_volume, load_model(folder)).mask)


def test_recent_models_are_remembered_latest_first(tab, tmp_path, save_tiny_model, viewer, open_segment_tab):
    folders = [str(save_tiny_model(tmp_path / f"m{number}")) for number in range(7)]
    for folder in folders:
        tab.models.choose(folder)

    assert list(open_segment_tab(viewer).model.choices)[1:-1] == folders[:1:-1]


def test_one_recent_model_survives_the_way_through_the_settings_file(tab, tmp_path, save_tiny_model):
    folder = str(save_tiny_model(tmp_path / "mine"))
    tab.models.choose(folder)
    QSettings("napari-brainseg", "napari-brainseg").setValue("models", folder)  # how a list of one is read back
    tab.models.refresh()

    assert tab.model.choices[1:-1] == (folder,)


def test_recent_models_of_one_name_can_be_told_apart(tab, tmp_path, save_tiny_model):
    folders = [str(save_tiny_model(tmp_path / parent / "model")) for parent in ("a", "b")]
    for folder in folders:
        tab.models.choose(folder)

    assert tab.model.choices[1:-1] == (folders[1], folders[0])
    assert tab.model.value == folders[1]


def test_a_recent_model_that_was_deleted_is_not_offered(tab, tmp_path, save_tiny_model):
    folder = save_tiny_model(tmp_path / "mine")
    tab.models.choose(str(folder))
    tab.models.choose("default")
    folder.rename(tmp_path / "moved")
    tab.models.refresh()

    assert tab.model.choices[1:-1] == ()


def test_the_model_in_use_that_was_deleted_leaves_the_tab_usable(tab, tmp_path, save_tiny_model, finish):
    folder = save_tiny_model(tmp_path / "mine")
    tab.models.choose(str(folder))
    folder.rename(tmp_path / "moved")
    tab.models.refresh()
    tab.run()
    finish(tab)
    assert tab.status.text().startswith(f"{folder} is not a model")

    tab.models.choose("default")
    assert tab.model.value == "default"


def test_a_model_brings_its_own_threshold_and_clean_up(tab, tmp_path, save_tiny_model):
    own = PostprocessConfig(threshold=0.35, keep_share=0.0625, min_voxels=3, fill_holes=True)
    tab.models.choose(str(save_tiny_model(tmp_path / "mine", postprocess=own)))

    assert tab.results.settings() == own


@pytest.fixture
def other_model(tmp_path, save_tiny_model) -> str:
    """Folder of a model with a threshold and clean-up of its own."""
    own = PostprocessConfig(threshold=0.34, keep_share=0.25)
    return str(save_tiny_model(tmp_path / "other", seed=3, postprocess=own))


def test_another_model_leaves_the_result_and_its_threshold_until_the_next_run(
    segmented, other_model, finish, qtbot, expected, tiny_volume
):
    segmented.threshold.value = 0.6
    qtbot.waitUntil(lambda: segmented.result.settings.threshold == 0.6)
    layer = segmented.result.layer
    segmented.models.choose(other_model)
    qtbot.wait(100)  # longer than the mask waits for more changes
    assert segmented.threshold.value == 0.6
    assert segmented.result.layer is layer
    assert np.array_equal(layer.data, expected.probability >= 0.6)

    segmented.run()
    finish(segmented)
    assert segmented.results.settings() == PostprocessConfig(threshold=0.34, keep_share=0.25)
    assert np.array_equal(segmented.result.layer.data, segmentation.segment(tiny_volume, load_model(other_model)).mask)


def test_the_model_before_keeps_what_was_tuned(segmented, other_model, finish, qtbot, expected):
    segmented.threshold.value = 0.6
    qtbot.waitUntil(lambda: segmented.result.settings.threshold == 0.6)
    segmented.models.choose(other_model)
    segmented.models.choose("default")
    segmented.run()
    finish(segmented)

    assert np.array_equal(segmented.result.layer.data, expected.probability >= 0.6)


@pytest.mark.parametrize("way", ["another case", "removed"])
def test_without_a_result_the_form_shows_what_the_chosen_model_brings(segmented, other_model, viewer, add_layers, way):
    segmented.threshold.value = 0.6
    segmented.models.choose(other_model)
    if way == "removed":
        viewer.layers.remove(segmented.result.layer)
    else:
        add_layers(viewer, make_phantom(2, SHAPE, name="bert")[0])

    assert segmented.result is None
    assert segmented.results.settings() == PostprocessConfig(threshold=0.34, keep_share=0.25)


def test_settings_changed_twice_in_a_row_end_in_the_later_ones(tab, qtbot):
    tab.advanced["batch_size"].value = 2
    tab.advanced["batch_size"].value = 3
    qtbot.waitUntil(lambda: tab._engine.settings == SegmentConfig(batch_size=3), timeout=10_000)

    assert "Loading" not in tab.device_line.text()


def test_many_changes_of_settings_prepare_the_model_once(tab, qtbot, monkeypatch):
    prepared = []
    prepare = segment_widget.prepare_engine

    def count(*arguments):
        prepared.append(arguments)
        return prepare(*arguments)

    monkeypatch.setattr(segment_widget, "prepare_engine", count)
    for size in range(1, 8):
        tab.advanced["batch_size"].value = size
    qtbot.waitUntil(lambda: tab._engine.settings == SegmentConfig(batch_size=7), timeout=10_000)

    assert len(prepared) == 1


def test_settings_changed_in_mid_run_wait_for_its_end(tab, half_done, finish, qtbot):
    gate = half_done(tab)
    tab.advanced["batch_size"].value = 5
    qtbot.wait(600)
    assert "prepare" not in tab._tasks
    gate.open()
    finish(tab)
    qtbot.waitUntil(lambda: tab._engine.settings == SegmentConfig(batch_size=5), timeout=10_000)


def test_why_a_model_could_not_be_loaded_is_said_until_it_is(tab, monkeypatch, qtbot):
    prepare = segment_widget.prepare_engine

    def refuse(folder, settings, known):
        if settings.batch_size == 3:
            raise ValueError("there is no such device")
        return prepare(folder, settings, known)

    monkeypatch.setattr(segment_widget, "prepare_engine", refuse)
    tab.advanced["batch_size"].value = 3
    qtbot.waitUntil(lambda: tab.status.text() == "there is no such device", timeout=10_000)
    tab.advanced["batch_size"].value = 2
    qtbot.waitUntil(lambda: tab.is_ready, timeout=10_000)

    assert tab.status.text() == ""


def test_the_time_left_does_not_count_how_long_the_model_was_loaded(tab, gate, monkeypatch, qtbot):
    prepare = segment_widget.prepare_engine

    def load_slowly(*arguments):
        time.sleep(2)
        return prepare(*arguments)

    monkeypatch.setattr(segment_widget, "prepare_engine", load_slowly)
    tab.run()
    qtbot.waitUntil(lambda: " left" in tab.status.text(), timeout=30_000)

    done, total, seconds = (int(word) for word in tab.status.text().replace(",", "").split() if word.isdigit())
    assert seconds < 2 / done * (total - done)


def test_a_model_chosen_in_mid_run_is_loaded_at_its_end(tab, half_done, finish, save_tiny_model, tmp_path, qtbot):
    gate = half_done(tab)
    other = str(save_tiny_model(tmp_path / "other", seed=4))
    tab.models.choose(other)
    assert "prepare" not in tab._tasks
    gate.open()
    finish(tab)
    qtbot.waitUntil(lambda: tab._engine.folder == other and "prepare" not in tab._tasks, timeout=10_000)

    assert tab.result.provenance.model == "default"


# save and copy as command


@pytest.mark.parametrize("name", ["mine.nii.gz", "mine.tif", "mine"])
def test_the_mask_is_saved_where_the_dialog_says(segmented, tmp_path, monkeypatch, tiny_volume, expected, name):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / name), ""))
    segmented.save_button.native.click()

    assert segmented.status.text().startswith(f"Saved {tmp_path / name}")
    if name == "mine":
        assert len(list((tmp_path / name).iterdir())) == len(expected.mask)
    else:
        kept = replace(find_layout(tmp_path / name), masks=(tmp_path / name,))
        assert np.array_equal(read_mask(kept, tiny_volume), expected.mask)


@pytest.mark.parametrize(
    ("name", "kind", "written"),
    [
        ("plain", "TIFF", "plain.tif"),
        ("anna.v2", "NIfTI", "anna.v2.nii.gz"),
        ("mine.TIFF", "NIfTI", "mine.TIFF"),
        ("anna.v2", "Folder", "anna.v2"),
    ],
)
def test_a_name_without_an_ending_gets_that_of_the_chosen_type(segmented, tmp_path, monkeypatch, name, kind, written):
    def choose(_: object, __: str, proposed: str, kinds: str) -> tuple[str, str]:
        assert "." not in proposed
        return str(tmp_path / name), next(one for one in kinds.split(";;") if one.startswith(kind))

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    segmented.save_button.native.click()
    assert [path.name for path in tmp_path.iterdir()] == [written]
    assert (tmp_path / written).is_dir() == (kind == "Folder")

    if written != name:  # the dialog did not ask whether that may be replaced
        segmented.save_button.native.click()
        assert "exists already" in segmented.status.text()


def test_saving_over_a_folder_of_masks_is_refused_with_a_sentence(segmented, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    segmented.save_button.native.click()
    segmented.save_button.native.click()

    assert "exists already" in segmented.status.text()


def test_a_folder_that_cannot_be_made_is_named_in_words(segmented, tmp_path, monkeypatch):
    (tmp_path / "afile").touch()
    folder = tmp_path / "afile" / "mine"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(folder), ""))
    segmented.save_button.native.click()

    assert segmented.status.text() == f"{folder}: not a directory"


@pytest.fixture
def mask_of_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], np.ndarray]:
    """Type a command in a new folder and read the mask that it writes."""

    def run(command: str) -> np.ndarray:
        place = tmp_path / "terminal"
        place.mkdir()
        monkeypatch.chdir(place)
        program, *arguments = shlex.split(command)
        assert program == "brainseg"
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code
        files = sorted((place / "segmentations").rglob("*_mask.tif"), key=lambda file: int(file.stem.split("_")[-2]))
        return np.stack([tifffile.imread(file) for file in files]) // 255

    return run


def test_the_command_gives_the_very_same_mask(
    viewer, tiny_case, add_layers, open_segment_tab, finish, tmp_path, save_tiny_model, mask_of_command
):
    """Everything is away from its default, the model's own clean-up and the settings alike."""
    own = PostprocessConfig(threshold=0.35, fill_holes=True, closing=True, min_voxels=4)
    folder = save_tiny_model(tmp_path / "my model", seed=3, postprocess=own)
    add_layers(viewer, tiny_case)
    tab = open_segment_tab(viewer)
    tab.models.choose(str(folder))
    tab.advanced["tta"].value = True
    tab.advanced["batch_size"].value = 4
    tab.threshold.value = 0.42
    tab.clean_up["closing"].value = False
    tab.clean_up["keep_share"].value = 0.2
    viewer.dims.set_point(0, 5)
    tab.run()
    finish(tab)
    tab.copy_button.native.click()

    command = QApplication.clipboard().text()
    assert command == tab.command()
    mask = mask_of_command(command)
    assert 0 < mask.mean() < 1
    assert np.array_equal(mask, tab.result.layer.data)


def test_the_command_says_only_what_differs(viewer, tiny_case, add_layers, open_segment_tab, finish, mask_of_command):
    add_layers(viewer, tiny_case)
    tab = open_segment_tab(viewer)
    tab.run()
    finish(tab)

    assert tab.command() == f"brainseg segment {tiny_case} --output segmentations --model default"
    assert np.array_equal(mask_of_command(tab.command()), tab.result.layer.data)


def test_the_command_goes_back_to_what_the_model_does_not_do(
    viewer, tiny_case, add_layers, open_segment_tab, finish, tmp_path, save_tiny_model, mask_of_command
):
    """Plain defaults in the tab are not the defaults of a model with clean-up of its own."""
    own = PostprocessConfig(threshold=0.4, keep_share=0.5, fill_holes=True)
    add_layers(viewer, tiny_case)
    tab = open_segment_tab(viewer)
    tab.models.choose(str(save_tiny_model(tmp_path / "mine", postprocess=own)))
    tab.threshold.value = 0.5
    tab.clean_up["keep_share"].value = 0
    tab.clean_up["fill_holes"].value = False
    tab.run()
    finish(tab)

    assert np.array_equal(mask_of_command(tab.command()), tab.result.layer.data)


def test_the_command_carries_the_voxel_size_that_was_set(
    viewer, tiny_case, add_layers, open_segment_tab, tmp_path, mask_of_command
):
    add_layers(viewer, tiny_case)
    tab = open_segment_tab(viewer)
    for box, size in zip(tab.spacing, (5.0, 0.5, 0.75), strict=True):
        box.value = size
    tab.spacing_button.native.click()
    mask = mask_of_command(tab.command())
    (written,) = (tmp_path / "terminal").rglob(RESULT_FILE)
    result = SegmentationResult.model_validate_json(written.read_text())

    assert (result.spacing_mm, result.spacing_source) == ((5, 0.5, 0.75), "user")
    assert result.tumour_millilitres == pytest.approx(np.count_nonzero(mask) * 1.875 / 1000)


def test_the_command_of_another_model_does_what_its_run_would(
    viewer, tiny_case, add_layers, open_segment_tab, finish, other_model, mask_of_command
):
    add_layers(viewer, tiny_case)
    tab = open_segment_tab(viewer)
    tab.run()
    finish(tab)
    tab.threshold.value = 0.6
    tab.models.choose(other_model)
    command = tab.command()
    tab.run()
    finish(tab)

    assert np.array_equal(mask_of_command(command), tab.result.layer.data)


def test_the_command_names_a_case_in_a_folder_of_many_files(
    viewer, add_layers, open_segment_tab, finish, tmp_path, mask_of_command
):
    """Two patients' slices in one folder: the command means the one that is shown."""
    for folder in write_phantom_cases(tmp_path / "apart", [PhantomCase("eva", 3), PhantomCase("fritz", 4)], SHAPE):
        for file in folder.iterdir():
            (tmp_path / "together").mkdir(exist_ok=True)
            file.rename(tmp_path / "together" / file.name)
    case = find_cases(tmp_path / "together")[1]
    add_layers(viewer, read_volume(case))
    tab = open_segment_tab(viewer)
    tab.run()
    finish(tab)

    assert tab.images.value == "fritz"
    assert np.array_equal(mask_of_command(tab.command()), tab.result.layer.data)


def test_images_that_are_not_from_disk_have_no_command(viewer, open_segment_tab):
    viewer.add_image(np.zeros(SHAPE), name="plain")
    tab = open_segment_tab(viewer)
    QApplication.clipboard().setText("former")
    tab.copy_button.native.click()

    assert tab.status.text() == "plain was not opened from a case on disk, so there is no command for it"
    assert QApplication.clipboard().text() == "former"


# closing


def test_closing_the_tab_in_mid_run_stops_the_task(tab, half_done):
    half_done(tab)
    task = tab._tasks["segment"]
    tab.close()

    assert task.stopping
    assert not task._thread.is_alive()
    assert tab.result.layer.editable


def test_closing_the_tab_while_the_model_is_loaded_is_quiet(viewer, tiny_default, qtbot, monkeypatch):
    closed = threading.Event()
    prepare = segment_widget.prepare_engine

    def prepare_slowly(*arguments):
        assert closed.wait(10)
        return prepare(*arguments)

    monkeypatch.setattr(segment_widget, "prepare_engine", prepare_slowly)
    tab = SegmentWidget(viewer)
    task = tab._tasks["prepare"]
    tab.close()
    closed.set()
    task._thread.join(10)
    delete(tab)
    qtbot.wait(20)  # pytest-qt fails the test for an exception in a slot

    assert not task._thread.is_alive()


def test_a_closed_dock_lets_go_of_the_viewer(
    make_napari_viewer, tiny_volume, add_layers, open_segment_tab, half_done, qtbot
):
    viewer = make_napari_viewer()
    add_layers(viewer, tiny_volume)
    tab = open_segment_tab(viewer)
    dock = viewer.window.add_dock_widget(tab, name="Segment")
    half_done(tab)
    task, layer = tab._tasks["segment"], tab.result.layer
    viewer.window.remove_dock_widget(dock)
    assert task.stopping
    assert not task._thread.is_alive()

    assert "Shift+S" not in map(str, viewer.keymap)
    tab.size_line.setText("as it was")
    paint(layer)
    viewer.add_image(np.zeros(SHAPE), name="later")
    qtbot.wait(200)  # longer than the size waits for more changes
    assert images_of(tab) == ("anna",)
    assert tab.size_line.text() == "as it was"

    delete(tab)
    paint(layer)
    viewer.add_image(np.zeros(SHAPE), name="later still")
    viewer.layers["anna FLAIR"].name = "renamed"
    viewer.layers.clear()


def test_a_second_tab_keeps_the_key_when_the_first_is_closed(viewer, open_segment_tab):
    first, second = open_segment_tab(viewer), open_segment_tab(viewer)
    first.close()
    (action,) = [action for key, action in viewer.keymap.items() if str(key) == "Shift+S"]
    action(viewer)

    assert second.status.text().startswith(NOTHING)


@pytest.mark.parametrize("kind", ["case", "plain"])
def test_a_tab_that_is_opened_again_takes_its_former_result_over(
    viewer, tiny_volume, add_layers, open_segment_tab, finish, qtbot, kind
):
    if kind == "case":
        add_layers(viewer, tiny_volume)
    else:
        viewer.add_image(tiny_volume.array, rgb=True, name="plain")
    former = open_segment_tab(viewer)
    former.run()
    finish(former)
    former.show_probability.value = True
    former.threshold.value = 0.6
    qtbot.waitUntil(lambda: former.result.settings.threshold == 0.6)
    result, size = former.result, former.result.describe_size()
    former.close()
    tab = open_segment_tab(viewer)

    assert tab.result is result
    assert (tab.threshold.value, tab.threshold.enabled, tab.show_probability.value) == (0.6, True, True)
    assert tab.size_line.text() == size
    tab.threshold.value = 0.4
    qtbot.waitUntil(lambda: np.array_equal(result.layer.data, result.probability >= 0.4))
    qtbot.waitUntil(lambda: tab.size_line.text() != size)
    tab.run()
    finish(tab)
    assert [layer.name for layer in predictions(viewer)] == [result.layer.name]
    assert tab.result is not result


def test_slices_done_when_the_tab_was_closed_are_taken_over_as_such(viewer, tab, half_done, open_segment_tab):
    half_done(tab)
    tab.close()
    again = open_segment_tab(viewer)

    assert again.result is tab.result
    assert again.result.layer.editable
    provenance = again.result.layer.metadata[METADATA]["provenance"]
    assert (provenance["finished"], len(provenance["slices"])) == (False, 1)
