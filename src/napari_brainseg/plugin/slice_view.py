"""Which slice of a layer the viewer shows, how to get to another one, and whether layers lie on each other."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def slice_in_view(viewer: "ViewerModel", layer: "Layer | None") -> int:
    """Position along Z of the slice that the viewer shows of a layer, or of the one nearest to it; 0 if it is flat."""
    if layer is None or layer.ndim < 3:
        return 0
    position = layer.world_to_data(viewer.dims.point[-layer.ndim :])[0]
    return int(np.clip(round(float(position)), 0, len(layer.data) - 1))


def why_not_in_view(viewer: "ViewerModel", layer: "Layer | None") -> str:
    """Why the viewer shows no single slice of a layer along Z, as a sentence; empty if it does."""
    dims = viewer.dims
    is_along_z = layer is None or layer.ndim < 3 or dims.ndim - layer.ndim not in dims.displayed
    return "" if dims.ndisplay == 2 and is_along_z else "Go back to the view of slices along Z first."


def go_to_slice(viewer: "ViewerModel", layer: "Layer | None", z: int) -> None:
    """Show the slice of a layer at a position along Z; of a flat one it is shown anyway."""
    if layer is not None and layer.ndim > 2:
        depth = layer.data_to_world((z, *(0 for _ in range(layer.ndim - 1))))[0]
        viewer.dims.set_point(viewer.dims.ndim - layer.ndim, depth)


def why_apart(one: "Layer", other: "Layer", names: tuple[str, str]) -> str | None:
    """Why two layers of one shape do not lie on each other, calling them by these names; None if they do."""
    ours, its = (tuple(round(float(size), 6) for size in layer.scale) for layer in (one, other))
    if not np.allclose(ours, its):
        return f"{names[0]} has scale {ours}, but {names[1]} has {its}: they must lie on each other"
    corners = np.array([(0,) * one.ndim, one.data.shape[: one.ndim]])
    if not all(np.allclose(one.data_to_world(corner), other.data_to_world(corner)) for corner in corners):
        return f"{names[0]} lies elsewhere than {names[1]}: they must lie on each other"
    return None
