"""How the learning rate goes: a function of the step and of the scores so far, so that there is no state to resume."""

import math
from collections.abc import Mapping

from .config import TrainConfig

_WARM_UP = 0.3
"""Share of the steps in which the one-cycle schedule rises."""

_LOWEST = 25
"""The schedules that rise begin with this fraction of the highest rate."""


def learning_rate(config: TrainConfig, step: int, steps: int, dice: Mapping[int, float] | None = None) -> float:
    """Rate at a step.

    Parameters
    ----------
    config : TrainConfig
        Which schedule. One-cycle rises to the highest rate and falls (Smith 2018), cosine only falls, cyclical rises
        and falls in triangles (Smith 2017), plateau takes the highest rate until the validation Dice rests.
    step, steps : int
        The step, from 0, and steps of the whole training.
    dice : Mapping[int, float], optional
        Mean validation Dice by epoch, for plateau.
    """
    peak = config.learning_rate
    match config.schedule:
        case "one-cycle":
            rise = _WARM_UP * steps
            if step < rise:
                return _cosine(peak / _LOWEST, peak, step / rise)
            return _cosine(peak, peak / 10_000, (step - rise) / max(steps - 1 - rise, 1))
        case "cosine":
            return _cosine(peak, peak / 10_000, step / max(steps - 1, 1))
        case "cyclical":
            place = step * config.epochs / (steps * config.cycle_epochs) % 1
            return peak / _LOWEST + (peak - peak / _LOWEST) * (1 - abs(2 * place - 1))
        case "plateau":
            return peak * config.plateau_factor ** _plateaus(dice or {}, config.plateau_patience)
        case "constant":
            return peak


def epochs_without_gain(dice: Mapping[int, float]) -> int:
    """Epochs between the best validation Dice and the last validation."""
    return max(dice) - best_epoch(dice) if dice else 0


def best_epoch(dice: Mapping[int, float]) -> int:
    """The first epoch with the highest Dice."""
    return max(dice, key=lambda epoch: (dice[epoch], -epoch))


def _plateaus(dice: Mapping[int, float], patience: int) -> int:
    """How often the Dice rested for so many epochs; each time the waiting begins anew."""
    count, best, since = 0, -math.inf, 0
    for epoch, value in dice.items():
        if value > best:
            best, since = value, epoch
        elif epoch - since >= patience:
            count, since = count + 1, epoch
    return count


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
