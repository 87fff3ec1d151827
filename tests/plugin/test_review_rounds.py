"""Rounds in the Review tab: what was done, which model is in use, and back again."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.ledgers import Effort
from napari_brainseg.core.model_folders import INFO_FILE
from napari_brainseg.core.rounds import adopt, model_in_use
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import default_workspace
from napari_brainseg.plugin import review_rounds
from napari_brainseg.plugin.review_rounds import describe_efforts
from napari_brainseg.plugin.review_widget import ReviewWidget


@pytest.fixture
def data(tmp_path, patients):
    (tmp_path / "data").symlink_to(patients)
    return tmp_path / "data"


@pytest.fixture
def workspace(data):
    return default_workspace(data)


@pytest.fixture
def open_tab(qtbot, viewer, add_layers, data):
    opened = []

    def open_tab():
        add_layers(viewer, data / "anna")
        tab = ReviewWidget(viewer)
        opened.append(tab)
        qtbot.waitUntil(lambda: tab.corrections is not None, timeout=10_000)
        tab.rounds.refresh()
        return tab

    yield open_tab
    for tab in opened:
        tab.close()
        tab.deleteLater()


@pytest.fixture
def rounds(workspace, save_tiny_model):
    """Two retrainings."""
    with workspace.locked("models"):
        pass
    return [save_tiny_model(workspace.runs / f"round-{number}", seed=number) for number in (1, 2)]


def test_nothing_to_retrain_on_is_said(open_tab):
    panel = open_tab().rounds
    assert panel.in_use.text() == "In use: default."
    assert not panel.retrain_button.isEnabled()
    assert panel.retrain_button.toolTip() == "Correct or accept some slices first."
    assert not panel.table.isVisibleTo(panel)
    assert not panel.adopt_button.isVisibleTo(panel)


def test_corrections_allow_retraining_and_their_effort_is_told(open_tab, data, workspace):
    volume = read_volume(find_cases(data / "anna")[0])
    mask = np.zeros(volume.shape, np.uint8)
    mask[1:3, :5, :10] = 1
    Corrections(workspace, volume).save(mask, [1, 2], seconds=24, model_sha256="ab")
    panel = open_tab().rounds
    assert panel.retrain_button.isEnabled()
    assert panel.effort.text() == (
        "Correcting 2 slices predicted by another model took 24 s: on average 12 s and 50 changed voxels per slice."
    )


def test_a_model_is_adopted_and_gone_back_from_with_a_click(open_tab, workspace, rounds):
    panel = open_tab().rounds
    assert [panel.table.item(row, 0).text() for row in range(2)] == ["round-1", "round-2"]
    assert panel.adopt_button.toolTip() == "Select a model in the list."
    assert panel.back_button.toolTip() == "default is in use."
    panel.table.selectRow(1)
    panel.adopt_button.click()
    assert model_in_use(workspace) == str(rounds[1])
    assert panel.in_use.text() == "In use: round-2."
    assert [panel.table.item(row, 0).font().bold() for row in range(2)] == [False, True]
    panel.table.selectRow(0)
    panel.adopt_button.click()
    panel.back_button.click()
    assert model_in_use(workspace) == str(rounds[1])
    panel.back_button.click()
    assert model_in_use(workspace) == "default"
    assert not panel.back_button.isEnabled()


def test_what_another_tab_has_adopted_is_seen_when_the_tab_comes_to_front(
    make_napari_viewer, add_layers, data, workspace, rounds, qtbot
):
    viewer = make_napari_viewer(show=True)
    add_layers(viewer, data / "anna")
    tab = ReviewWidget(viewer)
    viewer.window.add_dock_widget(tab, name="Review (BrainSeg)")
    viewer.window.add_dock_widget(QWidget(), name="other", area="right", tabify=True)
    qtbot.waitUntil(lambda: tab.rounds.in_use.text() == "In use: default.", timeout=10_000)
    qtbot.wait(1200)  # until nothing is to be refreshed anyway
    adopt(workspace, rounds[0])
    assert tab.rounds.in_use.text() == "In use: default."
    tab.parentWidget().raise_()

    qtbot.waitUntil(lambda: tab.rounds.in_use.text() == "In use: round-1.", timeout=500)
    tab.close()


def test_a_model_chosen_by_hand_is_retrained_and_said(open_tab, monkeypatch, rounds):
    panel = open_tab().rounds
    asked = []
    segment = SimpleNamespace(models=SimpleNamespace(name=str(rounds[1]), is_by_hand=True))
    train = SimpleNamespace(retrain=lambda *asked_for: asked.append(asked_for))
    monkeypatch.setattr(review_rounds, "find_tab", lambda _, name: segment if name == "Segment" else None)
    monkeypatch.setattr(review_rounds, "show_tab", lambda *_: train)
    panel.refresh()
    assert panel.in_use.text() == "In use: default. round-2 is chosen in Segment: retraining starts from it."
    panel.retrain()
    segment.models.is_by_hand = False
    panel.retrain()

    assert [model for _, model in asked] == [str(rounds[1]), None]


def test_once_a_model_is_adopted_no_other_is_said_to_be_chosen_in_segment(open_tab, monkeypatch, rounds):
    panel = open_tab().rounds
    models = SimpleNamespace(name=str(rounds[1]), is_by_hand=True)
    models.choose = lambda name: vars(models).update(name=name, is_by_hand=False)
    monkeypatch.setattr(review_rounds, "find_tab", lambda *_: SimpleNamespace(models=models))
    panel.table.selectRow(0)
    panel.adopt_button.click()

    assert models.name == str(rounds[0])
    assert panel.in_use.text() == "In use: round-1."


def test_one_can_go_back_from_a_model_that_was_deleted(open_tab, workspace, rounds):
    for model in rounds:
        adopt(workspace, model)
    shutil.rmtree(rounds[1])
    panel = open_tab().rounds
    assert panel.back_button.isEnabled()
    panel.back_button.click()

    assert model_in_use(workspace) == str(rounds[0])


def test_a_damaged_model_is_named(open_tab, rounds):
    (rounds[0] / INFO_FILE).write_text("{")
    panel = open_tab().rounds
    assert f"{rounds[0] / INFO_FILE} is damaged" in panel.in_use.text()
    assert [found.folder for found in panel.rounds] == list(rounds[1:])


def test_effort_is_told_round_by_round():
    told = describe_efforts([Effort("ab", 10, 300, 4000), Effort("", 1, 7, 90)], {"ab": "round-3"})
    assert told.splitlines() == [
        "Correcting 10 slices predicted by round-3 took 5 min: on average 30 s and 400 changed voxels per slice.",
        "Correcting 1 slice that no model predicted took 7 s: 90 changed voxels.",
    ]
