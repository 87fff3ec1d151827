"""``brainseg train``: from cases with manual masks to a model folder."""

import json
import shutil

import pytest

from napari_brainseg.core import training
from napari_brainseg.core.config import ModelConfig
from napari_brainseg.core.model_folders import INFO_FILE, WEIGHTS_FILE, read_model_info
from napari_brainseg.core.models import load_model
from napari_brainseg.core.networks import SpaceToDepth

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


def test_the_command_is_recorded_as_it_was_typed(train, patients, output):
    train(patients)
    command = read_model_info(output).provenance.command

    assert command.startswith(f"brainseg train {patients} --output {output} --filters 4 ")
    assert command.endswith("--epochs 2")


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
        f"brainseg: fold 0 of {file} holds no usable case: there is nothing to validate on"
    )
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no JSON", "holds no folds"),
        ("[]", "holds no folds"),
        ('{"folds": 3}', "holds no folds"),
        ('{"folds": [["anna"], 5]}', "holds no folds"),
        ('{"folds": ["anna", "bert"]}', "holds no folds"),
        ('{"folds": [["anna"], ["bert"]]}', "has 2 folds, numbered from 0, but fold 7 was asked for"),
    ],
)
def test_a_bad_folds_file_is_one_line(train, patients, output, tmp_path, content, reason):
    file = tmp_path / "folds.json"
    file.write_text(content)
    told = train(patients, "--folds", file, "--fold", "7" if "7" in reason else "0")

    assert told.code == 1
    assert told.err.startswith(f"brainseg: {file} {reason}")
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
    data = shutil.copytree(patients, tmp_path / "data")
    (data / "bert" / "bert_2_mask.tif").unlink()
    told = train(data)

    assert "bert is left out: not every slice has a manual mask" in told.err
    info = read_model_info(output)
    assert "bert" not in (*info.train_cases, *info.validation_cases)


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


@pytest.fixture
def interrupted(train, patients, output, monkeypatch):
    """A run that was stopped by Ctrl-C in its second epoch."""
    average, calls = training.average_weights, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        average(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(training, "average_weights", interrupt)
        return train(patients)


def test_ctrl_c_ends_with_130_and_leaves_a_run_of_whole_files(interrupted, output, files_of):
    assert interrupted.code == 130
    assert interrupted.err.endswith("stopped\n")
    left = {"run.json", "state.json", "history.csv", "last.safetensors", "previews/slices.npz"}
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
    assert "describes a run with other cases or settings" in told.err


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
        "splitting by patient needs at least 2 patients, but there is 1: add more, or train without validation"
    )
    assert train(patients / "anna", "--validation-share", "0").code == 0


def test_a_folder_without_any_mask_cannot_be_trained_on(train, patients, tmp_path, output):
    data = shutil.copytree(patients, tmp_path / "data", ignore=shutil.ignore_patterns("*_mask.tif"))

    assert refusal(train(data), output) == f"{data} holds no case that can be trained on"


def test_cases_without_any_tumour_cannot_be_trained_on(train, patients, output):
    told = train(patients / "dora", "--validation-share", "0")

    assert refusal(told, output) == "no training slice has tumour: there is nothing to learn from"


def test_a_learning_rate_that_is_too_high_is_told(train, patients, output):
    told = train(patients, "--learning-rate", "1e30")

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
