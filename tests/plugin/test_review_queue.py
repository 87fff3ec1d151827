"""The list of what to correct next: found, stored, stepped through, and crossed out when it is done."""

import shutil

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QSettings

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import PostprocessConfig
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.queues import QueueItem, read_queue, write_queue
from napari_brainseg.core.segmentation import SlicePrediction
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import default_workspace
from napari_brainseg.plugin.cases_widget import CasesWidget
from napari_brainseg.plugin.layer_metadata import volume_of
from napari_brainseg.plugin.layers import read_layers
from napari_brainseg.plugin.preferences import CASES_FOLDER
from napari_brainseg.plugin.result_layer import ResultLayer
from napari_brainseg.plugin.review_queue import ALL_CASES, FIND
from napari_brainseg.plugin.review_widget import ReviewWidget


@pytest.fixture
def data(tmp_path, patients):
    shutil.copytree(patients, tmp_path / "data")
    QSettings("napari-brainseg", "napari-brainseg").setValue(CASES_FOLDER, str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def tab(qtbot, viewer, add_layers, data, provenance):
    """The Review tab with anna, of whom slice 3 is the one that a model is least sure of."""
    images = add_layers(viewer, data / "anna")
    viewer.layers.remove(images[-1])  # the manual mask
    probability = np.zeros(volume_of(images[0]).shape, np.float32)
    probability[1:5, 20:40, 20:40] = 0.9
    probability[3, 20:40, 20:40] = 0.55
    result = ResultLayer(viewer, images[0], volume_of(images[0]), PostprocessConfig(), provenance)
    result.add_slices(SlicePrediction(tuple(range(6)), probability), provenance)
    result.end(provenance)
    tab = ReviewWidget(viewer)
    qtbot.waitUntil(lambda: tab.corrections is not None, timeout=10_000)
    yield tab
    tab.close()
    tab.deleteLater()


@pytest.fixture
def search(qtbot):
    def search(tab):
        tab.queue.find_button.click()
        qtbot.waitUntil(lambda: tab.queue.find_button.text() == FIND, timeout=60_000)

    return search


def test_the_slice_that_the_model_is_least_sure_of_comes_first(tab):
    tab.queue.find_button.click()
    first = tab.queue.items[0]
    assert (first.case, first.z, first.slice_number) == ("anna", 3, 4)
    assert tab.queue.table.item(0, 0).text() == "anna, 4"
    assert tab.queue.table.item(0, 1).text().startswith("uncertain: about 180 voxels")
    assert tab.order == tuple(item.z for item in tab.queue.items)
    assert tab.queue.line.text() == f"{len(tab.queue.items)} slices of 1 case."


def test_a_slice_without_a_mask_file_does_not_differ_from_the_manual_mask(tab, viewer, add_layers, data):
    for z in range(6):
        (data / "anna" / f"anna_{z + 1}_mask.tif").rename(data / f"{z}.tif")
    (data / "2.tif").rename(data / "anna" / "anna_3_mask.tif")
    manual = read_layers(str(data / "anna"))[-1]
    manual[1]["metadata"]["brainseg"]["volume"] = tab.volume
    viewer.add_layer(Layer.create(*manual))
    tab.queue.find_button.click()

    assert {item.z for item in tab.queue.items if any("manual" in reason for reason in item.reasons)} == {2}


def test_a_click_goes_to_the_slice_and_next_follows_the_list(tab, viewer, qtbot):
    tab.queue.find_button.click()
    tab.correct()
    tab.queue.table.cellClicked.emit(0, 0)
    assert viewer.dims.current_step[0] == 3
    tab.step(1)
    assert viewer.dims.current_step[0] == tab.queue.items[1].z
    tab.go_to(3)
    tab.accept()
    qtbot.waitUntil(lambda: tab.queue.table.item(0, 0).font().strikeOut(), timeout=10_000)
    assert not tab.queue.table.item(1, 0).font().strikeOut()
    tab.queue.find_button.click()
    assert 3 not in {item.z for item in tab.queue.items}


def test_without_a_prediction_the_button_says_so(tab, viewer):
    viewer.layers.remove(tab.result.layer)
    tab.queue._follow()
    assert not tab.queue.find_button.isEnabled()
    assert tab.queue.find_button.toolTip() == "Segment this case first."
    assert tab.queue.why_line.text() == "Segment this case first."
    assert not tab.queue.table.isVisibleTo(tab.queue)  # an empty list says nothing
    tab.queue.scope.setCurrentText(ALL_CASES)
    assert tab.queue.find_button.isEnabled()
    assert not tab.queue.why_line.isVisibleTo(tab.queue)


@pytest.mark.parametrize("is_correcting", [True, False])
def test_a_prediction_that_comes_later_lets_slices_be_found(tab, viewer, provenance, is_correcting):
    images = tab.result.images
    viewer.layers.remove(tab.result.layer)
    if is_correcting:
        tab.correct()
    assert not tab.queue.find_button.isEnabled()
    result = ResultLayer(viewer, images, volume_of(images), PostprocessConfig(), provenance)
    assert tab.queue.find_button.toolTip() == "Wait until the case is segmented."
    result.end(provenance)

    assert tab.queue.find_button.isEnabled()


def test_all_cases_are_searched_and_the_list_is_kept_for_next_time(tab, data, tiny_default, search, qtbot, viewer):
    workspace = default_workspace(data)
    bert = read_volume(find_cases(data / "bert")[0])
    Corrections(workspace, bert).save(np.zeros(bert.shape, np.uint8), range(6), state="accepted")
    (data / "carl" / "carl_1.tif").write_bytes(b"broken")
    tab.queue.scope.setCurrentText(ALL_CASES)
    search(tab)
    names = {item.case for item in tab.queue.items}
    assert names == {"anna", "dora"}
    assert "carl" in tab.queue.line.text()
    assert read_queue(workspace.queue) == tab.queue.items
    again = ReviewWidget(viewer)
    assert again.queue.items == tab.queue.items
    again.close()
    again.deleteLater()


def test_a_search_can_be_stopped_and_leaves_the_former_list(tab, tiny_default, qtbot):
    tab.queue.find_button.click()
    former = tab.queue.items
    tab.queue.scope.setCurrentText(ALL_CASES)
    tab.queue.find_button.click()
    assert tab.queue.find_button.text() == "Stop"
    tab.queue.find_button.click()
    assert tab.queue.find_button.text() == "Stopping..."
    assert not tab.queue.find_button.isEnabled()
    qtbot.waitUntil(lambda: tab.queue.find_button.text() == FIND, timeout=60_000)
    assert tab.queue.items == former


def test_the_bar_counts_cases_that_were_looked_into_and_says_how_long_it_takes(tab, tiny_default, search, monkeypatch):
    shown = []
    show = tab.queue._show_progress

    def noting(progress):
        show(progress)
        shown.append((tab.queue.bar.maximum(), tab.queue.bar.value(), tab.queue.bar.format()))

    monkeypatch.setattr(tab.queue, "_show_progress", noting)
    tab.queue.scope.setCurrentText(ALL_CASES)
    search(tab)

    counted = [value for most, value, _ in shown if most]
    assert counted == sorted(counted)
    assert {most for most, *_ in shown} == {0, 4}  # none is counted while cases are looked for
    assert (4, 0, "%v of %m cases") in shown
    assert any(value == 2 and words.endswith(" s left") for _, value, words in shown)


def test_the_list_is_that_of_the_data_set_and_not_of_a_case_of_the_same_name(tab, data, tmp_path, patients, viewer):
    workspace = default_workspace(data)
    with workspace.locked("queue"):
        write_queue(workspace.queue, [QueueItem(case="anna", slice_number=4, z=3, score=1, reasons=("doubt",))])
    settings = QSettings("napari-brainseg", "napari-brainseg")
    others = shutil.copytree(patients, tmp_path / "others")
    for folder, order in ((others, ()), (data, (3,))):
        settings.setValue(CASES_FOLDER, str(folder))
        tab.changed.emit()
        assert tuple(item.z for item in tab.queue.items) == tab.order == order
        assert tab.queue.table.isVisibleTo(tab.queue) == bool(order)

    workspace = default_workspace(others)
    with workspace.locked("queue"):
        write_queue(workspace.queue, tab.queue.items)
    settings.setValue(CASES_FOLDER, str(others))
    tab.changed.emit()
    assert tab.queue.items  # of another patient who is called anna
    assert tab.order == ()
    viewer.dims.set_current_step(0, 1)
    tab.queue.go_to(tab.queue.items[0])
    assert viewer.dims.current_step[0] == 1
    assert tab.queue.line.text().startswith("anna is not open")


def test_a_damaged_list_is_named(tab, data, viewer):
    workspace = default_workspace(data)
    with workspace.locked("queue"):
        workspace.queue.write_text("{")
    again = ReviewWidget(viewer)
    assert "queue.json is damaged" in again.queue.line.text()
    again.close()
    again.deleteLater()


def test_a_click_opens_another_case_at_its_slice(make_napari_viewer, tiny_default, data, qtbot, monkeypatch):
    viewer = make_napari_viewer()
    cases, tab = CasesWidget(viewer), ReviewWidget(viewer)
    for name, widget in (("Cases", cases), ("Review", tab)):
        viewer.window.add_dock_widget(widget, name=f"{name} (BrainSeg)")
    qtbot.waitUntil(lambda: not cases.is_busy and len(cases.cases_page.table.rows) == 4, timeout=30_000)
    tab.queue.scope.setCurrentText(ALL_CASES)
    tab.queue.find_button.click()
    qtbot.waitUntil(lambda: tab.queue.find_button.text() == FIND, timeout=60_000)
    item = next(item for item in tab.queue.items if item.case == "bert" and item.z != 0)
    tab.queue.go_to(item)
    qtbot.waitUntil(lambda: tab.volume is not None and tab.volume.name == "bert", timeout=30_000)
    qtbot.waitUntil(lambda: viewer.dims.current_step[0] == item.z, timeout=30_000)
    assert tab.order == tuple(found.z for found in tab.queue.items if found.case == "bert")

    cases.cases_page.select(cases.cases_page.find("dora"))
    tab._next_case()
    qtbot.waitUntil(lambda: tab.volume.name == "carl" and not cases.is_busy, timeout=30_000)

    monkeypatch.setattr(cases, "_may_replace", lambda: False)  # as if an edited mask were to be kept
    viewer.dims.set_current_step(0, 1)
    tab.queue.go_to(item)
    assert tab.queue.line.text() == ""
    monkeypatch.undo()
    cases.open_case("bert")
    qtbot.waitUntil(lambda: tab.volume.name == "bert" and tab.corrections is not None, timeout=30_000)
    assert viewer.dims.current_step[0] != item.z  # nobody waits for it any more
    qtbot.waitUntil(lambda: not cases.is_busy, timeout=30_000)
