"""What becomes of a correction when its prediction is another one: nothing that a person has done is replaced."""

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QMessageBox, QWidget

from .correction_layer import CorrectionLayer
from .result_layer import ResultLayer, find_result

if TYPE_CHECKING:
    from napari.components import ViewerModel

_IN_STROKE = 200
"""Milliseconds until a stroke may have ended."""

_AT_REST = 300
"""Milliseconds until a threshold that is being moved is taken to be the new one."""


class RefillBox(QCheckBox):
    """Fills the slices that nobody has touched from each new prediction; not checked, it asks about edited ones.

    Parameters
    ----------
    viewer : ViewerModel
        Where predictions come from.
    """

    filled = Signal(object, object)
    """How many slices hold the new prediction now, and those of them that had been edited."""
    replaced = Signal()
    """Another prediction belongs to the images, or it has just become complete."""

    def __init__(self, viewer: "ViewerModel") -> None:
        super().__init__("Fill only unreviewed slices")
        self.setChecked(True)
        self.setToolTip(
            "Segmenting again changes only slices that nobody has edited, accepted or flagged; if this is off, you are "
            "asked about edited ones."
        )
        self.correction: CorrectionLayer | None = None
        """What is filled."""
        self.result: ResultLayer | None = None
        """The prediction of the images."""
        self._viewer = viewer
        self._is_new = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._fill)

    def follow(self, images: Image | None) -> None:
        """Wait for predictions of these images from now on."""
        result = find_result(self._viewer.layers, images)
        if result is self.result:
            return
        self.let_go()
        self.result = result
        if result:
            result.ended.connect(self._segmented)
            result.remade.connect(self._remade)
            if self._was_missed(result):
                self._segmented()
                return
        self.replaced.emit()

    def let_go(self) -> None:
        """Wait no longer."""
        self._soon.stop()
        self._is_new = False
        if self.result:
            self.result.ended.disconnect(self._segmented, missing_ok=True)
            self.result.remade.disconnect(self._remade, missing_ok=True)
        self.result = None

    def _was_missed(self, result: ResultLayer) -> bool:
        """Whether a prediction came while no tab was there to fill from it."""
        models = self.correction.models if self.correction else []
        return bool(models) and not result.is_filling and result.provenance.weights_sha256 not in models

    def _segmented(self) -> None:
        self._is_new = True
        self.replaced.emit()
        self._soon.start(0)  # once the Segment tab is done with it

    def _remade(self) -> None:
        self._soon.start(_AT_REST)

    def _fill(self) -> None:
        result, correction = self.result, self.correction
        if not (result and result.is_shown and correction):
            return
        replace = self._is_new and not self.isChecked() and _may_replace(self, correction)
        try:
            filled, edited = correction.fill(result, replace_edited=replace)
        except ValueError:  # a stroke is being drawn
            self._soon.start(_IN_STROKE)
            return
        if self._is_new:
            self._is_new = result.layer.visible = False
            correction.take_brush()
        self.filled.emit(len(filled), edited)


def _may_replace(parent: QWidget, correction: CorrectionLayer) -> bool:
    edited = sum(correction.state(z) == "edited" for z in range(len(correction.predicted)))
    if not edited:
        return False
    answer = QMessageBox.question(
        parent,
        "Edited slices",
        f"Replace {edited} edited slices by the new prediction, too? Accepted and flagged ones stay.",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        QMessageBox.StandardButton.No,
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
