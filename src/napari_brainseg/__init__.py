"""Segment low-grade glioma on brain MRI, in napari, on the command line and from Python."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.cases import Case as Case
    from .core.cases import find_cases as find_cases
    from .core.config import ModelConfig as ModelConfig
    from .core.config import PostprocessConfig as PostprocessConfig
    from .core.config import ScoreConfig as ScoreConfig
    from .core.config import SegmentConfig as SegmentConfig
    from .core.config import TrainConfig as TrainConfig
    from .core.evaluation import score_cases as score_cases
    from .core.evaluation import summarise_scores as summarise_scores
    from .core.exploration import check_cases as check_cases
    from .core.exploration import explore_cases as explore_cases
    from .core.mask_pairs import pair_masks as pair_masks
    from .core.masks import read_mask as read_mask
    from .core.masks import write_mask as write_mask
    from .core.metrics import Scores as Scores
    from .core.metrics import score_mask as score_mask
    from .core.models import TrainedModel as TrainedModel
    from .core.models import load_model as load_model
    from .core.models import save_model as save_model
    from .core.phantom import make_phantom as make_phantom
    from .core.phantom import write_phantom_cases as write_phantom_cases
    from .core.progress import Cancelled as Cancelled
    from .core.progress import Progress as Progress
    from .core.segmentation import Segmentation as Segmentation
    from .core.segmentation import segment as segment
    from .core.splits import split_cases as split_cases
    from .core.training import train as train
    from .core.volumes import Volume as Volume
    from .core.volumes import read_volume as read_volume
    from .core.volumes import volume_of_array as volume_of_array

__version__ = "0.1.0"

_MODULES = {
    "cases": ("Case", "find_cases"),
    "config": ("ModelConfig", "PostprocessConfig", "ScoreConfig", "SegmentConfig", "TrainConfig"),
    "evaluation": ("score_cases", "summarise_scores"),
    "exploration": ("check_cases", "explore_cases"),
    "mask_pairs": ("pair_masks",),
    "masks": ("read_mask", "write_mask"),
    "metrics": ("Scores", "score_mask"),
    "models": ("TrainedModel", "load_model", "save_model"),
    "phantom": ("make_phantom", "write_phantom_cases"),
    "progress": ("Cancelled", "Progress"),
    "segmentation": ("Segmentation", "segment"),
    "splits": ("split_cases",),
    "training": ("train",),
    "volumes": ("Volume", "read_volume", "volume_of_array"),
}
"""Public names by module of `core`; a name's module is imported when the name is first used, torch with it."""

_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".core.{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
