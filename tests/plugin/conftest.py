"""A tiny model, so that a test of the window takes a moment."""

import os
import platform
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.compat import isalive

from napari_brainseg.core import model_folders
from napari_brainseg.core.config import ModelConfig, PostprocessConfig, SegmentConfig, TrainConfig
from napari_brainseg.core.model_folders import ModelInfo, Provenance
from napari_brainseg.core.models import TrainedModel, save_model
from napari_brainseg.core.networks import create_network
from napari_brainseg.core.progress import Progress
from napari_brainseg.core.results import SegmentationProvenance
from napari_brainseg.core.runs import (
    STATE_FILE,
    EpochRow,
    Run,
    RunState,
    add_epoch,
    write_preview,
    write_previews,
    write_run,
)
from napari_brainseg.core.volumes import Volume
from napari_brainseg.plugin import cases_widget
from napari_brainseg.plugin.layers import given_sizes, image_layers, read_layers
from napari_brainseg.plugin.segment_widget import SegmentWidget
from napari_brainseg.plugin.task import Task

SaveTinyModel = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_case(patients: Path) -> Path:
    """Case folder on disk."""
    return patients / "bert"


@pytest.fixture(scope="session")
def provenance() -> SegmentationProvenance:
    """How a segmentation was made that no network made."""
    return SegmentationProvenance(
        case="anna",
        model="tiny",
        weights_sha256="ab",
        settings=SegmentConfig(),
        postprocess=PostprocessConfig(),
        device="CPU",
        seconds=1,
        created="2024-05-06",
        versions={"torch": "2"},
    )


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What napari was asked to tell from the Cases tab."""
    told: list[str] = []
    monkeypatch.setattr(cases_widget, "show_error", told.append)
    return told


@pytest.fixture(scope="session")
def save_tiny_model(tiny: ModelConfig) -> SaveTinyModel:
    """Save a model whose random weights call about half of a phantom tumour, so that every threshold cuts."""

    def save(folder: Path, seed: int = 2, postprocess: PostprocessConfig | None = None, nan: bool = False) -> Path:
        torch.manual_seed(seed)
        network = create_network(tiny).eval()
        if nan:
            with torch.no_grad():
                next(network.parameters()).fill_(torch.nan)
        info = ModelInfo(
            name=folder.name,
            model=tiny,
            postprocess=postprocess or PostprocessConfig(),
            validation_dice={"carl": 0.5, "dora": 0.75},
            provenance=Provenance(created="2024-05-06T07:08:09+00:00"),
        )
        save_model(TrainedModel(info, network), folder, overwrite=True)
        return folder

    return save


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory, save_tiny_model: SaveTinyModel) -> Path:
    """What stands in for the installed package: its ``models/default`` is tiny."""
    package = tmp_path_factory.mktemp("package")
    save_tiny_model(package / "models" / "default")
    return package


@pytest.fixture
def tiny_default(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the shipped model, a tiny one while the test runs."""
    monkeypatch.setattr(model_folders, "files", lambda _: tiny_models)
    return tiny_models / "models" / "default"


@pytest.fixture
def plugin(npe2pm):
    """The manifest of this plugin, which napari knows while the test runs; it knows no other."""
    with npe2pm.tmp_plugin(package="napari-brainseg") as plugin:
        yield plugin


@pytest.fixture
def viewer(qapp) -> ViewerModel:
    """All of a viewer but its window, which takes a second to open."""
    given_sizes.clear()
    return ViewerModel()


@pytest.fixture
def add_layers() -> Callable[..., list[Layer]]:
    """Add a case to a viewer: one on disk, or a volume."""

    def add(viewer: ViewerModel, case: Path | Volume) -> list[Layer]:
        layers = image_layers(case) if isinstance(case, Volume) else read_layers(str(case))
        return [viewer.add_layer(Layer.create(*layer)) for layer in layers]

    return add


@pytest.fixture
def open_segment_tab(qtbot, tiny_default: Path) -> Iterator[Callable[..., SegmentWidget]]:
    """Open the Segment tab of a viewer and wait until its model is loaded."""
    opened = []

    def open_tab(viewer: ViewerModel) -> SegmentWidget:
        widget = SegmentWidget(viewer)
        opened.append(widget)
        qtbot.waitUntil(lambda: "Loading" not in widget.device_line.text(), timeout=30_000)
        return widget

    yield open_tab
    for widget in filter(isalive, opened):
        widget.close()
        widget.deleteLater()


@pytest.fixture
def finish(qtbot) -> Callable[[SegmentWidget], None]:
    """Wait until a segmentation has ended."""
    return lambda widget: qtbot.waitUntil(lambda: not widget.is_running, timeout=30_000)


class Gate:
    """Holds a task after each report until it is opened, so that a test can look at what is half done."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.unheld = "looking for cases"
        """A stage that is not held up."""
        self.threads: list[str] = []

    def open(self) -> None:
        self._open.set()

    def hold(self, task: Task) -> None:
        self.threads.append(threading.current_thread().name)
        while not self._open.wait(0.005) and not task.stopping:
            pass


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    report = Task.report

    def report_and_hold(task: Task, progress: Progress) -> None:
        report(task, progress)
        if progress.stage != gate.unheld:
            gate.hold(task)

    monkeypatch.setattr(Task, "report", report_and_hold)
    yield gate
    gate.open()


@pytest.fixture
def half_done(qtbot, gate: Gate) -> Callable[[SegmentWidget], Gate]:
    """Segment two slices at once, and return when the first one, alone, is shown and the others wait at the gate."""

    def start(widget: SegmentWidget) -> Gate:
        widget.advanced["batch_size"].value = 2
        widget.run()
        qtbot.waitUntil(lambda: widget.result is not None and bool(np.any(widget.result.probability)), timeout=30_000)
        return gate

    return start


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write what a run of 4 epochs would have left in its folder by now; the process at it is this one."""

    def make(name: str, *, done: int = 2, model: ModelInfo | None = None, **state: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        command = f"brainseg train {tmp_path / 'data'} --output {folder} --from default"
        cases = {"train_cases": ("anna", "bert"), "validation_cases": ("carl", "dora")}
        write_run(
            folder,
            Run(model=ModelConfig(), training=TrainConfig(epochs=4), parent="default", command=command, **cases),
        )
        values = {"status": "running", "pid": os.getpid(), "host": platform.node(), "epochs": 4, "epoch": done}
        values |= {"step": 3, "steps": 12, "seconds": 60.0 * done + 15, "seconds_left": 105.0}
        (folder / STATE_FILE).write_text(RunState.model_validate(values | state).model_dump_json())
        for epoch in range(1, done + 1):
            row = {"validation_loss": 0.6, "validation_dice": 0.2 * epoch, "validation_iou": 0.15 * epoch}
            add_epoch(folder, EpochRow(epoch=epoch, seconds=60 * epoch, loss=1 / epoch, learning_rate=1e-3, **row))
        manual = np.zeros((2, 32, 32), np.uint8)
        manual[:, 8:24, 8:24] = 1
        write_previews(folder, manual * 90 + 20, manual, ["carl slice 3", "dora slice 2"])
        for epoch in range(done + 1):
            write_preview(folder, epoch, np.roll(manual, 4 - epoch, axis=2))
        if model:
            (folder / "model.json").write_text(model.model_dump_json())
        return folder

    return make
