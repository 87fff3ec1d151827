"""How the learning rate goes."""

import numpy as np
import pytest

from napari_brainseg.core.config import TrainConfig
from napari_brainseg.core.schedules import best_epoch, epochs_without_gain, learning_rate


@pytest.mark.parametrize("steps", [10, 100, 3000])
def test_one_cycle_rises_to_the_highest_rate_and_falls_to_almost_nothing(steps: int) -> None:
    config = TrainConfig(schedule="one-cycle", learning_rate=0.01)
    rates = np.array([learning_rate(config, step, steps) for step in range(steps)])
    peak = int(rates.argmax())
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[peak] == pytest.approx(0.01)
    assert peak == pytest.approx(0.3 * steps, abs=1)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] == pytest.approx(0.01 / 10_000)


@pytest.mark.parametrize("steps", [2, 10, 100])
def test_cosine_only_falls(steps: int) -> None:
    config = TrainConfig(schedule="cosine", learning_rate=0.01)
    rates = np.array([learning_rate(config, step, steps) for step in range(steps)])
    assert rates[0] == pytest.approx(0.01)
    assert (np.diff(rates) < 0).all()
    assert rates[-1] == pytest.approx(0.01 / 10_000)


def test_cyclical_rises_and_falls_once_in_so_many_epochs() -> None:
    config = TrainConfig(schedule="cyclical", learning_rate=0.01, epochs=6, cycle_epochs=3)
    rates = np.array([learning_rate(config, step, 600) for step in range(600)])
    assert rates[[0, 150, 300, 450]] == pytest.approx([0.01 / 25, 0.01, 0.01 / 25, 0.01])
    assert (np.diff(rates[:150]) > 0).all()
    assert (np.diff(rates[150:300]) < 0).all()


def test_constant_stays() -> None:
    config = TrainConfig(schedule="constant", learning_rate=0.01)
    assert {learning_rate(config, step, 9) for step in range(9)} == {0.01}


@pytest.mark.parametrize(
    ("dice", "reductions"),
    [
        pytest.param({}, 0, id="nothing known"),
        pytest.param({2: 0.5, 4: 0.6, 6: 0.7}, 0, id="rising"),
        pytest.param({2: 0.5, 4: 0.5}, 0, id="resting too short"),
        pytest.param({2: 0.5, 4: 0.4, 6: 0.5}, 1, id="resting"),
        pytest.param({2: 0.5, 4: 0.4, 6: 0.5, 8: 0.5, 10: 0.1}, 2, id="resting on"),
        pytest.param({2: 0.5, 4: 0.4, 6: 0.5, 8: 0.6, 10: 0.1}, 1, id="rising again"),
    ],
)
def test_plateau_falls_where_dice_rests(dice: dict[int, float], reductions: int) -> None:
    config = TrainConfig(schedule="plateau", learning_rate=0.01, plateau_factor=0.1, plateau_patience=4)
    assert learning_rate(config, 5, 9, dice) == pytest.approx(0.01 * 0.1**reductions)


def test_best_epoch_is_the_first_of_the_highest() -> None:
    dice = {5: 0.1, 10: 0.8, 15: 0.8, 20: 0.7}
    assert best_epoch(dice) == 10
    assert epochs_without_gain(dice) == 10
    assert epochs_without_gain({}) == 0
