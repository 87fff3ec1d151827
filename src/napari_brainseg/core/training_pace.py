"""How long a training would take, how long it took so far, and how long it goes on."""

import math
import time
from dataclasses import dataclass
from typing import Literal

from .config import MOST_EPOCHS, TrainConfig

Part = Literal["step", "validation", "saving"]


@dataclass(frozen=True, slots=True)
class MeasuredPace:
    """How long the parts of a training take, as they were measured before it.

    Attributes
    ----------
    steps : int
        Of an epoch.
    step_seconds, validation_seconds : float
        A step and a whole validation.
    validates_parent : bool
        Whether there is one before the first epoch.
    """

    steps: int
    step_seconds: float
    validation_seconds: float
    validates_parent: bool

    @property
    def epoch_seconds(self) -> float:
        """An epoch without validation."""
        return self.steps * self.step_seconds

    def seconds(self, config: TrainConfig) -> float:
        """All epochs and validations."""
        validations = math.ceil(config.epochs / config.validate_every) + self.validates_parent
        return config.epochs * self.epoch_seconds + validations * self.validation_seconds

    def epochs_within(self, minutes: float, config: TrainConfig) -> int:
        """How many epochs, at most, end with their validations within so many minutes.

        Raises
        ------
        ValueError
            If not even one does.
        """
        rest = minutes * 60 - self.validates_parent * self.validation_seconds
        cycle = config.validate_every * self.epoch_seconds + self.validation_seconds
        cycles = max(math.floor(rest / cycle), 0)
        more = math.floor((rest - cycles * cycle - self.validation_seconds) / self.epoch_seconds)
        epochs = cycles * config.validate_every + max(more, 0)
        if not epochs:
            least = self.seconds(config.changed({"epochs": 1})) / 60
            raise ValueError(
                f"one epoch takes about {least:.1f} min on this machine and does not end within {minutes:g} min: allow "
                "more time, or draw fewer slices per epoch"
            )
        return min(epochs, MOST_EPOCHS)


class TrainingPace:
    """Keeps the time of a training, and guesses what is left from the mean time of each part so far.

    Parameters
    ----------
    config : TrainConfig
        How many epochs and validations there are.
    steps : int
        Steps of an epoch.
    seconds : float
        Time that went by before a resume.
    """

    def __init__(self, config: TrainConfig, steps: int, seconds: float = 0.0) -> None:
        self._config = config
        self._steps = steps
        self._last = time.perf_counter()
        self._started = self._last - seconds
        self._spent: dict[Part, tuple[int, float]] = {}

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return time.perf_counter() - self._started

    def took(self, part: Part) -> None:
        """Count the time since the last call for a part."""
        now = time.perf_counter()
        count, spent = self._spent.get(part, (0, 0.0))
        self._spent[part] = count + 1, spent + now - self._last
        self._last = now

    def seconds_left(self, epoch: int, step: int) -> float:
        """Seconds that the epochs after `epoch` take, so many steps of the next one being done."""
        epochs = range(epoch + 1, self._config.epochs + 1)
        left: dict[Part, int] = {
            "step": len(epochs) * self._steps - step,
            "validation": sum(map(self._config.validates_after, epochs)),
            "saving": len(epochs),
        }
        return sum(count * self._mean(part) for part, count in left.items())

    def _mean(self, part: Part) -> float:
        count, spent = self._spent.get(part, (1, 0.0))
        return spent / count
