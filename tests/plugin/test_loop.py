"""The loop that makes the model one's own, in one window: segment, correct, accept, retrain, adopt, segment again."""

import shutil

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QSettings

from napari_brainseg.core.ledgers import read_ledger
from napari_brainseg.core.model_folders import read_model_info
from napari_brainseg.core.rounds import adopt, model_in_use
from napari_brainseg.core.workspaces import default_workspace
from napari_brainseg.plugin import train_farewell, train_widget
from napari_brainseg.plugin.layers import read_layers
from napari_brainseg.plugin.preferences import CASES_FOLDER
from napari_brainseg.plugin.tabs import find_tab, show_tab


@pytest.fixture
def data(tmp_path, patients):
    shutil.copytree(patients, tmp_path / "data")
    QSettings("napari-brainseg", "napari-brainseg").setValue(CASES_FOLDER, str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def window(make_napari_viewer, plugin, tiny_default, data, save_tiny_model, tmp_path, monkeypatch, qtbot):
    """A window with anna open and the tabs that the loop goes through; a tiny model is in use."""
    for module in (train_widget, train_farewell):
        monkeypatch.setattr(module, "ask", lambda *_, **__: "go on")
    adopt(default_workspace(data), save_tiny_model(tmp_path / "tiny"))
    viewer = make_napari_viewer()
    viewer.window._qt_window.show()
    for layer_data in read_layers(str(data / "anna")):
        viewer.add_layer(type_of(layer_data)(layer_data[0], **layer_data[1]))
    segment = show_tab(viewer, "Segment")
    segment.models.choose(str(tmp_path / "tiny"))
    qtbot.waitUntil(lambda: segment.is_ready, timeout=60_000)
    yield viewer
    for name in ("Review", "Train", "Segment"):
        if (tab := find_tab(viewer, name)) is not None:
            tab.close()


def type_of(layer_data):
    from napari.layers import Image, Labels

    return {"image": Image, "labels": Labels}[layer_data[2]]


def segment_case(viewer, qtbot):
    tab = show_tab(viewer, "Segment")
    tab.run()
    qtbot.waitUntil(lambda: not tab.is_running, timeout=60_000)
    return tab.result


def test_segment_correct_accept_retrain_adopt_segment_again(window, data, tmp_path, qtbot):
    workspace = default_workspace(data)
    former = segment_case(window, qtbot)
    sha = former.provenance.weights_sha256
    assert sha == read_model_info(tmp_path / "tiny").provenance.weights_sha256

    review = show_tab(window, "Review")
    qtbot.waitUntil(lambda: review.corrections is not None and review.correct_button.isEnabled(), timeout=30_000)
    review.correct_button.click()
    layer = review.layer
    with layer.block_history():
        for x in range(10, 20):
            layer.paint((2, 30, x), 1)
    review.go_to(3)
    review.accept()
    states = lambda: {n: r.state for n, r in read_ledger(workspace, "anna").slices.items()}  # noqa: E731
    qtbot.waitUntil(lambda: states() == {3: "edited", 4: "accepted"}, timeout=30_000)
    kept = np.array(layer.data[[2, 3]])

    review.rounds.refresh()
    review.rounds.retrain_button.click()
    train = find_tab(window, "Train")
    setup = train.setup
    qtbot.waitUntil(lambda: setup.patients.split is not None and not setup.is_busy, timeout=60_000)
    assert setup.patients.corrections_line.text().startswith("2 corrected slices of 1 case.")
    assert setup.parent_model == str(tmp_path / "tiny")
    for name, value in (("epoch_slices", 4), ("batch_size", 2), ("window", 32), ("threads", 1), ("validate_every", 1)):
        setup.advanced[name].value = value
    setup.advanced["device"].value = "cpu"
    setup.epochs.value = 2
    setup.name.setText("round-1")
    qtbot.waitUntil(lambda: not setup.is_busy and setup.start_button.isEnabled(), timeout=60_000)
    setup.start_button.click()
    try:
        qtbot.waitUntil(lambda: train.view is not None and train.view.status == "finished", timeout=180_000)
    finally:
        if train.view is not None and train.view.state and psutil.pid_exists(train.view.state.pid):
            psutil.Process(train.view.state.pid).kill()
    info = read_model_info(workspace.runs / "round-1")
    assert info.provenance.parent_sha256 == sha
    assert info.corrected_slices == {"anna": 2}
    assert "Old model" in train.run_page.outcome.sentence.text()

    assert model_in_use(workspace) == str(tmp_path / "tiny"), "nothing is replaced by itself"
    train.run_page.use_button.click()
    assert model_in_use(workspace) == str(workspace.runs / "round-1")
    again = segment_case(window, qtbot)
    assert again.provenance.weights_sha256 == info.provenance.weights_sha256
    np.testing.assert_array_equal(layer.data[[2, 3]], kept)
    qtbot.waitUntil(lambda: np.array_equal(layer.data[1], again.layer.data[1]), timeout=30_000)

    review.rounds.refresh()
    assert review.rounds.in_use.text() == "In use: round-1."
    review.rounds.back_button.click()
    assert model_in_use(workspace) == str(tmp_path / "tiny")
    assert find_tab(window, "Segment").models.name == str(tmp_path / "tiny")
