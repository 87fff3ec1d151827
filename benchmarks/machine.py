"""Which machine a figure was measured on, and how contestants are measured."""

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch


def describe_machine() -> str:
    """One line: processor, threads, PyTorch."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.is_file()
        else []
    )
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def take_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each contestant; all run once in each round, so that other work slows them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            started = clock()
            run()
            seconds[name].append(clock() - started)
    return {name: median(values) for name, values in seconds.items()}
