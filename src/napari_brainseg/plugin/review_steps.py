"""Which slice comes next, and what is said of slices."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ..core.corrections import Corrections
from ..core.durations import in_full, moment
from ..core.ledgers import CaseLedger, ReviewState, SliceReview
from ..core.masks import Mask
from ..core.words import counted
from .review_strip import WORDS

DONE: tuple[ReviewState, ...] = ("accepted", "flagged")
"""A slice in these needs nobody's look any more: somebody has said what is to be said."""


def states_of(corrections: Corrections) -> tuple[ReviewState, ...]:
    """State of each slice along Z, as far as it is saved."""
    return tuple(corrections.state(z) for z in range(len(corrections.volume.array)))


def to_review(states: Sequence[ReviewState], mask: Mask, order: Sequence[int] = ()) -> list[int]:
    """Slices that are still to be reviewed: those of a queue in its order, else all with tumour in or beside them.

    Parameters
    ----------
    states : sequence
        Of all slices along Z.
    mask : ndarray
        (Z, Y, X), above 0 is tumour.
    order : sequence of int
        Positions along Z; those that the case does not have are left out, for a queue may be older than it.
    """
    if order:
        return [z for z in order if z < len(states) and states[z] not in DONE]
    tumour = mask.any(axis=(1, 2))
    near = np.convolve(tumour, np.ones(3), "same")
    return [z for z, state in enumerate(states) if state not in DONE and (near[z] or state == "edited")]


def next_slice(waiting: Sequence[int], order: Sequence[int], here: int, step: int) -> int | None:
    """The slice to go to from here, past the last on to the first; None if no other is left.

    Parameters
    ----------
    waiting : sequence of int
        See `to_review`.
    order : sequence of int
        All slices in the order of the queue; empty if there is none.
    here : int
        The slice in view.
    step : {1, -1}
        On or back.
    """
    places = {z: place for place, z in enumerate(order)} if order else {z: z for z in (*waiting, here)}
    place = places.get(here, -1)
    ahead = [z for z in waiting if (places[z] - place) * step > 0]
    others = [z for z in (ahead or waiting) if z != here]
    if not others:
        return None
    return (min if step > 0 else max)(others, key=places.__getitem__)


def describe_end(waiting: Sequence[int], left: Sequence[int], here: int) -> str:
    """Say why there is no slice to go to; empty if there is one.

    Parameters
    ----------
    waiting, left : sequence of int
        What is to be reviewed: what `next_slice` goes through, and all.
    here : int
        The slice in view.
    """
    if set(waiting) - {here}:
        return ""
    queued = "" if set(left) <= set(waiting) else "queued "
    return f"This is the last {queued}slice to review." if waiting else f"All {queued}slices are reviewed."


def describe_slice(number: int, review: SliceReview, seconds: float) -> str:
    """One line on a slice: state, how much of it was changed, how long it took."""
    parts = [f"Slice {number}: {WORDS[review.state]}"]
    if review.voxels_changed:
        parts.append(f"{_voxels(review.voxels_changed)} changed")
    if total := round(review.seconds + seconds):
        parts.append(in_full(total))
    return ", ".join(parts)


def describe_case(ledger: CaseLedger, slices: int) -> str:
    """Two lines on a case: how many slices are in which state, and what that took."""
    parts = [f"{ledger.count('accepted')} of {slices} slices accepted"]
    parts += [f"{count} {WORDS[state]}" for state in ("edited", "flagged") if (count := ledger.count(state))]
    done = ledger.slices.values()
    took = f"{in_full(sum(one.seconds for one in done))}, {_voxels(sum(one.voxels_changed for one in done))} changed"
    return f"{', '.join(parts)}\n{took}"


def describe_saved(ledger: CaseLedger) -> str:
    """What was done with a case before, without a full stop; empty if that is nothing."""
    done = [review for review in ledger.slices.values() if review.state != "auto"]
    if not done:
        return ""
    last = datetime.fromisoformat(max(review.time for review in done))
    return f"Corrections of {moment(last)} ({counted(len(done), 'slice')}) were found"


def _voxels(count: int) -> str:
    return counted(count, "voxel", "\u00a0")
