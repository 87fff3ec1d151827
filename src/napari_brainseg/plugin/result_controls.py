"""What can be done with the result on the screen: threshold, clean-up, maps, size, saving."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog
from superqt.utils import qthrottled

from ..core.config import PostprocessConfig
from .buttons import allow
from .form import read_form, show_settings
from .layers import SUFFIXES
from .model_picker import ModelPicker
from .result_layer import MAPS, ResultLayer, find_result, ignore_change
from .segment_form import SAVE_AS, SegmentForm

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ResultControls:
    """Connects the controls of a form with the result of the images that are chosen.

    Parameters
    ----------
    form : SegmentForm
        Whose controls.
    viewer : ViewerModel
        Where results are found.
    models : ModelPicker
        Says what the next run starts from.
    on_error : callable
        Called with what went wrong.
    """

    def __init__(
        self, form: SegmentForm, viewer: "ViewerModel", models: ModelPicker, on_error: Callable[[Exception], object]
    ) -> None:
        self.result: ResultLayer | None = None
        """The result of the images that are chosen."""
        self._form, self._viewer, self._models, self._on_error = form, viewer, models, on_error
        self._maps = dict(zip(MAPS, (form.show_probability, form.show_uncertainty), strict=True))
        self._show_size = qthrottled(self.show_size, timeout=150, parent=form)
        self._apply = qthrottled(self._apply_now, timeout=50, parent=form)
        form.threshold.changed.connect(lambda _: self._apply())
        form.clean_up.changed.connect(lambda _: self._apply())
        for box in self._maps.values():
            box.changed.connect(lambda _: self.show_maps(self.result))
        form.save_button.clicked.connect(self._save_mask)

    def settings(self) -> PostprocessConfig:
        """How the probability becomes the mask, as the form says."""
        return read_form(self._form.clean_up, PostprocessConfig(threshold=self._form.threshold.value))

    def next_settings(self) -> PostprocessConfig:
        """How the next mask is made: as the form says, unless that speaks of a result of another model."""
        return self._settings_after(self.result)

    def result_of(self, images: Image | None) -> ResultLayer | None:
        """The result in the viewer that belongs to images."""
        return find_result(self._viewer.layers, images)

    def show(self, images: Image | None) -> None:
        """Let the controls be those of the result of these images, if there is one."""
        former, self.result = self.result, self.result_of(images)
        if self.result is not former:
            if former:
                former.on_change = ignore_change
            self.show_settings(self.result.settings if self.result else self._settings_after(former))
            self._follow()
        controls: tuple[Any, ...] = (
            self._form.threshold,
            *self._maps.values(),
            self._form.save_button,
            self._form.correct_button,
        )
        for control in controls:
            allow(control.native, None if self.result else "Segment first.", str(control.tooltip))
        self._form.uncertainty_line.setVisible(bool(self.result and self.result.maps("uncertainty")))
        self.show_size()

    def show_settings(self, settings: PostprocessConfig) -> None:
        """Show how masks are made, without making one."""
        threshold = self._form.threshold
        with threshold.changed.blocked(), self._form.clean_up.changed.blocked():
            threshold.value = min(max(settings.threshold, threshold.min), threshold.max)
            show_settings(self._form.clean_up, settings)

    def show_size(self) -> None:
        """Say how much tumour the mask holds now."""
        is_shown = self.result is not None and self.result.is_shown
        self._form.size_line.setText(self.result.describe_size() if self.result and is_shown else "")

    def show_maps(self, result: ResultLayer | None) -> None:
        """Show the maps that are wanted of a result that is complete, and no others."""
        if result and result.is_shown and not result.is_filling:
            for kind, box in self._maps.items():
                result.show_map(kind, bool(box.value))

    def let_go(self) -> None:
        """Leave the result as it is from now on: its layer outlives the tab."""
        if self.result:
            self.result.on_change = ignore_change
        for throttled in (self._show_size, self._apply):
            throttled.cancel()

    def _settings_after(self, shown: ResultLayer | None) -> PostprocessConfig:
        chosen = self._models.info
        if shown and chosen and shown.provenance.weights_sha256 != chosen.provenance.weights_sha256:
            return chosen.postprocess
        return self.settings()

    def _follow(self) -> None:
        if self.result:
            self.result.on_change = self._show_size
            if not self.result.is_filling:
                for kind, box in self._maps.items():
                    with box.changed.blocked():
                        box.value = bool(self.result.maps(kind))

    def _apply_now(self) -> None:
        if self.result and self.result.is_shown and (name := self.result.apply(self.settings())):
            self._form.status.setText(kept(name))

    def _save_mask(self, _: Any = None) -> None:
        """Write the mask as it is now, with the geometry of its images; the dialog asks before it replaces a file."""
        assert self.result
        proposed = f"{self.result.volume.name}_mask"  # the dialog exchanges endings badly if there are two
        name, kind = QFileDialog.getSaveFileName(self._form, "Save mask", proposed, ";;".join(SAVE_AS))
        if not name:
            return
        path = name if name.lower().endswith(SUFFIXES) else name + SAVE_AS.get(kind, "")
        try:
            if path != name and Path(path).exists():
                raise FileExistsError(f"{path} exists already; choose that very file to replace it")
            first, *others = self.result.save(path)
        except (OSError, ValueError) as error:
            self._on_error(error)
        else:
            self._form.status.setText(f"Saved {first}" + (f" and {len(others)} more." if others else "."))


def kept(name: str) -> str:
    """What to say where edits were put aside into a layer of this name."""
    return f"Your edits are kept as '{name}', hidden."
