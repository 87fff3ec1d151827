"""The Train tab before a run: data, split, what to start from, and why it cannot begin."""

import shutil
import threading

import numpy as np
import pytest
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QLabel

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import AIMS, AugmentationConfig, TrainConfig
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.model_folders import read_model_info
from napari_brainseg.core.rounds import adopt
from napari_brainseg.core.training_pace import MeasuredPace
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import default_workspace
from napari_brainseg.plugin import train_cost, train_data, train_setup
from napari_brainseg.plugin.sentences import as_sentence
from napari_brainseg.plugin.train_augmentation import OWN, draw_sheet
from napari_brainseg.plugin.train_data import read_training_data, split_data
from napari_brainseg.plugin.train_form import FROM_MODEL, FROM_NOTHING
from napari_brainseg.plugin.train_length import EPOCHS, MINUTES
from napari_brainseg.plugin.train_patients import VALIDATE_ON
from napari_brainseg.plugin.train_plan import TrainingCost, measure_cost, read_plan
from napari_brainseg.plugin.train_setup import TrainSetup

PLAN = """{
 "device": "CPU, bfloat16 (no GPU found)",
 "most_bytes": 1200000000,
 "step_seconds": 0.5,
 "steps": 100,
 "validation_seconds": 20,
 "validates_parent": true
}"""
COST = TrainingCost("CPU", MeasuredPace(360, 1.0, 0.0, validates_parent=False), 3.0)
"""Six minutes an epoch."""


@pytest.fixture
def setup(qtbot, tiny_default):
    """The page, on which nothing is chosen yet."""
    page = TrainSetup()
    qtbot.addWidget(page)
    yield page
    page.close_tasks()


@pytest.fixture
def filled(setup, patients, wait_for):
    """The page with four patients counted and split."""
    setup.patients.open_folder(patients)
    wait_for(setup)
    return setup


@pytest.fixture
def wait_for(qtbot):
    return lambda page: qtbot.waitUntil(lambda: not page.is_busy, timeout=30_000)


def copy_of(patients, folder, *names):
    for name in names:
        shutil.copytree(patients / name, folder / name)
    return folder


def test_without_data_the_page_says_what_to_do(setup):
    assert not setup.start_button.isEnabled()
    assert setup.start_button.toolTip().startswith("Choose a folder of patients with manual masks")
    assert setup.cost_line.text() == setup.start_button.toolTip()
    assert not setup.augmentation.sheet_button.isEnabled()


def test_the_split_is_shown_before_anything_runs(filled):
    split = filled.patients.split
    everybody = {item.case.name for item in (*split.training, *split.validation)}

    assert everybody == {"anna", "bert", "carl", "dora"}
    assert len(split.validation) == 1
    assert "Patients" in filled.patients.split_view.sums.text()
    tree = filled.patients.split_view.tree
    assert [tree.topLevelItem(n).text(0) for n in range(2)] == ["Train (3)", "Validate (1)"]
    counts = {item.case.name: (item.slices, item.tumour_slices) for item in (*split.training, *split.validation)}
    assert counts["dora"] == (6, 0)
    assert 0 < counts["anna"][1] < 6
    assert "too few to tell how good the model is" in filled.patients.split_view.worth.text()
    assert filled.start_button.isEnabled()


def test_cases_are_counted_off_the_gui_thread(setup, patients, wait_for, monkeypatch):
    threads = []
    count = train_data.known_areas
    monkeypatch.setattr(
        train_data, "known_areas", lambda case: threads.append(threading.current_thread()) or count(case)
    )
    setup.patients.open_folder(patients)
    wait_for(setup)

    assert len(threads) == 4
    assert threading.main_thread() not in threads


def test_seed_and_share_decide_the_split_as_on_the_command_line(filled, patients, wait_for, qtbot):
    filled.source.value = FROM_NOTHING
    filled.share.setValue(50)
    filled.advanced["seed"].value = 3
    expected = split_data(read_training_data(patients, None, lambda _: None), 0.5, 3, None)
    qtbot.waitUntil(lambda: filled.patients.split == expected, timeout=10_000)

    filled.share.setValue(0)
    qtbot.waitUntil(lambda: filled.patients.split is not None and not filled.patients.split.validation, timeout=10_000)
    assert filled.request().share == 0
    assert "nothing tells" in filled.patients.split_view.worth.text()


