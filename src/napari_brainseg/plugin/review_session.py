"""A case while it is being corrected: its layer, what saves it, and the clock, which begin and end together."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject

from ..core.ledgers import ReviewState
from ..core.words import plain
from .autosave import Autosave
from .correction_layer import CorrectionLayer
from .review_clock import ReviewClock
from .review_steps import states_of, to_review
from .slice_view import slice_in_view

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ReviewSession(QObject):
    """Lets a person paint in a correction layer, and keeps what was done with each slice, until it is stopped.

    Parameters
    ----------
    viewer : ViewerModel
        Where the person works.
    correction : CorrectionLayer
        What is corrected.
    reviewer : callable
        Says who is at work.
    parent : QObject
        With which it goes.
    """

    def __init__(
        self, viewer: "ViewerModel", correction: CorrectionLayer, reviewer: Callable[[], str], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.correction, self.layer = correction, correction.layer
        self.layer.editable = True
        self.clock = ReviewClock(viewer, self.layer, self.slice_in_view, self)
        self.autosave = Autosave(correction, self.clock, reviewer, self)

    def slice_in_view(self) -> int:
        """Position along Z of the slice that the viewer shows, or of the one nearest to it."""
        return slice_in_view(self._viewer, self.layer)

    def name(self, slices: Sequence[int]) -> str:
        """What slices at positions along Z are called together, such as Slices 3, 4."""
        numbers = [str(self.correction.volume.slice_numbers[z]) for z in slices]
        return f"Slice{'s' * (len(numbers) > 1)} {', '.join(numbers[:6])}{', ...' * (len(numbers) > 6)}"

    def waiting(self, order: Sequence[int]) -> list[int]:
        """Slices that are still to be reviewed, in this order or else in their own."""
        return to_review(states_of(self.correction.corrections), np.asarray(self.layer.data), order)

    def toggle(self, state: ReviewState) -> None:
        """Give the slice in view a state, or withdraw it."""
        z = self.slice_in_view()
        self.autosave.set_state([z], None if self.correction.state(z) == state else state)

    def accept_volume(self) -> list[int]:
        """Accept all slices that are not flagged, or withdraw that if all are; return those that are flagged."""
        states = states_of(self.correction.corrections)
        waiting = [z for z, state in enumerate(states) if state in ("auto", "edited")]
        accepted = [z for z, state in enumerate(states) if state == "accepted"]
        self.autosave.set_state(waiting or accepted, "accepted" if waiting else None)
        return [z for z, state in enumerate(states) if state == "flagged"]

    def save(self) -> str:
        """Save all there is now, and say which slices could not be saved, and why; empty if all were."""
        if self.autosave.flush():
            return ""
        name, pending = self.correction.volume.name, sorted(self.autosave.pending)
        what = f"{self.name(pending)} of {name}" if pending else name
        return f"{what} could not be saved: {plain(self.autosave.error or 'it takes too long')}."

    def stop(self) -> bool:
        """Save all there is, and let nobody paint any more, for it would be lost; False if it was not saved in time."""
        is_saved = self.autosave.stop()
        self.clock.stop()
        self.layer.editable = False  # napari forgets its undo history, too
        self.deleteLater()
        return is_saved
