"""Which slices to correct next: those where most seems wrong, but not ten neighbours of one tumour."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from .cases import patient_of
from .config import QueueConfig
from .files import write_text
from .settings import Settings, read_versioned
from .signals import SliceSignals
from .volumes import Float64Array

_TELLING = 0.2
"""Share of the score from which on something is a reason."""

_FLIP, _JUMP = 0.25, 0.1
"""Weights beside the uncertain and the manual voxels: both tell little more than those, except where a network is sure
of what it gets wrong."""

_SMALLEST = 300
"""Voxels; where less is found, or nothing, the tumour is taken to be so large."""


class QueueItem(Settings):
    """One slice to correct, and why."""

    case: str
    slice_number: int = Field(description="As in the slice's file name.")
    z: int = Field(ge=0, description="Position in the volume, from 0.")
    score: float = Field(description="Voxels that seem wrong, per root of the tumour's; less near slices further up.")
    reasons: tuple[str, ...]


def rank_slices(
    signals: Mapping[str, SliceSignals],
    config: QueueConfig | None = None,
    reviewed: Mapping[str, Collection[int]] | None = None,
) -> list[QueueItem]:
    """Return the slices to correct next, the first one first.

    In the combined order each slice that is chosen makes its neighbours and its patient count less, as do those that
    were reviewed already: what a network could learn from them it learns there.

    Parameters
    ----------
    signals : mapping of str to SliceSignals
        By the names of the cases.
    config : QueueConfig, optional
        How many, and in which order.
    reviewed : mapping of str to positions along Z, optional
        Slices that are accepted or corrected already, by case; they never come into the queue.
    """
    config, reviewed = config or QueueConfig(), reviewed or {}
    slices = [(name, z) for name, item in signals.items() for z in range(len(item.slice_numbers))]
    if not slices:
        return []
    case, position = np.array([name for name, _ in slices]), np.array([z for _, z in slices])
    patient = np.array([patient_of(name) for name, _ in slices])
    worth = np.concatenate([_worth(item, config) for item in signals.values()])
    if config.strategy == "random":
        worth = np.random.default_rng(config.seed).random(len(slices))
    is_open, taken = np.ones(len(slices), bool), np.zeros(len(slices))

    def take(place: int) -> None:
        is_open[place] = False
        if config.strategy == "combined":
            away = (position[case == case[place]] - position[place]) / max(config.reach, 1e-6)
            worth[case == case[place]] *= 1 - np.exp(-0.5 * away**2)
            taken[patient == patient[place]] += 1

    for place, (name, z) in enumerate(slices):
        if z in reviewed.get(name, ()):
            take(place)
    queue: list[QueueItem] = []
    while is_open.any() and len(queue) < config.count:
        scores = np.where(is_open, worth * (1 + taken) ** -config.spread, -1)
        place = int(scores.argmax())
        name, z = slices[place]
        number, score = signals[name].slice_numbers[z], round(float(scores[place]), 3)
        reasons = _reasons(signals[name], z, config)
        queue.append(QueueItem(case=name, slice_number=number, z=z, score=score, reasons=reasons))
        take(place)
    return queue


def _worth(signals: SliceSignals, config: QueueConfig) -> Float64Array:
    """What is to be won in each slice."""
    if config.strategy == "entropy":
        return signals.entropy.copy()
    total = np.sum([weight * voxels for voxels, weight, _ in _parts(signals)], axis=0)
    # every patient counts the same in Dice, so that a voxel of a small tumour weighs more
    worth: Float64Array = total / np.sqrt(max(int(signals.area.sum()), _SMALLEST))
    return worth


def _parts(signals: SliceSignals) -> Iterator[tuple[Float64Array, float, str]]:
    """What the score is the sum of: voxels, their weight, and the words for them."""
    above = np.append(signals.jump[1:], 0.0)
    is_below = signals.jump >= above
    yield signals.expected_wrong, 1.0, "uncertain: about {} voxels"
    yield signals.flip, _FLIP, "differs from its mirror image: about {} voxels"
    yield np.where(is_below, signals.jump, 0), _JUMP, "jumps against the slice below: about {} voxels more than usual"
    yield np.where(is_below, 0, above), _JUMP, "jumps against the slice above: about {} voxels more than usual"
    if signals.manual is not None:
        yield signals.manual.astype(np.float64), 1.0, "differs from the manual mask in {} voxels"


def _reasons(signals: SliceSignals, z: int, config: QueueConfig) -> tuple[str, ...]:
    """In plain words, the weightiest first."""
    if config.strategy == "random":
        return ("drawn at random",)
    if config.strategy == "entropy":
        return (f"uncertain: entropy of {signals.entropy[z]:.0f} bits",)
    parts = sorted(((weight * voxels[z], voxels[z], words) for voxels, weight, words in _parts(signals)), reverse=True)
    least = max(_TELLING * sum(part for part, _, _ in parts), 0.5)
    said = tuple(words.format(f"{voxels:.0f}") for part, voxels, words in parts if part >= least)
    return said or ("nothing stands out",)


class _QueueFile(Settings):
    schema_version: int = 1
    items: tuple[QueueItem, ...]


def write_queue(path: Path | str, items: Sequence[QueueItem]) -> None:
    """Write a queue as JSON, in its order; a file that is there is replaced, and its folder is made if needed."""
    content = _QueueFile(items=tuple(items))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(Path(path), content.model_dump_json(indent=1) + "\n")


def read_queue(path: Path | str) -> list[QueueItem]:
    """Read what `write_queue` wrote, in its order.

    Raises
    ------
    ValueError
        If the file is damaged, something else, or written by a newer version.
    """
    return list(read_versioned(Path(path), _QueueFile, "a queue of slices").items)
