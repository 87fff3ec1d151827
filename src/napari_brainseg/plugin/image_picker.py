"""Which images are to be segmented: a choice that follows the layers of the viewer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.layers import Image

from ..core.config import CHANNELS, FLAIR
from ..core.volumes import Volume
from .slice_view import slice_in_view
from .sources import Source, combine_layers, named_sources, next_choice, why_left_out

if TYPE_CHECKING:
    from napari.components import ViewerModel

SEPARATE = "Three separate layers..."
NO_IMAGES = "Open a case or an image first"


class ImagePicker:
    """Keeps the choices of some boxes up to date with a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are offered.
    images : ComboBox
        Offers cases and images.
    channels : tuple of ComboBox
        Offer layers for each sequence.
    on_change : callable
        Called whenever layers or the choice changed.
    """

    def __init__(
        self,
        viewer: "ViewerModel",
        images: ComboBox,
        channels: tuple[ComboBox, ...],
        on_change: Callable[[], object],
    ) -> None:
        self._viewer = viewer
        self._images = images
        self._channels = channels
        self._on_change = on_change
        self._sources: dict[str, Source] = {}
        self._signals = (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered)
        images.changed.connect(self._chosen)
        channels[CHANNELS.index(FLAIR)].changed.connect(self._chosen)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to choose."""
        return bool(self._images.value == NO_IMAGES)

    @property
    def is_separate(self) -> bool:
        """Whether three separate layers are wanted."""
        return bool(self._images.value == SEPARATE)

    @property
    def left_out(self) -> str:
        """Why images that are open cannot be chosen; empty if there are none of these."""
        return " ".join(filter(None, map(why_left_out, self._viewer.layers)))

    @property
    def source(self) -> Source | None:
        """What is chosen, unless it is three separate layers."""
        return self._sources.get(self._images.value)

    @property
    def layers(self) -> tuple[Image, ...]:
        """All layers that are chosen."""
        if self.is_separate:
            return tuple(box.value for box in self._channels if box.value is not None)
        return self.source.layers if self.source else ()

    @property
    def image(self) -> Image | None:
        """The layer that stands for the choice; FLAIR among separate ones."""
        if self.is_separate:
            flair: Image | None = self._channels[CHANNELS.index(FLAIR)].value
            return flair
        return self.source.layers[0] if self.source else None

    def volume(self) -> Volume:
        """Return the chosen images.

        Raises
        ------
        ValueError
            If nothing is chosen, or it cannot be segmented.
        """
        if self.is_separate:
            return combine_layers(tuple(box.value for box in self._channels))
        if not self.source:
            raise ValueError(self.left_out or f"{NO_IMAGES}: there is nothing to segment")
        return self.source.volume()

    def slice_in_view(self) -> int:
        """Position along Z of the slice that the viewer shows, or of the one nearest to it."""
        return slice_in_view(self._viewer, self.image)

    def follow(self) -> None:
        """Offer what the viewer holds, from now on until `let_go`."""
        for signal in self._signals:
            signal.connect(self._layers_changed)
        self._layers_changed()

    def let_go(self) -> None:
        """Follow the viewer no longer."""
        for signal in self._signals:
            signal.disconnect(self._layers_changed)
        for layer in self._viewer.layers:
            layer.events.name.disconnect(self._refresh)

    def _layers_changed(self, event: Any = None) -> None:
        for layer in self._viewer.layers:
            layer.events.name.disconnect(self._refresh)
            layer.events.name.connect(self._refresh)
        self._refresh()

    def _refresh(self, event: Any = None) -> None:
        """Offer what the viewer holds now; what is new is taken, else the choice stays where it still exists."""
        before, self._sources = self._sources, named_sources(self._viewer.layers)
        plain = [source.layers[0] for source in self._sources.values() if not source.is_case]
        names = [*self._sources, *([SEPARATE] if len(plain) > 1 else [])]
        chosen, stays = str(self._images.value), self.is_separate and SEPARATE in names
        following = next_choice(before, self._sources, chosen, stays=stays) if names else NO_IMAGES
        offer(self._images, names or [NO_IMAGES], following)
        for box in self._channels:
            offer(box, [(layer.name, layer) for layer in plain], box.value if box.value in plain else None)
        self._chosen()

    def _chosen(self, _: Any = None) -> None:
        self._on_change()


def offer(box: ComboBox, choices: list[Any], value: Any) -> None:
    """Set choices and value together; emptied first, since new choices would be put behind those that stay."""
    with box.changed.blocked():
        box.choices = ()
        box.choices = choices
        box.value = value
