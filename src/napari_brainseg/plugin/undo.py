"""Writing into a Labels layer so that Ctrl+Z does what a person expects."""

from typing import Any

import numpy as np
from napari.layers import Labels

from ..core.volumes import Array

_being_written: set[Labels] = set()


def write_as_one_step(layer: Labels, mask: Array) -> bool:
    """Make the tumour of a layer that of a mask, in one step that undo takes back and redo brings back as a whole.

    Voxels that are tumour in both keep their label. The layer tells of it as of a stroke, by its event ``paint``,
    once its data are the new ones.

    Parameters
    ----------
    layer : Labels
        Kept in memory as an array.
    mask : ndarray
        The layer's shape, above 0 is tumour.

    Returns
    -------
    bool
        Whether there was anything to change; if not, there is no step.

    Raises
    ------
    ValueError
        If the mask has another shape, or a stroke is being drawn, which the step would cut in two.
    """
    if mask.shape != layer.data.shape:
        raise ValueError(
            f"the mask has shape {mask.shape}, but {layer.name} has {layer.data.shape}: they must be alike"
        )
    if is_drawing(layer):
        raise ValueError(f"a stroke is being drawn in {layer.name}: finish it first")
    where = _differing(layer, mask)
    if not where[0].size:
        return False
    _being_written.add(layer)
    try:
        with layer.block_history():  # else the event would come before the data are written
            layer.data_setitem(where, mask[where])
    finally:
        _being_written.remove(layer)
    return True


def add_to_step(layer: Labels, step: list[Any], mask: Array) -> None:
    """Make the tumour of a layer that of a mask as part of the step it has just made: undo takes both back.

    Parameters
    ----------
    layer : Labels
        Kept in memory as an array.
    step : list
        What the layer's event ``paint`` brought as its value: the entry of the undo history itself.
    mask : ndarray
        The layer's shape, above 0 is tumour.
    """
    where = _differing(layer, mask)
    if where[0].size:
        step.append((where, layer.data[where], mask[where]))  # the form that data_setitem gives its changes
        layer.data[where] = mask[where]
        layer.refresh()


def is_drawing(layer: Labels) -> bool:
    """Whether a stroke has begun that is not a step yet, be it with the mouse button held or not."""
    return bool(layer._block_history)


def is_writing(layer: Labels) -> bool:
    """Whether `write_as_one_step` is at work: what ``paint`` tells of is no person's stroke."""
    return layer in _being_written


def _differing(layer: Labels, mask: Array) -> tuple[np.ndarray, ...]:
    """Where one has tumour and the other has not; only slices of which that is so are searched."""
    differing = (np.asarray(layer.data) > 0) != (mask > 0)
    slices = np.flatnonzero(differing.reshape(len(differing), -1).any(axis=1))
    first, *others = np.nonzero(differing[slices])
    return (slices[first], *others)
