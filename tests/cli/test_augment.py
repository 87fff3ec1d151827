"""``brainseg augment``: a sheet to look at."""

import re

import matplotlib.image
import pytest

from napari_brainseg.core import augmentation_sheets
from napari_brainseg.core.config import AugmentationConfig, TrainConfig


@pytest.fixture
def drawn(monkeypatch):
    """Settings that sheets are drawn with."""
    settings = []
    draw = augmentation_sheets.draw_augmentation

    def note(volume, mask, config, **options):
        settings.append((volume.name, config, options))
        return draw(volume, mask, config, **options)

    monkeypatch.setattr(augmentation_sheets, "draw_augmentation", note)
    return settings


def test_sheet_of_the_first_case_with_tumour_by_default_settings(brainseg, patients, tmp_path, drawn):
    told = brainseg("augment", patients, "--output", tmp_path / "sheet.png")

    assert (told.code, told.out) == (0, f"{tmp_path / 'sheet.png'}: anna, augmentation strong, seed 0\n")
    assert matplotlib.image.imread(tmp_path / "sheet.png").ndim == 3
    assert drawn == [("anna", TrainConfig().augmentation, {"window": TrainConfig().window, "seed": 0})]


def test_preset_with_single_fields_overridden(brainseg, patients, tmp_path, drawn):
    told = brainseg(
        *("augment", patients / "bert", "--output", tmp_path / "sheet.png", "--augmentation", "light", "--seed", 3),
        *("--window", 48, "--rotation", 12.5, "--scale", 0.9, 1.2, "--elastic", 0.02),
    )

    assert told.code == 0, told.err
    assert "augmentation of your own, seed 3" in told.out
    expected = {"preset": "light", "rotation": 12.5, "scale": (0.9, 1.2), "elastic": 0.02}
    assert drawn == [("bert", AugmentationConfig.model_validate(expected), {"window": 48, "seed": 3})]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--augmentation", "wild"), "'none', 'light', 'strong'"),
        (("--flip", "2"), "--flip is 2.0: Input should be less than or equal to 1"),
        (("--scale", "1.2", "0.9"), "--scale is .*wrong way round"),
        (("--window", "8"), "--window is 8: Input should be greater than or equal to 32"),
        (("--window", "100000"), "--window is 100000: Input should be less than or equal to 2048"),
        (("--seed", "-1"), "--seed is -1: Input should be greater than or equal to 0"),
    ],
)
def test_setting_that_is_not_allowed_is_a_usage_error(brainseg, patients, tmp_path, flags, reason):
    told = brainseg("augment", patients, "--output", tmp_path / "sheet.png", *flags)

    assert told.code == 2
    assert told.out == ""
    assert re.search(reason, " ".join(told.err.split()))
    assert not (tmp_path / "sheet.png").exists()


def test_picture_that_exists_is_replaced_only_when_told_to(brainseg, patients, tmp_path):
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"mine")
    told = brainseg("augment", patients, "--output", sheet)

    assert (told.code, sheet.read_bytes()) == (1, b"mine")
    assert "exists already; choose another --output or give --overwrite" in told.err
    assert brainseg("augment", patients, "--output", sheet, "--overwrite").code == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_other_kinds_of_file_and_cases_without_tumour_are_refused(brainseg, patients, tmp_path):
    assert "must end in .png" in brainseg("augment", patients, "--output", tmp_path / "sheet.pdf").err
    told = brainseg("augment", patients / "dora", "--output", tmp_path / "sheet.png")
    assert (told.code, told.out) == (1, "")
    assert "no case with a manual mask that has tumour" in told.err
    assert not any(tmp_path.iterdir())
