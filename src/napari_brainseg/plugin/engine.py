"""A model made ready to segment, off the GUI thread: importing torch alone takes seconds."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.config import PostprocessConfig, SegmentConfig
from ..core.model_folders import read_model_info
from ..core.volumes import Volume
from .task import Task

if TYPE_CHECKING:
    from ..core.models import TrainedModel
    from ..core.segmentation import Segmentation, SlicePrediction

_TRIAL_SLICES, _TRIAL_EDGE = 4, 256


@dataclass(frozen=True)
class Engine:
    """A loaded model, where it computes and how fast.

    Attributes
    ----------
    folder : str
        The model's folder or name.
    settings : SegmentConfig
        Settings it was tried with.
    device, reason : str
        Where it computes, and why there, in words.
    seconds_per_slice : float
        Measured on slices of 256 x 256 on this machine.
    """

    folder: str
    settings: SegmentConfig
    model: "TrainedModel"
    device: str
    reason: str
    seconds_per_slice: float


def prepare_engine(folder: str, settings: SegmentConfig, known: Engine | None = None) -> Engine:
    """Load a model and try it for a moment; a known engine is used again if it fits and its files are the same.

    Raises
    ------
    ValueError, OSError
        If the model cannot be loaded, or the device is not there.
    """
    if known and not (known.folder == folder and known.model.info == read_model_info(folder)):
        known = None
    if known and known.settings == settings:
        return known
    import torch

    from ..core.devices import choose_device
    from ..core.models import load_model
    from ..core.segmentation import Runner

    model = known.model if known else load_model(folder)
    device = choose_device(settings.device, settings.threads)
    runner = Runner(model.network, device, settings.batch_size, settings.tta)
    edge = -(-_TRIAL_EDGE // model.info.model.size_multiple) * model.info.model.size_multiple
    trial = torch.zeros(_TRIAL_SLICES, model.info.model.in_channels, edge, edge)
    runner(trial[:1])
    started = time.perf_counter()
    runner(trial)
    seconds = (time.perf_counter() - started) / _TRIAL_SLICES
    return Engine(folder, settings, model, str(device), device.reason, seconds)


def segment_in_task(
    task: Task,
    engine: Engine,
    volume: Volume,
    postprocessing: PostprocessConfig,
    first: int,
    only: tuple[int, ...],
) -> "Segmentation":
    """Segment in the task's thread: progress is reported, and a stop is heard.

    Slices are sent as they come, as pairs of a `SlicePrediction` and the `SegmentationProvenance` so far: after a stop
    there is no other.
    """
    from ..core.segmentation import provenance_of, segment

    started = time.perf_counter()
    made = provenance_of(volume, engine.model, engine.settings, postprocessing, engine.device)

    def send(found: "SlicePrediction") -> None:
        task.send((found, made.changed({"seconds": round(time.perf_counter() - started, 3)})))

    return segment(
        volume,
        engine.model,
        engine.settings,
        postprocessing,
        first=first,
        only=only,
        on_slices=send,
        on_progress=task.report,
    )
