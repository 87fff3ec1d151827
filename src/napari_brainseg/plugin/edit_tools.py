"""Tools that correct a mask a slice or an island at a time, where the brush would take long."""

from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QWidget
from superqt.utils import qthrottled

from ..core.edits import Point, copy_slice, fill_between, gap_around, grow, keep_island, remove_island, shrink, smooth
from ..core.masks import Mask
from ..core.volumes import Array
from .buttons import allow, make_button, side_by_side
from .clicks import NextClick
from .columns import stack, text_line
from .layer_metadata import volume_of
from .sentences import as_sentence
from .slice_view import slice_in_view, why_not_in_view
from .snapping import SnappingBrush
from .undo import write_as_one_step

if TYPE_CHECKING:
    from napari.components import ViewerModel

FILL, SMOOTH, REMOVE, KEEP = "Fill between slices", "Smooth", "Remove island", "Keep only island"
GROW, SHRINK, BELOW, ABOVE = "Grow", "Shrink", "Copy from below", "Copy from above"
TOOLTIPS = {
    FILL: "Fill the empty slices here, from the nearest tumour below to the nearest above.",
    SMOOTH: "Smooth the outline in this slice.",
    REMOVE: "Erase one piece of tumour, in all its slices: click on it next.",
    KEEP: "Erase all tumour but one piece: click on it next.",
    GROW: "Grow the tumour in this slice by one voxel.",
    SHRINK: "Shrink the tumour in this slice by one voxel.",
    BELOW: "Replace the mask of this slice by that of the slice before it, one less on the slider.",
    ABOVE: "Replace the mask of this slice by that of the slice after it, one more on the slider.",
}
_ROW = 28
"""Height of a button in pixels: text that comes and goes below would let Qt squeeze their captions."""

_SNAP_TOOLTIP = "Paint only where the model finds tumour at least this probable, and erase only where it does not."