def test_a_parent_that_has_seen_everybody_is_refused(filled, save_tiny_model, tmp_path, qtbot):
    folder = save_tiny_model(tmp_path / "seen")
    info = read_model_info(folder)
    names = ("anna", "bert", "carl", "dora")
    seen = info.model_copy(update={"train_cases": names, "validation_dice": {}, "validation_cases": ()})
    (folder / "model.json").write_text(seen.model_dump_json())
    filled.models.choose(str(folder))
    qtbot.waitUntil(lambda: "was trained on all of these patients" in filled.cost_line.text(), timeout=10_000)

    assert not filled.start_button.isEnabled()
    assert filled.cost_line.text().endswith("“Validate on” at 0 % trains on all of them.")
    assert [label.text() for label in filled.findChildren(QLabel) if label.text() == VALIDATE_ON]
    assert "Not split" in filled.patients.split_view.sums.text()
    assert filled.patients.split_view.tree.topLevelItem(0).childCount() == 4
    filled.source.value = FROM_NOTHING
    qtbot.waitUntil(filled.start_button.isEnabled, timeout=10_000)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("anna",), "Training needs at least 2 patients with manual masks"),
        (("dora", "dora 2"), "No slice in data has tumour"),
    ],
)
def test_too_little_data_disables_the_button_and_says_why(setup, patients, tmp_path, wait_for, names, reason):
    data = tmp_path / "data"
    for name in names:
        for file in (patients / name[:4]).iterdir():
            (data / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, data / name / file.name.replace("dora", name))
    setup.patients.open_folder(data)
    wait_for(setup)

    assert setup.cost_line.text().startswith(reason)
    assert not setup.start_button.isEnabled()
    assert setup.start_button.toolTip() == setup.cost_line.text()


def test_cases_that_cannot_be_used_are_listed_with_their_reason(setup, patients, tmp_path, wait_for):
    data = copy_of(patients, tmp_path / "data", "anna", "bert", "carl")
    for file in (data / "carl").glob("*_mask.tif"):
        file.unlink()
    (data / "bert" / "bert_1_mask.tif").write_bytes(b"broken")
    shutil.copytree(patients / "dora", data / "dora")
    setup.patients.open_folder(data)
    wait_for(setup)

    assert setup.patients.split_view.left_out.text().startswith("2 cases left out")
    reasons = "\n".join(setup.patients.data.left_out)
    assert "carl: it has no manual mask" in reasons
    assert "bert_1_mask.tif" in reasons


def test_a_folder_without_cases_says_so(setup, tmp_path, wait_for):
    (tmp_path / "empty").mkdir()
    setup.patients.open_folder(tmp_path / "empty")
    wait_for(setup)

    assert "no case found" in setup.cost_line.text()


def test_the_folder_of_the_cases_tab_is_taken_unless_another_was_chosen(setup, patients, tmp_path, monkeypatch):
    QSettings("napari-brainseg", "napari-brainseg").setValue("cases/folder", str(patients))
    setup.patients.follow_cases()
    assert setup.patients.folder == patients

    other = copy_of(patients, tmp_path / "other", "anna")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(other))
    setup.patients.folder_button.click()
    setup.patients.follow_cases()
    assert setup.patients.folder == other


def test_a_name_that_is_taken_is_refused(filled, patients):
    (patients.parent / "brainseg-models" / "mine").mkdir(parents=True, exist_ok=True)
    filled.name.setText("mine")
    filled.name.textEdited.emit("mine")

    assert filled.cost_line.text().startswith("The folder mine exists already in ")


@pytest.mark.parametrize(("name", "words"), [("..", "exists already in"), ("x" * 300, "The new model cannot go into")])
def test_a_name_that_no_folder_can_have_is_refused(filled, tmp_path, name, words):
    filled.models_folder = tmp_path  # which is there, as after a first training
    filled.name.setText(name)
    filled.name.textEdited.emit(name)

    assert words in filled.cost_line.text()
    assert not filled.start_button.isEnabled()


