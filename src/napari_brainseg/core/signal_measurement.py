"""Running a network over a volume and its mirror image, to see where it is not to be trusted."""

from dataclasses import replace

import numpy as np

from .config import SegmentConfig
from .models import TrainedModel
from .progress import OnProgress, Progress, ignore_progress
from .segmentation import segment
from .signals import SliceSignals, find_signals
from .volumes import Array, Volume


def measure_signals(
    volume: Volume,
    model: TrainedModel,
    config: SegmentConfig | None = None,
    manual: Array | None = None,
    *,
    known: Array | None = None,
    on_progress: OnProgress = ignore_progress,
) -> SliceSignals:
    """Segment a volume and its mirror image, and tell what speaks against each slice.

    Parameters
    ----------
    volume : Volume
        The images.
    model : TrainedModel
        From `load_model`; its own clean-up makes the mask.
    config : SegmentConfig, optional
        How to run it; it sees both sides anyway, so that `tta` changes nothing.
    manual : ndarray, optional
        (Z, Y, X), a mask that is there already.
    known : ndarray, optional
        (Z,) bool, of which slices it says something; of all if not given.
    on_progress : callable
        Called after each batch; it may raise `Cancelled`.

    Raises
    ------
    ValueError
        If the volume is empty or constant, the mask has another shape, or the network gives NaN.
    """
    config = (config or SegmentConfig()).model_copy(update={"tta": False})
    mirror_image = replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1]))

    def first_half(report: Progress) -> None:
        on_progress(replace(report, total=2 * report.total))

    def second_half(report: Progress) -> None:
        on_progress(replace(report, done=report.total + report.done, total=2 * report.total))

    plain = segment(volume, model, config, on_progress=first_half)
    mirrored = segment(mirror_image, model, config, on_progress=second_half).probability[..., ::-1]
    return find_signals(
        plain.probability, plain.mask, volume.slice_numbers, mirrored=mirrored, manual=manual, known=known
    )
