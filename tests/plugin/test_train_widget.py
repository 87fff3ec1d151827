"""The Train tab around a run: started as a process of its own, followed by its folder, stopped, resumed, used."""

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QSettings
from qtpy.QtGui import QCloseEvent, QDesktopServices
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from napari_brainseg.core import colours
from napari_brainseg.core.config import ModelConfig
from napari_brainseg.core.model_folders import ModelInfo, read_model_info
from napari_brainseg.core.runs import is_stop_asked, read_previews, read_run, write_run
from napari_brainseg.core.training_pace import MeasuredPace
from napari_brainseg.plugin import train_cost, train_farewell, train_figure, train_widget
from napari_brainseg.plugin.tabs import show_tab
from napari_brainseg.plugin.train_farewell import ask
from napari_brainseg.plugin.train_figure import CurvesWanted, draw_curves, render_curves
from napari_brainseg.plugin.train_form import FROM_NOTHING
from napari_brainseg.plugin.train_outcome import TrainOutcome, compare, sentence
from napari_brainseg.plugin.train_plan import TrainingCost
from napari_brainseg.plugin.train_previews import TrainPreviews, draw_preview
from napari_brainseg.plugin.train_run_page import IN_USE, STOP, STOPPING, USE
from napari_brainseg.plugin.train_watch import RunReader
from napari_brainseg.plugin.train_widget import TrainWidget

INFO = ModelInfo(
    name="new",
    model=ModelConfig(),
    validation_cases=("carl", "dora"),
    validation_dice={"carl": 0.89, "dora": 0.9},
    parent_dice={"carl": 0.81, "dora": 0.93},
)
COST = TrainingCost("CPU", MeasuredPace(10, 1.0, 5.0, validates_parent=False), 1.0)


@pytest.fixture
def open_train_tab(qtbot, tiny_default, monkeypatch):
    """Open the Train tab of a viewer; no training outlives the test, and nothing is asked about it."""
    for module in (train_widget, train_farewell):
        monkeypatch.setattr(module, "ask", lambda *_, **__: "go on")
    opened, started = [], []
    start = train_widget.start_training
    monkeypatch.setattr(train_widget, "start_training", lambda *words: started.append(start(*words)) or started[-1])

    def open_tab(viewer):
        tab = TrainWidget(viewer)
        opened.append(tab)
        return tab

    yield open_tab
    for pid in filter(psutil.pid_exists, started):
        psutil.Process(pid).kill()
    for tab in opened:
        tab._timer.stop()  # else it asks, and nobody is there to answer
        tab.close()
        tab.deleteLater()


@pytest.fixture
def tab(viewer, open_train_tab):
    return open_train_tab(viewer)


@pytest.fixture
def watch(tab, qtbot):
    """Let the tab look at a folder, and wait until it has."""

    def see(folder: Path):
        tab.watch(folder)
        qtbot.waitUntil(lambda: tab.view is not None and "look" not in tab._tasks, timeout=10_000)
        return tab.run_page

    return see


@pytest.fixture
def ready(tab, patients, tmp_path, qtbot):
    """The tab set up for two quick epochs from nothing."""
    return set_up(tab, patients, tmp_path, qtbot)


def set_up(tab, patients, tmp_path, qtbot):
    setup = tab.setup
    setup.patients.open_folder(patients)
    setup.source.value = FROM_NOTHING
    setup.network["filters"].value = (4, 8, 8)
    for name, value in (("epoch_slices", 4), ("batch_size", 2), ("window", 32), ("validate_every", 1), ("threads", 1)):
        setup.advanced[name].value = value
    setup.advanced["device"].value = "cpu"
    setup.augmentation.form["scale"].value = (0.9, 1.1)
    setup.epochs.value = 2
    setup.models_folder = tmp_path / "models"
    qtbot.waitUntil(lambda: setup.patients.split is not None and not setup.is_busy, timeout=30_000)
    return tab


def wait_for(qtbot, tab, *statuses):
    qtbot.waitUntil(lambda: tab.view is not None and tab.view.status in statuses, timeout=120_000)


def test_nothing_is_cut_off_in_the_narrowest_column(make_napari_viewer, plugin, open_train_tab):
    viewer = make_napari_viewer()  # whose style asks for wider boxes than Qt's
    tab = open_train_tab(viewer)
    viewer.window.add_dock_widget(tab, name="Train", area="right")
    for widget in tab.findChildren(QWidget):
        widget.ensurePolished()

    assert tab.minimumWidth() == 300
    assert tab.widget().minimumSizeHint().width() + tab.verticalScrollBar().sizeHint().width() <= 300


