"""Former masks of a slice, to be put back."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QWidget

from ..core.durations import moment
from ..core.masks import Mask
from .sentences import as_sentence

if TYPE_CHECKING:
    from .correction_layer import CorrectionLayer


class RestoreMenu(QMenu):
    """Lists the former masks of the slice in view, the latest first, and what was predicted.

    Parameters
    ----------
    parent : QWidget
        The button that opens it.
    slice_in_view : callable
        Says which slice that is.
    """

    said = Signal(str)
    """What was done, or why not."""

    def __init__(self, parent: QWidget, slice_in_view: Callable[[], int]) -> None:
        super().__init__(parent)
        self.correction: CorrectionLayer | None = None
        self._slice_in_view = slice_in_view
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """List what there is of the slice in view now."""
        self.clear()
        if self.correction is None:
            return
        z = self._slice_in_view()
        for version in self.correction.corrections.versions(z):
            words = f"until {moment(version.time)}"
            self.addAction(words).triggered.connect(partial(self._restore, z, version.read, words))
        predicted = partial(self.correction.as_predicted, z)
        self.addAction("As predicted").triggered.connect(partial(self._restore, z, predicted, "as predicted"))

    def _restore(self, z: int, read: Callable[[], Mask], words: str, _: bool = False) -> None:
        assert self.correction
        try:
            changed = self.correction.restore(z, read())
        except (OSError, ValueError) as error:
            self.said.emit(as_sentence(error))
            return
        number = self.correction.volume.slice_numbers[z]
        self.said.emit(f"Slice {number} is as it was, {words}." if changed else f"Slice {number} is like that already.")
