"""What the columns of the tabs are made of: lines of text, parts that fold away, and room to scroll."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible


class Column(QScrollArea):
    """A column that is scrolled up and down, never sideways."""

    def set_parts(self, *parts: QWidget) -> None:
        """Put these below each other."""
        inside = QWidget()
        stack(inside, *parts).addStretch()
        inside.layout().setContentsMargins(6, 6, 6, 6)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
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


def text_line(tooltip: str) -> QLabel:
    """Text that may take several lines; long names are broken rather than widening the column."""
    line = QLabel()
    line.setWordWrap(True)
    line.setToolTip(tooltip)
    return line


def folded(title: str, content: QWidget) -> QCollapsible:
    """A part that is folded away until its title is clicked."""
    part = QCollapsible(collapsedIcon=QIcon(), expandedIcon=QIcon())  # its own are black, also where all is dark
    part.toggled.connect(lambda is_open: part.setText(f"{'▾' if is_open else '▸'}  {title}"))
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
