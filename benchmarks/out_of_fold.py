"""What models of folds say of the patients that they have not seen, kept in a folder so that it is computed once."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from napari_brainseg import Case, SegmentConfig, Volume, find_cases, load_model, read_mask, read_volume, segment
from napari_brainseg.core.config import CHANNELS, FLAIR, NormalisationConfig
from napari_brainseg.core.files import atomic_path
from napari_brainseg.core.model_folders import ModelInfo, read_model_info
from napari_brainseg.core.models import TrainedModel
from napari_brainseg.core.preprocessing import head_mask, solid_head

MOST = 17.0
"""A larger logit than this, of which float32 makes a probability of 1, is written as this."""

PLAIN, FLIP, FLAIR_ALONE = "plain", "with the flip test", "FLAIR alone"
SIZES = {"slices 1.25 times as large": 1.25, "slices 0.8 times as large": 0.8}

View = Callable[[Volume, TrainedModel, SegmentConfig], np.ndarray]


@dataclass(frozen=True)
class Unseen:
    """A case, and the number of the fold whose model was validated on it."""

    case: Case
    fold: int

    @property
    def name(self) -> str:
        return self.case.name


def _plain(volume: Volume, model: TrainedModel, settings: SegmentConfig) -> np.ndarray:
    return segment(volume, model, settings).probability


def _flipped(volume: Volume, model: TrainedModel, settings: SegmentConfig) -> np.ndarray:
    return segment(volume, model, settings.changed({"tta": True})).probability


def _flair_alone(volume: Volume, model: TrainedModel, settings: SegmentConfig) -> np.ndarray:
    flair = [CHANNELS.index(FLAIR)] * len(CHANNELS)
    return _plain(replace(volume, array=volume.array[..., flair]), model, settings)


def _resampled(factor: float) -> View:
    """Segment slices of another size, and bring the probability back to the old one, for the manual mask as it is."""

    def view(volume: Volume, model: TrainedModel, settings: SegmentConfig) -> np.ndarray:
        images = torch.from_numpy(volume.array.astype(np.float32)).permute(0, 3, 1, 2)
        size = [round(factor * side) for side in volume.shape[1:]]
        changed = interpolate(images, size, mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()
        stored = changed.round().astype(np.uint8) if volume.array.dtype == np.uint8 else changed
        found = torch.from_numpy(_plain(replace(volume, array=stored), model, settings))
        return interpolate(found[None], volume.shape[1:], mode="bilinear", antialias=True)[0].numpy()

    return view


VIEWS: dict[str, View] = {PLAIN: _plain, FLIP: _flipped, FLAIR_ALONE: _flair_alone} | {
    name: _resampled(factor) for name, factor in SIZES.items()
}


class OutOfFold:
    """Cases in the order of the folds, and what is known and said of them."""

    def __init__(self, data: Path, folders: Sequence[Path], cache: Path, settings: SegmentConfig) -> None:
        infos = [read_model_info(folder) for folder in folders]
        found = {case.name: case for case in find_cases(data)}
        names = [name for info in infos for name in info.validation_cases]
        _check(infos, names, found)
        self.cases = [Unseen(found[name], k) for k, info in enumerate(infos) for name in info.validation_cases]
        self._weights = [info.provenance.weights_sha256[:16] for info in infos]
        self._folders, self._cache, self._settings = folders, cache, settings
        self._load = lru_cache(1)(lambda fold: load_model(self._folders[fold]))
        self._read = lru_cache(1)(read_volume)

    def manual(self, item: Unseen) -> np.ndarray:
        """Which voxels are tumour by the manual mask."""
        return self._labels(item) == 2

    def head(self, item: Unseen) -> np.ndarray:
        """Which voxels are head or tumour, with the dark fluid inside."""
        return self._labels(item) > 0

    def logits(self, item: Unseen, view: str = PLAIN) -> np.ndarray:
        """What the model of its fold says of a case: the logit of the probability, 0 where it is undecided."""

        def make() -> np.ndarray:
            print(f"{item.name}, {view}", file=sys.stderr)
            probability = VIEWS[view](self._read(item.case), self._load(item.fold), self._settings)
            with np.errstate(divide="ignore"):
                return np.log(probability / (1 - probability)).clip(-MOST, MOST)

        folder = f"{self._weights[item.fold]}-{view.replace(' ', '-')}"
        return self._kept(folder, item, make, np.float16).astype(np.float32)

    def probability(self, item: Unseen, view: str = PLAIN) -> np.ndarray:
        return 1 / (1 + np.exp(-self.logits(item, view)))

    def _labels(self, item: Unseen) -> np.ndarray:
        def make() -> np.ndarray:
            volume = self._read(item.case)
            above = head_mask(volume.array[..., CHANNELS.index(FLAIR)], NormalisationConfig())
            return np.where(read_mask(item.case, volume) > 0, 2, solid_head(above))

        return self._kept("labels", item, make, np.uint8)

    def _kept(self, folder: str, item: Unseen, make: Callable[[], np.ndarray], dtype: type) -> np.ndarray:
        file = self._cache / folder / f"{item.name}.npy"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as temporary, temporary.open("wb") as opened:
                np.save(opened, make().astype(dtype))
        return np.load(file)


def _check(infos: Sequence[ModelInfo], names: Sequence[str], found: dict[str, Case]) -> None:
    if silent := [info.name for info in infos if not info.validation_cases]:
        sys.exit(f"{silent[0]} has no validation case: it has seen all cases, and nothing here can be said of it")
    if twice := {name for name in names if names.count(name) > 1}:
        sys.exit(f"{min(twice)} was validated on by two of the models: give models of different folds")
    if missing := [name for name in names if name not in found]:
        sys.exit(f"{len(missing)} of {len(names)} validation cases are not in the data set, such as {missing[0]}")
