"""How long a training took so far, and how long it goes on."""

import time
from typing import Literal

from .config import TrainConfig

Part = Literal["step", "validation", "saving"]


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
