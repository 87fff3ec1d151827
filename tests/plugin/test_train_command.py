"""What a person wants trained, as a command line."""

from datetime import date
from pathlib import Path

import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import AugmentationConfig, ModelConfig, TrainConfig
from napari_brainseg.plugin.train_command import (
    TrainingRequest,
    command_line,
    default_output,
    resume_arguments,
    why_not_there,
)

DATA, OUTPUT = Path("/data/all cases"), Path("/data/models/new")
START = ["train", "/data/all cases", "--output", "/data/models/new"]


def arguments(parent=None, model=None, config=None, share=0.2, minutes=None):
    config = config or TrainConfig.default(fine_tunes=parent is not None)
    return TrainingRequest(DATA, OUTPUT, parent, model or ModelConfig(), config, share, minutes).arguments()


def test_defaults_are_left_out():
    assert arguments() == START
    assert arguments(parent="default") == [*START, "--from", "default"]


def test_what_a_parent_would_have_otherwise_is_said():
    flags = ["--epochs", "30", "--learning-rate", "0.002"]
    assert arguments(parent="default", config=TrainConfig()) == [*START, "--from", "default", *flags]


def test_minutes_take_the_place_of_epochs():
    assert arguments(config=TrainConfig(epochs=7), minutes=90) == [*START, "--minutes", "90"]
    assert arguments(parent="default", minutes=90) == [*START, "--from", "default", "--minutes", "90"]


def test_every_kind_of_setting_becomes_a_flag():
    config = TrainConfig(epochs=7, learning_rate=1e-4, tensorboard=True, loss="tversky")
    model = ModelConfig(filters=(4, 8, 8), network="resunet")

    assert arguments(model=model, config=config, share=0) == [
        *START,
        *("--network", "resunet", "--filters", "4", "--filters", "8", "--filters", "8"),
        *("--validation-share", "0"),
        *("--epochs", "7", "--loss", "tversky", "--learning-rate", "0.0001", "--tensorboard"),
    ]


def test_a_parent_brings_its_own_network():
    assert "--filters" not in arguments(parent="default", model=ModelConfig(filters=(4, 8, 8)))


def test_augmentation_is_a_presets_name_or_each_setting_of_ones_own():
    light = TrainConfig(augmentation=AugmentationConfig.model_validate("light"))
    own = TrainConfig(augmentation=AugmentationConfig(scale=(0.9, 1.2), flip=0.25))

    assert arguments(config=light) == [*START, "--augmentation", "light"]
    assert arguments(config=own) == [*START, "--scale", "0.9", "1.2", "--flip", "0.25"]


def test_the_command_can_be_pasted_and_resumed():
    command = command_line(arguments())

    assert command == "brainseg train '/data/all cases' --output /data/models/new"
    assert resume_arguments(command) == [*START, "--resume"]
    assert resume_arguments(f"{command} --resume") == [*START, "--resume"]
    with pytest.raises(ValueError, match="begun by an unknown command"):
        resume_arguments("")


def test_a_new_model_goes_beside_the_data_and_takes_no_name_twice(tmp_path):
    data, today = tmp_path / "data", date(2024, 5, 6)
    first = default_output(data, today)
    assert first == tmp_path / "brainseg-models" / "2024-05-06-1"

    first.mkdir(parents=True)
    assert default_output(data, today).name == "2024-05-06-2"


def test_a_model_goes_neither_over_another_nor_into_a_case(patients, tmp_path):
    cases = find_cases(patients)

    assert why_not_there(tmp_path / "new", cases) == ""
    assert why_not_there(tmp_path, cases).startswith(f"The folder {tmp_path.name} exists already in {tmp_path.parent}")
    inside = why_not_there(patients / "anna" / "models" / "new", cases)
    assert inside.startswith(f"The folder {patients / 'anna' / 'models'} is inside that of case anna")
