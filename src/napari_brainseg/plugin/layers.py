"""Between volumes and napari's layers: reader, writers, sample data."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.cases import Case, find_cases
from ..core.config import CHANNELS, FLAIR
from ..core.masks import MaskFormat, read_mask, write_mask
from ..core.phantom import SAMPLE_CASES, make_phantom
from ..core.volumes import Array, Spacing, Volume, read_volume, volume_of_array

if TYPE_CHECKING:
    from napari.layers import Image, Layer

LayerData = tuple[Any, dict[str, Any], str]

METADATA = "brainseg"
"""Key in ``layer.metadata`` of a dictionary: ``volume`` (`Volume`), ``kind``, and more for results."""

COLOURS = {"manual": "#56B4E9", "prediction": "#E69F00"}
"""Colour-blind safe, the same in layers, plots and reports."""

AXIS_LABELS = ("z", "y", "x")


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Reader of a case folder, a TIFF stack or a NIfTI case; None for everything else.

    Parameters
    ----------
    path : str or sequence of str
        What napari was asked to open: one path, or several that it opens as a stack, which a case is not.
    """
    if not isinstance(path, str):
        return None
    try:
        usable = [case for case in find_cases(path) if case.images]
    except (ValueError, OSError):
        return None
    if len(usable) != 1:  # a data set of many patients belongs into the cases widget
        return None
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Layers of the one case at a path: three sequences, and the manual mask if there is one."""
    assert isinstance(path, str)
    case = next(case for case in find_cases(path) if case.images)
    return case_layers(case)


def case_layers(case: Case) -> list[LayerData]:
    """Layers of a case, read from disk.

    Raises
    ------
    ValueError
        If a file of it cannot be used; the message names it.
    """
    volume = read_volume(case)
    mask = read_mask(case, volume)
    layers = image_layers(volume)
    return layers if mask is None else [*layers, mask_layer(mask, volume, "manual")]


def image_layers(volume: Volume) -> list[LayerData]:
    """One grey layer per sequence, FLAIR on top and alone visible."""
    order = [name for name in CHANNELS if name != FLAIR] + [FLAIR]
    return [
        (
            (channel := volume.array[..., CHANNELS.index(name)]),
            geometry(volume)
            | {
                "name": f"{volume.name} {name}" + (" (missing)" if name in volume.missing else ""),
                "colormap": "gray",
                "contrast_limits": contrast_limits(channel),
                "visible": name == FLAIR,
                "metadata": {METADATA: {"volume": volume, "kind": "image", "channel": name}},
            },
            "image",
        )
        for name in order
    ]


def mask_layer(mask: Array, volume: Volume, kind: str, **more: Any) -> LayerData:
    """Labels layer outlined in the colour of its kind.

    Parameters
    ----------
    mask : ndarray
        (Z, Y, X), 1 is tumour.
    volume : Volume
        What it belongs to.
    kind : {"manual", "prediction"}
        Decides name and colour.
    **more
        Goes into the layer's metadata.
    """
    from napari.utils.colormaps import direct_colormap

    options = geometry(volume) | {
        "name": f"{volume.name} {kind}",
        "colormap": direct_colormap({None: "transparent", 0: "transparent", 1: COLOURS[kind]}),
        "opacity": 0.9,
        "metadata": {METADATA: {"volume": volume, "kind": kind} | more},
    }
    return np.array(mask, np.uint8), options, "labels"


def geometry(volume: Volume) -> dict[str, Any]:
    """Scale, units and axis labels that every layer of a volume carries: mm once known, else pixels."""
    units = "mm" if volume.spacing else "pixel"
    return {"scale": volume.spacing or (1.0, 1.0, 1.0), "units": (units,) * 3, "axis_labels": AXIS_LABELS}


def contrast_limits(channel: Array) -> tuple[float, float]:
    """Range over the whole volume in which tissue is readable: from the minimum to the head's 99.5th percentile."""
    sample = channel[:, ::2, ::2]
    low = float(sample.min())
    bright = sample[sample > low + 0.05 * (float(sample.max()) - low)]
    high = float(np.percentile(bright, 99.5)) if bright.size else low
    return low, max(high, low + 1e-6)


def volume_of_layer(layer: "Image") -> Volume:
    """Volume that an image layer shows: the case's own, or one made of a plain image.

    Raises
    ------
    ValueError
        If the layer is not (Z, Y, X) grey or (Z, Y, X, 3), or (Y, X) with or without colours.
    """
    if known := layer.metadata.get(METADATA, {}).get("volume"):
        return known
    return volume_of_array(np.asarray(layer.data), layer.name, layer_spacing(layer))


def layer_spacing(layer: "Layer") -> Spacing | None:
    """Voxel size along Z, Y and X in mm if the layer's units are lengths, else None."""
    units = [str(unit) for unit in layer.units]
    millimetres = {"millimeter": 1.0, "micrometer": 1e-3, "centimeter": 10.0, "meter": 1e3}
    if layer.ndim != 3 or not all(unit in millimetres for unit in units):
        return None
    z, y, x = (float(size) * millimetres[unit] for size, unit in zip(layer.scale, units, strict=True))
    return z, y, x


def write_kaggle(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer into a folder, one ``NAME_1_mask.tif`` per slice."""
    return _write(path, data, meta, "kaggle")


def write_tiff(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a TIFF stack with its spacing."""
    return _write(path, data, meta, "tiff")


def write_nifti(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as NIfTI with the position of the images it belongs to."""
    return _write(path, data, meta, "nifti")


def phantom_case() -> list[LayerData]:
    """Sample: a made-up patient with a tumour and its manual mask."""
    case = SAMPLE_CASES[0]
    volume, mask = make_phantom(case.seed, name=case.name)
    return [*image_layers(volume), mask_layer(mask, volume, "manual")]
