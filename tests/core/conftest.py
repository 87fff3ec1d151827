"""A tiny network, small enough that every test of core takes a moment."""

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.config import ModelConfig, TrainConfig
from napari_brainseg.core.model_folders import ModelInfo
from napari_brainseg.core.models import TrainedModel
from napari_brainseg.core.networks import create_network
from napari_brainseg.core.training import train
from napari_brainseg.core.volumes import Volume


@pytest.fixture(scope="session")
def cases(patients: Path) -> list[Case]:
    return find_cases(patients)


@pytest.fixture(scope="session")
def volume(tiny_volume: Volume) -> Volume:
    return tiny_volume


@pytest.fixture(scope="session")
def quick() -> TrainConfig:
    return TrainConfig(epochs=2, epoch_slices=8, batch_size=4, window=48, device="cpu", seed=7)


@pytest.fixture
def untrained(tiny: ModelConfig) -> TrainedModel:
    """Network whose random weights are the same every time."""
    torch.manual_seed(0)
    return TrainedModel(ModelInfo(name="untrained", model=tiny), create_network(tiny).eval())


@pytest.fixture(scope="session")
def trained_folder(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Case], tiny: ModelConfig, quick: TrainConfig
) -> Path:
    """Run folder of two epochs on two patients, validated on a third."""
    folder = tmp_path_factory.mktemp("models") / "trained"
    train(cases[:2], cases[2:3], folder, tiny, quick, command="brainseg train here")
    return folder


@pytest.fixture(scope="session")
def apart() -> Callable[..., BaseProcess]:
    """Make a process that runs code which sees what is named.

    torch and MONAI, which take seconds to import, are imported once for all of them, where the system can fork; with
    them what torch imports when the first optimiser is made.
    """
    methods = multiprocessing.get_all_start_methods()
    start = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if hasattr(start, "set_forkserver_preload"):
        start.set_forkserver_preload(["napari_brainseg.core.training", "torch._dynamo"])
    return lambda code, /, **names: start.Process(target=exec, args=(code, names), daemon=True)


@pytest.fixture
def touch(tmp_path: Path) -> Callable[[str, Sequence[str]], Path]:
    """Make a folder of empty files and return it: finding cases looks at names alone."""

    def make(folder: str, names: Sequence[str]) -> Path:
        target = tmp_path / folder
        target.mkdir(parents=True)
        for name in names:
            (target / name).touch()
        return target

    return make
