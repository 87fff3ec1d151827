"""The Review tab as a person uses it: correct, accept, go on; and nothing is lost."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from napari.layers import Labels, Layer
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow, QMessageBox

from napari_brainseg.core import corrections as corrections_module
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import PostprocessConfig
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.ledgers import read_ledger
from napari_brainseg.core.masks import read_slice_mask
from napari_brainseg.core.phantom import make_phantom
from napari_brainseg.core.queues import QueueItem, write_queue
from napari_brainseg.core.segmentation import SlicePrediction
from napari_brainseg.core.volumes import Volume, read_volume
from napari_brainseg.core.workspaces import Workspace
from napari_brainseg.plugin import autosave, review_widget
from napari_brainseg.plugin.cases_widget import CasesWidget
from napari_brainseg.plugin.correction_layer import correction_of
from napari_brainseg.plugin.edit_tools import GROW
from napari_brainseg.plugin.layer_metadata import is_edited, kind_of
from napari_brainseg.plugin.layers import image_layers
from napari_brainseg.plugin.metrics_widget import MetricsWidget
from napari_brainseg.plugin.opened_case import edited_masks
from napari_brainseg.plugin.preferences import CASES_FOLDER, preferences
from napari_brainseg.plugin.result_layer import ResultLayer
from napari_brainseg.plugin.review_form import ACCEPT, ACCEPT_ALL, CORRECT, GO_ON, UNFLAG, WITHDRAW, WITHDRAW_ALL
from napari_brainseg.plugin.review_widget import ReviewWidget
from napari_brainseg.plugin.sources import Source
from napari_brainseg.plugin.workspace_choice import data_folder_of, workspace_for

OpenTab = Callable[..., ReviewWidget]


@pytest.fixture
def predict(provenance) -> Callable[..., ResultLayer]:
    """Make a whole prediction that is a square in all slices but the first and the last."""

    def make(viewer, images, volume: Volume, shift: int = 0, sha: str = "ab") -> ResultLayer:
        made = provenance.changed({"weights_sha256": sha})
        probability = np.zeros(volume.shape, np.float32)
        probability[1:-1, 20 + shift : 40 + shift, 20:40] = 1
        result = ResultLayer(viewer, images, volume, PostprocessConfig(), made)
        result.add_slices(SlicePrediction(tuple(range(len(probability))), probability), made)
        result.end(made)
        return result

    return make


def stroke(layer: Labels, z: int, y: int = 5, label: int = 1) -> None:
    """One stroke, which is one step of undo."""
    with layer.block_history():
        for x in range(5, 12):
            layer.paint((z, y, x), label)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(autosave, "_SOON", 0.05)
    monkeypatch.setattr(autosave, "_WATCH", 50)
    monkeypatch.setattr(autosave, "_RETRY", 300)


@pytest.fixture
def data(tmp_path, tiny_case) -> Path:
    """Data set of one case."""
    shutil.copytree(tiny_case, tmp_path / "data" / "bert")
    return tmp_path / "data"


@pytest.fixture
def volume(data) -> Volume:
    return read_volume(find_cases(data)[0])


@pytest.fixture
def workspace(data) -> Workspace:
    return Workspace(data.with_name("data-corrected"))


@pytest.fixture
def open_tab(qtbot) -> Iterator[OpenTab]:
    opened = []

    def open_tab(viewer) -> ReviewWidget:
        widget = ReviewWidget(viewer)
        opened.append(widget)
        return widget

    yield open_tab
    for widget in filter(isalive, opened):
        widget.close()
        widget.deleteLater()


@pytest.fixture
def case(viewer, add_layers, data) -> list[Layer]:
    return add_layers(viewer, data / "bert")


@pytest.fixture
def predicted(viewer, case, predict) -> ResultLayer:
    return predict(viewer, case[0], case[0].metadata["brainseg"]["volume"])


@pytest.fixture
def ready(qtbot):
    """Wait until what is on disk was read."""

    def is_ready(tab: ReviewWidget) -> bool:
        return tab.corrections is not None and tab.correct_button.isEnabled()

    return lambda tab: qtbot.waitUntil(lambda: is_ready(tab), timeout=10_000)


@pytest.fixture
def tab(viewer, predicted, open_tab, ready) -> ReviewWidget:
    tab = open_tab(viewer)
    ready(tab)
    tab.correct_button.click()
    return tab


@pytest.fixture
def settle(qtbot):
    """Wait until all that was changed is on disk."""

    def wait(tab: ReviewWidget) -> None:
        save = tab.session.autosave
        qtbot.waitUntil(
            lambda: (
                not save.is_saving
                and not save._states
                and not tab.session.correction.changed(tab.session.correction.mask())
            ),
            timeout=10_000,
        )
        qtbot.wait(80)  # what is shown follows a little later

    return wait


def on_disk(workspace: Workspace, volume: Volume) -> Corrections:
    return Corrections(workspace, volume)


# beginning


def test_without_a_case_it_says_what_to_do(viewer, open_tab, qtbot):
    tab = open_tab(viewer)

    qtbot.waitUntil(lambda: not tab.correct_button.isEnabled())
    assert "Open" in tab.correct_button.toolTip()
    assert (tab.volume, tab.layer, tab.corrections, tab.workspace) == (None, None, None, None)


def test_a_correction_begins_with_the_prediction_and_the_edits_in_it(
    viewer, case, predicted, open_tab, ready, settle, workspace, volume
):
    stroke(predicted.layer, 2)
    tab = open_tab(viewer)
    ready(tab)
    tab.correct_button.click()
    settle(tab)

    assert kind_of(tab.layer) == "correction"
    assert tab.layer.name == "bert correction"
    assert np.array_equal(tab.layer.data, predicted.layer.data)
    assert not predicted.layer.visible
    assert viewer.layers.selection.active is tab.layer
    assert tab.layer.mode == "paint"
    assert tuple(tab.layer.scale) == tuple(case[0].scale)
    saved = on_disk(workspace, volume)
    assert list(saved.planes) == [2]
    assert saved.review(2).voxels_changed == np.count_nonzero(predicted.layer.data[2] != predicted.predicted[2])
    assert saved.review(2).model_sha256 == "ab"
    assert edited_masks(viewer.layers) == []  # nobody would lose anything


def test_after_a_restart_slices_are_not_taken_for_predicted_ones_and_follow_a_new_prediction(
    viewer, tab, case, predicted, open_tab, ready, settle, predict, workspace, volume, qtbot
):
    stroke(tab.layer, 2)
    gone = tab.layer, predicted.layer
    tab.close()
    for layer in gone:
        viewer.layers.remove(layer)
    again = open_tab(viewer)
    ready(again)
    again._show()
    assert again.start_line.text().endswith(
        "(1 slice) were found; the other slices start from the manual mask. Segment first to start from the prediction."
    )

    again.correct()
    settle(again)
    assert np.array_equal(again.layer.data[3], case[-1].data[3])
    assert again.start_line.text() == (
        "Slices that nobody has reviewed hold the manual mask now. Segment to fill them from a prediction."
    )
    assert not again.volume_button.isEnabled()
    assert again.volume_button.toolTip() == again.start_line.text()

    result = predict(viewer, case[0], predicted.volume)
    qtbot.waitUntil(lambda: "5 slices filled" in again.done_line.text(), timeout=5000)
    settle(again)
    assert np.array_equal(again.layer.data[3], result.predicted[3])
    assert list(on_disk(workspace, volume).planes) == [2]
    assert again.start_line.text() == ""
    assert again.volume_button.isEnabled()


def test_corrections_of_the_manual_mask_wait_for_no_prediction(viewer, case, open_tab, ready, settle, qtbot):
    tab = open_tab(viewer)
    ready(tab)
    tab.correct()
    stroke(tab.layer, 2)
    settle(tab)
    assert tab.start_line.text() == ""
    viewer.layers.remove(tab.layer)
    ready(tab)
    qtbot.waitUntil(lambda: tab.start_line.text().endswith("the other slices start from the manual mask."))


def test_without_a_prediction_it_begins_with_the_manual_mask(viewer, case, open_tab, ready):
    tab = open_tab(viewer)
    ready(tab)
    tab._show()
    assert "manual mask" in tab.start_line.text()
    tab.correct_button.click()

    assert np.array_equal(tab.layer.data, case[-1].data)


def test_the_case_may_come_after_the_tab(viewer, open_tab, add_layers, data, ready):
    tab = open_tab(viewer)
    add_layers(viewer, data / "bert")
    ready(tab)
    tab.correct()

    assert tab.volume.name == "bert"
    assert tab.layer in viewer.layers


def test_a_renamed_image_is_offered_by_its_new_name(viewer, open_tab):
    image = viewer.add_image(np.zeros((4, 8, 8)), name="mine")
    tab = open_tab(viewer)
    image.name = "yours"

    assert tab.case.currentText() == "yours"
    assert tab.case.source.layers == (image,)


def test_once_the_voxel_size_is_set_it_still_begins_with_the_manual_mask(
    viewer, case, open_tab, ready, open_segment_tab
):
    tab = open_tab(viewer)
    ready(tab)
    open_segment_tab(viewer).spacing_button.native.click()
    tab.correct()

    assert tab.volume.spacing == (1, 1, 1)
    assert tab.layer.data.any()
    assert np.array_equal(tab.layer.data, case[-1].data)


def test_a_plain_image_is_read_once_there_is_a_place_and_not_by_the_window(
    viewer, open_tab, ready, tmp_path, monkeypatch
):
    readers = []
    volume = Source.volume
    monkeypatch.setattr(Source, "volume", lambda source: readers.append(threading.current_thread()) or volume(source))
    tab = open_tab(viewer)
    viewer.add_image(np.random.default_rng(0).random((4, 32, 32)), name="mine")
    assert readers == []

    tab.place.choose(tmp_path / "kept")
    ready(tab)
    tab.correct()
    assert tab.layer.data.shape == (4, 32, 32)
    assert len(readers) == 1
    assert readers[0] is not threading.main_thread()


def test_plain_images_need_a_place_first(viewer, open_tab, ready, tmp_path, qtbot, settle):
    viewer.add_image(np.random.default_rng(0).random((4, 32, 32)), name="mine")
    tab = open_tab(viewer)
    qtbot.waitUntil(lambda: not tab.correct_button.isEnabled())
    assert "Choose where" in tab.correct_button.toolTip()

    tab.place.choose(tmp_path / "kept")
    ready(tab)
    tab.correct()
    stroke(tab.layer, 1)
    settle(tab)

    assert (tmp_path / "kept" / "ledger" / "mine.json").is_file()


def test_a_workspace_in_the_case_is_refused_and_another_is_remembered(viewer, case, open_tab, data, ready, tmp_path):
    tab = open_tab(viewer)
    with pytest.raises(ValueError, match="lies in the folder of bert"):
        tab.place.choose(data / "bert" / "mine")
    tab.place.choose(tmp_path / "elsewhere")

    assert open_tab(viewer).workspace == tab.workspace == Workspace(tmp_path / "elsewhere")


@pytest.fixture
def workspace_when_listed(volume):
    """Where the corrections of the case are when the Cases tab lists a folder."""

    def workspace(folder: Path) -> Path:
        preferences().setValue(CASES_FOLDER, str(folder))
        return workspace_for(data_folder_of(volume)).folder

    return workspace


@pytest.mark.parametrize("first", ["data", "."])
def test_corrections_are_found_again_when_a_folder_above_or_below_is_listed(workspace_when_listed, volume, data, first):
    kept = workspace_when_listed(data.parent / first)
    assert kept.name == f"{(data.parent / first).resolve().name}-corrected"
    Corrections(Workspace(kept), volume).save(np.zeros(volume.shape, np.uint8), [0], state="accepted")

    assert workspace_when_listed(data.parent) == workspace_when_listed(data) == kept


def test_what_is_found_where_it_was_goes_on_being_found(workspace_when_listed, volume, data, tmp_path):
    kept = {folder: workspace_when_listed(folder) for folder in (data, data.parent)}
    assert len(set(kept.values())) == 2
    for folder in kept.values():
        Corrections(Workspace(folder), volume).save(np.zeros(volume.shape, np.uint8), [0], state="accepted")
    for folder, workspace in kept.items():
        assert workspace_when_listed(folder) == workspace

    preferences().setValue(f"review/workspace/{quote(str(data.parent), safe='')}", str(tmp_path / "chosen"))
    assert workspace_when_listed(data.parent) == tmp_path / "chosen"
    assert workspace_when_listed(data) == kept[data]


def test_corrections_of_another_patient_of_the_same_name_are_not_taken(workspace_when_listed, volume, data):
    (data.parent / "others" / "bert").mkdir(parents=True)
    other = Workspace(workspace_when_listed(data.parent))
    Corrections(other, volume).save(np.zeros(volume.shape, np.uint8), [0], state="accepted")

    assert workspace_when_listed(data) != other.folder


# saving


def test_paint_undo_and_redo_are_saved_and_only_the_slice_that_changed(tab, settle, workspace, volume, predicted):
    settle(tab)
    stroke(tab.layer, 2)
    settle(tab)
    files = [file.name for file in workspace.corrections("bert").glob("*.tif")]
    assert files == ["bert_3_mask.tif"]
    assert np.array_equal(read_slice_mask(workspace.corrections("bert") / files[0]), tab.layer.data[2])
    assert tab.saved_line.text().startswith("Saved ")
    assert not is_edited(tab.layer)

    tab.layer.undo()
    settle(tab)
    assert on_disk(workspace, volume).planes == {}
    assert on_disk(workspace, volume).state(2) == "auto"

    tab.layer.redo()
    settle(tab)
    assert np.array_equal(on_disk(workspace, volume).planes[2], tab.layer.data[2])


def test_writing_into_the_array_is_saved_too(tab, settle, workspace, volume):
    tab.layer.data[3, :4, :4] = 1
    settle(tab)

    assert list(on_disk(workspace, volume).planes) == [3]


def test_a_large_case_writes_only_the_changed_slice_and_never_on_the_gui_thread(
    viewer, open_tab, ready, settle, monkeypatch, tmp_path
):
    volume, _ = make_phantom(3, (88, 256, 256), name="large")
    for layer in image_layers(volume):
        viewer.add_layer(Layer.create(*layer))
    tab = open_tab(viewer)
    tab.place.choose(tmp_path / "kept")
    ready(tab)
    tab.correct()
    settle(tab)
    saved: list[tuple[list[int], str]] = []
    save = Corrections.save

    def noting(self, mask, slices, *others, **more):
        saved.append((list(slices), threading.current_thread() is threading.main_thread()))
        return save(self, mask, slices, *others, **more)

    monkeypatch.setattr(Corrections, "save", noting)
    stroke(tab.layer, 40)
    settle(tab)

    assert saved == [([40], False)]


def test_nothing_is_saved_within_a_stroke(tab, settle, qtbot, workspace, volume):
    settle(tab)
    tab.layer._begin_stroke()
    tab.layer.paint((2, 5, 5), 1)
    qtbot.wait(300)
    assert on_disk(workspace, volume).planes == {}

    tab.layer._block_history = False
    tab.layer._commit_staged_history()
    settle(tab)
    assert list(on_disk(workspace, volume).planes) == [2]


def test_closing_the_tab_saves_and_the_next_tab_goes_on(viewer, tab, open_tab, workspace, volume, settle, monkeypatch):
    told = []
    monkeypatch.setattr(review_widget, "show_info", told.append)
    layer = tab.layer
    stroke(layer, 2)
    tab.close()
    assert told == ["Review closed: corrections are locked."]
    assert list(on_disk(workspace, volume).planes) == [2]
    assert not {"N", "Shift+N", "Shift+A", "Shift+F"} & set(map(str, viewer.keymap))
    assert not layer.editable  # nobody would save what is painted or undone now
    corrected = np.array(layer.data)
    layer.undo()
    np.testing.assert_array_equal(layer.data, corrected)

    again = open_tab(viewer)
    assert again.layer is layer
    assert layer.editable
    stroke(layer, 3)
    settle(again)
    assert list(on_disk(workspace, volume).planes) == [2, 3]


def test_removing_the_layer_saves_and_what_was_saved_is_found_again(
    viewer, tab, ready, qtbot, workspace, volume, settle
):
    stroke(tab.layer, 2)
    corrected = np.array(tab.layer.data)
    viewer.layers.remove(tab.layer)
    assert list(on_disk(workspace, volume).planes) == [2]
    ready(tab)
    qtbot.waitUntil(
        lambda: "(1 slice) were found; the other slices start from the prediction." in tab.start_line.text()
    )
    assert tab.correct_button.text() == GO_ON

    tab.correct_button.click()
    assert np.array_equal(tab.layer.data, corrected)


@pytest.fixture
def full_disk(monkeypatch):
    """A disk on which nothing can be written until it is emptied."""
    is_full = [True]
    write = corrections_module.write_slice_mask

    def full(path, mask):
        if is_full[0]:
            raise OSError(28, "No space left on device")
        write(path, mask)

    monkeypatch.setattr(corrections_module, "write_slice_mask", full)
    return is_full


def test_a_full_disk_is_said_and_nothing_is_lost(viewer, tab, settle, qtbot, full_disk, workspace, volume):
    stroke(tab.layer, 2)
    qtbot.waitUntil(lambda: "no space left" in tab.error_line.text(), timeout=5000)
    assert not tab.again_button.isHidden()
    assert tab.saved_line.text() == "Not saved"
    assert is_edited(tab.layer)
    tab.accept()

    full_disk[0] = False
    tab.again_button.click()
    settle(tab)
    assert tab.error_line.text() == ""
    assert tab.again_button.isHidden()
    saved = on_disk(workspace, volume)
    assert np.array_equal(saved.planes[2], tab.layer.data[2])
    assert saved.state(tab.slice_in_view()) == "accepted"


def test_after_an_error_it_is_tried_again_by_itself(tab, settle, qtbot, full_disk, workspace, volume):
    stroke(tab.layer, 2)
    qtbot.waitUntil(lambda: bool(tab.error_line.text()), timeout=5000)
    full_disk[0] = False
    settle(tab)

    assert list(on_disk(workspace, volume).planes) == [2]


def test_where_the_corrections_of_a_closed_tab_are_kept_is_said_by_the_next(tab, viewer, open_tab, tmp_path):
    tab.session.correction.corrections.workspace = Workspace(tmp_path / "theirs")
    tab.close()
    place = open_tab(viewer).place

    assert place.line.text() == "Kept in theirs"
    assert str(tmp_path / "theirs") in place.line.toolTip()


def test_what_is_undone_while_the_disk_is_full_is_not_saved_later(tab, settle, qtbot, full_disk, workspace, volume):
    stroke(tab.layer, 2)
    qtbot.waitUntil(lambda: bool(tab.error_line.text()), timeout=5000)
    tab.layer.undo()
    full_disk[0] = False
    settle(tab)

    assert on_disk(workspace, volume).planes == {}
    assert tab.error_line.text() == ""


def test_a_place_that_cannot_be_written_to_is_said(viewer, predicted, open_tab, ready, tmp_path, qtbot, settle):
    tab = open_tab(viewer)
    tab.place.choose(tmp_path / "kept")
    ready(tab)
    tab.correct()
    (tmp_path / "kept").write_text("not a folder")
    stroke(tab.layer, 2)
    qtbot.waitUntil(lambda: "cannot be written to" in tab.error_line.text(), timeout=5000)

    (tmp_path / "kept").unlink()
    settle(tab)
    assert (tmp_path / "kept" / "corrections" / "bert" / "bert_3_mask.tif").is_file()


def test_of_two_cases_the_one_whose_layer_is_selected_is_saved(viewer, tab, tiny_volume, ready, settle, tmp_path):
    bert = tab.layer
    for layer in image_layers(tiny_volume):
        viewer.add_layer(Layer.create(*layer))
    assert tab.volume.name == "anna"
    tab.place.choose(tmp_path / "kept")
    ready(tab)
    tab.correct()
    anna = tab.layer
    assert anna is not bert

    viewer.layers.selection.active = bert
    assert (tab.layer, tab.volume.name) == (bert, "bert")
    stroke(bert, 2)
    settle(tab)
    assert sorted(tab.corrections.planes) == [2]
    viewer.layers.selection.active = anna
    assert (tab.layer, tab.volume.name) == (anna, "anna")


def test_further_images_and_another_order_of_the_layers_leave_the_correction_and_its_undo(viewer, tab, case):
    session, before = tab.session, np.array(tab.layer.data)
    stroke(tab.layer, 2)
    viewer.add_image(np.zeros((64, 64)), name="screenshot")
    viewer.layers.move(0, 2)
    viewer.layers.remove(case[0])

    assert tab.session is session
    assert tab.case.currentText() == tab.volume.name == "bert"
    tab.layer.undo()
    assert np.array_equal(tab.layer.data, before)


# what is said of slices


def test_accepting_flagging_and_withdrawing(viewer, tab, settle, workspace, volume):
    viewer.dims.set_current_step(0, 2)
    tab.accept_button.click()
    settle(tab)
    assert on_disk(workspace, volume).state(2) == "accepted"
    assert tab.accept_button.text() == WITHDRAW
    assert tab.slice_line.text().startswith("Slice 3: accepted")
    assert tab.summary.text().startswith("1 of 6 slices accepted")
    assert tab.strip.states[2] == "accepted"

    tab.accept_button.click()
    settle(tab)
    assert on_disk(workspace, volume).state(2) == "auto"
    assert tab.accept_button.text() == ACCEPT

    tab.flag_button.click()
    settle(tab)
    assert on_disk(workspace, volume).state(2) == "flagged"
    assert tab.flag_button.text() == UNFLAG


def test_only_a_slice_in_view_is_accepted_or_flagged(viewer, tab, settle, workspace, volume, qtbot):
    settle(tab)
    for layer in filter(lambda layer: isinstance(layer, Labels), viewer.layers):
        layer.contour = 0  # which napari would warn of in 3D
    buttons = tab.accept_button, tab.flag_button, tab.next_button, tab.back_button, tab.restore_button
    for change in ({"ndisplay": 3}, {"order": (1, 0, 2)}):
        former = {name: getattr(viewer.dims, name) for name in change}
        viewer.dims.update(change)
        qtbot.waitUntil(lambda: not any(button.isEnabled() for button in buttons))
        assert {button.toolTip() for button in buttons} == {tab.slice_line.text()}
        assert tab.slice_line.text() == "Go back to the view of slices along Z first."
        in_view = viewer.dims.current_step
        for act in (tab.accept, tab.flag, lambda: tab.step(1)):
            act()
        assert viewer.dims.current_step == in_view
        viewer.dims.update(former)
        qtbot.waitUntil(lambda: all(button.isEnabled() for button in buttons))
    settle(tab)
    assert on_disk(workspace, volume).ledger.slices == {}


def test_painting_in_an_accepted_slice_makes_it_edited_again(viewer, tab, settle, workspace, volume):
    viewer.dims.set_current_step(0, 2)
    tab.accept()
    settle(tab)
    stroke(tab.layer, 2)
    settle(tab)

    assert on_disk(workspace, volume).state(2) == "edited"
    assert tab.done_line.text() == "Slice 3 had been accepted: now to be reviewed again."


def test_accepting_the_volume_leaves_flagged_slices(viewer, tab, settle, workspace, volume):
    viewer.dims.set_current_step(0, 2)
    tab.flag()
    settle(tab)
    tab.volume_button.click()
    settle(tab)
    assert [on_disk(workspace, volume).state(z) for z in range(6)] == ["accepted"] * 2 + ["flagged"] + ["accepted"] * 3
    assert tab.volume_button.text() == WITHDRAW_ALL
    assert tab.next_button.toolTip() == "All slices are reviewed."

    tab.volume_button.click()
    settle(tab)
    assert tab.volume_button.text() == ACCEPT_ALL
    assert on_disk(workspace, volume).ledger.count("accepted") == 0


def test_all_slices_of_a_queue_are_not_all_slices(viewer, tab, settle, data, workspace):
    write_queue(workspace.queue, [QueueItem(case="bert", slice_number=3, z=2, score=1, reasons=())])
    preferences().setValue(CASES_FOLDER, str(data))
    tab.changed.emit()
    viewer.dims.set_current_step(0, 2)
    tab.accept()
    settle(tab)
    assert tab.done_line.text() == tab.next_button.toolTip() == "All queued slices are reviewed."
    assert tab.case_button.isHidden()

    tab.accept_volume()
    settle(tab)
    assert tab.done_line.text() == tab.next_button.toolTip() == "All slices are reviewed."


def test_next_goes_through_the_tumour_and_its_neighbours_and_back(viewer, tab, settle):
    viewer.dims.set_current_step(0, 4)
    tab.next_button.click()
    assert tab.slice_in_view() == 5
    tab.next_button.click()
    assert tab.slice_in_view() == 0
    tab.back_button.click()
    assert tab.slice_in_view() == 5

    viewer.dims.set_current_step(0, 1)
    tab.accept()
    settle(tab)
    viewer.dims.set_current_step(0, 0)
    tab.step(1)
    assert tab.slice_in_view() == 2

    tab.set_order([4, 1, 3, 2])
    tab.step(1)
    assert tab.slice_in_view() == 4
    tab.step(1)
    assert tab.slice_in_view() == 3
    tab.step(-1)
    assert tab.slice_in_view() == 4


def test_what_is_said_moves_no_button(tab, settle, qtbot):
    tab.resize(320, 900)
    tab.show()
    settle(tab)
    tab._show()  # all that is to be seen before anything is said
    qtbot.wait(50)
    assert len(tab.strip.states) == 6
    button = tab.tools.buttons[GROW]
    place = lambda: button.mapTo(tab.widget(), button.rect().topLeft())  # noqa: E731
    before = place()
    tab.say("Slice 14 had been accepted: now to be reviewed again.")
    tab.case_button.show()
    qtbot.wait(50)

    assert place() == before


def test_a_click_in_the_strip_goes_there(tab, qtbot):
    qtbot.waitUntil(lambda: len(tab.strip.states) == 6)
    tab.strip.resize(120, 34)
    tab.strip.clicked.emit(tab.strip.slice_at(75))

    assert tab.slice_in_view() == 3


def test_time_belongs_to_the_slice_in_view(viewer, tab, settle, workspace, volume):
    settle(tab)
    now = [1000.0]
    clock = tab.session.clock
    clock._now = lambda: now[0]
    clock._last = clock._active = now[0]
    clock.seconds.clear()
    viewer.dims.set_current_step(0, 2)
    clock.act()
    now[0] += 7
    viewer.dims.set_current_step(0, 3)
    now[0] += 100  # of which 30 count
    clock.count()
    assert clock.seconds == pytest.approx({2: 7, 3: 30})

    stroke(tab.layer, 2)
    settle(tab)
    assert on_disk(workspace, volume).review(2).seconds == pytest.approx(7)


def test_the_reviewer_is_noted(tab, settle, workspace, volume):
    tab.reviewer.setText("Dr Who")
    stroke(tab.layer, 2)
    settle(tab)

    assert on_disk(workspace, volume).review(2).reviewer == "Dr Who"


# segmenting again


@pytest.fixture
def segment_again(viewer, case, predict, qtbot):
    def again(tab: ReviewWidget, former: ResultLayer) -> ResultLayer:
        former.retire()
        result = predict(viewer, case[0], former.volume, shift=3, sha="cd")
        qtbot.waitUntil(lambda: "filled" in tab.done_line.text(), timeout=5000)
        return result

    return again


def test_segmenting_again_fills_only_what_nobody_has_touched(
    viewer, tab, settle, predicted, segment_again, workspace, volume
):
    viewer.dims.set_current_step(0, 2)
    tab.accept()
    stroke(tab.layer, 3)
    settle(tab)
    before = np.array(tab.layer.data)
    result = segment_again(tab, predicted)
    settle(tab)

    for z in range(6):
        expected = before[z] if z in (2, 3) else result.predicted[z]
        assert np.array_equal(tab.layer.data[z], expected)
    assert sorted(on_disk(workspace, volume).planes) == [2, 3]
    assert viewer.layers.selection.active is tab.layer

    tab.layer.undo()  # in one step, and the former prediction is no edit
    settle(tab)
    assert np.array_equal(tab.layer.data, before)
    assert sorted(on_disk(workspace, volume).planes) == [2, 3]
    assert tab.session.correction.models[1] == "ab"

    tab.layer.redo()
    settle(tab)
    assert tab.session.correction.models[1] == "cd"
    stroke(tab.layer, 1)
    settle(tab)
    assert on_disk(workspace, volume).review(1).model_sha256 == "cd"
    assert on_disk(workspace, volume).review(1).voxels_changed == np.count_nonzero(
        tab.layer.data[1] != result.predicted[1]
    )


def test_a_prediction_that_came_while_the_tab_was_closed_is_filled_in(
    viewer, tab, case, predicted, predict, open_tab, settle, qtbot
):
    stroke(tab.layer, 2)
    tab.close()
    predicted.retire()
    result = predict(viewer, case[0], predicted.volume, shift=3, sha="cd")
    again = open_tab(viewer)
    qtbot.waitUntil(lambda: "5 slices filled" in again.done_line.text(), timeout=5000)
    settle(again)

    assert np.array_equal(again.layer.data[3], result.predicted[3])
    assert again.corrections.state(2) == "edited"


def test_another_threshold_fills_only_what_nobody_has_touched(viewer, tab, settle, predicted, qtbot, workspace, volume):
    viewer.dims.set_current_step(0, 2)
    tab.accept()
    stroke(tab.layer, 3)
    settle(tab)
    before = np.array(tab.layer.data)
    tab.fill_box.setChecked(False)  # nobody is asked about edited slices while a slider moves
    predicted.probability[:, 30:34] = 0.4
    for threshold in (0.45, 0.35):
        predicted.apply(predicted.settings.changed({"threshold": threshold}))
    qtbot.waitUntil(lambda: "filled" in tab.done_line.text(), timeout=5000)
    settle(tab)

    for z in range(6):
        expected = before[z] if z in (2, 3) else predicted.predicted[z]
        assert np.array_equal(tab.layer.data[z], expected)
    assert predicted.predicted[0, 30:34].all()
    assert sorted(on_disk(workspace, volume).planes) == [2, 3]

    tab.layer.undo()
    settle(tab)
    assert np.array_equal(tab.layer.data, before)


def test_an_accepted_slice_that_could_not_be_saved_yet_is_left_alone(
    viewer, tab, settle, predicted, full_disk, segment_again, qtbot, workspace, volume
):
    viewer.dims.set_current_step(0, 2)
    tab.accept()
    qtbot.waitUntil(lambda: bool(tab.error_line.text()), timeout=5000)
    accepted = np.array(tab.layer.data[2])
    segment_again(tab, predicted)
    full_disk[0] = False
    tab.again_button.click()
    settle(tab)

    assert np.array_equal(tab.layer.data[2], accepted)
    assert np.array_equal(on_disk(workspace, volume).planes[2], accepted)
    assert on_disk(workspace, volume).state(2) == "accepted"


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_edited_slices_are_replaced_only_if_a_person_says_so(
    viewer, tab, settle, predicted, segment_again, workspace, volume, monkeypatch, answer
):
    viewer.dims.set_current_step(0, 2)
    tab.accept()
    stroke(tab.layer, 3)
    settle(tab)
    before = np.array(tab.layer.data)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: getattr(QMessageBox.StandardButton, answer))
    tab.fill_box.setChecked(False)
    result = segment_again(tab, predicted)
    settle(tab)

    assert np.array_equal(tab.layer.data[2], before[2])
    assert np.array_equal(tab.layer.data[3], result.predicted[3] if answer == "Yes" else before[3])
    assert on_disk(workspace, volume).state(3) == ("auto" if answer == "Yes" else "edited")


# going back


def test_a_former_mask_is_restored_in_one_step(viewer, tab, settle, workspace, volume, predicted):
    viewer.dims.set_current_step(0, 2)
    stroke(tab.layer, 2)
    tab.accept()
    settle(tab)
    former = np.array(tab.layer.data[2])
    stroke(tab.layer, 2, y=50)
    settle(tab)
    changed = np.array(tab.layer.data[2])
    tab.restore_menu.fill()
    version, as_predicted = tab.restore_menu.actions()
    assert version.text().startswith("until ")

    version.trigger()
    settle(tab)
    assert np.array_equal(tab.layer.data[2], former)
    assert np.array_equal(on_disk(workspace, volume).planes[2], former)
    tab.layer.undo()
    assert np.array_equal(tab.layer.data[2], changed)

    as_predicted.trigger()
    settle(tab)
    assert np.array_equal(tab.layer.data[2], predicted.predicted[2])
    assert on_disk(workspace, volume).state(2) == "auto"


# other windows


def test_another_windows_slice_is_shown_and_undo_stays_ours(tab, settle, qtbot, workspace, volume):
    stroke(tab.layer, 2)
    settle(tab)
    other = on_disk(workspace, volume)
    mask = np.array(tab.layer.data)
    mask[4, 50:60, 50:60] = 1
    other.save(mask, [4])

    qtbot.waitUntil(lambda: np.array_equal(tab.layer.data[4], mask[4]), timeout=5000)
    assert tab.corrections.state(4) == "edited"
    assert "another window" in tab.done_line.text()
    tab.layer.undo()
    settle(tab)
    assert np.array_equal(tab.layer.data[4], mask[4])
    assert list(on_disk(workspace, volume).planes) == [4]


def test_of_a_slice_that_two_windows_change_a_version_is_kept(tab, settle, qtbot, workspace, volume):
    settle(tab)
    tab.layer._begin_stroke()  # while somebody else saves
    tab.layer.paint((4, 5, 5), 1)
    theirs = np.array(tab.layer.data)
    theirs[4, 50:60, 50:60] = 1
    on_disk(workspace, volume).save(theirs, [4])
    qtbot.waitUntil(lambda: tab.corrections.state(4) == "edited", timeout=5000)
    tab.layer._block_history = False
    tab.layer._commit_staged_history()
    settle(tab)

    saved = on_disk(workspace, volume)
    assert np.array_equal(saved.planes[4], tab.layer.data[4])
    assert not np.array_equal(saved.planes[4], theirs[4])
    assert [np.array_equal(version.read(), theirs[4]) for version in saved.versions(4)] == [True]
    assert "that version is kept under Restore" in tab.done_line.text()


def test_a_file_that_somebody_took_away_does_not_take_the_mask_along(tab, settle, qtbot, workspace, volume):
    stroke(tab.layer, 2)
    settle(tab)
    corrected = np.array(tab.layer.data)
    (workspace.corrections("bert") / "bert_3_mask.tif").unlink()
    other = on_disk(workspace, volume)
    other.save(corrected, [4], state="accepted")
    qtbot.waitUntil(lambda: tab.corrections.state(4) == "accepted", timeout=5000)

    assert np.array_equal(tab.layer.data, corrected)


# other tabs, and the window


def test_the_metrics_compare_a_correction_but_suggest_the_prediction(viewer, tab, case, predicted, qtbot):
    metrics = MetricsWidget(viewer)
    try:
        assert metrics.picker.pair == (predicted.layer, case[-1])
        metrics.prediction.value = tab.layer
        assert metrics.picker.pair == (tab.layer, case[-1])
        qtbot.waitUntil(lambda: metrics.comparison is not None)
    finally:
        metrics.close()


def test_opening_another_case_saves_and_asks_nothing(viewer, tab, workspace, volume, data, monkeypatch):
    def asked(*_):
        raise AssertionError("a question was asked")

    monkeypatch.setattr(QMessageBox, "question", asked)
    cases = CasesWidget(viewer)
    try:
        cases._places = {data / "bert"}
        stroke(tab.layer, 2)
        assert cases._may_replace()
    finally:
        cases.close()
    assert list(on_disk(workspace, volume).planes) == [2]


def test_another_case_can_be_opened_after_the_tab_was_closed(viewer, tab, data, qtbot):
    autosave = tab.session.autosave
    tab.close()
    qtbot.waitUntil(lambda: not isalive(autosave), timeout=5000)
    cases = CasesWidget(viewer)
    try:
        cases._places = {data / "bert"}
        assert cases._may_replace()
    finally:
        cases.close()


def test_what_could_not_be_saved_is_asked_about(viewer, tab, data, full_disk, monkeypatch):
    questions = []
    monkeypatch.setattr(
        QMessageBox, "question", lambda *words: questions.append(words[2]) or QMessageBox.StandardButton.Cancel
    )
    cases = CasesWidget(viewer)
    try:
        cases._places = {data / "bert"}
        stroke(tab.layer, 2)
        assert not cases._may_replace()
    finally:
        cases.close()
    assert questions[0].startswith("bert correction was edited")


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_before_a_window_closes_on_what_could_not_be_saved_it_is_asked(tab, full_disk, monkeypatch, qtbot, answer):
    questions = []
    monkeypatch.setattr(
        QMessageBox,
        "question",
        lambda *words: questions.append(words[2]) or getattr(QMessageBox.StandardButton, answer),
    )
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(tab)
    window.show()
    stroke(tab.layer, 2)
    stroke(tab.layer, 4)

    assert window.close() == (answer == "Yes")
    assert questions[0].startswith("Close anyway? Slices 3, 5 of bert could not be saved: ")
    assert "no space left on device" in questions[0].lower()
    full_disk[0] = False
    window.close()
    assert len(questions) == 1


def test_keys_width_and_a_window_that_closes(make_napari_viewer, add_layers, predict, data, qtbot, workspace, volume):
    viewer = make_napari_viewer(show=True)
    case = add_layers(viewer, data / "bert")
    predict(viewer, case[0], case[0].metadata["brainseg"]["volume"])
    tab = ReviewWidget(viewer)
    viewer.window.add_dock_widget(tab, name="Review")
    qtbot.waitUntil(lambda: tab.corrections is not None)
    tab.correct()
    viewer.dims.set_current_step(0, 2)
    canvas = viewer.window._qt_viewer.canvas.native

    qtbot.keyClick(canvas, "N")
    assert tab.slice_in_view() == 3
    qtbot.keyClick(canvas, "N", Qt.KeyboardModifier.ShiftModifier)
    assert tab.slice_in_view() == 2
    qtbot.keyClick(canvas, "A", Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: tab.corrections.state(2) == "accepted", timeout=5000)
    tab.reviewer.setFocus()
    tab.reviewer.clear()
    qtbot.keyClick(tab.reviewer, "N", Qt.KeyboardModifier.ShiftModifier)
    assert tab.reviewer.text() == "N"
    assert tab.slice_in_view() == 2

    room = 300 - tab.verticalScrollBar().width()  # which napari's own style has to leave
    assert tab.widget().minimumSizeHint().width() <= room

    stroke(tab.layer, 4)
    viewer.close()
    assert sorted(on_disk(workspace, volume).planes) == [2, 4]


# a crash

_KILLED = """
import sys, time
import napari, numpy as np
from pathlib import Path
from qtpy.QtCore import QTimer
from napari_brainseg.core.cases import find_cases
from napari_brainseg.plugin.layers import case_layers
from napari_brainseg.plugin.review_widget import ReviewWidget
from napari_brainseg.plugin.sources import Source
from napari.layers import Layer

