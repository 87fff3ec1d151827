"""What in a viewer can be segmented: opened cases, and plain images."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from napari.layers import Image, Layer

from ..core.config import CHANNELS
from ..core.volumes import Volume, volume_of_array
from .layers import METADATA, layer_spacing, volume_of_layer


@dataclass(frozen=True)
class Source:
    """One choice of the volume picker: a case's layers, or a plain image layer."""

    layers: tuple[Image, ...]

    @property
    def name(self) -> str:
        """What the picker shows."""
        volume = known_volume(self.layers[0])
        return volume.name if volume else str(self.layers[0].name)

    @property
    def slices(self) -> int:
        """How many slices it has."""
        return int(self.layers[0].data.shape[0]) if self.layers[0].ndim > 2 else 1

    def volume(self) -> Volume:
        """Return the images as a volume.

        Raises
        ------
        ValueError
            If the layer's shape or values do not allow it.
        """
        return volume_of_layer(self.layers[0])


def find_sources(layers: Iterable[Layer]) -> list[Source]:
    """All that can be segmented, in the order of the layers; the layers of one case are one choice."""
    found: dict[object, list[Image]] = {}
    for layer in layers:
        if isinstance(layer, Image) and not layer.multiscale and _is_volume(layer):
            volume = known_volume(layer)
            found.setdefault(id(volume) if volume else layer, []).append(layer)
    return [Source(tuple(group)) for group in found.values()]


def combine_layers(chosen: tuple[Image | None, ...]) -> Volume:
    """Volume of three single-channel layers: pre-contrast, FLAIR, post-contrast; None where a sequence is missing.

    Raises
    ------
    ValueError
        If FLAIR is not chosen, or the layers differ in shape or scale.
    """
    flair = chosen[1]
    if flair is None:
        raise ValueError("choose the layer that holds FLAIR: the model cannot do without it")
    for name, layer in zip(CHANNELS, chosen, strict=True):
        if layer is not None and (layer.data.shape != flair.data.shape or not np.allclose(layer.scale, flair.scale)):
            raise ValueError(
                f"{name} has shape {layer.data.shape} and FLAIR has {flair.data.shape}: they must be alike"
            )
    arrays = [np.asarray((layer or flair).data) for layer in chosen]
    return volume_of_array(np.stack(arrays, axis=-1), str(flair.name), layer_spacing(flair))


def known_volume(layer: Layer) -> Volume | None:
    """Volume that a layer of ours belongs to, None for others."""
    volume: Volume | None = layer.metadata.get(METADATA, {}).get("volume")
    return volume


def _is_volume(layer: Image) -> bool:
    kind = layer.metadata.get(METADATA, {}).get("kind", "image")
    return kind == "image" and layer.ndim in (2, 3)
