"""From a probability to a mask."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .config import PostprocessConfig
from .masks import Mask
from .volumes import Array

_ELLIPSE = np.array([[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool)[
    None
]


def postprocess(probability: Array, config: PostprocessConfig) -> Mask:
    """Threshold a probability, then close gaps, fill holes and drop small components, in this order.

    Parameters
    ----------
    probability : ndarray
        (Z, Y, X), 0 to 1.
    config : PostprocessConfig
        What to do; by default nothing but the threshold.

    Returns
    -------
    ndarray
        (Z, Y, X), 1 is tumour.
    """
    mask = probability >= config.threshold
    if config.closing:
        mask = _closed(mask)
    if config.fill_holes:
        mask = np.stack([ndimage.binary_fill_holes(plane) for plane in mask])
    if config.keep_share or config.min_voxels:
        mask = _without_small(mask, config)
    return mask.astype(np.uint8)


def entropy(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Binary entropy of a probability in bits: 0 where it is 0 or 1, 1 where it is one half."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    bits: npt.NDArray[np.float32] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return bits


def _closed(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Close within slices; padded, since the border would erode the mask otherwise."""
    padded = np.pad(mask, ((0, 0), (2, 2), (2, 2)))
    closed: npt.NDArray[np.bool_] = ndimage.binary_closing(padded, _ELLIPSE)[:, 2:-2, 2:-2]
    return closed


def _without_small(mask: npt.NDArray[np.bool_], config: PostprocessConfig) -> npt.NDArray[np.bool_]:
    labels, count = ndimage.label(mask, ndimage.generate_binary_structure(3, 3))
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    keep = sizes >= max(config.keep_share * sizes.max(), config.min_voxels)
    kept: npt.NDArray[np.bool_] = np.concatenate([[False], keep])[labels]
    return kept
