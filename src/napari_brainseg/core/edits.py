"""Corrections of a mask: each makes a new mask and leaves the one it is given as it is."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .masks import Mask
from .volumes import Array

Point = tuple[int, int, int]
_Tumour = npt.NDArray[np.bool_]

_TOUCHING = ndimage.generate_binary_structure(3, 3)
_EDGES = ndimage.generate_binary_structure(2, 1)[None]
_WINDOW = 5
"""Side of the square that `smooth` looks at."""


def gap_around(mask: Mask, z: int) -> tuple[int, int] | None:
    """Nearest slices with tumour below and above an empty one; None if it is not empty or lies at no gap."""
    _check_slices(mask, z)
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    above = int(np.searchsorted(filled, z))
    if not 0 < above < len(filled) or filled[above] == z:
        return None
    return int(filled[above - 1]), int(filled[above])


def fill_between(mask: Mask, first: int, last: int) -> Mask:
    """Let the tumour of one slice turn into that of another over the slices between them.

    The signed distances to the two outlines are blended, so that an outline between has that share of the way done.
    A tumour that is in one piece in both slices, or that has nothing of its two places in common, moves on a straight
    line from centre to centre meanwhile; otherwise each piece stays where it is, and one without a counterpart tapers.
    What the slices between hold already stays.

    Parameters
    ----------
    mask : ndarray
        (Z, Y, X), above 0 is tumour.
    first, last : int
        Slices that have tumour.

    Returns
    -------
    ndarray
        A new mask.

    Raises
    ------
    ValueError
        If one of the slices has no tumour, or is not there.
    """
    _check_slices(mask, first, last)
    for z in (first, last):
        if not mask[z].any():
            raise ValueError(f"slice {z} has no tumour; it takes two slices that have some")
    first, last = sorted((first, last))
    ends = mask[[first, last]] > 0
    rows, columns = _bounds(ends[0] | ends[1])
    # One voxel of surroundings all around, for there is no distance to what is not there.
    start, end = np.pad(ends[:, rows, columns], ((0, 0), (1, 1), (1, 1)))
    distances = _signed_distance(start), _signed_distance(end)
    way = _way(start, end)
    edited = mask.copy()
    for z in range(first + 1, last):
        share = (z - first) / (last - first)
        blended = (1 - share) * _moved(distances[0], share * way) + share * _moved(distances[1], (share - 1) * way)
        edited[z, rows, columns] |= (blended > 0)[1:-1, 1:-1]
    return edited


def remove_island(mask: Mask, point: Point) -> Mask:
    """Erase the piece of tumour that a voxel belongs to; pieces that touch in a corner are one.

    Parameters
    ----------
    mask : ndarray
        (Z, Y, X), above 0 is tumour.
    point : tuple of int
        Z, Y and X of a voxel of it.

    Returns
    -------
    ndarray
        A new mask.

    Raises
    ------
    ValueError
        If there is no tumour at the point.
    """
    box, island = _island(mask, point)
    edited = mask.copy()
    edited[box][island] = 0
    return edited


def keep_island(mask: Mask, point: Point) -> Mask:
    """Erase all tumour but the piece that a voxel belongs to: see `remove_island`."""
    box, island = _island(mask, point)
    edited = mask.copy()
    edited[box][~island] = 0
    return edited


def smooth(mask: Mask, slices: Sequence[int]) -> Mask:
    """Even out the outline in some slices: a voxel becomes what most of the 5 × 5 around it are.

    Thin spikes and notches and specks of less than 13 voxels vanish; a straight outline stays.
    """
    return _in_slices(mask, slices, _most_around)


def grow(mask: Mask, slices: Sequence[int]) -> Mask:
    """Add the voxels that share an edge with tumour in some slices, within the slice."""
    return _in_slices(mask, slices, lambda planes: ndimage.binary_dilation(planes, _EDGES))


def shrink(mask: Mask, slices: Sequence[int]) -> Mask:
    """Take away the outermost voxels of tumour in some slices; the border of the image is not an outline."""
    return _in_slices(mask, slices, lambda planes: ndimage.binary_erosion(planes, _EDGES, border_value=1))


def copy_slice(mask: Mask, source: int, target: int) -> Mask:
    """Replace one slice by another."""
    _check_slices(mask, source, target)
    edited = mask.copy()
    edited[target] = mask[source]
    return edited


def snap(mask: Mask, before: Mask, probability: Array, minimum: float) -> Mask:
    """Take back what a stroke did against the probability.

    Parameters
    ----------
    mask : ndarray
        (Z, Y, X) after the stroke, above 0 is tumour.
    before : ndarray
        The same before it.
    probability : ndarray
        The same shape, 0 to 1.
    minimum : float
        Voxels that were painted stay if they are at least as probable; those that were erased stay so if they are
        less probable.

    Returns
    -------
    ndarray
        A new mask.
    """
    if not mask.shape == before.shape == probability.shape:
        raise ValueError(
            f"the mask has shape {mask.shape}, before the stroke {before.shape} and the probability "
            f"{probability.shape}; they must be alike"
        )
    painted = mask > 0
    against = (painted != (before > 0)) & (painted != (probability >= minimum))
    return np.where(against, before, mask)


def _in_slices(mask: Mask, slices: Sequence[int], change: Callable[[_Tumour], _Tumour]) -> Mask:
    _check_slices(mask, *slices)
    edited = mask.copy()
    if slices:
        planes = list(slices)
        edited[planes] = change(mask[planes] > 0)
    return edited


def _check_slices(mask: Mask, *slices: int) -> None:
    for z in slices:
        if not 0 <= z < len(mask):
            raise ValueError(f"there is no slice {z}; allowed are 0 to {len(mask) - 1}")


def _most_around(planes: _Tumour) -> _Tumour:
    share: npt.NDArray[np.float32] = ndimage.uniform_filter(planes.astype(np.float32), (1, _WINDOW, _WINDOW))
    return share > 0.5


def _island(mask: Mask, point: Point) -> tuple[tuple[slice, ...], _Tumour]:
    """The box that holds all tumour, and where in it the piece at a point is."""
    inside = all(0 <= place < size for place, size in zip(point, mask.shape, strict=True))
    if not (inside and mask[point]):
        raise ValueError(f"there is no tumour at z = {point[0]}, y = {point[1]}, x = {point[2]}")
    box = _bounds(mask > 0)
    labels, _ = ndimage.label(mask[box], _TOUCHING)
    island: _Tumour = labels == labels[tuple(place - part.start for place, part in zip(point, box, strict=True))]
    return box, island


def _bounds(tumour: _Tumour) -> tuple[slice, ...]:
    """The smallest box around it: what lies outside takes long to look at."""
    axes = range(tumour.ndim)
    filled = (np.flatnonzero(tumour.any(axis=tuple(other for other in axes if other != axis))) for axis in axes)
    return tuple(slice(int(places[0]), int(places[-1]) + 1) for places in filled)


def _signed_distance(plane: _Tumour) -> npt.NDArray[np.float64]:
    """How deep each voxel lies within the outline; below 0 outside."""
    inside, outside = (ndimage.distance_transform_edt(part) for part in (plane, ~plane))
    distance: npt.NDArray[np.float64] = inside - outside
    return distance


def _way(start: _Tumour, end: _Tumour) -> npt.NDArray[np.float64]:
    """From the centre of one plane's tumour to the other's, or none at all where its pieces had better stay."""
    in_one_piece = all(ndimage.label(plane, _TOUCHING[1])[1] == 1 for plane in (start, end))
    if not in_one_piece and np.any(start & end):
        return np.zeros(2)
    way: npt.NDArray[np.float64] = np.subtract(ndimage.center_of_mass(end), ndimage.center_of_mass(start))
    return way


def _moved(distance: npt.NDArray[np.float64], way: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    moved: npt.NDArray[np.float64] = ndimage.shift(distance, way, order=1, mode="nearest")
    return moved
