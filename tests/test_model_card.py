"""The cards of the shipped models say what their model.json says."""

import importlib
from pathlib import Path
from statistics import fmean, median

import pytest

from napari_brainseg.core.model_folders import DEFAULT_MODEL, read_model_info, shipped_models

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def cards(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("model_card")


@pytest.mark.parametrize("name", shipped_models())
def test_card_is_the_one_of_the_shipped_model(cards, name):
    expected = cards.model_card(read_model_info(name))
    for place in cards.places(name):
        assert place.read_text("utf-8") == expected, f"{place} is stale: run python scripts/model_card.py"


def test_figures_are_those_of_the_scores(cards):
    info = read_model_info(DEFAULT_MODEL)
    dice = {f"TCGA_{site}_{number}_1": 0.5 + number / 20 for site in ("CS", "DU") for number in range(1, 7)}
    dice["TCGA_HT_1_1"] = 0.25
    values = list(dice.values())
    card = cards.model_card(info.model_copy(update={"recipe_dice": dice, "temperature": 1.5}))

    (row,) = [line.split(" | ") for line in card.splitlines() if line.startswith("| all")]
    mean, interval = row[2].split(" ", 1)
    low, high = map(float, interval.strip("[]").split(", "))
    assert (row[1], mean, row[3], row[4]) == ("13", f"{fmean(values):.3f}", f"{median(values):.3f}", "0.250")
    assert 0.5 < low < fmean(values) < high < 0.8
    assert row[5] == "3 |"
    assert "| site HT | 1 | 0.250 | 0.250 | 0.250 | 1 |" in card
    assert "Below 0.6: 3 of 13 cases: TCGA_HT_1_1 (0.25), TCGA_CS_1_1 (0.55), TCGA_DU_1_1 (0.55)." in card
    assert "a temperature of 1.50" in card
    assert f"Trained on {len(info.train_cases)} cases" in card


def test_it_does_not_call_an_uncalibrated_probability_a_share(cards):
    info = read_model_info(DEFAULT_MODEL).model_copy(update={"temperature": 1.0})
    card = cards.model_card(info)

    assert "take it for an order, not for a share of voxels" in card
    assert "surer than it should be" not in card
