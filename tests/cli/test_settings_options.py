"""Flags are what the fields of the settings say."""

import re
from typing import Any

import pytest
import typer

from napari_brainseg.cli.commands import app
from napari_brainseg.core.config import AugmentationConfig, ModelConfig, PostprocessConfig, SegmentConfig, TrainConfig
from napari_brainseg.core.models import load_model
from napari_brainseg.core.settings import Settings

COMMANDS: dict[str, tuple[type[Settings], ...]] = {
    "segment": (SegmentConfig, PostprocessConfig),
    "demo": (SegmentConfig,),
    "train": (ModelConfig, TrainConfig),
}
GROUPS_INSIDE = {"normalisation", "augmentation"}  # the latter's flags have no defaults, its own name takes a preset
FIELDS = [
    pytest.param(command, group, name, id=f"{command} {name}")
    for command, groups in COMMANDS.items()
    for group in groups
    for name in group.model_fields
    if name not in GROUPS_INSIDE
]


def option(command: str, name: str) -> Any:
    (found,) = [item for item in typer.main.get_command(app).commands[command].params if item.name == name]
    return found


@pytest.mark.parametrize(("command", "group", "name"), FIELDS)
def test_each_field_is_a_flag_with_its_description_and_default(command, group, name):
    field, flag = group.model_fields[name], option(command, name)

    assert flag.opts == ["--" + name.replace("_", "-")]
    assert flag.help == field.description
    if (command, group) == ("segment", PostprocessConfig):
        assert flag.default is None  # the model's own holds
    else:
        default = field.default
        assert flag.default == (list(default) if isinstance(default, tuple) else default)
    if field.annotation is bool:
        assert flag.secondary_opts == ["--no-" + name.replace("_", "-")]


def test_normalisation_has_no_flag():
    assert "normalisation" not in [item.name for item in typer.main.get_command(app).commands["train"].params]


@pytest.mark.parametrize("name", AugmentationConfig.model_fields)
def test_each_field_of_the_augmentation_is_a_flag_without_a_default(name):
    flag = option("train", name)

    assert flag.opts == ["--" + name.replace("_", "-")]
    assert flag.help == AugmentationConfig.model_fields[name].description
    assert flag.default is None


@pytest.mark.parametrize("command", ["train", "augment"])
@pytest.mark.parametrize("flag", ["--scale", "--gain", "--gamma", "--blur", "--low-resolution"])
def test_the_help_of_a_range_shows_two_words(brainseg, command, flag):
    assert f"{flag} FROM TO " in brainseg(command, "--help").out


@pytest.mark.parametrize(
    ("command", "flag", "value", "reason"),
    [
        ("segment", "--batch-size", "0", "greater than or equal to 1"),
        ("segment", "--batch-size", "257", "less than or equal to 256"),
        ("segment", "--threads", "-1", "greater than or equal to 0"),
        ("segment", "--threads", "100000", "less than or equal to 512"),
        ("demo", "--threads", "100000", "less than or equal to 512"),
        ("train", "--seed", str(2**32), "less than or equal to 4294967295"),
        ("train", "--learning-rate", "inf", "finite number"),
        ("train", "--weight-decay", "nan", "finite number|greater than"),
        ("train", "--learning-rate", "1e300", "less than or equal to 10"),
        ("train", "--weight-decay", "1e300", "less than or equal to 10"),
        ("train", "--window", "100000", "less than or equal to 2048"),
        ("train", "--batch-size", "9" * 23, "less than or equal to 4096"),
        ("train", "--accumulate", "9" * 23, "less than or equal to 1024"),
        ("train", "--epochs", "9" * 23, "less than or equal to 1000000"),
        ("train", "--epoch-slices", "9" * 23, "less than or equal to 1000000"),
        ("train", "--filters", "9" * 22, "less than or equal to 4096"),
        ("train", "--minutes", "inf", "525600"),
        ("train", "--minutes", "nan", "525600"),
        ("segment", "--threshold", "1.5", "less than or equal to 1"),
        ("segment", "--keep-share", "-0.1", "greater than or equal to 0"),
        ("segment", "--threshold", "nan", "finite number|greater than|less than"),
        ("segment", "--device", "tpu", "'auto', 'cuda', 'mps', 'cpu'"),
        ("segment", "--batch-size", "many", "valid int"),
        ("demo", "--batch-size", "0", "greater than or equal to 1"),
        ("train", "--epochs", "0", "greater than or equal to 1"),
        ("train", "--learning-rate", "0", "greater than 0"),
        ("train", "--ema", "1", "less than 1"),
        ("train", "--context", "4", "less than or equal to 3"),
        ("train", "--filters", "8", "at least 3 items"),
        ("train", "--stem", "3", "'?1'?, '?2'?,?( or)? '?4'?"),
        ("train", "--network", "vnet", "'unet', 'resunet', 'attention_unet'"),
        ("train", "--validation-share", "0.95", r"0\.9"),
        ("train", "--fold", "-1", "0"),
        ("train", "--loss", "hinge", "'?dice_bce'?"),
        ("train", "--rotation", "400", "less than or equal to 180"),
        ("train", "--augmentation", "wild", "'?light'?"),
    ],
)
def test_a_value_out_of_bounds_is_a_usage_error_that_names_flag_and_bound(
    brainseg, tmp_path, patients, command, flag, value, reason
):
    output = [] if command == "demo" else ["--output", tmp_path / "out"]
    told = brainseg(command, patients, *output, flag, value)
    (error,) = [line for line in told.err.splitlines() if line.startswith("Error: ")]

    assert (told.code, told.out) == (2, "")
    assert flag in error
    assert re.search(reason, error)
    assert not (tmp_path / "out").exists()


def test_values_arrive_as_they_were_typed(brainseg, patients, tmp_path):
    told = brainseg(
        *("train", patients, "--output", tmp_path / "model", "--network", "unet", "--stem", "1", "--context", "0"),
        *("--filters", "4", "--filters", "4", "--filters", "8", "--epochs", "1", "--epoch-slices", "2"),
        *("--batch-size", "2", "--window", "32", "--learning-rate", "0.0125", "--schedule", "cosine", "--seed", "3"),
    )
    info = load_model(tmp_path / "model").info

    assert told.code == 0, told.err
    assert info.model == ModelConfig(filters=(4, 4, 8), stem=1, context=0)
    assert info.training == TrainConfig(
        epochs=1, epoch_slices=2, batch_size=2, window=32, learning_rate=0.0125, schedule="cosine", seed=3
    )
