"""What to correct next in a data set: every case segmented, and its slices ranked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .cases import Case
from .config import QueueConfig, SegmentConfig
from .corrections import with_corrections
from .ledgers import reviewed_slices
from .masks import read_truth
from .models import TrainedModel
from .progress import OnProgress, Progress, ignore_progress
from .queues import QueueItem, rank_slices
from .signal_measurement import measure_signals
from .signals import SliceSignals
from .volumes import read_volume
from .words import plain
from .workspaces import Workspace


@dataclass(frozen=True, slots=True)
class FoundQueue:
    """What to correct next, the first slice first.

    Attributes
    ----------
    items : list of QueueItem
        The slices.
    cases : int
        How many cases were looked at.
    failed : Mapping of str to str
        Why others could not be.
    """

    items: list[QueueItem]
    cases: int
    failed: Mapping[str, str]


def find_queue(
    cases: Sequence[Case],
    model: TrainedModel,
    workspace: Workspace,
    config: QueueConfig | None = None,
    segmenting: SegmentConfig | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> FoundQueue:
    """Segment cases and their mirror images, and rank their slices; those that were reviewed are left out.

    Parameters
    ----------
    cases : sequence of Case
        As `find_cases` found them; those that cannot be used are passed over.
    model : TrainedModel
        The model to be improved.
    workspace : Workspace
        What was corrected so far.
    config, segmenting : optional
        How to rank and how to segment.
    on_progress : callable
        Called after each batch with the number of cases done; it may raise `Cancelled`.
    """
    signals: dict[str, SliceSignals] = {}
    failed: dict[str, str] = {}
    for done, case in enumerate(cases):

        def report(_: Progress, done: int = done) -> None:
            on_progress(Progress("looking into cases", done, len(cases)))

        try:
            signals[case.name] = _look_at(case, model, workspace, segmenting, report)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            failed[case.name] = plain(error)
    on_progress(Progress("looking into cases", len(cases), len(cases)))
    numbers = {name: item.slice_numbers for name, item in signals.items()}
    items = rank_slices(signals, config, reviewed_slices(workspace, numbers))
    return FoundQueue(items, len(signals), failed)


def _look_at(
    case: Case, model: TrainedModel, workspace: Workspace, config: SegmentConfig | None, on_progress: OnProgress
) -> SliceSignals:
    if case.error:
        raise ValueError(case.error)
    volume = read_volume(case)
    (corrected,) = with_corrections([case], workspace)
    truth = read_truth(corrected, volume)
    manual = truth.mask if corrected.has_truth else None
    return measure_signals(volume, model, config, manual, known=truth.known, on_progress=on_progress)
