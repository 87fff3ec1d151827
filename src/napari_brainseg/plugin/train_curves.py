"""The curves of a run, drawn off the GUI thread and shown here."""

from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from ..core.runs import EpochRow
from .task import Task, Tasks

_HEIGHT = 290


class TrainCurves(QWidget):
    """Loss, validation scores and learning rate above each other, along the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(_HEIGHT)
        self.setMinimumWidth(200)
        self.setToolTip("Loss, validation Dice and IoU per volume, and learning rate, after each epoch.")
        self.image: QImage | None = None
        """The picture that is shown."""
        self._rows: tuple[EpochRow, ...] = ()
        self._epochs = 1
        self._background, self._text = "white", "black"
        self._tasks = Tasks(self)
        self._draw_later = qdebounced(self._draw, timeout=50, parent=self)
        self.hide()

    def set_theme(self, background: str, text: str) -> None:
        """Take over the colours of the window."""
        self._background, self._text = background, text
        self._draw_later()

    def show_rows(self, rows: tuple[EpochRow, ...], epochs: int) -> None:
        """Show the epochs that ended, of so many in all."""
        self.setVisible(bool(rows))
        if (rows, epochs) != (self._rows, self._epochs):
            self._rows, self._epochs = rows, epochs
            self._draw_later()

    def let_go(self) -> None:
        """Draw no more."""
        self._draw_later.cancel()
        self._tasks.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fill the width."""
        super().resizeEvent(event)
        self._draw_later()

    def paintEvent(self, _: QPaintEvent) -> None:
        """Show the picture as it was drawn last."""
        if self.image:
            painter = QPainter(self)
            painter.drawImage(0, 0, self.image)
            painter.end()

    def _draw(self) -> None:
        if not self._rows or self.isHidden():
            return
        size, ratio = (max(self.width(), 120), _HEIGHT), self.devicePixelRatioF()
        work = partial(_render, self._rows, self._epochs, (self._background, self._text), size, ratio)
        self._tasks.begin("draw", work, lambda _: None, returned=self._show)

    def _show(self, pixels: npt.NDArray[np.uint8]) -> None:
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
        image.setDevicePixelRatio(self.devicePixelRatioF())
        self.image = image
        self.update()


def _render(
    rows: tuple[EpochRow, ...], epochs: int, theme: tuple[str, str], size: tuple[int, int], ratio: float, _: Task
) -> npt.NDArray[np.uint8]:
    from .train_figure import CurvesWanted, render_curves  # loads matplotlib, which takes long the first time

    return render_curves(CurvesWanted(rows, epochs, *theme, *size, ratio))
