"""The Cases tab, used as a person uses it."""

import shutil
import threading

import numpy as np
import pytest
import tifffile
from napari.layers import Labels, Layer
from qtpy.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QHeaderView, QMessageBox, QPushButton, QWidget

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.phantom import PhantomCase, make_phantom, write_phantom_cases
from napari_brainseg.core.volumes import volume_of_array
from napari_brainseg.plugin import cases_widget
from napari_brainseg.plugin.case_table import CASE, COLUMNS, MISSING, PROBLEMS, SITE, TUMOUR_VOXELS
from napari_brainseg.plugin.cases_widget import CasesWidget
from napari_brainseg.plugin.layers import image_layers, mask_layer
from napari_brainseg.plugin.opened_case import show_largest_tumour

SHAPE = (6, 64, 64)
NAMES = ["phantom_1", "phantom_2", "phantom_3_FLAIR_only", "phantom_4_no_tumour"]
BROKEN = "phantom_2"


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patients")
    write_phantom_cases(folder, shape=SHAPE)
    return folder


@pytest.fixture
def broken_set(data_set, tmp_path):
    folder = tmp_path / "some broken"
    shutil.copytree(data_set, folder)
    (folder / BROKEN / f"{BROKEN}_3.tif").write_bytes(b"no image")
    return folder


@pytest.fixture
def raised(monkeypatch):
    """Names of the tabs that were brought forward."""
    names = []
    monkeypatch.setattr(cases_widget, "raise_tab", lambda _, name: names.append(name))
    return names


@pytest.fixture
def open_tab(qtbot, viewer, raised):
    """Open the Cases tab of a viewer without a window, on a folder, and wait until it is filled in."""

    def open_cases(folder=None, wait=True, viewer=viewer):
        widget = CasesWidget(viewer)
        qtbot.addWidget(widget)
        widget.resize(500, 700)
        widget.show()
        if folder:
            widget.open_folder(folder)
        if wait:
            idle(widget)
        return widget

    def idle(widget):
        qtbot.waitUntil(lambda: not widget._tasks, timeout=30_000)

    open_cases.idle = idle
    return open_cases


def column(widget, number):
    shown = widget.cases_page.shown
    return [shown.index(row, number).data() for row in range(shown.rowCount())]


def select(widget, name):
    widget.cases_page.select(widget.cases_page.find(name))


def column_of_names(widget):
    return [row.case.name for row in widget.cases_page.table.rows]


def open_case(widget, open_tab, name):
    select(widget, name)
    widget.open_current()
    open_tab.idle(widget)


def paint(layer):
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)


# an empty tab


def test_an_empty_tab_says_what_to_do(open_tab):
    widget = open_tab()

    assert widget.pages.currentIndex() == 0
    texts = [button.text() for button in widget.pages.currentWidget().findChildren(QPushButton)]
    assert texts == ["Open folder…", "Try the sample data set"]


def test_the_sample_data_set_is_made_and_listed(open_tab, monkeypatch, tmp_path):
    monkeypatch.setattr(cases_widget, "sample_folder", lambda: tmp_path)
    monkeypatch.setattr(
        cases_widget, "write_phantom_cases", lambda folder: write_phantom_cases(folder, [PhantomCase("eva", 1)], SHAPE)
    )
    widget = open_tab()

    widget.sample_button.click()
    open_tab.idle(widget)

    assert column(widget, CASE) == ["eva"]


def test_the_folder_button_asks_for_a_folder(open_tab, monkeypatch, data_set):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(data_set))
    widget = open_tab()

    widget.pages.currentWidget().findChildren(QPushButton)[0].click()
    open_tab.idle(widget)

    assert column(widget, CASE) == NAMES


def test_a_folder_can_be_dropped(open_tab, data_set):
    widget = open_tab()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(data_set))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier

    widget.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, buttons, keys))
    open_tab.idle(widget)

    assert column(widget, CASE) == NAMES


