"""Buttons that say what they do, and why they cannot be pressed."""

from collections.abc import Callable

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget


def make_button(text: str, clicked: Callable[[], object], tooltip: str = "") -> QPushButton:
    """Button that calls a function without arguments."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda: clicked())
    return button


def side_by_side(*widgets: QWidget, stretch: tuple[int, ...]) -> QHBoxLayout:
    """Row of widgets that share its width as `stretch` says."""
    row = QHBoxLayout()
    for widget, share in zip(widgets, stretch, strict=True):
        row.addWidget(widget, stretch=share)
    return row


def allow(button: QWidget, reason: str | None, tooltip: str) -> None:
    """Enable a button and say what it does, or disable it and say why."""
    button.setEnabled(not reason)
    button.setToolTip(reason or tooltip)