# a training of its own


def test_two_epochs_are_trained_by_another_process_and_followed(
    make_napari_viewer, plugin, open_train_tab, patients, tmp_path, qtbot
):
    viewer = make_napari_viewer()
    tab = open_train_tab(viewer)
    viewer.window.add_dock_widget(tab, name="Train")
    ready = set_up(tab, patients, tmp_path, qtbot)
    request = ready.setup.request()
    ready.setup.start_button.click()
    assert ready.setup.isHidden()
    wait_for(qtbot, tab, "finished", "failed", "stopped")

    assert (tab.view.status, tab.view.problem) == ("finished", "")
    assert tab.view.state.pid != os.getpid()
    assert read_run(request.output).training == request.config  # the command line understood every flag
    assert read_run(request.output).model == request.model
    assert (request.output / "train.log").read_text().strip()
    page = tab.run_page
    assert page.status_line.text().startswith("Finished: 2 of 2 epochs")
    assert page.stop_button.isHidden()
    assert page.epoch_bar.isHidden()
    assert len(tab.view.history) == 2
    qtbot.waitUntil(lambda: page.curves.image is not None, timeout=30_000)
    assert page.previews.epoch == 2
    assert page.outcome.sentence.text().startswith("Mean Dice ")
    assert page.report_button.isEnabled()
    assert tab.widget().minimumSizeHint().width() <= 300


def test_a_fine_tuned_model_is_shown_against_its_parent(ready, save_tiny_model, tmp_path, qtbot):
    parent = save_tiny_model(tmp_path / "parent")
    ready.setup.source.value = "A trained model"
    ready.setup.models.choose(str(parent))
    qtbot.waitUntil(
        lambda: ready.setup.patients.split is not None and ready.setup.start_button.isEnabled(), timeout=10_000
    )
    ready.setup.start_button.click()
    wait_for(qtbot, ready, "finished", "failed")

    assert ready.view.status == "finished", ready.view.message
    assert ready.run_page.about_line.text() == "From parent; 3 cases train, 1 validate."
    assert ready.run_page.outcome.sentence.text().startswith("Old model ")
    assert ready.run_page.outcome.table.rowCount() == 1


def test_a_training_is_stopped_and_resumed(ready, qtbot):
    ready.setup.epochs.value = 2000
    ready.setup.start_button.click()
    qtbot.waitUntil(lambda: ready.view is not None and len(ready.view.history) > 0, timeout=120_000)
    page = ready.run_page
    page.stop_button.click()
    assert page.stop_button.text() == STOPPING
    wait_for(qtbot, ready, "stopped", "failed")

    assert ready.view.status == "stopped", ready.view.message
    assert read_model_info(ready.view.folder).epoch
    assert not page.use_button.isHidden()
    epochs = len(ready.view.history)
    page.resume_button.click()
    qtbot.waitUntil(lambda: ready.is_under_way and len(ready.view.history) > epochs, timeout=120_000)
    assert page.resume_button.isHidden()


def test_a_run_begun_in_a_terminal_is_resumed_where_its_relative_paths_start(tab, watch, make_run, patients, qtbot):
    folder = make_run("run", status="stopped")
    command = f"brainseg train {patients.name} --output {folder}"
    changes = {"command": command, "directory": str(patients.parent), "parent": None, "train_cases": ("nobody",)}
    write_run(folder, read_run(folder).model_copy(update=changes))
    watch(folder).resume_button.click()
    wait_for(qtbot, tab, "failed")

    assert tab.view.message.startswith(f"nobody is not among the usable cases of {patients.name}")


def test_a_stop_in_the_first_moments_is_not_forgotten(ready, qtbot):
    ready.setup.epochs.value = 2000
    ready.setup.start_button.click()
    qtbot.waitUntil(lambda: ready.view is not None, timeout=10_000)
    assert ready.view.state is None  # the process has yet to load what it needs
    ready.run_page.stop_button.click()
    wait_for(qtbot, ready, "stopped", "failed")

    assert ready.view.status == "stopped", ready.view.message


