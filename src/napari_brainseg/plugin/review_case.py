"""The case that the Review tab is about, and what is saved of it."""

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from ..core.corrections import Corrections
from ..core.volumes import Volume
from ..core.words import plain
from ..core.workspaces import Workspace
from .correction_layer import CorrectionLayer, correction_of, find_start, was_predicted
from .image_picker import NO_IMAGES
from .layer_metadata import volume_of
from .result_layer import ResultLayer, find_result
from .review_steps import describe_saved
from .sources import Source
from .task import Tasks
from .workspace_choice import WorkspaceChoice

if TYPE_CHECKING:
    from napari.components import ViewerModel

_LOOKING = "Looking for corrections..."
_NO_PLACE = "Choose where corrections are kept first: these images come from no file."
_SEGMENT_FIRST = "Segment first to start from the prediction."


class ReviewCase(QObject):
    """Looks for what is saved of a case, and begins the correction of it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the case is.
    place : WorkspaceChoice
        Where its corrections are kept.
    parent : QObject
        With which it goes.
    """

    changed = Signal()
    """It is another one, or more is known of it."""

    def __init__(self, viewer: "ViewerModel", place: WorkspaceChoice, parent: QObject) -> None:
        super().__init__(parent)
        self.images: Image | None = None
        """The layer that stands for it; None while there is no case."""
        self.corrections: Corrections | None = None
        """What is saved of it, once it was read."""
        self.why_not = f"{NO_IMAGES}."
        """Why it cannot be corrected; empty if it can."""
        self._viewer, self._place = viewer, place
        self._tasks = Tasks(self)
        place.changed.connect(self.read)

    @property
    def result(self) -> ResultLayer | None:
        """The prediction of it, if there is one."""
        return find_result(self._viewer.layers, self.images)

    @property
    def volume(self) -> Volume | None:
        """It as it is now; None for a plain image before that is needed, for to read one may take long."""
        if self.images is None:
            return None
        known = self.result or self.corrections
        return volume_of(self.images) or (known.volume if known else None)

    def turn_to(self, images: Image | None) -> CorrectionLayer | None:
        """Take other images; return their correction if a former tab has left one, else look for what is saved."""
        self.images, self.corrections = images, None
        self._place.show_volume(self.volume)
        found = (correction_of(layer) for layer in self._viewer.layers)
        left = next((one for one in found if one and images and one.is_of(images)), None)
        if left is None:
            self.read()
            return None
        self._tasks.drop("read")
        self.corrections, self.why_not = left.corrections, ""
        self._place.take_over(left.corrections.workspace)
        return left

    def read(self) -> None:
        """Read what is saved in the background."""
        volume, workspace = self.volume, self._place.workspace
        self.corrections, self.why_not = None, _NO_PLACE if self.images else f"{NO_IMAGES}."
        self._tasks.drop("read")
        if self.images and workspace:
            self.why_not = _LOOKING
            work = partial(_read, workspace, volume, Source((self.images,)))
            self._tasks.begin("read", work, lambda _: None, returned=self._were_read, failed=self._not_read)
        self.changed.emit()

    def begin(self) -> CorrectionLayer | None:
        """Make the layer that it is corrected in; None as long as that cannot be."""
        if not (self.images and self.volume and self.corrections):
            return None
        start = find_start(self._viewer.layers, self.images, self.volume)
        return CorrectionLayer(self._viewer, self.images, self.volume, self.corrections, start)

    def describe_start(self) -> str:
        """What the correction of it begins with, or why it cannot begin."""
        if self.images is None:
            return "Open a case and segment it; its mask can be corrected here."
        if not (self.volume and self.corrections):
            return self.why_not
        start, ledger = find_start(self._viewer.layers, self.images, self.volume), self.corrections.ledger
        if not (words := describe_saved(ledger)):
            return f"Starts from {start.words}."
        segment_first = was_predicted(ledger) and not start.model_sha256
        return f"{words}; the other slices start from {start.words}." + f" {_SEGMENT_FIRST}" * segment_first

    def close_tasks(self) -> None:
        """Stop all work."""
        self._tasks.close()

    def _were_read(self, corrections: Corrections) -> None:
        self.corrections, self.why_not = corrections, ""
        self.changed.emit()

    def _not_read(self, error: Exception) -> None:
        self.why_not = plain(error)
        show_error(plain(error))
        self.changed.emit()


def _read(workspace: Workspace, volume: Volume | None, source: Source, _: Any) -> Corrections:
    return Corrections(workspace, volume or source.volume())
