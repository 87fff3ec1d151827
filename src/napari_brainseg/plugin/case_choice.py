"""Which of the cases in the viewer is meant."""

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

from .image_picker import NO_IMAGES
from .sources import Source, named_sources, next_choice

if TYPE_CHECKING:
    from napari.components import ViewerModel


class CaseChoice(QComboBox):
    """Offers the cases and plain images of a viewer; what is new is taken, else the choice stays while it exists.

    A person who is correcting looks at further images, too: then only a new case is taken.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are followed until `let_go`.
    """

    updated = Signal()
    """Layers came or went, or something else was chosen."""

    def __init__(self, viewer: "ViewerModel") -> None:
        super().__init__()
        self.is_correcting = False
        """Whether what is chosen is being corrected."""
        self._viewer = viewer
        self._sources: dict[str, Source] = {}
        self.setToolTip("The case or image layer to correct.")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        events = viewer.layers.events
        self._signals = (events.inserted, events.removed, events.reordered)
        for signal in self._signals:
            signal.connect(self._layers_changed)
        self.currentIndexChanged.connect(lambda _: self.updated.emit())
        self._layers_changed()

    @property
    def source(self) -> Source | None:
        """What is chosen."""
        return self._sources.get(self.currentText())

    @property
    def layers(self) -> tuple[Image, ...]:
        """All layers that are chosen."""
        return self.source.layers if self.source else ()

    def choose(self, images: Image) -> None:
        """Choose the case that these images belong to."""
        for name, source in self._sources.items():
            if images in source.layers:
                self.setCurrentText(name)

    def let_go(self) -> None:
        """Follow the viewer no longer."""
        for signal in self._signals:
            signal.disconnect(self._layers_changed)
        for layer in self._viewer.layers:
            layer.events.name.disconnect(self._offer)

    def _layers_changed(self, _: Any = None) -> None:
        for layer in self._viewer.layers:
            layer.events.name.disconnect(self._offer)
            layer.events.name.connect(self._offer)
        self._offer()

    def _offer(self, _: Any = None) -> None:
        before, self._sources = self._sources, named_sources(self._viewer.layers)
        chosen = NO_IMAGES
        if self._sources:
            chosen = next_choice(before, self._sources, self.currentText(), stays=self.is_correcting)
        was_blocked = self.blockSignals(True)
        self.clear()
        self.addItems(list(self._sources) or [NO_IMAGES])
        self.setCurrentText(chosen)
        self.blockSignals(was_blocked)
        self.updated.emit()