def test_several_things_dropped_are_refused_with_a_sentence(open_tab, data_set, notified):
    widget = open_tab()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(data_set / name)) for name in NAMES[:2]])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, mime, buttons, keys)
    widget.dragEnterEvent(event)
    assert event.isAccepted()
    widget.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, buttons, keys))

    assert notified == ["2 files or folders were dropped: drop one, such as the folder that they are in."]
    assert not widget._tasks


def test_a_folder_without_cases_is_refused_and_the_old_list_stays(open_tab, data_set, tmp_path, notified):
    widget = open_tab(data_set)

    widget.open_folder(tmp_path)
    open_tab.idle(widget)

    assert str(tmp_path) in widget.message.text()
    assert "no case found" in notified[0]
    assert column(widget, CASE) == NAMES


def test_everything_has_a_tooltip(open_tab, data_set):
    widget = open_tab(data_set)

    assert all(button.toolTip() for button in widget.findChildren(QPushButton))
    header = [
        widget.cases_page.table.headerData(number, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        for number in range(7)
    ]
    assert all(header)
    assert len(header) == len(COLUMNS)


@pytest.mark.parametrize("width", [300, 380, 600])
def test_nothing_needs_scrolling_sideways(open_tab, data_set, width):
    widget = open_tab(data_set)
    widget.resize(width, 700)
    widget.message.setText(f"{'a_very_long_name_of_a_case' * 5} is open.")

    assert widget.minimumSizeHint().width() <= 300
    assert widget.cases_page.view.horizontalHeader().length() <= widget.cases_page.view.viewport().width()
    assert widget.cases_page.view.isColumnHidden(SITE) == (width < 600)


def test_names_are_shown_whole_where_there_is_room_and_empty_columns_go_first(open_tab, data_set, tmp_path):
    names = ["TCGA_CS_4941_19960909", "TCGA_CS_4942_19970222"]
    for name in names:
        write_phantom_cases(tmp_path, [PhantomCase(name, 1)], SHAPE)
    widget = open_tab(tmp_path)
    widget.resize(420, 700)
    view = widget.cases_page.view
    wide = view.fontMetrics().horizontalAdvance(names[0])

    assert view.columnWidth(CASE) >= wide + 8
    assert view.isColumnHidden(PROBLEMS)
    widget.cases_page.table.fill_in(0, "broken")
    assert not view.isColumnHidden(PROBLEMS)
    assert view.isColumnHidden(MISSING)
    assert view.columnWidth(CASE) >= wide + 8
    assert view.horizontalHeader().length() <= view.viewport().width()
    assert view.horizontalHeader().sectionResizeMode(CASE) == QHeaderView.ResizeMode.Interactive
    tip = widget.cases_page.table.index(0, CASE).data(Qt.ItemDataRole.ToolTipRole)
    assert tip == f"{names[0]}\n⚠ broken"


def test_every_case_with_a_problem_is_counted(open_tab, broken_set):
    (broken_set / NAMES[0] / "notes.txt").write_text("by hand")
    widget = open_tab(broken_set)

    assert widget.message.text() == "4 cases, 2 with a problem ⚠"


# the table


def test_details_are_filled_in(open_tab, data_set):
    widget = open_tab(data_set)
    voxels = [str(np.count_nonzero(make_phantom(seed, SHAPE)[1])) for seed in (1, 2)]

    assert column(widget, TUMOUR_VOXELS)[:2] == voxels
    assert column(widget, TUMOUR_VOXELS)[3] == "0"
    assert column(widget, MISSING) == ["", "", "pre, post", ""]
    assert widget.busy.isHidden()
    assert "4 cases" in widget.message.text()


def test_numbers_are_sorted_as_numbers_and_names_naturally(open_tab, tmp_path):
    cases = [PhantomCase(f"case_{number}", number) for number in (2, 10, 1)]
    write_phantom_cases(tmp_path, cases, SHAPE)
    mask = tmp_path / "case_10" / "case_10_3_mask.tif"
    for file in mask.parent.glob("*_mask.tif"):
        tifffile.imwrite(file, np.zeros(SHAPE[1:], np.uint8), photometric="minisblack")
    plane = np.zeros(SHAPE[1:], np.uint8)
    plane[0, :9] = 255
    tifffile.imwrite(mask, plane, photometric="minisblack")
    widget = open_tab(tmp_path)
    assert column(widget, CASE) == ["case_1", "case_2", "case_10"]

    widget.cases_page.view.sortByColumn(TUMOUR_VOXELS, Qt.SortOrder.AscendingOrder)

    assert column(widget, TUMOUR_VOXELS)[0] == "9"
    assert column(widget, CASE)[0] == "case_10"
    numbers = [int(text) for text in column(widget, TUMOUR_VOXELS)]
    assert numbers == sorted(numbers)


def test_the_filter_takes_each_word(open_tab, broken_set):
    widget = open_tab(broken_set)

    for text, expected in (
        ("flair_only", ["phantom_3_FLAIR_only"]),
        ("phantom tumour", ["phantom_4_no_tumour"]),
        ("cannot be read", [BROKEN]),
        ("post-contrast", ["phantom_3_FLAIR_only"]),
        ("", NAMES),
    ):
        widget.cases_page.filter.setText(text)
        assert column(widget, CASE) == expected

    widget.cases_page.filter.setText("nobody")
    assert "nobody" in widget.message.text()
    assert not widget.cases_page.open_button.isEnabled()
    assert widget.cases_page.open_button.toolTip() == "Select a case first."


def test_the_table_can_be_used_while_it_fills_in(open_tab, qtbot, data_set, gate, viewer):
    widget = open_tab(data_set, wait=False)
    qtbot.waitUntil(lambda: "fill" in widget._tasks)

    assert column(widget, CASE) == NAMES
    assert column(widget, TUMOUR_VOXELS) == [""] * 4
    assert not widget.busy.isHidden()
    widget.open_current()
    qtbot.waitUntil(lambda: len(viewer.layers) == 4)

    gate.open()
    open_tab.idle(widget)
    assert "" not in column(widget, TUMOUR_VOXELS)


def test_filling_in_is_cancelled_and_continued(open_tab, qtbot, data_set, gate):
    widget = open_tab(data_set, wait=False)
    qtbot.waitUntil(lambda: "fill" in widget._tasks)

    widget.cancel_button.click()
    gate.open()

    assert not widget._tasks
    assert "Stopped" in widget.message.text()
    assert widget.cancel_button.text() == "Continue"
    qtbot.wait(100)
    assert "" in column(widget, TUMOUR_VOXELS)

    widget.cancel_button.click()
    open_tab.idle(widget)
    assert "" not in column(widget, TUMOUR_VOXELS)


def test_listing_is_cancelled_and_the_old_list_stays(open_tab, qtbot, data_set, tmp_path, gate):
    gate.unheld = ""
    widget = open_tab(wait=False)
    widget.open_folder(data_set)
    task = widget._tasks["list"]
    qtbot.waitUntil(lambda: widget.bar.maximum() > 0)
    assert widget.bar.format() == "%v of %m folders"

    widget.cancel_button.click()
    qtbot.waitUntil(lambda: task.was_stopped)

    assert widget.message.text() == "Stopped looking for cases."
    assert not widget.busy.isVisible()
    gate.open()
    widget.open_folder(data_set)
    open_tab.idle(widget)
    widget.open_folder(tmp_path)
    widget.cancel_button.click()
    assert widget.message.text() == f"Stopped looking for cases. The table still shows {data_set.name}."
    assert column(widget, CASE) == NAMES


def test_a_broken_case_has_a_sign_and_a_sentence_and_stops_no_other(open_tab, broken_set, notified, viewer):
    widget = open_tab(broken_set)

    assert [text.startswith("⚠") for text in column(widget, PROBLEMS)] == [False, True, False, False]
    assert column(widget, TUMOUR_VOXELS)[3] == "0"
    assert "1 with a problem" in widget.message.text()
    select(widget, BROKEN)
    assert f"{BROKEN}_3.tif cannot be read" in widget.cases_page.details.text.text().replace("\u200b", "")
    assert f"{BROKEN}_3.tif" in widget.cases_page.shown.index(1, CASE).data(Qt.ItemDataRole.ToolTipRole)
    assert not widget.cases_page.open_button.isEnabled()
    assert f"{BROKEN}_3.tif" in widget.cases_page.open_button.toolTip()

    open_case(widget, open_tab, BROKEN)
    assert f"{BROKEN}_3.tif" in notified[0]
    assert not viewer.layers


def test_the_selected_case_is_described_with_a_picture(open_tab, data_set):
    widget = open_tab(data_set)

    select(widget, "phantom_3_FLAIR_only")

    text = widget.cases_page.details.text.text().replace("\u200b", "")
    assert "6 slices of 64 × 64" in text
    assert "Missing: pre-contrast, post-contrast" in text
    image = widget.cases_page.details.picture.pixmap().toImage()
    colours = {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}
    assert any(int(colour[5:], 16) > int(colour[1:3], 16) + 80 for colour in colours)  # the mask's blue outline


# opening


def test_opening_shows_the_largest_tumour_and_brings_segment_forward(open_tab, data_set, viewer, raised):
    widget = open_tab(data_set)
    _, mask = make_phantom(2, SHAPE)

    open_case(widget, open_tab, "phantom_2")

    assert [layer.name for layer in viewer.layers if layer.visible] == ["phantom_2 FLAIR", "phantom_2 manual"]
    assert viewer.layers["phantom_2 manual"].contour == 2
    assert viewer.dims.current_step[0] == np.argmax(mask.sum(axis=(1, 2)))
    assert raised == ["Segment"]


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_enter_opens_the_selected_case(open_tab, qtbot, data_set, viewer, key):
    widget = open_tab(data_set)

    qtbot.keyClick(widget.cases_page.view, key)
    open_tab.idle(widget)

    assert "phantom_1 FLAIR" in viewer.layers


def test_a_double_click_opens_a_case(open_tab, qtbot, data_set, viewer):
    widget = open_tab(data_set)
    place = widget.cases_page.view.visualRect(widget.cases_page.shown.index(1, CASE)).center()

    qtbot.mouseClick(widget.cases_page.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(widget.cases_page.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    open_tab.idle(widget)

    assert "phantom_2 FLAIR" in viewer.layers


def test_another_case_replaces_the_former_with_its_results_and_nothing_else(open_tab, data_set, viewer):
    widget = open_tab(data_set)
    viewer.add_image(np.zeros(SHAPE), name="mine")
    open_case(widget, open_tab, "phantom_1")
    volume = viewer.layers["phantom_1 FLAIR"].metadata["brainseg"]["volume"]
    data, options, _ = mask_layer(np.zeros(SHAPE, np.uint8), volume, "prediction")
    viewer.add_labels(data, **options)

    open_case(widget, open_tab, "phantom_4_no_tumour")

    assert viewer.layers[0].name == "mine"
    assert all(layer.name.startswith("phantom_4_no_tumour") for layer in viewer.layers[1:])
    assert len(viewer.layers) == 5


def test_a_case_of_the_same_name_that_comes_from_elsewhere_stays(open_tab, data_set, tmp_path, viewer, add_layers):
    add_layers(viewer, shutil.copytree(data_set / "phantom_1", tmp_path / "phantom_1"))
    before = list(viewer.layers)
    widget = open_tab(data_set)

    for name in ("phantom_1", "phantom_2"):
        open_case(widget, open_tab, name)

    assert list(viewer.layers[:4]) == before
    assert [layer.name.split()[0] for layer in viewer.layers[4:]] == ["phantom_2"] * 4


def test_several_edited_masks_are_asked_about_in_the_plural(open_tab, data_set, viewer, monkeypatch):
    asked = []
    monkeypatch.setattr(
        QMessageBox, "question", lambda *words: asked.append(words[2]) or QMessageBox.StandardButton.Cancel
    )
    widget = open_tab(data_set)
    open_case(widget, open_tab, "phantom_1")
    mask = viewer.layers["phantom_1 manual"]
    viewer.add_layer(Labels(mask.data.copy(), name="another", metadata=dict(mask.metadata)))
    for layer in (mask, viewer.layers["another"]):
        paint(layer)

    open_case(widget, open_tab, "phantom_2")

    assert asked[0].startswith("phantom_1 manual, another were edited. Opening another case takes them out ")


@pytest.mark.parametrize("answer", [QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.Discard])
def test_an_edited_mask_goes_only_after_asking(open_tab, data_set, viewer, monkeypatch, answer):
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[2]) or answer)
    widget = open_tab(data_set)
    open_case(widget, open_tab, "phantom_1")
    paint(viewer.layers["phantom_1 manual"])

    open_case(widget, open_tab, "phantom_2")

    assert len(asked) == 1
    assert asked[0].startswith("phantom_1 manual was edited. Opening another case takes it out ")
    assert ("phantom_1 manual" in viewer.layers) == (answer == QMessageBox.StandardButton.Cancel)


def test_an_undone_edit_needs_no_question(open_tab, data_set, viewer, monkeypatch):
    monkeypatch.setattr(QMessageBox, "question", lambda *_: pytest.fail("asked"))
    widget = open_tab(data_set)
    open_case(widget, open_tab, "phantom_1")
    mask = viewer.layers["phantom_1 manual"]
    paint(mask)
    mask.undo()

    open_case(widget, open_tab, "phantom_2")

    assert "phantom_2 manual" in viewer.layers


def test_next_and_previous_follow_the_table_and_pass_broken_cases(open_tab, broken_set, viewer, raised):
    widget = open_tab(broken_set)
    assert not widget.cases_page.previous_button.isEnabled()
    assert "no case before" in widget.cases_page.previous_button.toolTip()

    widget.cases_page.next_button.click()
    open_tab.idle(widget)
    assert "phantom_3_FLAIR_only FLAIR" in viewer.layers

    widget.cases_page.previous_button.click()
    open_tab.idle(widget)
    assert "phantom_1 FLAIR" in viewer.layers
    assert raised == []  # one stays in the table while leafing through it


def test_the_next_case_is_that_after_the_open_one_whichever_is_looked_at_in_the_table(open_tab, data_set, viewer):
    widget = open_tab(data_set)
    open_case(widget, open_tab, "phantom_1")
    volume = viewer.layers[0].metadata["brainseg"]["volume"]
    select(widget, "phantom_3_FLAIR_only")

    assert widget.cases_page.neighbour(-1, volume) is None
    widget.open_neighbour(1, volume)
    open_tab.idle(widget)

    assert viewer.layers[0].name.startswith("phantom_2")
    assert widget.cases_page.current_row.case.name == "phantom_2"


def test_a_case_chosen_later_wins(open_tab, data_set, viewer):
    widget = open_tab(data_set)

    for name in ("phantom_1", "phantom_2", "phantom_3_FLAIR_only"):
        select(widget, name)
        widget.open_current()
    open_tab.idle(widget)

    assert {layer.metadata["brainseg"]["volume"].name for layer in viewer.layers} == {"phantom_3_FLAIR_only"}


def test_layers_are_made_off_the_gui_thread(open_tab, data_set, monkeypatch):
    threads = []
    create = Layer.create
    monkeypatch.setattr(Layer, "create", lambda *data: threads.append(threading.current_thread()) or create(*data))
    widget = open_tab(data_set)
    open_case(widget, open_tab, "phantom_1")

    assert len(threads) == len(widget.viewer.layers) == 4
    assert threading.main_thread() not in threads


def test_the_largest_tumour_is_that_of_the_manual_mask_and_else_of_the_prediction(viewer):
    volume = volume_of_array(np.zeros((5, 8, 8), np.uint8), "anna", (4.0, 1.0, 1.0))
    mask = np.zeros((5, 8, 8), np.uint8)
    for data, options, _ in image_layers(volume):
        viewer.add_image(data, **options)
    assert not show_largest_tumour(viewer)

    for kind, largest in (("prediction", 1), ("manual", 4)):
        mask[:] = 0
        mask[largest, :3] = mask[0, :1] = 1
        data, options, _ = mask_layer(mask.copy(), volume, kind)
        viewer.add_layer(Labels(data, **options))
        assert show_largest_tumour(viewer)
        assert viewer.dims.current_step[0] == largest


def test_the_button_says_when_there_is_no_tumour(open_tab, data_set):
    widget = open_tab(data_set)
    open_case(widget, open_tab, "phantom_4_no_tumour")

    widget.cases_page.largest_button.click()

    assert "no mask with tumour" in widget.message.text()


# next time


def test_folder_and_case_are_remembered(open_tab, data_set):
    open_case(open_tab(data_set), open_tab, "phantom_3_FLAIR_only")

    again = open_tab()

    assert column(again, CASE) == NAMES
    assert again.cases_page.current_row.case.name == "phantom_3_FLAIR_only"


def test_a_folder_that_is_gone_is_told(open_tab, tmp_path):
    QSettings("napari-brainseg", "napari-brainseg").setValue("cases/folder", str(tmp_path / "gone"))

    widget = open_tab()

    assert widget.pages.currentIndex() == 0
    assert "gone" in widget.message.text()


def test_work_stops_when_the_tab_is_closed(open_tab, qtbot, data_set, gate):
    parent = QWidget()
    qtbot.addWidget(parent)
    widget = open_tab(data_set, wait=False)
    widget.setParent(parent)
    qtbot.waitUntil(lambda: "fill" in widget._tasks)
    task = widget._tasks["fill"]

    widget.setParent(None)  # as napari does with a dock widget that is closed

    assert task.stopping


def test_cases_that_are_listed_after_the_tab_was_closed_are_not_looked_into(open_tab, qtbot, data_set, monkeypatch):
    looked_into, may_list = [], threading.Event()
    monkeypatch.setattr(cases_widget, "summarise_case", looked_into.append)
    monkeypatch.setattr(cases_widget, "find_cases", lambda *_, **__: may_list.wait(10) and find_cases(data_set))
    widget = open_tab(data_set, wait=False)
    task = widget._tasks["list"]

    widget.close()
    may_list.set()
    assert task.wait(10)
    qtbot.wait(50)

    assert not widget.cases_page.table.rows
    assert not looked_into


# in a real window


def test_j_goes_to_the_largest_tumour(make_napari_viewer, open_tab, data_set):
    viewer = make_napari_viewer()
    widget = open_tab(data_set, viewer=viewer)
    viewer.window.add_dock_widget(widget)
    open_case(widget, open_tab, "phantom_1")
    largest = viewer.dims.current_step[0]
    viewer.dims.set_current_step(0, 0)

    pressed = next(function for key, function in viewer.keymap.items() if str(key) == "J")
    pressed(viewer)

    assert viewer.dims.current_step[0] == largest != 0


def test_leafing_through_a_data_set_in_a_window(make_napari_viewer, open_tab, data_set, qtbot):
    viewer = make_napari_viewer(show=True)
    widget = open_tab(data_set, viewer=viewer)
    viewer.window.add_dock_widget(widget)

    for step in (1, 1, 1, -1):
        widget.open_neighbour(step)
        open_tab.idle(widget)

    assert {layer.metadata["brainseg"]["volume"].name for layer in viewer.layers} == {"phantom_3_FLAIR_only"}
    assert viewer.window._qt_window.updatesEnabled()
    picture = viewer.screenshot(flash=False)
    assert len(np.unique(picture[..., :3])) > 50