def test_a_training_that_cannot_begin_says_why_in_the_tab_and_in_napari(tab, patients, tmp_path, qtbot, monkeypatch):
    data = shutil.copytree(patients, tmp_path / "data")
    ready = set_up(tab, data, tmp_path, qtbot)
    (data / "bert" / "bert_2.tif").write_bytes(b"nothing")
    told = []
    monkeypatch.setattr(train_widget, "show_error", told.append)
    ready.setup.start_button.click()
    wait_for(qtbot, ready, "failed", "finished")

    assert "bert_2.tif" in ready.run_page.status_line.text()
    assert len(told) == 1
    assert "bert_2.tif" in told[0]
    assert "\n" not in told[0]


def test_the_folder_is_read_off_the_gui_thread(watch, make_run, monkeypatch):
    threads = []
    look = RunReader.look
    monkeypatch.setattr(RunReader, "look", lambda reader: threads.append(threading.current_thread()) or look(reader))
    watch(make_run("run"))

    assert threads
    assert threading.main_thread() not in threads


# what is shown of a run


def test_a_running_training_has_two_bars_with_the_time_left(watch, make_run):
    page = watch(make_run("run"))

    assert page.title.text() == "run"
    assert page.about_line.text() == "From default; 2 cases train, 2 validate."
    assert (page.epoch_bar.value(), page.epoch_bar.maximum()) == (3, 12)
    assert page.epoch_bar.text() == "Epoch 3: 25 %, 45 s left"
    assert page.run_bar.text() == "Run: 56 %, 2 min left"
    assert page.stop_button.text() == STOP
    for button, reason in (
        (page.report_button, "The report is written when the training ends."),
        (page.new_button, "Stop this training first, or wait for its end."),
    ):
        assert not button.isEnabled()
        assert button.toolTip() == reason
    assert page.outcome.isHidden()
    assert page.use_button.isHidden()


def test_curves_show_every_figure_of_the_history(make_run):
    rows = RunReader(make_run("run")).look().history
    figure = draw_curves(CurvesWanted(rows, 4, "#112233", "#eeeeee", 300, 290))
    loss, scores, rate = figure.axes

    assert [list(line.get_ydata()) for line in loss.lines] == [[1.0, 0.5], [0.6, 0.6]]
    assert [list(line.get_ydata()) for line in scores.lines] == [[0.2, 0.4], [0.15, 0.3]]
    assert list(rate.lines[0].get_ydata()) == [1e-3, 1e-3]
    assert rate.get_xlim() == (0.5, 4.5)
    assert loss.yaxis.label.get_color() == "#eeeeee"


def test_curves_are_drawn_off_the_gui_thread_in_the_windows_colours(tab, watch, make_run, viewer, qtbot, monkeypatch):
    threads = []
    monkeypatch.setattr(
        train_figure, "render_curves", lambda w: threads.append(threading.current_thread()) or render_curves(w)
    )
    curves = watch(make_run("run")).curves
    qtbot.waitUntil(lambda: curves.image is not None, timeout=30_000)
    dark = curves.image.pixelColor(0, 0).name()
    viewer.theme = "light"
    qtbot.waitUntil(lambda: curves.image.pixelColor(0, 0).name() != dark, timeout=10_000)

    assert get_theme("dark").background.as_hex() == dark
    assert threading.main_thread() not in threads


def test_previews_follow_the_newest_epoch_until_the_slider_is_moved(tab, watch, make_run, qtbot):
    folder = make_run("run")
    previews = watch(folder).previews
    assert previews.epoch == 2
    assert "after epoch 2" in previews.title.text()
    before = previews._pictures[0].pixmap().toImage()
    previews.slider.setValue(0)
    assert "before training" in previews.title.text()
    assert previews._pictures[0].pixmap().toImage() != before

    np.savez(folder / "previews" / "epoch_0003.npz", probability=np.zeros((2, 32, 32), np.uint8))
    qtbot.waitUntil(lambda: tab.view.previews.epochs == (0, 1, 2, 3), timeout=10_000)
    assert previews.epoch == 0
    previews.slider.setValue(3)
    np.savez(folder / "previews" / "epoch_0004.npz", probability=np.zeros((2, 32, 32), np.uint8))
    qtbot.waitUntil(lambda: previews.epoch == 4, timeout=10_000)


def test_a_damaged_preview_is_told_and_the_others_are_shown(watch, make_run):
    folder = make_run("run")
    (folder / "previews" / "epoch_0001.npz").write_bytes(b"nothing")
    previews = watch(folder).previews
    previews.slider.setValue(1)
    assert "cannot be read" in previews.title.text()
    previews.slider.setValue(2)
    assert "cannot be read" not in previews.title.text()