def test_a_name_with_dots_does_not_lead_into_a_case(filled, patients, tmp_path):
    filled.models_folder = patients / "not there yet"
    filled.name.setText("../anna")
    filled.name.textEdited.emit("../anna")

    assert filled.cost_line.text().startswith("The folder anna exists already in ")
    filled.name.clear()
    filled.name.textEdited.emit("")
    assert filled.cost_line.text() == "Give the new model a name."


def test_settings_that_contradict_each_other_give_a_sentence(filled):
    filled.source.value = FROM_NOTHING
    filled.network["pretrained"].value = "weights.pth"

    assert filled.cost_line.text().startswith("Pretrained is weights.pth: unet has no pretrained weights")
    assert filled.cost_line.text().endswith(".")
    assert not filled.start_button.isEnabled()


def test_the_request_is_what_the_form_shows(filled, patients):
    filled.source.value = FROM_NOTHING
    filled.network["filters"].value = (4, 8, 8)
    filled.epochs.value = 3
    filled.advanced["batch_size"].value = 2
    filled.augmentation.preset.value = "light"
    request = filled.request()

    assert (request.folder, request.parent) == (patients, None)
    assert request.model.filters == (4, 8, 8)
    light = AugmentationConfig.model_validate("light")
    assert request.config == TrainConfig(epochs=3, batch_size=2, augmentation=light)
    assert request.output.parent == patients.parent / "brainseg-models"


def test_a_changed_augmentation_is_of_ones_own_until_it_is_a_preset_again(filled):
    box, form = filled.augmentation.preset, filled.augmentation.form
    assert box.value == "strong"
    form["rotation"].value = 12
    assert box.value == OWN
    form["rotation"].value = AugmentationConfig().rotation
    assert box.value == "strong"


def test_a_sheet_of_augmented_slices_is_drawn_in_a_window_of_its_own(filled, qtbot, monkeypatch):
    def sheets():
        return [w for w in QApplication.topLevelWidgets() if isinstance(w, QDialog) and "Augmented" in w.windowTitle()]

    trained = {item.case.name for item in filled.patients.split.training}
    drawn = []
    monkeypatch.setattr(train_setup, "draw_sheet", lambda cases, *more: drawn.extend(cases) or draw_sheet(cases, *more))
    filled.augmentation.sheet_button.click()
    assert not filled.augmentation.sheet_button.isEnabled()
    qtbot.waitUntil(lambda: bool(sheets()), timeout=60_000)
    assert drawn
    assert {case.name for case in drawn} <= trained
    sheets()[0].close()
    qtbot.waitUntil(filled.augmentation.sheet_button.isEnabled, timeout=10_000)


def test_the_command_is_copied(filled, patients):
    filled.copy_button.click()

    assert QApplication.clipboard().text().startswith(f"brainseg train {patients} --output ")


# what it will take


def test_the_cost_follows_the_epochs_without_another_measurement(filled, monkeypatch, qtbot):
    measured = []
    monkeypatch.setattr(train_cost, "measure_cost", lambda request, _: measured.append(request) or COST)
    filled.show()
    filled.epochs.value = 40
    qtbot.waitUntil(lambda: "per epoch" in filled.cost_line.text(), timeout=10_000)
    assert filled.cost_line.text() == "6 min per epoch on CPU, 40 epochs, about 4 h; 3.0 GB of memory."

    filled.epochs.value = 10
    assert "10 epochs, about 60 min" in filled.cost_line.text()
    assert len(measured) == 1
    filled.advanced["batch_size"].value = 4
    assert filled.cost_line.text().startswith("Measuring")
    qtbot.waitUntil(lambda: len(measured) == 2, timeout=10_000)


