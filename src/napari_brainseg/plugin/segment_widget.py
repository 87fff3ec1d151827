"""The Segment tab: choose images and a model, segment, see the tumour grow, tune the threshold."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication
from superqt.utils import qdebounced

from ..core.config import SegmentConfig
from ..core.model_folders import DEFAULT_MODEL
from ..core.progress import Progress
from ..core.rounds import model_in_use
from ..core.volumes import Volume
from ..core.words import plain
from .buttons import allow, copy_text
from .commands import segment_command
from .correction_layer import correction_of
from .engine import Engine, prepare_engine, segment_in_task
from .explain import Wanted
from .form import read_form
from .image_picker import NO_IMAGES, ImagePicker
from .layer_metadata import volume_of
from .layers import given_sizes
from .model_picker import ModelPicker
from .result_controls import ResultControls, kept
from .result_layer import ResultLayer
from .segment_form import RUN, STOP, STOPPING, SegmentForm
from .slice_view import go_to_slice, why_not_in_view
from .sources import known_spacing, set_spacing
from .tabs import is_closing, show_tab, without_proxy
from .task import Task, Tasks
from .viewer_keys import ViewerKeys
from .workspace_choice import data_folder_of, workspace_for

if TYPE_CHECKING:
    from ..core.results import SegmentationProvenance
    from ..core.segmentation import Segmentation, SlicePrediction

_LOADING = "Loading the model..."
_KEY = "Shift-S"
_Begin = Callable[["SegmentationProvenance"], ResultLayer]


class SegmentWidget(SegmentForm):
    """Segment the volume or the slice in view with a trained model.

    Parameters
    ----------
    viewer : Viewer
        Where the images are and the mask goes.
    """

    def __init__(self, viewer: Viewer) -> None:
        viewer = without_proxy(viewer)
        super().__init__()
        self.viewer = viewer
        self._filling: ResultLayer | None = None
        self._chosen: set[Image] = set()
        """The images that the tab speaks of."""
        self._segmenting: Image | None = None
        """The images of the run under way."""
        self._why_unprepared = ""
        """Why the model could not be loaded last."""
        self._kept = ""
        """What to say of a mask that was put aside in this run."""
        self._tasks = Tasks(self)
        self._double_click = QTimer(self)
        self._double_click.setSingleShot(True)
        self._double_click.setInterval(QApplication.doubleClickInterval())
        self._engine: Engine | None = None
        self._started = 0.0
        self._prepare = qdebounced(self._prepare_unless_running, timeout=400, parent=self)
        self.models = ModelPicker(self.model, self.model_line, self._model_chosen, self._fail)
        self.results = ResultControls(self, viewer, self.models, self._fail)
        self.picker = ImagePicker(viewer, self.images, self.channels, self._images_chosen)
        self.explain.serve(viewer, self._to_explain)
        self._connect()
        self.picker.follow()
        if self.models.info is None:
            self.models.choose(DEFAULT_MODEL)

    @property
    def result(self) -> ResultLayer | None:
        """The result of the images that are chosen."""
        return self.results.result

    @property
    def is_ready(self) -> bool:
        """Whether a model is loaded."""
        return self._engine is not None

    @property
    def is_running(self) -> bool:
        """Whether slices are being segmented now."""
        return "segment" in self._tasks

    def prepare(self) -> None:
        """Load the model in the background, so that the first click is quick and the device is known."""
        settings, name, known = self.config(), self.models.name, self._engine
        self.device_line.setText(_LOADING)
        self._tasks.begin(
            "prepare",
            lambda _: prepare_engine(name, settings, known),
            lambda _: None,
            returned=self._prepared,
            failed=self._not_prepared,
        )

    def config(self) -> SegmentConfig:
        """How the network is run, as the form says."""
        return read_form(self.advanced, SegmentConfig())

    # segmenting

    def run(self, *, this_slice: bool = False) -> None:
        """Segment, or stop if that is under way."""
        if self.is_running:
            self.stop()
            return
        try:
            volume, images = self.picker.volume(), self.picker.image
            self.models.read_info()
        except (OSError, ValueError) as error:
            self._fail(error)
            return
        assert images
        self._segmenting, self._kept = images, ""
        first = self.picker.slice_in_view()
        begin = partial(self._begin_result, images, volume, this_slice)
        self._work(volume, first, (first,) if this_slice else (), begin)

    def _press(self) -> None:
        """Segment or stop; the second half of a double click stops nothing, nor does a key that is held down."""
        is_same_press = self._double_click.isActive()
        self._double_click.start()
        if not (self.is_running and is_same_press):
            self.run()

    def stop(self) -> None:
        """Ask the segmentation to end; the slices that are done stay."""
        if self.is_running:
            self._tasks["segment"].stop()
            self._enable_buttons()

    def command(self) -> str:
        """Return the command line that does the same.

        Raises
        ------
        OSError, ValueError
            If the images were not opened from a case on disk, or the model is not there any more.
        """
        own = self.models.read_info().postprocess
        return segment_command(self.picker.volume(), self.models.name, own, self.config(), self.results.next_settings())

    def event(self, event: QEvent) -> bool:
        """Stop all work when the tab is closed."""
        if is_closing(self, event):
            self._shut_down()
        return bool(super().event(event))

    def _work(self, volume: Volume, first: int, only: tuple[int, ...], begin: _Begin) -> None:
        name, settings, known = self.models.name, self.config(), self._engine
        postprocessing = self.results.next_settings()

        def work(task: Task) -> "tuple[Engine, Segmentation]":
            engine = prepare_engine(name, settings, known)
            self._started = time.monotonic()  # loading says nothing of how long the slices take
            return engine, segment_in_task(task, engine, volume, postprocessing, first, only)

        self.progress.visible = True
        self.progress.max, self.progress.value = 0, 0
        self.status.setText("Starting...")
        self._tasks.begin(
            "segment",
            work,
            self._ended,
            sent=partial(self._slices_found, begin),
            progressed=self._show_progress,
            returned=self._segmented,
            failed=self._fail,
        )
        self._enable_buttons()

    def _to_explain(self) -> Wanted:
        volume, images = self.picker.volume(), self.picker.image
        assert images
        z, settings = self.picker.slice_in_view(), self.results.next_settings()
        return Wanted(images, volume, z, self.models.name, self.config(), settings.threshold)

    def _begin_result(
        self, images: Image, volume: Volume, this_slice: bool, provenance: "SegmentationProvenance"
    ) -> ResultLayer:
        """Where the slices go. Only now that there are some: until then the former result stays as it is."""
        former, settings = self.results.result_of(images), self.results.next_settings()
        if former and this_slice and former.fits(volume, provenance):
            former.settings = settings
            self._kept = f" {kept(name)}" if (name := former.spare_edits()) else ""
            former.begin()
            return former
        if former and (name := former.retire(keep=this_slice)):
            self._kept = f" The former mask is kept as '{name}', hidden."
        return ResultLayer(self.viewer, images, volume_of(images) or volume, settings, provenance)

    def _slices_found(self, begin: _Begin, found: "tuple[SlicePrediction, SegmentationProvenance]") -> None:
        if self._segmenting not in self.viewer.layers:
            return
        slices, provenance = found
        if self._filling is None:
            self._filling = begin(provenance)
        self._filling.add_slices(slices, provenance)

    def _prepare_unless_running(self) -> None:
        """A network that computes must not be moved to another device; after the run is early enough."""
        if not self.is_running:
            self.prepare()

    def _show_progress(self, progress: Progress) -> None:
        left = (time.monotonic() - self._started) / progress.done * (progress.total - progress.done)
        self.progress.max, self.progress.value = progress.total, progress.done
        self.status.setText(f"{progress.done} of {progress.total} slices, {left:.0f} s left")

    def _segmented(self, outcome: "tuple[Engine, Segmentation]") -> None:
        self._engine, segmentation = outcome
        provenance = segmentation.provenance
        if not self._filling:
            self.status.setText("The images were closed before the first slice was done.")
            return
        self._filling.end(provenance)
        notes = "".join(f" {note}." for note in provenance.notes)
        self._tell(f"Done in {provenance.seconds:.1f} s with model {provenance.model}.{notes}{self._kept}")

    def _ended(self, task: Task) -> None:
        filled = self._filling
        self.progress.visible = False
        if filled:
            if filled.is_filling:
                filled.end()
            self.results.show_maps(filled)
        if task.was_stopped:
            done = "no slice was done yet"
            if filled:
                stay = "the slices that were done stay, the others are empty"
                done = stay if filled.is_shown else "the mask was taken out of the viewer"
            self._tell(f"Stopped: {done}.{self._kept}")
        self._filling = None
        self._images_chosen()
        if self._engine and (self._engine.folder, self._engine.settings) != (self.models.name, self.config()):
            self.prepare()

    def _tell(self, words: str) -> None:
        """Say how a run ended, and of which images unless they are those that are chosen."""
        filled = self._filling
        elsewhere = f"{filled.volume.name}: " if filled and filled.images not in self.picker.layers else ""
        self.status.setText(elsewhere + words)

    # what the controls do

    def _connect(self) -> None:
        self.run_button.clicked.connect(lambda: self._press())
        self.slice_button.clicked.connect(lambda: self.run(this_slice=True))
        self.advanced.changed.connect(lambda _: self._prepare())
        self.copy_button.clicked.connect(self._copy_command)
        self.correct_button.clicked.connect(self._correct)
        self.spacing_button.clicked.connect(self._set_spacing)
        self._keys = ViewerKeys(self.viewer, {_KEY: self._press})
        self._signals = (self.viewer.dims.events.ndisplay, self.viewer.dims.events.order)
        for signal in self._signals:
            signal.connect(self._enable_buttons)

    def _shut_down(self) -> None:
        """Let go of the viewer, which outlives the tab."""
        if self.is_running:
            self._tasks["segment"].stop(wait=2)
        self._tasks.close()
        if self._filling:
            self._filling.end()
        self.explain.let_go()
        self.picker.let_go()
        self.results.let_go()
        self._prepare.cancel()
        self._keys.let_go()
        for signal in self._signals:
            signal.disconnect(self._enable_buttons)

    def _images_chosen(self) -> None:
        closed = self.is_running and self._segmenting not in self.viewer.layers
        if closed or (self._filling and not self._filling.is_shown):
            self.stop()
        chosen = set(self.picker.layers)
        is_other = chosen != self._chosen and chosen.isdisjoint(self._chosen)
        self._chosen = chosen
        if is_other:
            self._others_chosen()
        self.results.show(self.picker.image)
        if is_other:
            self._use_model_of_case()
        self.show_channels(self.picker.is_separate)
        self.images_line.setText(self.picker.left_out)
        self.images_line.setVisible(bool(self.picker.left_out))
        self._enable_buttons()
        self._describe_device()

    def _use_model_of_case(self) -> None:
        """Turn to the model in use where the case comes from, unless a person has chosen another one."""
        image = self.picker.image
        folder = data_folder_of(volume_of(image)) if image else None
        if folder is None or self.models.is_by_hand:
            return
        try:
            used = model_in_use(workspace_for(folder))
        except ValueError as error:
            self._fail(error)
            return
        if used != self.models.name:
            self.models.choose(used)

    def _others_chosen(self) -> None:
        if not self.is_running:
            self.status.clear()
        self.show_spacing(known_spacing(self.picker.image) if self.picker.image else None)

    def _enable_buttons(self, _: object = None) -> None:
        stopping = self.is_running and self._tasks["segment"].stopping
        self.run_button.text = STOPPING if stopping else STOP if self.is_running else RUN
        why_no_run = (self.picker.left_out or f"{NO_IMAGES}.") if self.picker.is_empty else ""
        why_no_slice = why_no_run or why_not_in_view(self.viewer, self.picker.image)
        if self.is_running:
            why_no_run = "The slices at hand are finished first." if stopping else ""
            why_no_slice = "Wait for the slices, or stop them."
        allow(self.run_button.native, why_no_run, str(self.run_button.tooltip))
        allow(self.slice_button.native, why_no_slice, str(self.slice_button.tooltip))
        self.explain.forbid(why_no_slice)

    def _model_chosen(self) -> None:
        """Show what the model brings; where a result is on the screen, threshold and clean-up stay its own."""
        if self.models.info and not self.result:
            self.results.show_settings(self.models.info.postprocess)
        self._prepare_unless_running()

    def _prepared(self, engine: Engine) -> None:
        self._engine = engine
        if self.status.text() == self._why_unprepared:  # which is so no more
            self.status.clear()
        self.device_line.setText("")
        self._describe_device()

    def _not_prepared(self, error: Exception) -> None:
        self._engine, self._why_unprepared = None, plain(error)
        self.device_line.setText("")
        self._fail(error)

    def _describe_device(self) -> None:
        if not self._engine or self.device_line.text() == _LOADING:
            return
        text = self._engine.device
        if self.picker.source:
            slices = self.picker.source.slices
            seconds = self._engine.seconds_per_slice * slices
            these = f"these {slices} slices" if slices > 1 else "this slice"
            text += f", about {max(seconds, 1):.0f} s for {these}"
        self.device_line.setText(text)
        self.device_line.setToolTip(f"Why there: {self._engine.reason}.")

    def _copy_command(self) -> None:
        try:
            command = self.command()
        except (OSError, ValueError) as error:
            self._fail(error)
            return
        copy_text(command)
        show_info(f"Copied: {command}")

    def _correct(self) -> None:
        if self.result:
            show_tab(self.viewer, "Review").choose(self.result.images)

    def _set_spacing(self) -> None:
        """Give the case a voxel size: all its layers move together, or they would not lie on each other."""
        try:
            volume, images = self.picker.volume(), self.picker.image
            z, y, x = (float(box.value) for box in self.spacing)
            new = volume.with_spacing((z, y, x))
        except ValueError as error:
            self._fail(error)
            return
        assert images
        in_view = self.picker.slice_in_view()
        shown = (volume, self.result.volume if self.result else volume)
        for layer in self.viewer.layers:
            correction = correction_of(layer)
            images_of_it = correction.images if correction else layer
            if images_of_it in self.picker.layers or any(volume_of(layer) is one for one in shown):
                set_spacing(layer, new)
        if new.source:
            given_sizes[new.source] = (z, y, x)
        if self.result:
            self.result.volume = new
        self.viewer.reset_view()
        go_to_slice(self.viewer, images, in_view)
        self.results.show_size()
        self.status.setText(f"Voxel size {z:g} × {y:g} × {x:g} mm (z, y, x) for all layers of {new.name}.")

    def _fail(self, error: Exception) -> None:
        self.status.setText(plain(error))
        show_error(plain(error))
