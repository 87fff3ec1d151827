"""What the columns of the tabs are made of: lines of text, parts that fold away, and room to scroll."""

import re

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QScrollBar,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

_LONG = re.compile(r"[/\\_]|[^\s/\\_]{20}")
"""After which a line may be broken: parts of paths and names, and what is too long for any line."""

_ANY_HEIGHT = 2**24 - 1
"""Qt's word for no limit."""


_TURNED = QComboBox, QAbstractSpinBox, QAbstractSlider
"""Controls that the wheel turns."""


class _WheelGuard(QObject):
    """Lets the wheel scroll the column, and turn only the control that was chosen before, also where some come later.

    Parameters
    ----------
    inside : QWidget
        What is scrolled.
    """

    def __init__(self, inside: QWidget) -> None:
        super().__init__(inside)
        self._inside = inside
        inside.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Pass the wheel on, and look for controls whenever something has been laid out."""
        if watched is self._inside:
            if event.type() == QEvent.Type.LayoutRequest:
                self._guard()
        elif event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()  # so that Qt hands it to what is around the control
            return True
        return False

    def _guard(self) -> None:
        for control in (control for kind in _TURNED for control in self._inside.findChildren(kind)):
            if not isinstance(control, QScrollBar):
                control.installEventFilter(self)
            if control.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)


class Column(QScrollArea):
    """A column that is scrolled up and down; sideways only where a large font leaves it no room."""

    def set_parts(self, *parts: QWidget) -> None:
        """Put these below each other."""
        inside = QWidget()
        stack(inside, *parts).addStretch()
        inside.layout().setContentsMargins(6, 6, 6, 6)
        self.setWidget(inside)
        _WheelGuard(inside)
        self.setWidgetResizable(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # pictures must not change its width
        self.setMinimumWidth(300)


def stack(inside: QWidget, *parts: QWidget) -> QVBoxLayout:
    """Put widgets below each other in another, without a margin."""
    layout = QVBoxLayout(inside)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        layout.addWidget(part)
    return layout


class TextLine(QLabel):
    """Text that may take several lines; long names are broken rather than widening the column."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ""
        self.setWordWrap(True)

    def setText(self, words: str) -> None:
        """Show words."""
        self._words = words
        is_rich = "<" in words
        super().setText(words if is_rich else _LONG.sub("\\g<0>\u200b", words))

    def text(self) -> str:
        """Return the words without the places to break them."""
        return self._words

    def clear(self) -> None:
        """Show nothing."""
        self.setText("")


def text_line(tooltip: str) -> TextLine:
    """Text with a tooltip."""
    line = TextLine()
    line.setToolTip(tooltip)
    return line


def folded(title: str, content: QWidget) -> QCollapsible:
    """A part that is folded away until its title is clicked."""
    part = QCollapsible(collapsedIcon=QIcon(), expandedIcon=QIcon())  # its own are black, also where all is dark
    part.setDuration(0)  # an animation ends at the height that the content had at first

    def show(is_open: bool) -> None:
        part.setText(f"{'▾' if is_open else '▸'}  {title}")
        if is_open:
            content.setMaximumHeight(_ANY_HEIGHT)

    part.toggled.connect(show)
    part.setContent(content)
    part.collapse(animate=False)
    layout = part.layout()
    assert layout
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    return part


def make_primary(button: QPushButton) -> None:
    """Make a button the one that a person looks for."""
    button.setMinimumHeight(38)
    font = button.font()
    font.setBold(True)
    button.setFont(font)
