"""What a training will take, measured by the command line's dry run in a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass, fields

from ..core.durations import in_words
from ..core.training_pace import MeasuredPace
from ..core.words import counted
from .task import Task
from .train_command import TrainingRequest

_WAIT = 0.1


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What a dry run found: kind of device, pace, memory."""

    device: str
    pace: MeasuredPace
    gigabytes: float

    def words(self, request: TrainingRequest) -> str:
        """As one line.

        Raises
        ------
        ValueError
            If there is no time for a single epoch.
        """
        config, minutes = request.config, request.minutes
        if minutes:
            config = config.changed({"epochs": self.pace.epochs_within(minutes, config)})
        seconds, epochs = self.pace.seconds(config), config.epochs
        count = counted(epochs, "epoch")
        total = f"{count} within {minutes} min" if minutes else f"{count}, about {in_words(seconds)}"
        return f"{in_words(seconds / epochs)} per epoch on {self.device}, {total}; {self.gigabytes:.1f} GB of memory."


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
    return read_plan(plan)


def read_plan(plan: str) -> TrainingCost:
    """Cost as a dry run tells it in JSON.

    Raises
    ------
    ValueError
        If a figure is missing.
    """
    try:
        found = json.loads(plan)
        pace = MeasuredPace(**{field.name: found[field.name] for field in fields(MeasuredPace)})
        return TrainingCost(found["device"].split()[0].rstrip(","), pace, found["most_bytes"] / 1e9)
    except KeyError as error:
        raise ValueError(f"the dry run does not tell {error}") from error
