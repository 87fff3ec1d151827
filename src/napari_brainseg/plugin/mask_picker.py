"""Which mask is compared with which: two choices that follow the layers of the viewer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.layers import Labels

from .image_picker import offer
from .layer_metadata import kind_of, role_of, volume_of
from .layers import layer_spacing
from .slice_view import why_apart
from .sources import set_spacing

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..core.volumes import Spacing

Pair = tuple[Labels | None, Labels | None]
NO_MASKS = "Segment a case or open a mask first"


class MaskPicker:
    """Keeps the choice of a prediction and a reference up to date with a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Whose Labels layers are offered.
    prediction, reference : ComboBox
        Where they are chosen.
    on_change : callable
        Called whenever the layers, their names or the choice changed.
    """

    def __init__(
        self, viewer: "ViewerModel", prediction: ComboBox, reference: ComboBox, on_change: Callable[[], object]
    ) -> None:
        self._viewer = viewer
        self._boxes = (prediction, reference)
        self._on_change = on_change
        self._masks: list[Labels] = []
        self._signals = (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered)
        for box in self._boxes:
            box.changed.connect(self._chosen)

    @property
    def pair(self) -> Pair:
        """The prediction and the reference; None where there is none to choose."""
        prediction, reference = self._boxes
        return prediction.value, reference.value

    def follow(self) -> None:
        """Offer what the viewer holds, from now on until `let_go`."""
        for signal in self._signals:
            signal.connect(self._layers_changed)
        self._layers_changed()

    def let_go(self) -> None:
        """Follow the viewer no longer."""
        for signal in self._signals:
            signal.disconnect(self._layers_changed)
        for mask in self._masks:
            mask.events.name.disconnect(self._offer)

    def _layers_changed(self, event: Any = None) -> None:
        """A new mask of ours is taken, else the choice stays as long as its layers do."""
        before, self._masks = self._masks, [layer for layer in self._viewer.layers if _is_mask(layer)]
        for mask in before:
            mask.events.name.disconnect(self._offer)
        for mask in self._masks:
            mask.events.name.connect(self._offer)
        new = any(role_of(mask) for mask in self._masks if mask not in before)
        gone = any(mask not in self._masks for mask in self.pair)
        self._offer(pair=suggest_pair(self._masks) if new or gone else self.pair)

    def _offer(self, event: Any = None, pair: Pair | None = None) -> None:
        choices = [(mask.name, mask) for mask in self._masks]
        for box, value in zip(self._boxes, pair or self.pair, strict=True):
            offer(box, choices if value else [*choices, (NO_MASKS, None)], value)
        self._chosen()

    def _chosen(self, _: Any = None) -> None:
        self._on_change()


def suggest_pair(masks: list[Labels]) -> Pair:
    """The newest prediction with the manual mask of its case; else what comes nearest to that.

    Parameters
    ----------
    masks : list of Labels
        In the order of the viewer, the newest last.
    """
    if len(masks) < 2:
        mask = masks[0] if masks else None
        return (None, mask) if mask and role_of(mask) == "manual" else (mask, None)

    def likelihood(pair: tuple[Labels, Labels]) -> tuple[object, ...]:
        prediction, reference = pair
        return (
            prediction.data.shape == reference.data.shape,
            volume_of(prediction) is volume_of(reference),
            role_of(reference) == "manual",
            role_of(prediction) == "prediction",
            role_of(prediction) != "manual",
            masks.index(prediction),
            masks.index(reference),
        )

    return max(((one, other) for one in masks for other in masks if one is not other), key=likelihood)


def why_not(pair: Pair) -> str | None:
    """Why two masks cannot be compared, in a sentence; None if they can."""
    prediction, reference = pair
    if prediction is None or reference is None:
        return f"{NO_MASKS}: it takes two masks to compare them."
    if prediction is reference:
        return f"{prediction.name} is chosen twice; choose two different masks."
    ours, theirs = prediction.data.shape, reference.data.shape
    if ours != theirs:
        return f"{prediction.name} has shape {ours}, but {reference.name} has {theirs}: they must be alike."
    if len(ours) not in (2, 3):
        return f"{prediction.name} has shape {ours}; allowed are masks (Z, Y, X) and (Y, X)."
    if (volume := volume_of(prediction)) and (other := volume_of(reference)) and volume.lies_elsewhere(other.position):
        return f"{prediction.name} lies elsewhere in space than {reference.name}; register them first."
    reason = why_apart(prediction, reference, (prediction.name, reference.name))
    return reason and f"{reason}."


def lay_on_each_other(pair: Pair) -> None:
    """Give a mask that was opened by itself, and whose file states no voxel size, the one of the mask it is to fit."""
    for mask, other in (pair, pair[::-1]):
        if mask is None or other is None or role_of(mask) != "mask" or mask.data.shape != other.data.shape:
            continue
        volume, spacing = volume_of(mask), layer_spacing(other)
        if volume and spacing and not volume.spacing:
            set_spacing(mask, volume.with_spacing(spacing))


def spacing_of(prediction: Labels, reference: Labels) -> "Spacing | None":
    """Voxel size in mm that one of two masks knows."""
    return layer_spacing(reference) or layer_spacing(prediction)


def _is_mask(layer: Any) -> bool:
    """Whatever labels a person has added, and of ours the masks only."""
    return isinstance(layer, Labels) and not layer.multiscale and (kind_of(layer) is None or role_of(layer) is not None)
