"""A few slices, always the same, with the manual outline and what the network says of them after each epoch."""

import zipfile

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QSlider, QWidget
from scipy import ndimage

from ..core import colours
from ..core.runs import Previews
from ..core.volumes import Array
from .columns import stack, text_line
from .sentences import as_sentence

_COLUMNS = 2
_GAP = 4
_PADDING = 12
"""That napari gives to text."""


class TrainPreviews(QWidget):
    """Slices two by two, and a slider along the epochs; at its end it follows the newest."""

    def __init__(self) -> None:
        super().__init__()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("Drag to see what the network said after an earlier epoch.")
        self.slider.valueChanged.connect(self._draw)
        self.title = text_line("FLAIR with the manual outline and that of the network.")
        self._previews: Previews | None = None
        self._pictures: list[QLabel] = []
        self._names: list[QLabel] = []
        grid = QWidget()
        self._grid = QGridLayout(grid)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(_GAP)
        self._grid.setColumnStretch(0, 1)
        stack(self, self.title, grid, self.slider)
        self.hide()

    @property
    def epoch(self) -> int | None:
        """The epoch that is shown, None while there is none."""
        epochs = self._previews.epochs if self._previews else ()
        return epochs[self.slider.value()] if epochs else None

    def show_previews(self, previews: Previews | None) -> None:
        """Show the previews of a run as they are now, or none."""
        if previews is self._previews:
            return
        before, self._previews = self._previews, previews
        is_same_run = bool(before and previews and before.folder == previews.folder)
        was_at_end = not is_same_run or self.slider.value() == self.slider.maximum()
        last = max(len(previews.epochs) - 1, 0) if previews else 0
        self.slider.blockSignals(True)
        self.slider.setRange(0, last)
        if was_at_end:
            self.slider.setValue(last)
        self.slider.blockSignals(False)
        self.slider.setEnabled(last > 0)
        self._make_places(len(previews.names) if previews else 0)
        self.setVisible(previews is not None)
        self._draw()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fill the width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._draw()

    def _make_places(self, count: int) -> None:
        while len(self._pictures) < count:
            number = len(self._pictures)
            picture, name = QLabel(), QLabel()
            for label in (picture, name):  # which take the room there is, and ask for none
                label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            row, column = divmod(number, _COLUMNS)
            self._grid.addWidget(picture, 2 * row, column)
            self._grid.addWidget(name, 2 * row + 1, column)
            self._pictures.append(picture)
            self._names.append(name)
        self._grid.setColumnStretch(1, int(count > 1))
        for number, (picture, name) in enumerate(zip(self._pictures, self._names, strict=True)):
            picture.setVisible(number < count)  # a single one gets all the width
            name.setVisible(number < count)

    def _draw(self, _: int = 0) -> None:
        previews = self._previews
        if previews is None:
            return
        epoch, probability, problem = self.epoch, None, ""
        if epoch is not None:
            try:
                probability = previews.probability(epoch)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                problem = f"<br>\u26a0 The picture of this epoch cannot be read: {as_sentence(error)}"
        self.title.setText(_title(epoch) + problem)
        columns = min(len(previews.names), _COLUMNS)
        edge = max((self.width() - _GAP * (columns - 1)) // columns, 40)
        for number, name in enumerate(previews.names):
            calls = None if probability is None else probability[number]
            pixels = draw_preview(previews.images[number], previews.manual[number], calls, edge)
            height, width = pixels.shape[:2]
            image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            self._pictures[number].setPixmap(QPixmap.fromImage(image))
            self._pictures[number].setToolTip(name)
            self._names[number].setToolTip(name)
            self._names[number].setText(_short(self._names[number], name, edge - _PADDING))


def draw_preview(image: Array, manual: Array, probability: Array | None, edge: int) -> npt.NDArray[np.uint8]:
    """A slice as RGB, `edge` pixels wide, with both outlines drawn at that size."""
    factor = edge / image.shape[1]
    picture = np.clip(_scaled(image.astype(np.float32), factor), 0, 255).astype(np.uint8)
    pixels = np.repeat(picture[..., None], 3, axis=-1)
    for values, most, colour in ((manual, 1, colours.MANUAL), (probability, 255, colours.PREDICTION)):
        if values is None:
            continue
        mask = _scaled(values.astype(np.float32), factor) >= most / 2
        pixels[mask & ~ndimage.binary_erosion(mask)] = (transform_color(colour)[0, :3] * 255).astype(np.uint8)
    return pixels


def _scaled(plane: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    scaled: npt.NDArray[np.float32] = ndimage.zoom(plane, factor, order=1)
    return scaled


def _title(epoch: int | None) -> str:
    when = "" if epoch is None else " before training" if epoch == 0 else f" after epoch {epoch}"
    legend = f'<span style="color:{colours.MANUAL}">■</span> manual'
    if epoch is not None:
        legend += f' <span style="color:{colours.PREDICTION}">■</span> network{when}'
    return legend


def _short(label: QLabel, name: str, width: int) -> str:
    return str(label.fontMetrics().elidedText(name, Qt.TextElideMode.ElideLeft, width))