class EditTools(QWidget):
    """Buttons that change the mask in the slice in view, each in one undo step, and a brush that keeps to the model.

    Parameters
    ----------
    viewer : ViewerModel
        Whose slice in view is meant.
    """

    def __init__(self, viewer: "ViewerModel") -> None:
        super().__init__()
        self.viewer = viewer
        self.layer: Labels | None = None
        """What is corrected."""
        self._probability: Array | None = None
        self._click: NextClick | None = None
        self._brush = SnappingBrush(self)
        self._actions: dict[str, Callable[[], object]] = {
            FILL: self._fill,
            SMOOTH: partial(self._edit_slice, smooth, "Smoothed"),
            REMOVE: partial(self._toggle_click, REMOVE),
            KEEP: partial(self._toggle_click, KEEP),
            GROW: partial(self._edit_slice, grow, "Grew the tumour in"),
            SHRINK: partial(self._edit_slice, shrink, "Shrank the tumour in"),
            BELOW: partial(self._copy_from, -1),
            ABOVE: partial(self._copy_from, 1),
        }
        self.buttons = {caption: make_button(caption, action) for caption, action in self._actions.items()}
        """By caption."""
        for caption in (REMOVE, KEEP):
            self.buttons[caption].setCheckable(True)
        self.snaps = QCheckBox("Snap to probability")
        self.minimum = QDoubleSpinBox()
        self.minimum.setRange(0, 1)
        self.minimum.setSingleStep(0.05)
        self.minimum.setValue(self._brush.minimum)
        self.minimum.setMinimumWidth(100)  # napari's style asks for more than there is beside the box
        self.status = text_line("What was changed, or what to do next.")
        self._enable_soon = qthrottled(self._enable, timeout=50, parent=self)
        self._lay_out()
        self._connect()
        self._enable()

    def set_layer(self, layer: Labels | None, probability: Array | None = None) -> None:
        """Correct this layer from now on.

        Parameters
        ----------
        layer : Labels or None
            A mask, (Z, Y, X) or (Y, X).
        probability : ndarray or None
            The layer's shape, 0 to 1: what brush strokes can snap to.
        """
        self._stop_click()
        if self.layer:
            for signal in self._signals(self.layer):
                signal.disconnect(self._enable_soon)
        self.layer, self._probability = layer, probability
        if layer:
            for signal in self._signals(layer):
                signal.connect(self._enable_soon)
        self.status.clear()
        self._enable()

    def let_go(self) -> None:
        """Follow neither layer nor viewer any longer: they outlive these tools."""
        self.set_layer(None)
        self._enable_soon.cancel()
        for signal in self._viewer_signals:
            signal.disconnect(self._enable_soon)
        self.viewer.layers.events.removed.disconnect(self._removed)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(4)
        for place, button in enumerate(self.buttons.values()):
            button.setMinimumHeight(_ROW)
            grid.addWidget(button, *divmod(place, 2))
        layout = stack(self)
        layout.addLayout(grid)
        layout.addWidget(side_by_side(self.snaps, self.minimum, stretch=(1, 0)))
        layout.addWidget(self.status)

    def _connect(self) -> None:
        self.snaps.toggled.connect(self._follow_strokes)
        self.minimum.valueChanged.connect(self._set_minimum)
        dims = self.viewer.dims.events
        self._viewer_signals = (dims.current_step, dims.ndisplay, dims.order)
        for signal in self._viewer_signals:
            signal.connect(self._enable_soon)
        self.viewer.layers.events.removed.connect(self._removed)

    @staticmethod
    def _signals(layer: Labels) -> tuple[Any, ...]:
        events = layer.events
        return events.paint, events.labels_update, events.set_data, events.editable

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.set_layer(None)

    # what can be done now

    def _enable(self, _: Any = None) -> None:
        why_none = self._why_nothing()
        whys = dict.fromkeys(TOOLTIPS, why_none) if why_none else self._why_not()
        for caption, button in self.buttons.items():
            allow(button, whys[caption], TOOLTIPS[caption])
        if self._click and not self.buttons[REMOVE].isEnabled():
            self._stop_click()
        why_no_snap = why_none
        if not why_none and (self._probability is None or self._probability.shape != self.layer.data.shape):
            why_no_snap = "Segment first: there is no probability that belongs to this mask."
        for control in (self.snaps, self.minimum):
            allow(control, why_no_snap, _SNAP_TOOLTIP)
        self._follow_strokes()

    def _why_nothing(self) -> str | None:
        """Why no tool works at all, if so."""
        layer = self.layer
        if layer is None:
            return "Choose a mask to correct first."
        if layer.ndim not in (2, 3):
            return f"{layer.name} has shape {layer.data.shape}; allowed are (Z, Y, X) and (Y, X)."
        if not layer.editable:
            return f"{layer.name} cannot be edited now."
        return why_not_in_view(self.viewer, layer) or None

    def _why_not(self) -> dict[str, str | None]:
        """Why each tool does not work in this slice, if so."""
        mask, z = self._mask(), self._slice_in_view()
        whys: dict[str, str | None] = {
            FILL: None if self._gaps(mask) else "There is no gap here: empty slices with tumour both below and above."
        }
        whys |= dict.fromkeys((REMOVE, KEEP), None if mask.any() else "There is no tumour in this mask.")
        whys |= dict.fromkeys((SMOOTH, GROW, SHRINK), None if mask[z].any() else "There is no tumour in this slice.")
        for caption, source, where in ((BELOW, z - 1, "below"), (ABOVE, z + 1, "above")):
            if not 0 <= source < len(mask):
                whys[caption] = f"There is no slice {where}."
            else:
                whys[caption] = None if mask[source].any() else f"The slice {where} has no tumour."
        return whys

    def _mask(self) -> Mask:
        assert self.layer
        mask = np.asarray(self.layer.data) > 0
        return (mask[None] if mask.ndim == 2 else mask).astype(np.uint8)

    def _slice_in_view(self) -> int:
        return slice_in_view(self.viewer, self.layer)

    def _number(self, z: int) -> int:
        """Number by which a person knows a slice, as in file names and the rest of the tab."""
        volume = volume_of(self.layer) if self.layer else None
        return volume.slice_numbers[z] if volume else z + 1

    def _gaps(self, mask: Mask) -> list[tuple[int, int]]:
        """The gaps that the slice in view lies in or borders on: after drawing at a gap's end one may fill it."""
        z = self._slice_in_view()
        found = {gap_around(mask, near) for near in range(max(z - 1, 0), min(z + 2, len(mask)))}
        return sorted(gap for gap in found if gap)

    # what the buttons do

    def _edit(self, edit: Callable[[Mask], Mask], done: str) -> None:
        """Change the mask and say so, or say why not."""
        if not self.layer:
            return
        try:
            changed = write_as_one_step(self.layer, edit(self._mask()).reshape(self.layer.data.shape))
        except ValueError as error:
            self.status.setText(as_sentence(error))
            return
        self._stop_click()
        self.status.setText(done if changed else "There was nothing to change.")
        self._enable()

    def _edit_slice(self, edit: Callable[[Mask, list[int]], Mask], done: str) -> None:
        z = self._slice_in_view()
        self._edit(lambda mask: edit(mask, [z]), f"{done} slice {self._number(z)}.")

    def _copy_from(self, step: int) -> None:
        z = self._slice_in_view()
        done = f"Copied slice {self._number(z + step)} to slice {self._number(z)}."
        self._edit(lambda mask: copy_slice(mask, z + step, z), done)

    def _fill(self) -> None:
        gaps = self._gaps(self._mask())
        ends = ((first + 1, last - 1) for first, last in gaps)
        filled = " and ".join(
            f"slice {self._number(low)}" if low == high else f"slices {self._number(low)} to {self._number(high)}"
            for low, high in ends
        )
        self._edit(lambda mask: reduce(lambda so_far, gap: fill_between(so_far, *gap), gaps, mask), f"Filled {filled}.")

    def _toggle_click(self, caption: str) -> None:
        """Wait for a click on an island, or, if that is what is waited for, no longer."""
        wanted = self.buttons[caption].isChecked()
        self._stop_click()
        if not (wanted and self.layer):
            return
        self.buttons[caption].setChecked(True)
        self._click = NextClick(self.viewer, self.layer, partial(self._island_clicked, caption), self._stop_click)
        what = "remove" if caption == REMOVE else "keep"
        self.status.setText(f"Click on the island to {what}, or press the button again to leave it.")

    def _stop_click(self) -> None:
        click, self._click = self._click, None
        if click:
            click.stop()
            self.status.clear()
            for caption in (REMOVE, KEEP):
                self.buttons[caption].setChecked(False)

    def _island_clicked(self, caption: str, point: Point) -> None:
        edit, done = (remove_island, "Removed") if caption == REMOVE else (keep_island, "Kept only")
        number = self._number(self._slice_in_view())
        self._edit(lambda mask: edit(mask, point), f"{done} the island in slice {number}.")

    # the brush

    def _set_minimum(self, value: float) -> None:
        self._brush.minimum = value

    def _follow_strokes(self, _: Any = None) -> None:
        snaps = self.snaps.isChecked() and self.snaps.isEnabled()
        self._brush.follow(self.layer if snaps else None, self._probability)