viewer = napari.Viewer()
for data in case_layers(find_cases(Path(sys.argv[1]))[0]):
    viewer.add_layer(Layer.create(*data))
tab = ReviewWidget(viewer)
viewer.window.add_dock_widget(tab)
strokes = 0

def paint():
    global strokes
    if tab.layer is None:
        tab.correct()
        return
    z, place = strokes % 6, strokes // 6
    with tab.layer.block_history():
        tab.layer.paint((z, 2 + place // 60, 2 + place % 60), 1)
    print(time.time(), z, 2 + place // 60, 2 + place % 60, flush=True)
    strokes += 1

timer = QTimer()
timer.timeout.connect(paint)
timer.start(40)
napari.run()
"""


def test_killed_while_painting_all_but_the_last_moment_is_there_again(data, workspace, volume, qapp):
    process = subprocess.Popen([sys.executable, "-c", _KILLED, data], stdout=subprocess.PIPE, text=True)
    try:
        painted = [process.stdout.readline().split() for _ in range(100)]
    finally:
        process.kill()
        killed = time.time()
        process.wait()
    process.stdout.close()
    early = [line for line in painted if line and float(line[0]) < killed - 1.5]

    saved = on_disk(workspace, volume)  # which fails where a file is not whole
    assert len(early) > 40
    for _, z, y, x in early:
        assert saved.planes[int(z)][int(y), int(x)] == 1
    assert all(saved.state(z) == "edited" for z in saved.planes)
    assert read_ledger(workspace, "bert") == saved.ledger


def test_a_duplicate_is_not_taken_for_the_correction(viewer, tab):
    duplicate = Layer.create(*tab.layer.as_layer_data_tuple())

    assert correction_of(duplicate) is None
    assert tab.correct_button.text() in (CORRECT, GO_ON)


def test_the_tab_key_goes_down_the_column(tab):
    chain = [tab]
    while (following := chain[-1].nextInFocusChain()) is not tab:
        chain.append(following)
    inside = [part for part in chain if tab.isAncestorOf(part)]

    assert inside.index(tab.rounds.retrain_button) < inside.index(tab.place.button) < inside.index(tab.reviewer)
