"""The Segment tab: choose images and a model, segment, see the tumour grow, tune the threshold."""

import shlex
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import QSettings
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QFileDialog
from superqt.utils import qthrottled

from ..core.config import PostprocessConfig, SegmentConfig
from ..core.model_folders import DEFAULT_MODEL, read_model_info
from ..core.progress import Progress
from ..core.results import measure_tumour
from ..core.volumes import Volume
from .engine import Engine, prepare_engine, segment_in_task
from .form import read_form
from .layers import METADATA, geometry
from .result_layer import ResultLayer
from .segment_form import RUN, STOP, STOPPING, SegmentForm
from .sources import Source, combine_layers, find_sources, known_volume
from .task import Task

if TYPE_CHECKING:
    from ..core.segmentation import Segmentation, SlicePrediction

_SEPARATE = "Three separate layers..."
_CHOOSE_MODEL = "Choose a model folder..."
_NO_IMAGES = "Open a case or an image first"
_RECENT_MODELS = 5


class SegmentWidget(SegmentForm):
    """Segment the volume or the slice in view with a trained model.

    Parameters
    ----------
    viewer : Viewer
        Where the images are and the mask goes.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.result: ResultLayer | None = None
        self._task: Task | None = None
        self._preparing: Task | None = None
        self._engine: Engine | None = None
        self._started = 0.0
        self._sources: dict[str, Source] = {}
        self._known_names: set[str] = set()
        self._model_name = DEFAULT_MODEL
        self._settings = QSettings("napari-brainseg", "napari-brainseg")
        self._show_size = qthrottled(self._show_size_now, timeout=150)
        self._apply = qthrottled(self._apply_now, timeout=50)
        self._connect()
        self.refresh_images()
        self.refresh_models()
        self.prepare()

    @property
    def is_running(self) -> bool:
        """Whether slices are being segmented now."""
        return self._task is not None

    # what can be chosen

    def refresh_images(self, event: Any = None) -> None:
        """Offer what the viewer holds now; the choice stays where it still exists, else the newest is taken."""
        before = self.images.value
        found = find_sources(self.viewer.layers)
        self._sources = {source.name: source for source in found}
        plain = [layer for layer in self.viewer.layers if isinstance(layer, Image) and not known_volume(layer)]
        names = list(self._sources) + ([_SEPARATE] if len(plain) > 1 else [])
        with self.images.changed.blocked():
            self.images.choices = names or [_NO_IMAGES]
            newest = [name for name in self._sources if name not in self._known_names]
            self.images.value = before if before in names and not newest else (newest or names or [_NO_IMAGES])[-1]
        self._known_names = set(self._sources)
        for box in self.channels:
            _offer(box, plain)
        self._images_chosen()

    def refresh_models(self) -> None:
        """Offer the shipped model, those used lately, and a folder to be chosen."""
        recent = [name for name in self._recent_models() if Path(name).is_dir()]
        with self.model.changed.blocked():
            self.model.choices = [
                (f"{DEFAULT_MODEL} (shipped)", DEFAULT_MODEL),
                *((Path(name).name, name) for name in recent),
                (_CHOOSE_MODEL, _CHOOSE_MODEL),
            ]
            self.model.value = self._model_name
        self._describe_model()

    def choose_model(self, name: str) -> None:
        """Use a shipped model or a model folder from now on; a folder that holds none is refused."""
        try:
            read_model_info(name)
        except (OSError, ValueError) as error:
            self._fail(error)
        else:
            self._model_name = name
            if name != DEFAULT_MODEL:
                recent = [name, *(known for known in self._recent_models() if known != name)]
                self._settings.setValue("models", recent[:_RECENT_MODELS])
            self.prepare()
        self.refresh_models()

    def prepare(self) -> None:
        """Load the model in the background, so that the first click is quick and the device is known."""
        settings, name, known = self.config(), self._model_name, self._engine
        self.device_line.setText("Loading the model...")
        self._preparing = Task(lambda _: prepare_engine(name, settings, known), self)
        self._preparing.returned.connect(self._prepared)
        self._preparing.failed.connect(self._fail)
        self._preparing.start()

    def config(self) -> SegmentConfig:
        """How the network is run, as the form says."""
        return read_form(self.advanced, SegmentConfig())

    def postprocessing(self) -> PostprocessConfig:
        """How the probability becomes the mask, as the form says."""
        return read_form(self.clean_up, PostprocessConfig(threshold=self.threshold.value))

    # segmenting

    def run(self, *, this_slice: bool = False) -> None:
        """Segment, or stop if that is under way."""
        if self._task:
            self.stop()
            return
        try:
            volume = self.volume()
        except ValueError as error:
            self._fail(error)
            return
        first = self._slice_in_view(volume)
        earlier = self._result_of(volume)
        if this_slice and earlier and not earlier.is_edited:
            self.result = earlier
        else:
            if earlier:
                earlier.retire()
            self.result = ResultLayer(self.viewer, volume, self.postprocessing(), self._show_size)
        self.result.layer.editable = False
        self._work(volume, first, (first,) if this_slice else ())

    def stop(self) -> None:
        """Ask the segmentation to end; the slices that are done stay."""
        if self._task:
            self._task.stop()
            self.run_button.text = STOPPING
            self.run_button.enabled = False

    def volume(self) -> Volume:
        """Return the chosen images.

        Raises
        ------
        ValueError
            If nothing is chosen, or it cannot be segmented.
        """
        if self.images.value == _SEPARATE:
            return combine_layers(tuple(box.value for box in self.channels))
        if self.images.value not in self._sources:
            raise ValueError(f"{_NO_IMAGES}: there is nothing to segment")
        return self._sources[self.images.value].volume()

    def command(self) -> str:
        """Return the command line that does the same.

        Raises
        ------
        ValueError
            If the images were not opened from a case on disk.
        """
        volume = self.volume()
        if volume.source is None:
            raise ValueError(f"{volume.name} was not opened from a case on disk, so there is no command for it")
        words = ["brainseg", "segment", str(volume.source), "--output", "segmentations", "--model", self._model_name]
        for settings in (self.config(), self.postprocessing()):
            words += _flags(settings.model_dump(exclude_defaults=True))
        return shlex.join(words)

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Stop what is running before the window goes."""
        for task in (self._task, self._preparing):
            if task:
                task.stop(wait=10)
        super().closeEvent(event)

    def _work(self, volume: Volume, first: int, only: tuple[int, ...]) -> None:
        name, settings, known = self._model_name, self.config(), self._engine
        postprocessing = self.postprocessing()

        def work(task: Task) -> "tuple[Engine, Segmentation]":
            engine = prepare_engine(name, settings, known)
            return engine, segment_in_task(task, engine, volume, postprocessing, first, only)

        self._started = time.monotonic()
        self._task = Task(work, self)
        self._task.sent.connect(self._slices_found)
        self._task.progressed.connect(self._show_progress)
        self._task.returned.connect(partial(self._segmented, whole=not only))
        self._task.failed.connect(self._fail)
        self._task.ended.connect(self._ended)
        self.run_button.text = STOP
        self.slice_button.enabled = False
        self.progress.visible = True
        self.progress.max, self.progress.value = 0, 0
        self.status.setText("Starting...")
        self._task.start()

    def _slices_found(self, found: "SlicePrediction") -> None:
        assert self.result
        self.result.add_slices(found)

    def _show_progress(self, progress: Progress) -> None:
        left = (time.monotonic() - self._started) / progress.done * (progress.total - progress.done)
        self.progress.max, self.progress.value = progress.total, progress.done
        self.status.setText(f"{progress.done} of {progress.total} slices, {left:.0f} s left")

    def _segmented(self, outcome: "tuple[Engine, Segmentation]", whole: bool) -> None:
        engine, segmentation = outcome
        self._prepared(engine)
        assert self.result
        self.result.finish(segmentation.provenance.model_dump(), segmentation.mask if whole else None)
        notes = "".join(f" {note}." for note in segmentation.provenance.notes)
        seconds = segmentation.provenance.seconds
        self.status.setText(f"Done in {seconds:.1f} s with model {segmentation.provenance.model}.{notes}")

    def _ended(self) -> None:
        stopped = self._task is not None and self._task.stopping
        self._task = None
        self.progress.visible = False
        self.run_button.text = RUN
        self.run_button.enabled = self.slice_button.enabled = True
        if self.result:
            self.result.layer.editable = True
        if stopped:
            self.status.setText("Stopped: the slices that were done stay, the others are empty.")
        self._images_chosen()
        self._show_maps()
        self._show_size_now()

    # what the controls do

    def _connect(self) -> None:
        layers = self.viewer.layers.events
        for signal in (layers.inserted, layers.removed, layers.reordered):
            signal.connect(self._layers_changed)
        self.images.changed.connect(self._images_chosen)
        self.model.changed.connect(self._model_chosen)
        self.run_button.clicked.connect(lambda: self.run())
        self.slice_button.clicked.connect(lambda: self.run(this_slice=True))
        self.threshold.changed.connect(lambda _: self._apply())
        self.clean_up.changed.connect(lambda _: self._apply())
        self.advanced.changed.connect(lambda _: self.prepare())
        for box in (self.show_probability, self.show_uncertainty):
            box.changed.connect(self._show_maps)
        self.copy_button.clicked.connect(self._copy_command)
        self.spacing_button.clicked.connect(self._set_spacing)
        self.viewer.bind_key("Shift-S", lambda _: self.run(), overwrite=True)

    def _layers_changed(self, event: Any = None) -> None:
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self.refresh_images)
            layer.events.name.connect(self.refresh_images)
        self.refresh_images()

    def _images_chosen(self, name: Any = None) -> None:
        for box in self.channels:
            box.visible = self.images.value == _SEPARATE
        there = self.images.value != _NO_IMAGES
        for button in (self.run_button, self.slice_button):
            button.enabled = there
            button.native.setToolTip(str(button.tooltip) if there else f"{_NO_IMAGES}.")
        self._enable_result_controls()
        self._describe_device()

    def _enable_result_controls(self) -> None:
        there = self.result is not None and self.result.is_shown
        for control in (self.threshold, self.show_probability, self.show_uncertainty):
            control.enabled = there
            control.native.setToolTip(str(control.tooltip) if there else "Segment first.")

    def _model_chosen(self, name: str) -> None:
        if name == _CHOOSE_MODEL:
            name = QFileDialog.getExistingDirectory(self, "Choose a model folder")
        if name:
            self.choose_model(name)
        else:
            self.refresh_models()

    def _describe_model(self) -> None:
        info = read_model_info(self._model_name)
        score = "not validated" if info.mean_dice is None else f"Dice {info.mean_dice:.2f} per volume"
        cases = f" on {len(info.validation_dice)} validation cases" if info.validation_dice else ""
        self.model_line.setText(f"{score}{cases}, trained {info.provenance.created[:10]}")

    def _prepared(self, engine: Engine) -> None:
        self._engine = engine
        self._describe_device()

    def _describe_device(self) -> None:
        if not self._engine:
            return
        text = self._engine.device
        if self.images.value in self._sources:
            slices = self._sources[self.images.value].slices
            seconds = self._engine.seconds_per_slice * slices
            text += f", about {max(seconds, 1):.0f} s for these {slices} slices"
        self.device_line.setText(text)
        self.device_line.setToolTip(f"Why there: {self._engine.reason}.")

    def _apply_now(self) -> None:
        if self.result and self.result.is_shown and not self.is_running:
            self.result.apply(self.postprocessing())

    def _show_size_now(self) -> None:
        if not (self.result and self.result.is_shown):
            self.size_line.setText("")
            return
        volume = self.result.volume
        size = measure_tumour(np.asarray(self.result.layer.data), volume)
        amount = f"{size.voxels:,} voxels".replace(",", "\u2009")
        if size.millilitres is None:
            amount += " (voxel size unknown: set it for mL)"
        else:
            amount = f"{size.millilitres:.1f} mL, {amount}"
        where = ""
        if (z := size.largest_slice) is not None:
            where = f", largest in slice {volume.slice_numbers[z]} (z = {z})"
        self.size_line.setText(f"Tumour {amount}{where}.")

    def _show_maps(self, _: Any = None) -> None:
        if self.result and self.result.is_shown and not self.is_running:
            self.result.show_map("probability", bool(self.show_probability.value))
            self.result.show_map("uncertainty", bool(self.show_uncertainty.value))

    def _copy_command(self) -> None:
        try:
            command = self.command()
        except ValueError as error:
            self._fail(error)
            return
        clipboard = QApplication.clipboard()
        assert clipboard
        clipboard.setText(command)
        show_info(f"Copied: {command}")

    def _set_spacing(self) -> None:
        """Give the case a voxel size: all its layers move together, or they would not lie on each other."""
        try:
            old = self.volume()
            z, y, x = (float(box.value) for box in self.spacing)
            new = old.with_spacing((z, y, x))
        except ValueError as error:
            self._fail(error)
            return
        own = self._sources[self.images.value].layers if self.images.value in self._sources else ()
        for layer in self.viewer.layers:
            if known_volume(layer) is old or layer in own:
                layer.scale = geometry(new)["scale"]
                layer.units = geometry(new)["units"]
                layer.metadata.setdefault(METADATA, {})["volume"] = new
        if self.result and self.result.volume is old:
            self.result.volume = new
        self._show_size_now()
        self.viewer.reset_view()

    def _fail(self, error: Exception) -> None:
        self.status.setText(str(error))
        if self.device_line.text().startswith("Loading"):
            self.device_line.setText("")
        show_error(str(error))

    def _result_of(self, volume: Volume) -> ResultLayer | None:
        result = self.result
        if result is None or not result.is_shown:
            return None
        return result if (result.volume.name, result.volume.shape) == (volume.name, volume.shape) else None

    def _slice_in_view(self, volume: Volume) -> int:
        source = self._sources.get(self.images.value)
        layer = source.layers[0] if source else self.channels[1].value
        if len(volume.array) == 1 or layer.ndim < 3:
            return 0
        position = layer.world_to_data(self.viewer.dims.point[-layer.ndim :])[0]
        return int(np.clip(round(float(position)), 0, len(volume.array) - 1))

    def _recent_models(self) -> list[str]:
        return list(self._settings.value("models", []) or [])


def _offer(box: ComboBox, layers: list[Image]) -> None:
    before = box.value
    with box.changed.blocked():
        box.choices = [(layer.name, layer) for layer in layers]
        box.value = before if before in layers else None


def _flags(values: dict[str, Any]) -> list[str]:
    words = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words
