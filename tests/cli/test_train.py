"""``brainseg train``: from cases with manual masks to a model folder."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from napari_brainseg.core import training, training_loop, training_plans
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import FINE_TUNING, AugmentationConfig, ModelConfig, TrainConfig
from napari_brainseg.core.corrections import Corrections
from napari_brainseg.core.model_folders import INFO_FILE, WEIGHTS_FILE, read_model_info
from napari_brainseg.core.models import load_model
from napari_brainseg.core.networks import SpaceToDepth
from napari_brainseg.core.runs import read_run, read_state
from napari_brainseg.core.volumes import read_volume
from napari_brainseg.core.workspaces import Workspace

NETWORK = ("--filters", "4", "--filters", "8", "--filters", "8")
QUICK = ("--epoch-slices", "4", "--batch-size", "2", "--window", "32", "--seed", "1", "--device", "cpu")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "model"


@pytest.fixture
def train(brainseg, output):
    """Train for two quick epochs, unless told otherwise."""

    def run(*arguments, epochs: int = 2):
        return brainseg("train", *arguments, "--output", output, *NETWORK, *QUICK, "--epochs", epochs)

    return run


@pytest.fixture
def folds(tmp_path):
    file = tmp_path / "folds.json"
    file.write_text(json.dumps({"folds": [["anna"], ["bert", "carl"], ["dora"]]}))
    return file


def test_two_epochs_give_a_model_with_its_scores_and_where_it_comes_from(train, patients, output):
    told = train(patients)
    info = load_model(output).info

    assert told.code == 0, told.err
    assert "3 cases to train on, 1 to validate on" in told.err
    assert "training 2/2 " in told.err
    assert info.name == "model"
    assert info.model == ModelConfig(filters=(4, 8, 8))
    assert info.training.epochs == 2
    assert set(info.train_cases) | set(info.validation_cases) == {"anna", "bert", "carl", "dora"}
    assert info.validation_dice.keys() == set(info.validation_cases)
    (name, dice) = next(iter(info.validation_dice.items()))
    assert f"{name}: Dice {dice:.3f}\n" in told.out
    assert told.out.splitlines()[-1].startswith(f"{output}: mean Dice per volume {dice:.3f}, ")


def test_the_command_is_recorded_as_it_was_typed_and_where(train, patients, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(patients)
    command = read_model_info(output).provenance.command

    assert command.startswith(f"brainseg train {patients} --output {output} --filters 4 ")
    assert command.endswith("--epochs 2")
    assert read_run(output).directory == str(tmp_path)


def test_the_trained_model_can_be_segmented_with(train, brainseg, patients, output, tmp_path):
    train(patients)
    told = brainseg("segment", patients / "anna", "--output", tmp_path / "masks", "--model", output)

    assert told.code == 0, told.err


def test_folds_decide_who_trains_and_who_validates(train, patients, output, folds):
    told = train(patients, "--folds", folds, "--fold", "1")
    info = read_model_info(output)

    assert told.code == 0, told.err
    assert info.train_cases == ("anna", "dora")
    assert info.validation_cases == ("bert", "carl")


def test_a_case_that_is_in_no_fold_is_said_to_be_left_out(train, patients, output, tmp_path):
    file = tmp_path / "folds.json"
    file.write_text(json.dumps({"folds": [["anna"], ["bert"]]}))
    told = train(patients, "--folds", file)

    assert "carl, dora are left out: in none of the folds\n" in told.err
    assert read_model_info(output).train_cases == ("bert",)


def test_a_name_in_the_folds_without_a_case_is_said(train, patients, output, tmp_path):
    file = tmp_path / "folds.json"
    file.write_text(json.dumps({"folds": [["anna", "zoe"], ["bert", "carl", "dora"]]}))
    told = train(patients, "--folds", file)

    assert "zoe is in the folds but not among the usable cases\n" in told.err
    assert read_model_info(output).validation_cases == ("anna",)


def test_a_fold_without_any_case_is_refused(train, patients, output, tmp_path):
    file = tmp_path / "folds.json"
    file.write_text(json.dumps({"folds": [["zoe"], ["bert"]]}))
    told = train(patients, "--folds", file)

    assert told.code == 1
    assert told.err.splitlines()[-1] == (
        f"brainseg: {file}: fold 0 holds no usable case: there is nothing to validate on"
    )
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no JSON", " holds no folds"),
        ("[]", " holds no folds"),
        ('{"folds": 3}', " holds no folds"),
        ('{"folds": [["anna"], 5]}', " holds no folds"),
        ('{"folds": ["anna", "bert"]}', " holds no folds"),
        ('{"folds": [["anna"], ["bert"]]}', ": there are 2 folds, numbered from 0, but fold 7 was asked for"),
    ],
)
def test_a_bad_folds_file_is_one_line(train, patients, output, tmp_path, content, reason):
    file = tmp_path / "folds.json"
    file.write_text(content)
    told = train(patients, "--folds", file, "--fold", "7" if "7" in reason else "0")

    assert told.code == 1
    assert told.err.startswith(f"brainseg: {file}{reason}")
    assert told.err.count("\n") == 1
    assert not output.exists()


def test_a_folds_file_that_is_not_there_is_one_line(train, patients, tmp_path):
    told = train(patients, "--folds", tmp_path / "nowhere.json")

    assert told.code == 1
    assert str(tmp_path / "nowhere.json") in told.err
    assert told.err.count("\n") == 1


def test_without_validation_the_model_says_so(train, patients, output):
    told = train(patients, "--validation-share", "0")

    assert told.code == 0, told.err
    assert "4 cases to train on, 0 to validate on" in told.err
    assert "not validated" in told.out
    assert read_model_info(output).mean_dice is None


def test_cases_without_masks_are_left_out_aloud(train, patients, tmp_path, output):
    workspace = Workspace(tmp_path / "corrected")
    data = shutil.copytree(patients, tmp_path / "data")
    (data / "bert" / "bert_2_mask.tif").unlink()
    for file in (data / "carl").glob("*_mask.tif"):
        file.unlink()
    bert = read_volume(find_cases(data / "bert")[0])
    Corrections(workspace, bert).save(np.zeros(bert.shape, np.uint8), [3], state="flagged")
    told = train(data, "--corrections", workspace.folder)

    assert "bert: only the 4 slices that have a mask are learned from" in told.err
    assert "carl is left out: it has no manual mask" in told.err
    info = read_model_info(output)
    assert sorted((*info.train_cases, *info.validation_cases)) == ["anna", "bert", "dora"]


def test_an_existing_model_is_refused_and_unchanged(train, patients, output, files_of):
    train(patients)
    before = files_of(output)
    told = train(patients)

    assert told.code == 1
    assert told.err.splitlines()[-1].startswith(f"brainseg: {output / INFO_FILE} exists already")
    assert files_of(output) == before


def test_training_goes_on_from_another_model_with_its_network(train, brainseg, patients, output, tiny_model):
    told = brainseg("train", patients, "--output", output, *QUICK, "--epochs", "1", "--from", tiny_model)
    info, parent = read_model_info(output), read_model_info(tiny_model)

    assert told.code == 0, told.err
    assert info.model == parent.model
    assert info.provenance.parent_sha256 == parent.provenance.weights_sha256
    assert info.provenance.weights_sha256 != parent.provenance.weights_sha256


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--stem", "4"), "stem 4 was asked for, but the model to start from has 2, which is kept"),
        (
            (*NETWORK[:4], "--filters", "9"),
            "filters (4, 8, 9) was asked for, but the model to start from has (4, 8, 8)",
        ),
        (("--network", "resunet"), "network resunet was asked for, but the model to start from has unet"),
    ],
)
def test_a_network_other_than_the_parents_is_refused(brainseg, patients, output, tiny_model, flags, reason):
    told = brainseg("train", patients, "--output", output, *QUICK, "--from", tiny_model, *flags)

    assert told.code == 1
    assert told.err.splitlines()[-1].startswith(f"brainseg: {reason}")
    assert not output.exists()


def test_the_parents_own_network_may_be_asked_for(train, patients, output, tiny_model):
    told = train(patients, "--from", tiny_model, "--stem", "2", epochs=1)

    assert told.code == 0, told.err


def test_a_number_of_folds_is_made(train, patients, output):
    told = train(patients, "--folds", "2", "--fold", "1", epochs=1)
    info = read_model_info(output)

    assert told.code == 0, told.err
    assert (len(info.train_cases), len(info.validation_cases)) == (2, 2)


def test_too_many_folds_are_refused(train, patients, output):
    told = train(patients, "--folds", "9")

    assert (
        told.err.splitlines()[-1]
        == "brainseg: 9 folds were asked for; allowed are 2 to 4, the number of their patients"
    )
    assert not output.exists()


def test_two_patients_are_enough_and_told_what_that_is_worth(train, patients, tmp_path, output):
    data = tmp_path / "two"
    for name in ("anna", "bert"):
        shutil.copytree(patients / name, data / name)
    told = train(data)

    assert told.code == 0, told.err
    assert "1 patient to validate on: enough to see whether training works, too few to tell how good" in told.err


# Fine-tuning


@pytest.fixture
def parent(train, patients, output, tmp_path):
    """A model trained on anna and dora, and validated on bert and carl."""
    file = tmp_path / "halves.json"
    file.write_text(json.dumps({"folds": [["anna", "dora"], ["bert", "carl"]]}))
    assert train(patients, "--folds", file, "--fold", "1", epochs=1).code == 0
    return output.rename(tmp_path / "parent")


def test_cases_that_the_parent_was_validated_on_stay_and_both_scores_are_said(brainseg, patients, parent, output):
    told = brainseg("train", patients, "--output", output, *QUICK, "--epochs", "1", "--from", parent)
    info = read_model_info(output)

    assert told.code == 0, told.err
    assert (info.train_cases, info.validation_cases) == (("anna", "dora"), ("bert", "carl"))
    assert f"bert: Dice {info.validation_dice['bert']:.3f}, before {info.parent_dice['bert']:.3f}\n" in told.out


def test_a_case_that_the_parent_was_trained_on_is_refused_only_where_a_fold_asks_for_it(
    brainseg, patients, parent, output, folds
):
    told = brainseg("train", patients, "--output", output, *QUICK, "--from", parent, "--folds", folds)

    assert told.code == 1
    assert "the model to start from was trained on patient anna" in told.err.splitlines()[-1]


def test_blocks_are_frozen_while_fine_tuning(brainseg, patients, parent, output):
    frozen = ("--freeze-encoder-blocks", "1", "--epochs", "1", "--from", parent)
    told = brainseg("train", patients, "--output", output, *QUICK, *frozen)

    assert told.code == 0, told.err


def test_fine_tuning_is_shorter_and_gentler_unless_it_is_said_otherwise(brainseg, patients, parent, output, tmp_path):
    seen = []
    file = tmp_path / "settings.yaml"
    file.write_text("epochs: 25\n")
    default, own = TrainConfig(), ("--epochs", str(TrainConfig().epochs))
    for more in ((), ("--from", parent), ("--from", parent, *own), ("--from", parent, "--config", file)):
        told = brainseg("train", patients, "--output", output, *NETWORK, *QUICK, *more, "--dry-run", "--json")
        seen.append(json.loads(told.out)["epochs"])

    assert seen == [default.epochs, FINE_TUNING["epochs"], default.epochs, 25]


# Settings from a file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "filters: [4, 8, 8]\nepochs: 1\nepoch-slices: 4\nbatch_size: 2\naugmentation: light\n"),
        ("a.json", '{"filters": [4, 8, 8], "epochs": 1, "epoch_slices": 4, "batch_size": 2, "augmentation": "light"}'),
        (
            "a.yml",
            "model: {filters: [4, 8, 8]}\ntraining: {epochs: 1, epoch_slices: 4, batch_size: 2, augmentation: light}",
        ),
    ],
)
def test_settings_come_from_a_file_and_flags_win(brainseg, patients, output, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    flags = ("--window", "32", "--device", "cpu", "--batch-size", "3", "--rotation", "5")
    told = brainseg("train", patients, "--output", output, "--config", tmp_path / name, *flags)
    info = read_model_info(output)

    assert told.code == 0, told.err
    assert info.model == ModelConfig(filters=(4, 8, 8))
    assert (info.training.epochs, info.training.batch_size, info.training.window) == (1, 3, 32)
    assert info.training.augmentation == AugmentationConfig.model_validate({"preset": "light", "rotation": 5})


def test_settings_of_another_run_are_taken_whole(train, brainseg, patients, output, tmp_path):
    train(patients, "--loss", "tversky")
    told = brainseg("train", patients, "--output", tmp_path / "again", "--config", output / "run.json")

    assert told.code == 0, told.err
    assert read_model_info(tmp_path / "again").training == read_model_info(output).training
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == (output / WEIGHTS_FILE).read_bytes()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.txt", "epochs: 1", " is neither YAML nor JSON by its name"),
        ("a.yaml", "epochs: [", " cannot be read: "),
        ("a.json", "{", " cannot be read: "),
        ("a.yaml", "- 3", " holds no settings"),
        ("a.yaml", "epoch: 3", ": there is no setting epoch; allowed are network, filters"),
        ("a.yaml", "training: {stem: 2}", ": stem does not belong under training"),
        ("a.yaml", "epochs: 0", ": epochs: Input should be greater than or equal to 1"),
        ("a.yaml", "augmentation: wild", ": augmentation: "),
        ("a.yaml", "augmentation: {preset: [1]}", ": augmentation: "),
        ("a.yaml", "training: {epochs: 3}\nepochs: 7", ": epochs stands beside the sections"),
        ("a.json", '{"model": {}, "batch-size": 7}', ": batch-size stands beside the sections"),
        ("a.yaml", b"# caf\xe9\nepochs: 3", " cannot be read: "),
    ],
)
def test_a_bad_file_of_settings_is_one_line(brainseg, patients, output, tmp_path, name, text, reason):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    told = brainseg("train", patients, "--output", output, "--config", tmp_path / name)

    assert told.code == 1
    assert told.err.startswith(f"brainseg: {tmp_path / name}{reason}")
    assert told.err.count("\n") == 1
    assert not output.exists()


# Asked what would be done


@pytest.mark.parametrize("cache", ["auto", "disk"])
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(train, patients, output, tmp_path, files_of, cache):
    before = files_of(tmp_path)
    told = train(patients, "--dry-run", "--cache", cache, epochs=3)

    assert told.code == 0, told.err
    assert files_of(tmp_path) == before
    assert not output.exists()
    assert "to train on: 3 patients, 3 cases, 18 slices, " in told.out
    assert "to validate on: 1 patient, 1 case, 6 slices, " in told.out
    assert "network: unet, " in told.out
    assert f"images: 0.0 GB {'in memory' if cache == 'auto' else 'on the disk'}; " in told.out
    assert "one step of 2 slices: " in told.out
    assert "2 steps an epoch" in told.out
    assert "\n3 epochs: about " in told.out
    assert told.out.endswith("nothing was written\n")


def test_a_dry_run_tells_a_program_the_same(train, patients, output):
    told = json.loads(train(patients, "--dry-run", "--json").out)

    assert not output.exists()
    assert sorted(told["train_cases"] + told["validation_cases"]) == ["anna", "bert", "carl", "dora"]
    assert told["training"]["slices"] == 18
    assert told["steps"] == 2
    assert told["seconds"] > told["step_seconds"] > 0


def test_json_without_a_dry_run_is_refused(train, patients, output):
    told = train(patients, "--json")

    assert (told.code, told.out) == (2, "")
    assert "--json was given without --dry-run" in " ".join(told.err.split())
    assert not output.exists()


def test_a_dry_run_refuses_what_training_would(train, patients, output):
    told = train(patients, "--dry-run", "--validation-share", "0", "--patience", "3")

    assert told.code == 1
    assert told.err.splitlines()[-1] == (
        "brainseg: patience goes by the validation Dice, but there is no validation case"
    )


# Minutes instead of epochs


@pytest.fixture
def pace(monkeypatch):
    """Every epoch takes half a minute, and so does a validation."""
    monkeypatch.setattr(training_plans.TrainingPlan, "epoch_seconds", 30.0)
    measure = training_plans.plan_training
    monkeypatch.setattr(
        training_plans, "plan_training", lambda *a, **k: replace(measure(*a, **k), validation_seconds=30.0)
    )


def test_minutes_become_epochs_before_the_run_is_written(pace, brainseg, patients, output, tmp_path):
    told = brainseg("train", patients, "--output", output, *NETWORK, *QUICK, "--minutes", "1.6")

    assert told.code == 0, told.err
    assert "2 epochs end within 1.6 min\n" in told.err
    assert read_run(output).training.epochs == read_model_info(output).epoch == 2
    weights = (output / WEIGHTS_FILE).read_bytes()
    again = ("--minutes", "1.6", "--validation-share", "0.3", "--resume")
    told = brainseg("train", patients, "--output", output, *NETWORK, *QUICK, *again)
    assert told.code == 0, told.err
    assert "that it was begun with, whatever --minutes, --validation-share says" in told.err
    assert "end within" not in told.err
    output.rename(tmp_path / "by minutes")
    brainseg("train", patients, "--output", output, *NETWORK, *QUICK, "--epochs", "2")
    assert (output / WEIGHTS_FILE).read_bytes() == weights


def test_a_dry_run_says_how_many_epochs_end_within_the_minutes(pace, brainseg, patients, output):
    command = ("train", patients, "--output", output, *NETWORK, *QUICK, "--dry-run", "--minutes", "10")
    assert "\n16 epochs: about 10 min\n" in brainseg(*command).out
    told = json.loads(brainseg(*command, "--json").out)

    assert (told["epochs"], told["seconds"]) == (16, 16 * 30 + 4 * 30)
    assert not output.exists()


def test_too_few_minutes_are_refused(pace, brainseg, patients, output):
    told = brainseg("train", patients, "--output", output, *NETWORK, *QUICK, "--minutes", "0.9")

    assert refusal(told, output).startswith("one epoch takes about 1.0 min on this machine")
    assert not output.exists()


def test_minutes_and_epochs_are_not_both_taken(train, patients, output):
    told = train(patients, "--minutes", "5")

    assert told.code == 2
    assert "--epochs and --minutes were both given: give one of them" in " ".join(told.err.split())


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--fold 0", "--fold was given without --folds"),
        ("--folds 2 --validation-share 0.2", "--folds and --validation-share were both given: give one of them"),
    ],
)
def test_a_flag_that_another_one_makes_void_is_refused(brainseg, patients, output, flags, reason):
    told = brainseg("train", patients, "--output", output, *NETWORK, *QUICK, "--epochs", "1", *flags.split())

    assert told.code == 2
    assert reason in " ".join(told.err.split())
    assert not output.exists()


def test_several_processes_would_not_agree_on_minutes(brainseg, patients, output, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = brainseg("train", patients, "--output", output, "--minutes", "5")

    assert told.code == 2
    assert "give --epochs where several share the training" in " ".join(told.err.split())


# Stopped and resumed


@pytest.fixture
def press(monkeypatch):
    """Press Ctrl-C after so many steps, given times."""

    def after(*steps):
        average, calls = training_loop.average_weights, []

        def count(*arguments):
            calls.append(arguments)
            average(*arguments)
            if len(calls) in steps:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(training_loop, "average_weights", count)

    return after


def test_first_ctrl_c_finishes_the_step_and_leaves_a_model(train, brainseg, patients, output, press, tmp_path):
    press(3)
    told = train(patients)

    assert told.code == 130
    assert "stopping: this step is finished and saved; press Ctrl-C again to stop at once\n" in told.err
    assert "after epoch 1 of 2" in told.out
    assert load_model(output).info.epoch == 1
    assert read_state(output).status == "stopped"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    told = brainseg("train", patients, "--output", output, "--resume")
    assert told.code == 0, told.err
    output.rename(tmp_path / "resumed")
    train(patients)
    assert (tmp_path / "resumed" / WEIGHTS_FILE).read_bytes() == (output / WEIGHTS_FILE).read_bytes()


def test_ctrl_c_in_the_first_epoch_is_one_line(train, patients, output, press):
    press(1)
    told = train(patients)

    assert told.code == 130
    assert "stopped before the first epoch ended: there is no model yet, but the run can be resumed\n" in told.err
    assert train(patients, "--resume").code == 0


def test_ctrl_c_before_the_run_begins_ends_it_even_where_the_folder_is_there(train, patients, output, monkeypatch):
    output.mkdir()
    check = training.check_folder

    def interrupt(*arguments):
        signal.raise_signal(signal.SIGINT)
        check(*arguments)

    monkeypatch.setattr(training, "check_folder", interrupt)
    told = train(patients)

    assert told.code == 130
    assert not list(output.iterdir())


def test_second_ctrl_c_stops_at_once(train, patients, output, monkeypatch):
    average, calls = training_loop.average_weights, []

    def twice(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        average(*arguments)

    monkeypatch.setattr(training_loop, "average_weights", twice)
    told = train(patients)

    assert told.code == 130
    assert told.err.endswith("stopped\n")
    assert len(calls) == 3
    assert not (output / INFO_FILE).exists()
    assert read_state(output).message == "stopped at once"


def test_a_run_goes_on_with_its_own_split_and_settings(train, brainseg, interrupted, patients, output, tmp_path):
    data = shutil.copytree(patients, tmp_path / "data")
    shutil.copytree(patients / "anna", data / "emil")
    for file in (data / "emil").iterdir():
        file.rename(file.with_name(file.name.replace("anna", "emil")))
    told = brainseg("train", data, "--output", output, "--resume")

    assert told.code == 0, told.err
    info = read_model_info(output)
    assert "emil" not in (*info.train_cases, *info.validation_cases)
    assert info.training.epochs == 2


def test_a_case_of_the_run_that_is_gone_is_named(interrupted, brainseg, patients, output):
    told = brainseg("train", patients / "anna", "--output", output, "--resume")

    assert told.code == 1
    assert f"not among the usable cases of {patients / 'anna'}, but part of the run to resume" in told.err


@pytest.fixture
def interrupted(train, patients, output, monkeypatch):
    """A run that was stopped by Ctrl-C in its second epoch."""
    average, calls = training_loop.average_weights, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        average(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(training_loop, "average_weights", interrupt)
        return train(patients)


def test_ctrl_c_ends_with_130_and_leaves_a_run_of_whole_files(interrupted, output, files_of):
    assert interrupted.code == 130
    assert interrupted.err.endswith("stopped\n")
    left = {".lock", "run.json", "state.json", "history.csv", "last.safetensors", "previews/slices.npz"}
    assert {name.replace("\\", "/") for name in files_of(output)} == left


def test_a_stopped_run_is_refused_without_resume(interrupted, train, patients, output):
    told = train(patients)

    assert told.code == 1
    assert "run.json exists already; resume that run or choose another folder" in told.err


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(interrupted, train, patients, output, tmp_path):
    told = train(patients, "--resume")
    assert told.code == 0, told.err
    assert "training 1/2" not in told.err
    output.rename(tmp_path / "resumed")
    train(patients)

    assert (tmp_path / "resumed" / WEIGHTS_FILE).read_bytes() == (output / WEIGHTS_FILE).read_bytes()


def test_resuming_with_other_settings_is_refused(interrupted, train, patients):
    told = train(patients, "--resume", epochs=3)

    assert told.code == 1
    assert told.err.endswith("run.json describes a run with epochs 2, not 3; resume with the same\n")


def test_longer_than_a_finished_run_one_trains_from_its_model(train, patients, output):
    assert train(patients, epochs=1).code == 0
    told = train(patients, "--resume", epochs=3)

    assert told.code == 1
    assert "with epochs 1, not 3; resume with the same, or train anew from its model into another folder" in told.err
    assert told.err.endswith(f"(--from {output} --output NEW)\n")


def test_resuming_where_nothing_was_begun_is_refused(train, patients, output):
    told = train(patients, "--resume")

    assert told.code == 1
    assert f"{output} holds no run to resume" in told.err
    assert not output.exists()


def test_a_damaged_image_leaves_nothing_in_the_way_of_a_new_run(train, patients, tmp_path, output):
    data = shutil.copytree(patients, tmp_path / "data")
    whole = (data / "bert" / "bert_2.tif").read_bytes()
    (data / "bert" / "bert_2.tif").write_bytes(b"nothing")
    told = train(data)

    assert told.code == 1
    assert "bert_2.tif" in told.err.splitlines()[-1]
    (data / "bert" / "bert_2.tif").write_bytes(whole)
    assert train(data, epochs=1).code == 0


# Each of these is one line


def refusal(told, output) -> str:
    assert (told.code, told.out) == (1, "")
    assert not (output / INFO_FILE).exists()
    return told.err.splitlines()[-1].removeprefix("brainseg: ")


def test_one_patient_cannot_be_split_but_trained_on(train, patients, output):
    assert refusal(train(patients / "anna"), output) == (
        "splitting by patient needs at least 2 patients, but there is 1: add more, or train without validation "
        "(--validation-share 0)"
    )
    assert train(patients / "anna", "--validation-share", "0").code == 0


def test_a_folder_without_any_mask_cannot_be_trained_on(train, patients, tmp_path, output):
    data = shutil.copytree(patients, tmp_path / "data", ignore=shutil.ignore_patterns("*_mask.tif"))

    assert refusal(train(data), output) == f"{data} holds no case that can be trained on"


def test_cases_without_any_tumour_cannot_be_trained_on(train, patients, output):
    told = train(patients / "dora", "--validation-share", "0")

    assert refusal(told, output) == "no training slice has tumour: there is nothing to learn from"


def test_a_learning_rate_that_is_too_high_is_told(train, patients, output):
    flags = ("--optimizer", "sgd", "--schedule", "constant", "--learning-rate", "10", "--weight-decay", "10")
    told = train(patients, *flags, epochs=40)

    assert refusal(told, output).startswith("the loss became NaN at a learning rate of ")
    assert refusal(told, output).endswith(": train anew with a lower one into another folder")


def test_want_of_memory_is_told(train, patients, output, monkeypatch):
    forward = SpaceToDepth.forward

    def hungry(network, image):
        if network.training and len(image) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(network, image)

    monkeypatch.setattr(SpaceToDepth, "forward", hungry)
    told = train(patients)

    assert told.code == 0, told.err
    assert "training 0/2  out of memory on the cpu: each step takes its 2 slices 1 at a time\n" in told.err
