"""Corrections are saved by themselves: soon after each change, off the GUI thread, and only the slices that changed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.corrections import Corrections
from ..core.ledgers import ReviewState, read_ledger
from ..core.masks import Mask
from .correction_layer import CorrectionLayer
from .review_clock import ReviewClock
from .task import Task
from .undo import is_drawing

_SOON, _LATEST = 0.5, 1.0
"""Seconds after a change, and after the first of many."""
_STROKE, _WATCH, _RETRY = 100, 2_000, 10_000
"""Milliseconds until a stroke may have ended, between two looks at the disk, and until it is tried again."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Slices that are saved alike."""

    slices: tuple[int, ...]
    state: ReviewState | None
    seconds: float
    model_sha256: str


@dataclass(slots=True, eq=False)
class _Job:
    """One visit to the disk, and what came of it."""

    mask: Mask | None = None
    parts: tuple[_Part, ...] = ()
    done: list[_Part] = field(default_factory=list)
    overtaken: list[int] = field(default_factory=list)
    others: tuple[int, ...] = ()
    planes: dict[int, Mask] = field(default_factory=dict)
    error: Exception | None = None
    task: Task | None = None


class Autosave(QObject):
    """Keeps a correction layer and its files alike.

    One visit to the disk at a time, in a thread; whatever changed meanwhile is seen at its end. What other windows save
    is looked for every two seconds.

    Parameters
    ----------
    correction : CorrectionLayer
        What is saved.
    clock : ReviewClock
        Knows the seconds that are saved with it.
    reviewer : callable
        Says who is at work.
    parent : QObject
        With which it goes.
    """

    saved = Signal(object)
    """Positions along Z of slices that are on disk now; those of another window of which a version is kept."""
    failed = Signal(object)
    """The exception; the changes stay in memory."""
    reopened = Signal(object)
    """Positions along Z of accepted or flagged slices that were changed."""
    merged = Signal(object)
    """Positions along Z of slices that another window has changed."""

    def __init__(
        self, correction: CorrectionLayer, clock: ReviewClock, reviewer: Callable[[], str], parent: QObject
    ) -> None:
        super().__init__(parent)
        self.correction, self._clock, self._reviewer = correction, clock, reviewer
        self.error: Exception | None = None
        """What went wrong last, until it goes well."""
        self.time: datetime | None = None
        """When something was saved last."""
        self._states: dict[int, tuple[ReviewState | None, Mask]] = {}
        self._job: _Job | None = None
        self._first_change: float | None = None
        self._seen: object = None
        self._soon, self._retry, self._watch = QTimer(self), QTimer(self), QTimer(self)
        for timer in (self._soon, self._retry):
            timer.setSingleShot(True)
            timer.timeout.connect(self.look)
        self._watch.timeout.connect(self._look_around)
        self._watch.start(_WATCH)
        events = correction.layer.events
        self._signals = (events.set_data, events.paint, events.labels_update)  # undo tells by the first alone
        for signal in self._signals:
            signal.connect(self._touched)
        correction.autosave = self

    @property
    def is_saving(self) -> bool:
        """Whether the disk is being visited now."""
        return self._job is not None

    @property
    def pending(self) -> dict[int, ReviewState | None]:
        """Slices that are still to be saved, by position along Z, and the state they get; None as what is in them."""
        on_the_way = {z: part.state for part in (self._job.parts if self._job else ()) for z in part.slices}
        return on_the_way | {z: state for z, (state, _) in self._states.items()}

    def set_state(self, slices: Sequence[int], state: ReviewState | None) -> None:
        """Save slices as they are now as accepted, flagged or taken back; None lets what is in them decide."""
        mask = self.correction.mask()
        self._states |= {z: (state, mask[z].copy()) for z in slices}
        self.look()

    def look(self, *, in_stroke: bool = False) -> None:
        """Save what differs from the disk, unless it is being visited: then that is done at the end of the visit."""
        if self._job:
            return
        if is_drawing(self.correction.layer) and not in_stroke:
            self._soon.start(_STROKE)
            return
        self._soon.stop()
        self._first_change = None
        try:
            mask = self.correction.mask()
        except ValueError as error:
            self._fail(error)
            return
        parts = self._parts(mask)
        if parts:
            self._visit(_Job(mask, parts))
        elif self.error:
            self._recover()
            self.saved.emit(([], []))

    def flush(self, seconds: float = 3.0) -> bool:
        """Save all there is, wait for it so long at most, and return whether it is done."""
        deadline = time.monotonic() + seconds
        for _ in range(3):
            self.look(in_stroke=True)
            job = self._job
            if job is None or job.task is None or not job.task.wait(max(deadline - time.monotonic(), 0)):
                break
            self._finish(job)
            if job.error:
                break
        return self._job is None and self.error is None

    def stop(self) -> bool:
        """Save all there is and follow the layer no longer; False if something could not be saved in time."""
        is_saved = self.flush()
        self._job = self.correction.autosave = None
        for timer in (self._soon, self._retry, self._watch):
            timer.stop()
        for signal in self._signals:
            signal.disconnect(self._touched)
        return is_saved

    def _touched(self, _: Any = None) -> None:
        now = time.monotonic()
        self._first_change = now if self._first_change is None else self._first_change
        wait = min(_SOON, max(self._first_change + _LATEST - now, 0))
        self._soon.start(round(wait * 1000))

    def _parts(self, mask: Mask) -> tuple[_Part, ...]:
        """What there is to save; puts the masks of slices with a new state into `mask` as they were at that time."""
        changed = [z for z in self.correction.changed(mask) if z not in self._states]
        wanted: dict[int, ReviewState | None] = dict.fromkeys(changed)
        if reopened := [z for z in changed if self.correction.state(z) in ("accepted", "flagged")]:
            self.reopened.emit(reopened)
        for z, (state, plane) in self._states.items():
            wanted[z] = state
            if state is not None:
                mask[z] = plane
        self._states = {}
        alike: dict[tuple[Any, ...], list[int]] = {}
        for z, state in sorted(wanted.items()):
            seconds = self._clock.take(z)
            # Time belongs to one slice; where there is none, many can be written at once.
            key = (state, seconds, self.correction.models[z], z if seconds else None)
            alike.setdefault(key, []).append(z)
        return tuple(_Part(tuple(slices), key[0], key[1], key[2]) for key, slices in alike.items())

    def _look_around(self) -> None:
        """Look for what emits nothing here, such as writing into the layer's array, and for other windows' changes."""
        if self._job or self.error:
            return
        self.look()
        seen = self._signature()
        if not self._job and seen and seen != self._seen:
            self._seen = seen
            self._visit(_Job())

    def _signature(self) -> object:
        """What changes whenever somebody writes the ledger; None if there is none."""
        workspace, name = self.correction.corrections.workspace, self.correction.volume.name
        try:
            found = workspace.ledger_file(name).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _visit(self, job: _Job) -> None:
        corrections, predicted = self.correction.corrections, self.correction.predicted.copy()
        self._job = job
        job.task = Task(partial(_work, job, corrections, predicted, self._reviewer()))
        job.task.failed.connect(partial(self._crashed, job))
        job.task.ended.connect(partial(self._finish, job))
        job.task.start()

    def _crashed(self, job: _Job, error: Exception) -> None:
        job.error = error

    def _finish(self, job: _Job) -> None:
        """Take in what came of a visit, once: at its end, or before, by whoever has waited for it."""
        if self._job is not job:
            return
        self._job = None
        done = [z for part in job.done for z in part.slices]
        if job.mask is not None:
            self.correction.saved[done] = job.mask[done]
            for part in job.parts[len(job.done) :]:
                self._keep(part, job.mask)
        if job.error:
            self._fail(job.error)
            return
        if job.parts:
            self._recover()
            self.time = datetime.now().astimezone()
            self.saved.emit((done, job.overtaken))
        if job.others:
            both = self.correction.take_over(job.others, job.planes)
            self.correction.corrections.forget(both)  # so that saving ours keeps theirs
            self.merged.emit(job.others)
        if job.parts:
            self._touched()

    def _keep(self, part: _Part, mask: Mask) -> None:
        """Save later what could not be saved, even if it is undone meanwhile: the disk may have taken a part of it."""
        for z in part.slices:
            self._clock.give_back(z, part.seconds / len(part.slices))
            self._states.setdefault(z, (part.state, mask[z].copy()))

    def _recover(self) -> None:
        self.error = None
        self._retry.stop()

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._retry.start(_RETRY)
        self.failed.emit(error)


def _work(job: _Job, corrections: Corrections, predicted: Mask, reviewer: str, _: Task) -> None:
    """Visit the disk, in a thread."""
    former = corrections.ledger
    try:
        if job.mask is None and read_ledger(corrections.workspace, corrections.volume.name) == former:
            return
        for part in job.parts:
            assert job.mask is not None
            saved = corrections.save(
                job.mask,
                part.slices,
                predicted,
                state=part.state,
                reviewer=reviewer,
                seconds=part.seconds,
                model_sha256=part.model_sha256,
            )
            job.overtaken += saved.overtaken
            job.done.append(part)
        ours = {corrections.volume.slice_numbers[z] for part in job.parts for z in part.slices}
        known = corrections.ledger.slices.items()
        if job.mask is None or any(former.slices.get(number) != one for number, one in known if number not in ours):
            job.others = corrections.refresh()
            job.planes = dict(corrections.planes)
    except (OSError, ValueError) as error:
        job.error = error
