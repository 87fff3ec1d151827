"""Buttons that say what they do and why they cannot be pressed, rows of them, and what they copy."""

from collections.abc import Callable

from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QWidget


def make_button(text: str, clicked: Callable[[], object] | None = None, tooltip: str = "") -> QPushButton:
    """Button that calls a function without arguments, if one is given."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    if clicked:
        button.clicked.connect(lambda: clicked())
    return button


def side_by_side(*widgets: QWidget, stretch: tuple[int, ...]) -> QWidget:
    """Widgets beside each other, without a margin, that share the width as `stretch` says."""
    inside = QWidget()
    layout = QHBoxLayout(inside)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget, share in zip(widgets, stretch, strict=True):
        layout.addWidget(widget, stretch=share)
    return inside


def allow(button: QWidget, reason: str | None, tooltip: str) -> None:
    """Enable a button and say what it does, or disable it and say why."""
    button.setEnabled(not reason)
    button.setToolTip(reason or tooltip)


def copy_text(text: str) -> None:
    """Put text into the clipboard."""
    clipboard = QApplication.clipboard()
    assert clipboard
    clipboard.setText(text)
