"""The case in napari's viewer: made, added, looked at, and taken out again."""

import gc
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.cases import Case
from ..core.masks import largest_slice
from .layer_metadata import ROLES, is_edited, role_of, volume_of
from .layers import case_layers, outline
from .slice_view import go_to_slice

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget


def places_of(cases: Iterable[Case]) -> set[Path]:
    """Where the volumes of cases come from: their folders or files, whatever each case is called in a listing."""
    return {place for case in cases for place in (case.folder, *case.images[:1])}


def layers_of(viewer: "napari.Viewer", places: Collection[Path]) -> list["Layer"]:
    """Images, masks and results of the cases that come from these places."""
    return [layer for layer in viewer.layers if (volume := volume_of(layer)) and volume.source in places]


def edited_masks(layers: Iterable["Layer"]) -> list[str]:
    """Names of the masks among layers that a person has changed."""
    return [layer.name for layer in layers if is_edited(layer)]


def make_layers(case: Case) -> "list[Layer]":
    """Layers of a case, read from disk; for a thread, since the first ones that napari makes load libraries for long.

    Raises
    ------
    ValueError
        If a file of it cannot be used; the message names it.
    """
    from napari.layers import Layer

    return [Layer.create(*data) for data in case_layers(case)]


def show_case(
    viewer: "napari.Viewer", window: "QWidget", layers: Iterable["Layer"], instead_of: Iterable["Layer"] = ()
) -> None:
    """Add a case's layers in place of others, and show the slice with the largest tumour.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    window : QWidget
        The viewer's window.
    layers : iterable of Layer
        Those of the case.
    instead_of : iterable of Layer
        Those that go.
    """
    with _held(window):
        viewer.layers.selection.clear()
        for layer in list(instead_of):
            viewer.layers.remove(layer)
        for layer in layers:
            outline(viewer.add_layer(layer))
        viewer.reset_view()
        show_largest_tumour(viewer)


@contextmanager
def _held(window: "QWidget") -> Iterator[None]:
    """Keep a window from being painted: napari crashes if it draws while a layer goes.

    It also collects garbage at each removal, a quarter of a second for all that lives; so nothing is looked at.
    """
    window.setUpdatesEnabled(False)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        window.setUpdatesEnabled(True)


def show_largest_tumour(viewer: "napari.Viewer") -> bool:
    """Go to the slice with the most tumour in the manual mask, else in the prediction; False if there is none."""
    for role in ROLES:
        for layer in reversed(viewer.layers):
            mask = np.asarray(layer.data) if role_of(layer) == role else None
            if mask is not None and mask.ndim == 3 and mask.any():
                go_to_slice(viewer, layer, largest_slice(mask))
                return True
    return False


def show_slice(viewer: "napari.Viewer", case: Case, number: int | None) -> bool:
    """Go to a slice of an opened case by its number, where one is given; False if the case is not open."""
    layers = layers_of(viewer, places_of([case]))
    volume = volume_of(layers[0]) if layers else None
    if volume is None:
        return False
    if number in volume.slice_numbers:
        go_to_slice(viewer, layers[0], volume.slice_numbers.index(number))
    return True
