"""How long to train: so many epochs, or as many as end within so many minutes."""

from typing import Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSpinBox, QWidget

from .buttons import side_by_side
from .columns import stack

EPOCHS, MINUTES = "epochs", "minutes"
_MINUTES = 60
_LONGEST = 60 * 24 * 28


class TrainLength(QWidget):
    """A number, and what it counts; each of the two keeps its own.

    Parameters
    ----------
    epochs : widget
        The control of the setting.
    """

    changed = Signal()

    def __init__(self, epochs: Any) -> None:
        super().__init__()
        self.epochs = epochs
        self.minutes_box = QSpinBox()
        self.minutes_box.setRange(1, _LONGEST)
        self.minutes_box.setValue(_MINUTES)
        self.minutes_box.setToolTip("About how long it may take: as many epochs are trained as end within.")
        self.unit = ComboBox(choices=(EPOCHS, MINUTES), tooltip="Count epochs, or say how long it may take.")
        stack(self, side_by_side(epochs.native, self.minutes_box, self.unit.native, stretch=(1, 1, 0)))
        self._show_unit()
        self.unit.changed.connect(self._show_unit)
        self.minutes_box.valueChanged.connect(lambda _: self.changed.emit())

    @property
    def minutes(self) -> int | None:
        """How long it may take, None where epochs are counted."""
        return self.minutes_box.value() if self.unit.value == MINUTES else None

    def _show_unit(self, _: Any = None) -> None:
        self.epochs.native.setVisible(self.unit.value == EPOCHS)
        self.minutes_box.setVisible(self.unit.value == MINUTES)
        self.changed.emit()
