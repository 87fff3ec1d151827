"""The command line called in this process, with tiny models."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from napari_brainseg.cli import commands as commands  # so that each command can be patched
from napari_brainseg.cli import main
from napari_brainseg.core import model_folders
from napari_brainseg.core.config import ModelConfig, PostprocessConfig
from napari_brainseg.core.model_folders import ModelInfo
from napari_brainseg.core.models import TrainedModel, save_model
from napari_brainseg.core.networks import create_network


@dataclass(frozen=True)
class Outcome:
    """What a command left behind on the terminal."""

    code: int
    out: str
    err: str


Brainseg = Callable[..., Outcome]


@pytest.fixture
def brainseg(capsys: pytest.CaptureFixture[str]) -> Brainseg:
    """Type a command, get its exit code and what it printed."""

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        code = end.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny: ModelConfig) -> Path:
    """Model folder: random weights, the same every time, and a threshold of its own."""
    torch.manual_seed(2)
    info = ModelInfo(name="tiny", model=tiny, postprocess=PostprocessConfig(threshold=0.45))
    folder = tmp_path_factory.mktemp("package") / "models" / "default"
    save_model(TrainedModel(info, create_network(tiny).eval()), folder)
    return folder


@pytest.fixture
def tiny_default(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While the test runs, the shipped model is a tiny one."""
    monkeypatch.setattr(model_folders, "files", lambda _: tiny_model.parents[1])
    return tiny_model


@pytest.fixture
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its content, hidden ones included."""
    return lambda folder: {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
