"""The model in the package: whole, small, and able to do its job."""

from pathlib import Path

import pytest

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.metrics import score_mask
from napari_brainseg.core.model_folders import DEFAULT_MODEL, WEIGHTS_FILE, model_folder, read_model_info
from napari_brainseg.core.models import load_model
from napari_brainseg.core.phantom import SAMPLE_CASES, PhantomCase, make_phantom
from napari_brainseg.core.segmentation import segment
from napari_brainseg.core.volumes import read_volume


def test_weights_are_small_enough_to_ship() -> None:
    assert (model_folder(DEFAULT_MODEL) / WEIGHTS_FILE).stat().st_size < 25_000_000


def test_it_says_what_it_was_trained_on() -> None:
    info = read_model_info(DEFAULT_MODEL)
    assert len(info.train_cases) == 85
    assert info.training is not None
    assert "/" not in info.provenance.command.split(" --")[0]


@pytest.mark.parametrize("case", [case for case in SAMPLE_CASES if case.tumour], ids=lambda case: case.name)
def test_it_finds_the_tumour_of_a_sample_patient(case: PhantomCase) -> None:
    volume, mask = make_phantom(case.seed, missing=case.missing, name=case.name)
    assert score_mask(segment(volume, load_model()).mask, mask).dice > 0.8


@pytest.mark.realdata
def test_it_finds_the_tumour_of_real_patients(real_cases_folder: Path) -> None:
    model = load_model()
    for case in find_cases(real_cases_folder):
        volume = read_volume(case)
        manual = read_mask(case, volume)
        assert manual is not None
        assert score_mask(segment(volume, model).mask, manual).dice > 0.75, case.name