def test_minutes_stand_in_for_epochs(filled, monkeypatch, qtbot):
    monkeypatch.setattr(train_cost, "measure_cost", lambda *_: COST)
    filled.show()
    filled.epochs.value = 7
    filled.length.unit.value = MINUTES
    filled.length.minutes_box.setValue(45)
    qtbot.waitUntil(lambda: "per epoch" in filled.cost_line.text(), timeout=10_000)

    assert filled.epochs.native.isHidden()
    assert filled.cost_line.text() == "6 min per epoch on CPU, 7 epochs within 45 min; 3.0 GB of memory."
    words = filled.request().arguments()
    assert words[words.index("--minutes") + 1] == "45"
    assert "--epochs" not in words
    filled.length.minutes_box.setValue(5)
    assert filled.cost_line.text().startswith("One epoch takes about 6.0 min on this machine and does not end within 5")
    assert not filled.start_button.isEnabled()
    assert filled.start_button.toolTip() == filled.cost_line.text()
    filled.length.unit.value = EPOCHS
    assert filled.cost_line.text() == "6 min per epoch on CPU, 7 epochs, about 42 min; 3.0 GB of memory."
    assert filled.start_button.isEnabled()
    assert "--epochs" in filled.request().arguments()


def test_what_suits_the_start_is_shown_until_something_else_is_typed(filled):
    epochs, rate = filled.epochs, filled.advanced["learning_rate"]
    gentle, whole = TrainConfig.default(fine_tunes=True), TrainConfig()
    assert (epochs.value, rate.value) == (gentle.epochs, gentle.learning_rate)
    assert "--epochs" not in filled.request().arguments()
    filled.source.value = FROM_NOTHING
    assert (epochs.value, rate.value) == (whole.epochs, whole.learning_rate)

    epochs.value = gentle.epochs + 1
    epochs.value = gentle.epochs  # typed, although the other start has it by default
    filled.source.value = FROM_MODEL
    filled.source.value = FROM_NOTHING
    assert (epochs.value, rate.value) == (gentle.epochs, whole.learning_rate)
    assert "--epochs" in filled.request().arguments()


def test_long_names_do_not_widen_the_column(filled, tmp_path, qtbot):
    name = "averylongnamewithoutanyplacetobreakit" * 3
    filled.patients.folder_label.setText(name)
    filled.models_folder = tmp_path / name / "brain_seg_models"
    (filled.models_folder / "mine").mkdir(parents=True)
    filled.name.setText("mine")
    filled.name.textEdited.emit("mine")

    assert filled.place_line.text() == f"in {filled.models_folder}"
    assert str(filled.models_folder) in filled.cost_line.text()
    assert filled.minimumSizeHint().width() <= 280


def test_parts_that_fold_show_by_an_arrow_in_their_text_whether_they_are_open(filled):
    part = filled.network_part
    assert part.text() == "▸  Network"
    part.expand(animate=False)
    assert part.text() == "▾  Network"
    assert part.toggleButton().icon().isNull()  # the theme does not reach one


def test_what_to_optimise_for_sets_the_loss_and_follows_it(filled):
    assert filled.aim.value == "overlap"
    filled.aim.value = "fewer false alarms"
    config = filled.request().config
    assert (config.loss, config.missed_weight) == ("tversky", AIMS["fewer false alarms"]["missed_weight"])

    filled.advanced["missed_weight"].value = AIMS["missing less"]["missed_weight"]
    assert filled.aim.value == "missing less"
    filled.advanced["loss"].value = "mse"
    assert filled.aim.value == OWN
    filled.aim.value = OWN
    assert filled.request().config.loss == "mse"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("the model to start from was trained on anna", "The model to start from was trained on anna."),
        ("mask_1.tif is damaged", "mask_1.tif is damaged."),
        ("/data/mine holds no run.", "/data/mine holds no run."),
        ("Measuring…", "Measuring…"),
        ("", ""),
    ],
)
def test_what_went_wrong_is_a_sentence(words, sentence):
    assert as_sentence(ValueError(words)) == sentence


def test_a_measurement_that_fails_does_not_hinder(filled, monkeypatch, qtbot):
    def fail(*_):
        raise ValueError("no memory")

    monkeypatch.setattr(train_cost, "measure_cost", fail)
    filled.show()
    filled.epochs.value = 40
    qtbot.waitUntil(lambda: "no memory" in filled.cost_line.text(), timeout=10_000)
    assert filled.start_button.isEnabled()


def test_a_plan_is_read_with_its_validations():
    cost = read_plan(PLAN)

    assert (cost.device, cost.gigabytes) == ("CPU", 1.2)
    assert cost.pace.seconds(TrainConfig(epochs=10, validate_every=5)) == 10 * 50 + 3 * 20
    with pytest.raises(ValueError, match="does not tell 'most_bytes'"):
        read_plan(PLAN.replace("most_bytes", "room"))


