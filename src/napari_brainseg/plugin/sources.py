"""What in a viewer can be segmented: opened cases, and plain images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
from napari.layers import Image, Layer

from ..core.config import CHANNELS, FLAIR
from ..core.volumes import Array, Spacing, Volume, volume_of_array
from .layer_metadata import kind_of, note, notes, volume_of
from .layers import layer_spacing
from .slice_view import why_apart


@dataclass(frozen=True)
class Source:
    """One choice of the volume picker: a case's layers, or a plain image layer."""

    layers: tuple[Image, ...]

    @property
    def name(self) -> str:
        """What the picker shows."""
        volume = volume_of(self.layers[0])
        return volume.name if volume else str(self.layers[0].name)

    @property
    def is_case(self) -> bool:
        """Whether it was opened by us."""
        return volume_of(self.layers[0]) is not None

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
        layer = self.layers[0]
        return volume_of(layer) or _volume_of_array(np.asarray(layer.data), layer)


def named_sources(layers: Iterable[Layer]) -> dict[str, Source]:
    """All that can be segmented by name, with a number behind where two cases are called the same."""
    named: dict[str, Source] = {}
    for source in find_sources(layers):
        others = (f"{source.name} ({number})" for number in count(2))
        named[next(name for name in chain([source.name], others) if name not in named)] = source
    return named


def next_choice(before: Mapping[str, Source], now: Mapping[str, Source], chosen: str, *, stays: bool = False) -> str:
    """What a picker takes once layers came or went: what is new, else what was chosen, by whatever name, else the last.

    Parameters
    ----------
    before, now : mapping of str to Source
        By name; there has to be one now.
    chosen : str
        A name before, or another choice that the picker offers.
    stays : bool
        Whether only a new case, and no plain image, may take the place of what was chosen.
    """
    former = {layer for source in before.values() for layer in source.layers}
    new = [name for name, source in now.items() if former.isdisjoint(source.layers) and (source.is_case or not stays)]
    if chosen in before:
        same = [name for name, source in now.items() if not {*before[chosen].layers}.isdisjoint(source.layers)]
    else:
        same = [chosen] * stays
    return (new or same or list(now))[-1]


def find_sources(layers: Iterable[Layer]) -> list[Source]:
    """All that can be segmented, in the order of the layers; the layers of one case are one choice."""
    found: dict[object, list[Image]] = {}
    for layer in layers:
        if isinstance(layer, Image) and kind_of(layer) in (None, "image") and not why_left_out(layer):
            volume = volume_of(layer)
            found.setdefault(id(volume) if volume else layer, []).append(layer)
    return [Source(tuple(group)) for group in found.values()]


def why_left_out(layer: Layer) -> str:
    """Why an image that a person opened cannot be segmented, as a sentence; empty for all other layers."""
    if not isinstance(layer, Image) or kind_of(layer):
        return ""
    if layer.multiscale:
        return f"{layer.name} is kept at several resolutions; allowed are images of one."
    if layer.ndim not in (2, 3):
        return f"{layer.name} has shape {layer.data.shape}; allowed are (Z, Y, X) and (Y, X), grey or RGB."
    return ""


def combine_layers(chosen: tuple[Image | None, ...]) -> Volume:
    """Volume of three single-channel layers: pre-contrast, FLAIR, post-contrast; None where a sequence is missing.

    Raises
    ------
    ValueError
        If FLAIR is not chosen, a layer is in colour, or the layers differ in shape, scale or place.
    """
    flair = chosen[CHANNELS.index(FLAIR)]
    if flair is None:
        raise ValueError("choose the layer that holds FLAIR: the model cannot do without it")
    for name, layer in zip(CHANNELS, chosen, strict=True):
        if layer is not None:
            _check_alike(name, layer, flair)
    arrays = [np.asarray((layer or flair).data) for layer in chosen]
    return _volume_of_array(np.stack(arrays, axis=-1), flair)


def _check_alike(name: str, layer: Image, flair: Image) -> None:
    if layer.rgb:
        raise ValueError(f"{layer.name} is in colour and so holds all sequences: choose it under Images instead")
    if layer.data.shape != flair.data.shape:
        raise ValueError(
            f"{name} has shape {layer.data.shape}, but FLAIR has {flair.data.shape}: the layers must be alike"
        )
    if reason := why_apart(layer, flair, (name, FLAIR)):
        raise ValueError(reason)


def place_of(layer: Image) -> dict[str, Any]:
    """Scale, position, units and axis labels that put a volume made from a layer exactly on it.

    A volume has three axes always; a flat layer gets one more.
    """
    new = (0,) * (3 - layer.ndim)
    rotate = np.eye(3)
    rotate[len(new) :, len(new) :] = layer.rotate
    return {
        "scale": (*(1.0 for _ in new), *layer.scale),
        "translate": (*(0.0 for _ in new), *layer.translate),
        "rotate": rotate,
        "shear": (*(0.0 for _ in range(3 - len(layer.shear))), *layer.shear),
        "affine": layer.affine.expand_dims(new) if new else layer.affine,
        "units": (*(layer.units[0] for _ in new), *layer.units),
        "axis_labels": (*("z" for _ in new), *layer.axis_labels),
    }


def set_spacing(layer: Layer, volume: Volume) -> None:
    """Give a layer the voxel size of the volume it shows."""
    assert volume.spacing
    layer.scale = volume.spacing[-layer.ndim :]
    layer.units = ("mm",) * layer.ndim
    if volume_of(layer):
        note(layer, volume=volume)
    else:
        note(layer, spacing=volume.spacing)


def known_spacing(layer: Layer) -> Spacing | None:
    """Voxel size of what a layer shows; a flat one has no place for the distance of slices but its metadata."""
    volume = volume_of(layer)
    return volume.spacing if volume else layer_spacing(layer) or notes(layer.metadata).get("spacing")


def _volume_of_array(array: Array, layer: Layer) -> Volume:
    return volume_of_array(array, str(layer.name), known_spacing(layer))
