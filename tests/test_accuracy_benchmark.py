"""The figures of the accuracy benchmark come from histograms and from components: are they those of the voxels?"""

import importlib
from pathlib import Path

import numpy as np
import pytest

from napari_brainseg.core.metrics import score_mask
from napari_brainseg.core.postprocessing import entropy, postprocess

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def voxels():
    """Logits twice as sure as they should be, and what is tumour."""
    generator = np.random.default_rng(0)
    logits = generator.normal(-2, 2, 200_000)
    tumour = generator.random(200_000) < 1 / (1 + np.exp(-logits))
    return (2 * logits).clip(-17, 17), tumour


def test_temperature_undoes_overconfidence(module, voxels):
    calibration = module("calibration")
    counts = calibration.count_logits(*voxels)

    assert counts.sum() == len(voxels[0])
    temperature = calibration.fit_temperature(counts)
    assert temperature == pytest.approx(2, rel=0.02)

    before, after = (calibration.reliability([(counts, value)]) for value in (1, temperature))
    assert before.error > 10 * after.error
    assert after.middle_error < 0.02


def test_calibration_error_is_that_of_the_voxels(module, voxels):
    calibration = module("calibration")
    logits, tumour = voxels
    probability = 1 / (1 + np.exp(-logits))
    found = calibration.reliability([(calibration.count_logits(logits, tumour), 1.0)])

    bins = (probability * calibration.BINS).astype(int)
    sizes = np.bincount(bins)
    gap = abs(np.bincount(bins, probability) - np.bincount(bins, tumour)) / sizes
    assert found.error == pytest.approx(np.average(gap, weights=sizes), abs=1e-3)
    assert found.voxels == pytest.approx(sizes, rel=0.02)
    expected = -np.log(np.where(tumour, probability, 1 - probability)).mean()
    counts = calibration.count_logits(logits, tumour)
    assert calibration.cross_entropy(calibration.scaled(1), counts) == pytest.approx(expected, rel=1e-3)


def test_areas_are_those_of_ranked_voxels(module, voxels):
    calibration = module("calibration")
    logits, tumour = (values[:5000] for values in voxels)
    roc, precision, by_chance = calibration.rank_errors(calibration.count_logits(logits, tumour))

    uncertainty = entropy((1 / (1 + np.exp(-logits))).astype(np.float32))
    wrong = (logits >= 0) != tumour
    pairs = uncertainty[wrong][:, None] - uncertainty[~wrong][None]
    assert roc == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2, abs=2e-3)
    ranked = wrong[np.argsort(-uncertainty)]
    assert precision == pytest.approx((np.cumsum(ranked) / np.arange(1, 5001))[ranked].mean(), abs=5e-3)
    assert by_chance == pytest.approx(wrong.mean(), abs=1e-3)
    assert calibration.rank_errors(calibration.count_logits(logits, logits >= 0)) is None


def test_dice_of_rules_is_that_of_the_mask(module):
    rules = module("component_rules")
    generator = np.random.default_rng(1)
    smooth = module("scipy.ndimage").gaussian_filter(generator.normal(size=(6, 40, 40)), 2)
    probability = 1 / (1 + np.exp(-smooth / smooth.std())).astype(np.float32)
    manual = smooth + 0.02 * generator.normal(size=smooth.shape) > smooth.std()

    for dice, rule in zip(rules.dice_of_rules(probability, manual), rules.RULES, strict=True):
        assert dice == pytest.approx(score_mask(postprocess(probability, rule), manual).dice), rule


def test_of_equally_good_rules_the_plainest_is_taken(module):
    rules = module("component_rules")
    assert rules.best_rule([np.ones(len(rules.RULES))]) == rules.PostprocessConfig()
