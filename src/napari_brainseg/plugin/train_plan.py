"""What a training will take, measured by the command line's dry run in a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass

from ..core.config import TrainConfig
from ..core.durations import in_words
from .task import Task
from .train_command import TrainingRequest

_WAIT = 0.1


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What a dry run found: kind of device, seconds of an epoch with its share of validation, memory."""

    device: str
    epoch_seconds: float
    gigabytes: float

    def words(self, epochs: int) -> str:
        """As one line."""
        total = "" if epochs == 1 else f", {epochs} epochs, about {in_words(epochs * self.epoch_seconds)}"
        return f"{in_words(self.epoch_seconds)} per epoch on {self.device}{total}; {self.gigabytes:.1f} GB."


def measure_cost(request: TrainingRequest, task: Task) -> TrainingCost:
    """Run the dry run and wait for it; a stop ends it.

    Raises
    ------
    ValueError
        If it refuses; the message is its own.
    """
    command = [sys.executable, "-m", "napari_brainseg", *request.arguments(), "--dry-run", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while True:
            try:
                plan, problems = process.communicate(timeout=_WAIT)
                break
            except subprocess.TimeoutExpired:
                if task.stopping:
                    process.kill()
    if process.returncode:
        lines = [line for line in problems.splitlines() if line.strip()] or [f"exit code {process.returncode}"]
        raise ValueError(lines[-1].removeprefix("brainseg: "))
    return read_plan(plan, request.config)


def read_plan(plan: str, config: TrainConfig) -> TrainingCost:
    """Cost as a dry run tells it in JSON.

    Raises
    ------
    ValueError
        If a figure is missing.
    """
    validations = sum(map(config.validates_after, range(1, config.epochs + 1))) / config.epochs
    try:
        found = json.loads(plan)
        seconds = found["step_seconds"] * found["steps"] + found["validation_seconds"] * validations
        return TrainingCost(found["device"].split()[0].rstrip(","), seconds, found["most_bytes"] / 1e9)
    except KeyError as error:
        raise ValueError(f"the dry run does not tell {error}") from error
