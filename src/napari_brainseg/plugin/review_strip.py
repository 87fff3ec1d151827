"""All slices of a case in a row, by what was done with them; a click goes to one."""

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ..core import colours
from ..core.ledgers import ReviewState

WORDS: dict[ReviewState, str] = {
    "auto": "not reviewed",
    "edited": "edited",
    "accepted": "accepted",
    "flagged": "flagged",
}
"""What the states are called."""

_COLOURS: dict[ReviewState, str] = {
    "auto": "#8a8a8a",
    "edited": colours.PREDICTION,
    "accepted": colours.AGREE,
    "flagged": colours.TOO_MUCH,
}
_HEIGHTS: dict[ReviewState, float] = {"auto": 0.25, "edited": 0.6, "accepted": 1.0, "flagged": 1.0}
"""Share of the height, which tells the states apart where colours do not; a flagged bar has a gap besides."""

_HEIGHT, _MARK = 34, 5
_LEGEND = "Low and grey: not reviewed; half as high, orange: edited; full, green: accepted; broken, red: flagged."


class ReviewStrip(QWidget):
    """A bar for each slice; the one in view has a triangle below it."""

    clicked = Signal(int)
    """Position of the slice that was clicked or dragged to."""

    def __init__(self) -> None:
        super().__init__()
        self.states: tuple[ReviewState, ...] = ()
        self.numbers: tuple[int, ...] = ()
        self.current = 0
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(f"All slices; click one to go there. {_LEGEND}")

    def show_states(self, states: Sequence[ReviewState], numbers: Sequence[int]) -> None:
        """Show these states in place of the former, of slices with these numbers."""
        self.states, self.numbers = tuple(states), tuple(numbers)
        self.update()

    def mark(self, z: int) -> None:
        """Mark the slice in view."""
        if z != self.current:
            self.current = z
            self.update()

    def sizeHint(self) -> QSize:
        """Any width will do."""
        return QSize(280, _HEIGHT)

    def slice_at(self, x: float) -> int:
        """Position along Z of the slice under a place along the width."""
        return min(max(int(x / self.width() * len(self.states)), 0), len(self.states) - 1)

    def paintEvent(self, _: QPaintEvent) -> None:
        """Draw the bars."""
        painter = QPainter(self)
        room, width = self.height() - _MARK - 2, self.width() / max(len(self.states), 1)
        for z, state in enumerate(self.states):
            height = room * _HEIGHTS[state]
            bar = QRectF(z * width, room - height, max(width - (1 if width > 2 else 0), 1), height)
            painter.fillRect(bar, QColor(_COLOURS[state]))
            if state == "flagged":
                gap = QRectF(bar.left(), room * 0.55, bar.width(), room * 0.18)
                painter.fillRect(gap, self.palette().window())
        if self.states:
            middle = (self.current + 0.5) * width
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.palette().windowText())
            painter.translate(middle, room + 1)
            painter.drawPolygon(_triangle())
        painter.end()

    def event(self, event: QEvent) -> bool:
        """Say in the tooltip which slice is under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self.states:
            z = self.slice_at(event.pos().x())
            words = f"Slice {self.numbers[z]}: {WORDS[self.states[z]]}. {self.toolTip()}"
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return bool(super().event(event))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the slice under the mouse."""
        if event.buttons() & Qt.MouseButton.LeftButton and self.states:
            self.clicked.emit(self.slice_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse while it is held."""
        self.mousePressEvent(event)


def _triangle() -> QPolygonF:
    return QPolygonF([QPointF(0, 0), QPointF(-_MARK, _MARK), QPointF(_MARK, _MARK)])
