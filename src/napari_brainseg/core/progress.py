"""How long work reports itself and is stopped."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work is.

    Attributes
    ----------
    stage : str
        What is being done, in words for a person ("segmenting", "training").
    done, total : int
        Steps finished and steps in all.
    metrics : Mapping[str, float]
        Figures known so far, such as the loss.
    note : str
        What belongs into every log beside them: that something was saved, or had to be changed.
    """

    stage: str
    done: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


class Cancelled(Exception):
    """Raised by a progress callback to stop the work that called it."""


OnProgress = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """Take a report and do nothing: the default of every long function."""


def is_leading() -> bool:
    """Whether this process may report: it is alone, or the first of several that were started together."""
    return int(os.environ.get("RANK", "0")) == 0


def is_one_of_several() -> bool:
    """Whether several processes were started together to share the work."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
