"""The figures of a data set in the colours of the window, drawn off the GUI thread and shown below each other."""

from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QWidget
from superqt.utils import qdebounced

from ..core.exploration import Exploration
from .columns import stack
from .task import Task, Tasks

Drawn = dict[str, npt.NDArray[np.uint8]]


class ExploreFigures(QWidget):
    """One picture for each figure that the data set has enough for, as wide as the column."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[QLabel] = []
        """Titles and pictures in turn, as they are shown."""
        self._exploration: Exploration | None = None
        self._theme = "white", "black"
        self._layout = stack(self)
        self._tasks = Tasks(self)
        self._draw_later = qdebounced(self._draw, timeout=80, parent=self)
        self._width = 0

    @property
    def is_busy(self) -> bool:
        """Whether figures are being drawn."""
        return bool(self._tasks)

    def set_theme(self, background: str, text: str) -> None:
        """Take over the colours of the window."""
        self._theme = background, text
        self._draw_later()

    def show_exploration(self, exploration: Exploration | None) -> None:
        """Show the figures of a data set, or none."""
        self._exploration = exploration
        self._show({})
        self._draw()

    def let_go(self) -> None:
        """Draw no more."""
        self._draw_later.cancel()
        self._tasks.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fill the width."""
        super().resizeEvent(event)
        if self.width() != self._width:
            self._draw_later()

    def _draw(self) -> None:
        self._width = self.width()
        if self._exploration is not None and self._exploration.cases:
            work = partial(_render, self._exploration, self._theme, max(self._width, 260), self.devicePixelRatioF())
            self._tasks.begin("draw", work, lambda _: None, returned=self._show)
        else:
            self._tasks.drop("draw")

    def _show(self, drawn: Drawn) -> None:
        for label in self.pictures:
            self._layout.removeWidget(label)
            label.deleteLater()
        self.pictures = []
        for title, pixels in drawn.items():
            height, width = pixels.shape[:2]
            image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
            image.setDevicePixelRatio(self.devicePixelRatioF())
            heading, picture = QLabel(title), QLabel()
            heading.setWordWrap(True)
            picture.setPixmap(QPixmap.fromImage(image))
            picture.setMinimumWidth(1)  # lest an old picture keeps the column from becoming narrower
            picture.setToolTip(title)
            self.pictures += [heading, picture]
        for label in self.pictures:
            self._layout.addWidget(label)


def _render(exploration: Exploration, theme: tuple[str, str], width: int, ratio: float, task: Task) -> Drawn:
    from ..core.exploration_figures import Theme, figure_names, figure_pixels  # loads matplotlib

    names = figure_names(exploration)
    return {title: figure_pixels(name, exploration, Theme(*theme), width, ratio) for name, title in names.items()}
