"""Where a manual mask may be wrong: a model that has not seen the case is sure of the opposite.

After Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels": what counts is
disagreement with confidence, out of sample. A model that was trained on a mask has learned its errors too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from scipy import ndimage

from .cases import Case, patient_of
from .config import DoubtConfig, SegmentConfig
from .corrections import with_corrections
from .ledgers import reviewed_slices
from .masks import Truth, read_truth, slice_areas
from .models import TrainedModel
from .progress import OnProgress, Progress, ignore_progress
from .queues import QueueItem
from .segmentation import segment
from .volumes import Array, Volume, read_volume
from .words import plain
from .workspaces import Workspace

ErrorKind = Literal["tumour missed by the mask", "mask where the model is sure there is none"]
MISSED: ErrorKind = "tumour missed by the mask"
TOO_MUCH: ErrorKind = "mask where the model is sure there is none"


@dataclass(frozen=True, slots=True)
class LabelError:
    """A slice on which a manual mask may be wrong.

    Attributes
    ----------
    case : str
        Whose.
    slice_number, z : int
        As in the file's name, and the position in the volume.
    kind : str
        `MISSED` or `TOO_MUCH`.
    voxels : int
        How many it may be.
    """

    case: str
    slice_number: int
    z: int
    kind: ErrorKind
    voxels: int


@dataclass(frozen=True, slots=True)
class FoundLabelErrors:
    """What may be wrong with the masks of some cases, the largest first.

    Attributes
    ----------
    errors : list of LabelError
        Slice by slice.
    cases : int
        How many cases were looked at.
    seen : tuple of str
        Those of them whose patients every model was trained on: their doubt says little there.
    failed : Mapping of str to str
        Why others could not be looked at.
    """

    errors: list[LabelError]
    cases: int
    seen: tuple[str, ...]
    failed: Mapping[str, str]

    def as_queue(self) -> list[QueueItem]:
        """The slices as a queue for the Review tab, one item for each."""

        def place(error: LabelError) -> tuple[str, int]:
            return error.case, error.z

        items = []
        for (case, z), same in groupby(sorted(self.errors, key=place), place):
            found = sorted(same, key=lambda error: -error.voxels)
            reasons = tuple(f"{error.kind}: about {error.voxels} voxels" for error in found)
            score = float(sum(error.voxels for error in found))
            items.append(QueueItem(case=case, slice_number=found[0].slice_number, z=z, score=score, reasons=reasons))
        return sorted(items, key=lambda item: -item.score)


def find_label_errors(
    cases: Sequence[Case],
    models: Sequence[TrainedModel],
    workspace: Workspace,
    config: DoubtConfig | None = None,
    segmenting: SegmentConfig | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> FoundLabelErrors:
    """Segment cases with manual masks, and list the slices where a model is sure that the mask is wrong.

    Each case is judged by the first model that was not trained on its patient, so that the models of a cross-validation
    judge a whole data set. Slices that somebody corrected or accepted are left out.

    Parameters
    ----------
    cases : sequence of Case
        As `find_cases` found them; those without a mask are passed over.
    models : sequence of TrainedModel
        One at least; a case that all of them were trained on is judged by the first.
    workspace : Workspace
        What was corrected so far.
    config, segmenting : optional
        What counts as doubt, and how to segment.
    on_progress : callable
        Called after each batch with the number of cases done; it may raise `Cancelled`.

    Raises
    ------
    ValueError
        If there is no model.
    """
    config = config or DoubtConfig()
    if not models:
        raise ValueError("there is no model to look into the masks with: give one at least")
    known = [model.info.seen_patients for model in models]
    errors: list[LabelError] = []
    failed: dict[str, str] = {}
    seen: list[str] = []
    looked_at = 0
    for done, case in enumerate(cases):

        def report(_: Progress, done: int = done) -> None:
            on_progress(Progress("looking into masks", done, len(cases)))

        try:
            if case.error:
                raise ValueError(case.error)
            (case,) = with_corrections([case], workspace)
            if not case.has_truth:
                continue
            volume = read_volume(case)
            truth = read_truth(case, volume)
            judge = next((i for i, names in enumerate(known) if patient_of(case.name) not in names), None)
            probability = segment(volume, models[judge or 0], segmenting, on_progress=report).probability
            done_already = reviewed_slices(workspace, {case.name: volume.slice_numbers})[case.name]
            errors += _errors_of(volume, truth, probability, config, done_already)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            failed[case.name] = plain(error)
            continue
        looked_at += 1
        if judge is None:
            seen.append(case.name)
    on_progress(Progress("looking into masks", len(cases), len(cases)))
    return FoundLabelErrors(_largest(errors, config), looked_at, tuple(seen), failed)


def _largest(errors: Sequence[LabelError], config: DoubtConfig) -> list[LabelError]:
    """Those of the worst slices, of few slices of each case: one that the model fails on would fill the list."""
    voxels: Counter[tuple[str, int]] = Counter()
    for error in errors:
        voxels[error.case, error.z] += error.voxels
    chosen: list[tuple[str, int]] = []
    for case, z in sorted(voxels, key=lambda place: -voxels[place]):
        if len(chosen) < config.count and sum(case == other for other, _ in chosen) < config.per_case:
            chosen.append((case, z))
    return sorted((e for e in errors if (e.case, e.z) in chosen), key=lambda error: -error.voxels)


def _errors_of(
    volume: Volume, truth: Truth, probability: Array, config: DoubtConfig, reviewed: set[int]
) -> Iterator[LabelError]:
    mask = truth.mask > 0
    doubts: dict[ErrorKind, Array] = {
        MISSED: ~mask & (probability >= config.sure),
        TOO_MUCH: mask & (probability <= 1 - config.sure),
    }
    for kind, doubt in doubts.items():
        # where two people draw the same tumour, a rim of a voxel or two differs always
        voxels = slice_areas(ndimage.binary_opening(doubt, np.ones((1, 3, 3))))
        for z in np.flatnonzero((voxels >= config.min_voxels) & truth.known).tolist():
            if z not in reviewed:
                yield LabelError(volume.name, volume.slice_numbers[z], z, kind, int(voxels[z]))
