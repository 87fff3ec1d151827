"""The models in the package: whole, small, and able to do their job."""

from pathlib import Path
from statistics import fmean

import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.metrics import score_mask
from napari_brainseg.core.model_folders import (
    DEFAULT_MODEL,
    WEIGHTS_FILE,
    model_folder,
    read_model_info,
    shipped_models,
)
from napari_brainseg.core.models import load_model
from napari_brainseg.core.phantom import SAMPLE_CASES, PhantomCase, make_phantom
from napari_brainseg.core.segmentation import segment
from napari_brainseg.core.volumes import read_volume


@pytest.fixture(params=shipped_models())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_better_one_comes_first() -> None:
    assert shipped_models() == (DEFAULT_MODEL, "fast")


def test_weights_are_small_enough_to_ship() -> None:
    assert sum((model_folder(name) / WEIGHTS_FILE).stat().st_size for name in shipped_models()) < 25_000_000


def test_it_says_what_it_was_trained_on(name: str) -> None:
    info = read_model_info(name)
    assert info.name == name
    assert len(info.train_cases) == 85
    assert info.training is not None
    assert "/" not in info.provenance.command.split(" --")[0]
    assert (model_folder(name) / "LICENSE.md").is_file()


def test_the_fast_one_is_not_far_from_the_other() -> None:
    fast, default = (read_model_info(name).recipe_dice for name in ("fast", DEFAULT_MODEL))
    assert fmean(dice - default[case] for case, dice in fast.items()) > -0.02


@pytest.mark.parametrize("case", [case for case in SAMPLE_CASES if case.tumour], ids=lambda case: case.name)
def test_it_finds_the_tumour_of_a_sample_patient(name: str, case: PhantomCase) -> None:
    volume, mask = make_phantom(case.seed, missing=case.missing, name=case.name)
    assert score_mask(segment(volume, load_model(name)).mask, mask).dice > 0.8


@pytest.mark.realdata
def test_it_finds_the_tumour_of_real_patients(name: str, real_cases_folder: Path) -> None:
    model = load_model(name)
    for case in find_cases(real_cases_folder):
        volume = read_volume(case)
        manual = read_mask(case, volume)
        assert manual is not None
        assert score_mask(segment(volume, model).mask, manual).dice > 0.75, case.name