class _Going:
    stopping = False


def test_the_dry_run_measures_on_this_machine(filled):
    filled.source.value = FROM_NOTHING
    filled.network["filters"].value = (4, 8, 8)
    for name, value in (("epoch_slices", 4), ("batch_size", 2), ("window", 32)):
        filled.advanced[name].value = value
    cost = measure_cost(filled.request(), _Going())

    assert cost.pace.epoch_seconds > 0
    assert cost.gigabytes > 0
    assert not filled.output.exists()


def test_a_stop_ends_the_dry_run(filled):
    stopped = _Going()
    stopped.stopping = True

    with pytest.raises(ValueError, match="exit code"):
        measure_cost(filled.request(), stopped)


# Corrections


@pytest.fixture
def corrected(patients, tmp_path):
    """A copy of the patients; two slices of anna were corrected."""
    data = copy_of(patients, tmp_path / "data", "anna", "bert", "carl", "dora")
    correct(data, "anna", [1, 2])
    return data


def correct(data, name, slices):
    volume = read_volume(find_cases(data / name)[0])
    Corrections(default_workspace(data), volume).save(np.ones(volume.shape, np.uint8), slices)


def test_nothing_is_said_of_corrections_where_there_are_none(filled):
    assert not filled.patients.use_corrections.isVisibleTo(filled)
    assert not filled.patients.corrections_line.isVisibleTo(filled)
    assert "--corrections" not in filled.request().arguments()


def test_corrections_are_learned_from_unless_somebody_does_not_want_it(setup, corrected, wait_for):
    setup.patients.open_folder(corrected)
    wait_for(setup)
    workspace = default_workspace(corrected)

    assert setup.patients.corrections_line.text().startswith(
        "2 corrected slices of 1 case. No patient that default has learned"
    )
    assert setup.output == workspace.runs / "round-1"
    words = setup.request().arguments()
    assert words[words.index("--corrections") + 1] == str(workspace.folder)
    setup.patients.use_corrections.setChecked(False)
    wait_for(setup)
    assert "--corrections" not in setup.request().arguments()
    assert setup.output.parent.name == "brainseg-models"
    assert not any(item.case.corrected_slices for item in setup.patients.data.cases)
    assert setup.patients.use_corrections.isVisibleTo(setup)


def test_what_is_corrected_of_those_who_only_validate_is_said_before_anything_runs(
    setup, corrected, wait_for, tmp_path, save_tiny_model
):
    folder = save_tiny_model(tmp_path / "fold-0")
    info = read_model_info(folder).model_copy(update={"train_cases": ("bert",), "validation_cases": ("anna",)})
    (folder / "model.json").write_text(info.model_dump_json())
    setup.models.choose(str(folder))
    setup.patients.open_folder(corrected)
    wait_for(setup)

    assert setup.patients.corrections_line.text().startswith(
        "⚠ 0 of 2 corrected slices are learned from: anna validates."
    )


def test_what_is_corrected_meanwhile_is_counted_when_the_page_is_looked_at_again(setup, corrected, wait_for):
    setup.patients.open_folder(corrected)
    wait_for(setup)
    setup.name.setText("mine")
    setup.name.textEdited.emit("mine")
    correct(corrected, "bert", [0, 1, 2])
    setup.patients.follow_cases()
    wait_for(setup)

    assert setup.patients.corrections_line.text().startswith("5 corrected slices of 2 cases.")
    assert setup.name.text() == "mine"


def test_retraining_starts_from_the_model_in_use(setup, corrected, wait_for, tmp_path, save_tiny_model):
    save_tiny_model(tmp_path / "mine")
    adopt(default_workspace(corrected), tmp_path / "mine")
    setup.source.value = FROM_NOTHING
    setup.patients.use_corrections.setChecked(False)
    setup.retrain(corrected)
    wait_for(setup)

    assert setup.parent_model == str(tmp_path / "mine")
    assert setup.patients.use_corrections.isChecked()
    assert setup.output == default_workspace(corrected).runs / "round-1"
    assert setup.start_button.isEnabled()