def test_a_single_preview_gets_all_the_width(make_run, qtbot):
    page = TrainPreviews()
    qtbot.addWidget(page)
    page.resize(320, 400)
    two = read_previews(make_run("run"))
    page.show_previews(two)
    page.show()
    qtbot.waitUntil(lambda: 100 < page._pictures[0].width() < 160, timeout=5_000)
    page.show_previews(replace(two, images=two.images[:1], manual=two.manual[:1], names=two.names[:1]))
    qtbot.waitUntil(lambda: page._pictures[0].pixmap().width() == page._pictures[0].width() == 320, timeout=5_000)


def test_outlines_have_the_colours_of_manual_and_prediction():
    manual = np.zeros((32, 32), np.uint8)
    manual[8:24, 8:24] = 1
    pixels = draw_preview(manual * 100, manual, np.roll(manual, 4, axis=1) * 255, 64)

    def at(row, column):
        return "#{:02X}{:02X}{:02X}".format(*pixels[row, column])

    assert pixels.shape == (64, 64, 3)
    row = 32
    found = {at(row, column) for column in range(64)}
    assert {colours.MANUAL, colours.PREDICTION} <= found
    assert {at(row, column) for column in range(12, 20)} & {colours.MANUAL}


def test_a_damaged_run_is_told(watch, make_run):
    folder = make_run("run")
    (folder / "state.json").write_text("{}")
    page = watch(folder)

    assert str(folder / "state.json") in page.status_line.text()


def test_the_tab_takes_the_folder_opened_in_the_cases_tab_when_it_comes_to_the_front(
    make_napari_viewer, plugin, tiny_default, patients, qtbot, monkeypatch
):
    measured = []
    monkeypatch.setattr(train_cost, "measure_cost", lambda request, _: measured.append(request) or COST)
    viewer = make_napari_viewer(show=True)
    train = show_tab(viewer, "Train")
    cases = show_tab(viewer, "Cases")
    assert train.isVisible()  # as Qt has it, behind another tab
    cases.open_folder(patients)
    qtbot.waitUntil(lambda: not cases.is_busy, timeout=30_000)
    assert train.setup.patients.folder is None
    show_tab(viewer, "Train")
    qtbot.waitUntil(lambda: train.setup.patients.split is not None and not train.setup.is_busy, timeout=30_000)
    assert train.setup.patients.folder == patients
    qtbot.waitUntil(lambda: len(measured) == 1, timeout=10_000)

    show_tab(viewer, "Cases")
    train.setup.advanced["batch_size"].value = 4
    qtbot.wait(1500)
    assert len(measured) == 1  # nobody looks
    show_tab(viewer, "Train")
    qtbot.waitUntil(lambda: len(measured) == 2, timeout=10_000)


# what came of it


def test_the_new_model_stands_against_the_old_one_per_case(watch, make_run):
    page = watch(make_run("run", status="finished", done=4, model=INFO))
    table = page.outcome.table
    cells = [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount())]

    assert page.outcome.sentence.text() == ("Old model 0.87, new model 0.90: mean Dice on the same 2 validation cases.")
    assert cells == [["dora", "0.93", "0.90", "\u22120.03"], ["carl", "0.81", "0.89", "+0.08"]]
    assert not page.use_button.isHidden()


def test_without_a_parent_only_the_new_model_is_told():
    info = INFO.model_copy(update={"parent_dice": {}})

    assert sentence(info) == "Mean Dice 0.90 on 2 validation cases."
    assert compare(info) == [["carl", "0.89"], ["dora", "0.90"]]
    assert "nobody knows" in sentence(info.model_copy(update={"validation_dice": {}}))


def test_what_was_forgotten_and_who_was_corrected_is_told(qapp):
    info = INFO.model_copy(
        update={"base_dice": {"anna": 0.9}, "parent_base_dice": {"anna": 0.95}, "corrected_slices": {"carl": 3}}
    )
    assert sentence(info).endswith("On 1 patient that the old model knows 0.90, before 0.95.")
    outcome = TrainOutcome()
    outcome.show_model(info)
    names = [outcome.table.item(row, 0).text() for row in range(2)]
    assert names == ["dora", "✎ carl"]
    assert outcome.table.item(1, 2).toolTip() == "carl, corrected"
    outcome.deleteLater()


