"""The strip of the Metrics tab: area of both masks, uncertain voxels and Dice, slice by slice."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.theme import get_theme
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from ..core import colours
from .columns import stack
from .mask_comparison import MaskComparison
from .result_layer import ResultLayer
from .task import Task, Tasks

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from .strip_plot import StripPlot

_WAIT = 300
"""Milliseconds without news before curves are drawn: within a stroke there is some all the time."""


class ScoreStrip(QWidget):
    """Shows the scores of all slices, as soon as matplotlib is loaded.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme is used.
    """

    clicked = Signal(int)
    """Position of the slice that is wanted."""
    failed = Signal(object)
    """Why there is no plot."""

    def __init__(self, viewer: "ViewerModel") -> None:
        super().__init__()
        self.plot: StripPlot | None = None
        """None until matplotlib is loaded."""
        self._viewer = viewer
        self._comparison: MaskComparison | None = None
        self._result: ResultLayer | None = None
        self._marked: int | None = None
        self._layout = stack(self)
        self._draw_soon = qdebounced(self._draw, timeout=_WAIT, parent=self)
        self._tasks = Tasks(self)
        self._tasks.begin("plot", _load_plot, lambda _: None, returned=self._add_plot, failed=self.failed.emit)
        viewer.events.theme.connect(self._follow_theme)

    def show_scores(self, comparison: MaskComparison | None, result: ResultLayer | None) -> None:
        """Draw the scores of two masks soon, with the doubts of the model where its result is known."""
        self._comparison, self._result = comparison, result
        self._draw_soon()

    def mark(self, z: int | None) -> None:
        """Mark the slice in view."""
        self._marked = z
        if self.plot:
            self.plot.mark(z)

    def let_go(self) -> None:
        """Draw nothing any more, and follow the viewer's theme no longer."""
        self._draw_soon.cancel()
        self._tasks.close()
        self._viewer.events.theme.disconnect(self._follow_theme)

    def _add_plot(self, kind: "type[StripPlot]") -> None:
        self.plot = kind(lanes=2)
        self.plot.setToolTip(
            "Area of both masks, voxels that the model is uncertain of, and Dice, slice by slice; click to go there."
        )
        self.plot.clicked.connect(self.clicked)
        self.plot.mark(self._marked)
        self._layout.addWidget(self.plot)
        self._follow_theme()
        self._draw()

    def _draw(self) -> None:
        if self.plot is None:
            return
        from .strip_plot import Lane, Marks, Series

        comparison = self._comparison
        self.plot.setVisible(comparison is not None and len(comparison.slices) > 1)
        if comparison is None:
            self.plot.show_lanes()
            return
        slices = comparison.slices
        counted = [scores if z in comparison.counted else None for z, scores in enumerate(slices)]
        area: tuple[Series, ...] = (
            Series("prediction", [scores.predicted if scores else None for scores in counted], colours.PREDICTION),
            Series("reference", [scores.reference for scores in slices], colours.MANUAL),
        )
        if self._result:
            area = (*area, Series("uncertain", _uncertain_voxels(self._result)))
        marks = Marks("masks disagree", comparison.notable, colours.TOO_MUCH)
        dice = Series("Dice", [scores.dice if scores else None for scores in counted], marks=marks)
        self.plot.show_lanes(Lane("Area (voxels)", area), Lane("Dice", (dice,), (0, 1)))

    def _follow_theme(self, _: Any = None) -> None:
        theme = get_theme(self._viewer.theme)
        if self.plot:
            self.plot.set_theme(theme.background.as_hex(), theme.text.as_hex())


def _uncertain_voxels(result: ResultLayer) -> list[float | None]:
    """Voxels of each slice that are wrong if the probability is right; None where a slice was not segmented."""
    voxels = np.minimum(result.probability, 1 - result.probability).sum(axis=(1, 2))
    return [float(count) if z in result.done else None for z, count in enumerate(voxels)]


def _load_plot(_: Task) -> "type[StripPlot]":
    """Load matplotlib, which takes a third of a second and the first time, when it looks for fonts, far longer."""
    from .strip_plot import StripPlot

    return StripPlot
