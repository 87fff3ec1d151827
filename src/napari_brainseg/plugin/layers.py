"""Between volumes and napari's layers: reader, writers, sample data."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import colours
from ..core.cases import Case, find_cases, find_masks
from ..core.config import CHANNELS, FLAIR
from ..core.masks import largest_slice, read_mask, read_truth, write_mask, write_mask_file
from ..core.phantom import SAMPLE_CASES, make_phantom, write_phantom_cases
from ..core.tiffs import is_stack
from ..core.volumes import Array, Spacing, Volume, read_volume, tissue_range
from .layer_metadata import METADATA, Role, notes, role_of, volume_of
from .slice_view import go_to_slice

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

LayerData = tuple[Any, dict[str, Any], str]

COLOURS: dict[Role, str] = {
    "manual": colours.MANUAL,
    "prediction": colours.PREDICTION,
    "correction": colours.CORRECTION,
    "mask": colours.OTHER,
}
"""Of masks."""

AXIS_LABELS = ("z", "y", "x")

SUFFIXES = (".tif", ".tiff", ".nii", ".nii.gz")
"""Of files that hold a case or a mask."""

_LOOKED_AT = 10_000
"""Files and folders in which images are looked for."""

given_sizes: dict[Path, Spacing] = {}
"""Voxel sizes that a person gave in this session, by the place of the case: its files are not written to."""


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], Sequence[Any]] | None:
    """Reader of a case folder, a TIFF stack, a NIfTI case, a mask or a folder of cases; None for everything else.

    Parameters
    ----------
    path : str or sequence of str
        What napari was asked to open: one path, or several that it opens as a stack, which a case is not.
    """
    if not isinstance(path, str):
        return None
    if _case_at(Path(path)):
        return read_layers
    return list_cases if _may_hold_cases(Path(path)) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Layers of the one case at a path: three sequences, and the manual mask if there is one; or of a mask alone."""
    case = _case_at(Path(str(path)))
    if case is None:
        raise ValueError(f"{path} is not one case; open a folder of cases in the Cases tab")
    return _awaited(case_layers(case))


def list_cases(path: str | Sequence[str]) -> list[tuple[None]]:
    """Let the Cases tab list a folder of cases; it holds no layers itself."""
    viewer = _current_viewer()
    if viewer is None:
        raise ValueError(f"{path} holds cases; open one of them")
    from qtpy.QtCore import QTimer

    from .tabs import show_tab

    QTimer.singleShot(0, lambda: show_tab(viewer, "Cases").open_folder(str(path)))  # a reader leaves the window alone
    return [(None,)]  # as napari has it: read, and nothing to show


def _may_hold_cases(folder: Path) -> bool:
    """Whether there are images in a folder, or not far below it; only so much of a whole disk is looked at."""
    try:
        found = chain(folder.iterdir(), folder.glob("*/*"), folder.glob("*/*/*"))
        return any(file.name.lower().endswith(SUFFIXES) for file in islice(found, _LOOKED_AT))
    except OSError:
        return False


def _case_at(path: Path) -> Case | None:
    """The case or mask at a path: none in a data set of many, in a single photograph, or in one slice of a case."""
    try:
        if path.is_dir() and not any(file.name.lower().endswith(SUFFIXES) for file in path.iterdir()):
            return None  # spares walking through a whole disk
        cases = find_cases(path)
    except (ValueError, OSError):
        return _mask_at(path)
    if len(cases) != 1 or (path.is_file() and cases[0].layout == "slices"):
        return None
    case = cases[0]
    if not case.images:
        return _mask_at(path) or case
    return None if case.layout == "stack" and not is_stack(case.images[0]) else case


def _mask_at(path: Path) -> Case | None:
    """The mask that a path is, without the images that may lie beside it: a case whose images are that mask."""
    try:
        case, *more = find_masks(path)
    except (ValueError, OSError):
        return None
    if more or case.error or (path.is_file() and case.layout == "slices"):
        return None
    return replace(case, images=tuple(filter(None, case.masks)), channels=())


def _current_viewer() -> "napari.Viewer | None":
    import napari

    return napari.current_viewer()


def case_layers(case: Case) -> list[LayerData]:
    """Layers of a case, read from disk; of a mask alone, one.

    Raises
    ------
    ValueError
        If a file of it cannot be used; the message names it.
    """
    volume = read_volume(case)
    alone = not case.has_truth and not case.channels and case.layout != "slices"
    if case.images == case.masks or (alone and volume.holds_mask):
        mask = read_mask(replace(case, masks=case.images), volume)
        assert mask is not None
        return [mask_layer(mask, volume, "mask")]
    truth = read_truth(case, volume)  # before a size is given, which the file of the mask does not say
    if volume.source in given_sizes:
        volume = volume.with_spacing(given_sizes[volume.source])
    layers = image_layers(volume)
    return [*layers, mask_layer(truth.mask, volume, "manual", known=truth.known)] if truth.known.any() else layers


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
                "contrast_limits": tissue_range(channel),
                "visible": name == FLAIR,
                "metadata": {METADATA: {"volume": volume, "kind": "image", "channel": name}},
            },
            "image",
        )
        for name in order
    ]