def test_use_this_model_chooses_it_in_the_segment_tab_and_replaces_nothing(
    make_napari_viewer, plugin, open_train_tab, save_tiny_model, make_run, qtbot
):
    viewer = make_napari_viewer()
    tab = open_train_tab(viewer)
    folder = make_run("run", status="finished", done=4)
    save_tiny_model(folder)
    tab.watch(folder)
    qtbot.waitUntil(lambda: tab.view is not None, timeout=10_000)
    tab.run_page.use_button.click()
    segment = viewer.window.dock_widgets["Segment (BrainSeg)"]
    qtbot.waitUntil(lambda: "Loading" not in segment.device_line.text(), timeout=30_000)
    assert segment.models.name == str(folder)
    assert "default" in segment.model.choices
    assert tab.run_page.use_button.text() == IN_USE
    assert not tab.run_page.use_button.isEnabled()

    segment.models.choose("default")
    tab._came_to_front()
    assert tab.run_page.use_button.text() == USE
    assert tab.run_page.use_button.isEnabled()
    qtbot.waitUntil(lambda: "Loading" not in segment.device_line.text(), timeout=30_000)


def test_report_and_folder_are_opened(watch, make_run, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    folder = make_run("run", status="finished", done=4)
    (folder / "report.html").write_text("done")
    page = watch(folder)
    page.report_button.click()
    page.folder_button.click()

    assert [Path(name) for name in opened] == [folder / "report.html", folder]


def test_the_command_of_a_run_is_copied(watch, make_run):
    folder = make_run("run")
    watch(folder).copy_button.click()

    assert QApplication.clipboard().text() == read_run(folder).command


# stopping, and saying goodbye


def test_stop_asks_the_run_and_a_second_press_offers_to_end_it(tab, watch, make_run, monkeypatch):
    asked, ended = [], []
    answers = iter([QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes])
    monkeypatch.setattr(QMessageBox, "question", lambda *_: asked.append(1) or next(answers))
    monkeypatch.setattr(train_widget, "end_at_once", ended.append)
    folder = make_run("run")
    page = watch(folder)
    page.stop_button.click()
    assert is_stop_asked(folder)
    assert page.stop_button.text() == STOPPING
    assert page.status_line.text().startswith("Stopping after 2 of 4 epochs")
    assert not asked

    page.stop_button.click()
    assert (len(asked), ended) == (1, [])
    page.stop_button.click()
    assert ended == [tab.view.state]


def test_a_run_is_found_again(viewer, tab, watch, make_run, open_train_tab, qtbot):
    folder = make_run("run")
    watch(folder)
    tab.close()
    again = open_train_tab(viewer)
    qtbot.waitUntil(lambda: again.view is not None, timeout=10_000)

    assert again.view.folder == folder
    assert again.setup.isHidden()


def test_a_resumed_run_that_has_said_nothing_yet_is_found_again(
    viewer, tab, watch, make_run, patients, open_train_tab, qtbot, monkeypatch
):
    folder = make_run("run", status="stopped", updated=(datetime.now(UTC) - timedelta(minutes=5)).isoformat())
    page = watch(folder)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        monkeypatch.setattr(train_widget, "start_training", lambda *_: process.pid)
        page.resume_button.click()
        tab.close()
        again = open_train_tab(viewer)
        qtbot.waitUntil(lambda: again.view is not None, timeout=10_000)

        assert again.view.status == "starting"
        assert again.run_page.resume_button.isHidden()
        assert again._timer.isActive()
        process.communicate(b"\n")
    monkeypatch.setattr(train_widget, "show_error", lambda _: None)
    wait_for(qtbot, again, "failed")


def test_a_look_that_began_before_another_run_is_watched_does_not_count(tab, make_run, monkeypatch, qtbot):
    former, current = make_run("former", status="stopped"), make_run("current")
    look, may_end = RunReader.look, threading.Event()

    def slow(reader):
        view = look(reader)
        return view if reader.folder == current else may_end.wait(10) and view

    monkeypatch.setattr(RunReader, "look", slow)
    tab.watch(former)
    tab.watch(current)
    may_end.set()
    qtbot.waitUntil(lambda: tab.view is not None, timeout=10_000)
    qtbot.wait(100)

    assert tab.view.folder == current
    assert tab._timer.isActive()


def test_another_training_can_be_set_up_after_a_run(tab, watch, make_run, viewer, open_train_tab):
    watch(make_run("run", status="finished", done=4)).new_button.click()

    assert tab.run_page.isHidden()
    assert not tab.setup.isHidden()
    assert not QSettings("napari-brainseg", "napari-brainseg").value("train/run", "")


def test_a_run_of_other_patients_than_the_cases_tab_shows_says_so(tab, watch, make_run, tmp_path):
    page = watch(make_run("run", status="finished", done=4))
    assert page.elsewhere_line.isHidden()
    tab._settings.setValue("cases/folder", str(tmp_path / "others"))
    tab._came_to_front()
    assert page.elsewhere_line.text() == "⚠ The Cases tab shows another data set: others."
    assert not page.elsewhere_line.isHidden()
    tab._settings.setValue("cases/folder", str(tmp_path / "data"))
    tab._came_to_front()
    assert page.elsewhere_line.isHidden()
    assert page.new_button.mapTo(page, page.new_button.rect().topLeft()).y() < page.status_line.y()


def test_a_run_that_ended_before_it_was_opened_is_no_news(watch, make_run, monkeypatch):
    told = []
    monkeypatch.setattr(train_widget, "show_error", told.append)
    watch(make_run("run", status="failed", message="the disk is full"))

    assert not told


@pytest.mark.parametrize(
    ("answer", "closes", "stops"), [("go on", True, False), ("stop", True, True), ("cancel", False, False)]
)
def test_closing_the_window_asks_about_a_running_training(
    tab, watch, make_run, qtbot, monkeypatch, answer, closes, stops
):
    monkeypatch.setattr(train_farewell, "ask", lambda *_, **__: answer)
    window = QWidget()
    qtbot.addWidget(window)
    folder = make_run("run")
    tab.setParent(window)
    window.show()
    watch(folder)
    event = QCloseEvent()
    QApplication.sendEvent(window, event)

    assert event.isAccepted() == closes
    assert is_stop_asked(folder) == stops


def test_a_window_that_stays_open_all_the_same_asks_again_when_it_is_closed_the_next_time(
    tab, watch, make_run, qtbot, monkeypatch
):
    class Staying(QWidget):
        def closeEvent(self, event):
            event.ignore()

    asked = []
    monkeypatch.setattr(train_farewell, "ask", lambda *_, **__: asked.append(1) or "go on")
    window = Staying()
    qtbot.addWidget(window)
    tab.setParent(window)
    window.show()
    watch(make_run("run"))

    window.close()
    window.close()  # as napari does when it quits, of which nobody is asked twice
    assert len(asked) == 1
    qtbot.wait(20)
    window.close()
    assert len(asked) == 2


def test_closing_asks_nothing_where_nothing_runs(tab, watch, make_run, qtbot, monkeypatch):
    monkeypatch.setattr(train_farewell, "ask", lambda *_, **__: pytest.fail("asked"))
    window = QWidget()
    qtbot.addWidget(window)
    tab.setParent(window)
    window.show()
    watch(make_run("run", status="finished", done=4))

    assert window.close()


def test_closing_the_tab_asks_as_well(tab, watch, make_run, qtbot, monkeypatch):
    asked = []
    monkeypatch.setattr(train_widget, "ask", lambda parent, **_: asked.append(parent) or "stop")
    window = QWidget()
    qtbot.addWidget(window)
    folder = make_run("run")
    tab.setParent(window)
    window.show()
    watch(folder)
    tab.setParent(None)
    qtbot.waitUntil(lambda: is_stop_asked(folder), timeout=10_000)

    assert asked == [window]  # which has the theme


def test_a_run_whose_folder_is_gone_when_the_tab_is_closed_is_told_in_a_sentence(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(train_widget, "ask", lambda *_, **__: "stop")
    monkeypatch.setattr(train_widget, "show_error", told.append)
    train_widget._ask_and_stop(tmp_path / "gone", None)

    assert told == [f"The training in {tmp_path / 'gone'} cannot be asked to stop: no such file or directory."]


@pytest.mark.parametrize(
    ("label", "answer"), [("Let it go on", "go on"), ("Stop training", "stop"), ("Keep napari open", "cancel")]
)
def test_the_question_offers_to_let_it_go_on_first(qtbot, monkeypatch, label, answer):
    seen = []

    def press(box):
        seen.append(box.defaultButton().text())
        next(button for button in box.buttons() if button.text() == label).click()

    monkeypatch.setattr(QMessageBox, "exec", press)

    assert ask(None, can_cancel=True) == answer
    assert seen == ["Let it go on"]


def test_a_closed_tab_lets_go_of_the_viewer(tab, watch, make_run, viewer):
    watch(make_run("run"))
    callbacks = len(viewer.events.theme.callbacks)
    tab.event(QEvent(QEvent.Type.Close))

    assert len(viewer.events.theme.callbacks) == callbacks - 1
    assert not tab._timer.isActive()