def mask_layer(mask: Array, volume: Volume, role: Role, **more: Any) -> LayerData:
    """Labels layer in the colour of its role; `outline` makes it one, once it is there.

    Parameters
    ----------
    mask : ndarray
        (Z, Y, X), 1 is tumour.
    volume : Volume
        What it belongs to.
    role : {"manual", "prediction", "correction", "mask"}
        Decides name and colour.
    **more
        What else is noted on the layer.
    """
    from napari.utils.colormaps import direct_colormap

    options = geometry(volume) | {
        "name": f"{volume.name} {role}",
        "colormap": direct_colormap({0: "transparent", None: COLOURS[role]}),
        "opacity": 0.9,
        "metadata": {METADATA: {"volume": volume, "kind": role, "original": mask, **more}},
    }
    return np.array(mask, np.uint8), options, "labels"


def outline(layer: "Layer") -> None:
    """Show a mask of ours as an outline; where a layer is only described, napari takes no contour."""
    if hasattr(layer, "contour") and role_of(layer):
        layer.contour = 2


def _awaited(layers: list[LayerData]) -> list[LayerData]:
    """Return layers for napari to add; their mask, which is the last, is then outlined and its tumour gone to, once."""
    viewer, (_, options, kind) = _current_viewer(), layers[-1]
    volume = notes(options["metadata"])["volume"]

    def arrive(event: Any) -> None:
        layer = event.value
        if viewer and volume_of(layer) is volume and role_of(layer):
            viewer.layers.events.inserted.disconnect(arrive)
            outline(layer)
            if layer.data.any():
                go_to_slice(viewer, layer, largest_slice(layer.data))

    if viewer and kind == "labels":
        viewer.layers.events.inserted.connect(arrive)
    return layers


def geometry(volume: Volume) -> dict[str, Any]:
    """Scale, units and axis labels that every layer of a volume carries: mm once known, else pixels."""
    units = "mm" if volume.spacing else "pixel"
    return {"scale": volume.spacing or (1.0, 1.0, 1.0), "units": (units,) * 3, "axis_labels": AXIS_LABELS}


def layer_spacing(layer: "Layer") -> Spacing | None:
    """Voxel size along Z, Y and X in mm if the layer's units are lengths, else None."""
    return _spacing(layer.scale, layer.units)


def _spacing(scale: Sequence[float], units: Sequence[Any]) -> Spacing | None:
    millimetres = {"millimeter": 1.0, "micrometer": 1e-3, "centimeter": 10.0, "meter": 1e3}
    names = [str(unit) for unit in units]
    if len(scale) != 3 or not all(name in millimetres for name in names):
        return None
    z, y, x = (float(size) * millimetres[name] for size, name in zip(scale, names, strict=True))
    return z, y, x


def write_kaggle(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer into a folder, one ``NAME_1_mask.tif`` per slice; existing files are never replaced."""
    mask, volume = _mask_and_volume(data, meta)
    return [str(file) for file in write_mask(mask, path, volume)]


def write_file(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a TIFF stack or NIfTI file with its spacing, and with its position where it is known."""
    mask, volume = _mask_and_volume(data, meta)
    return [str(write_mask_file(mask, path, volume))]


def _mask_and_volume(data: Any, meta: dict[str, Any]) -> tuple[Array, Volume]:
    """Mask (Z, Y, X), and the volume it belongs to: the case's own, or one made of what the layer says."""
    mask = np.asarray(data)
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3:
        raise ValueError(f"the layer {meta['name']} has shape {mask.shape}; allowed are (Z, Y, X) and (Y, X)")
    ours = notes(meta.get("metadata", {}))
    if not ours and len(labels := np.unique(mask[mask > 0])) > 1:
        shown = ", ".join(map(str, labels[:4])) + (", ..." if len(labels) > 4 else "")
        raise ValueError(f"the layer {meta['name']} holds the labels {shown}; a mask holds one, so merge them first")
    known = ours.get("volume")
    spacing = _spacing(meta.get("scale", ()), meta.get("units", ()))
    if known is None or known.shape != mask.shape:
        numbers = tuple(range(1, len(mask) + 1))
        return mask, Volume(mask, meta["name"], spacing, "user" if spacing else "unknown", slice_numbers=numbers)
    return mask, known.with_spacing(spacing) if spacing and not known.spacing else known


def phantom_case() -> list[LayerData]:
    """Sample: a made-up patient with a tumour and its manual mask."""
    case = SAMPLE_CASES[0]
    volume, mask = make_phantom(case.seed, name=case.name)
    return _awaited([*image_layers(volume), mask_layer(mask, volume, "manual")])


def phantom_data_set() -> list[LayerData]:
    """Sample: made-up patients in a folder; the Cases tab lists them, and the first one is opened."""
    first = write_phantom_cases(sample_folder(), SAMPLE_CASES[:1])[0]
    if viewer := _current_viewer():
        from .tabs import show_tab

        show_tab(viewer, "Cases").open_sample()  # which writes the others without holding up the window
    return read_layers(str(first))


def sample_folder() -> Path:
    """Where the sample data set of this user lies, or will."""
    from qtpy.QtCore import QStandardPaths

    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericDataLocation)
    return Path(place) / "napari-brainseg" / "sample"
