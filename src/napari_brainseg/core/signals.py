"""What speaks for and against a prediction, slice by slice, as far as one can tell without knowing the truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .masks import slice_areas
from .postprocessing import entropy
from .volumes import Array, Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class SliceSignals:
    """What is known of each slice of a case, arrays of length Z; all but `entropy` count voxels.

    Attributes
    ----------
    slice_numbers : tuple of int
        As in the names of the files.
    area : ndarray
        Voxels of the prediction.
    expected_wrong : ndarray
        Voxels that are wrong if the probability is right.
    entropy : ndarray
        Sum of the binary entropy, in bits.
    flip : ndarray
        How much the probability differs from that of the mirrored volume; 0 where nobody looked.
    jump : ndarray
        How much more the probability differs from the slice below than it usually does in this case.
    manual : ndarray or None
        Voxels where the prediction differs from a mask that is there already, None without one.
    """

    slice_numbers: tuple[int, ...]
    area: npt.NDArray[np.intp]
    expected_wrong: Float64Array
    entropy: Float64Array
    flip: Float64Array
    jump: Float64Array
    manual: npt.NDArray[np.intp] | None = None


def find_signals(
    probability: Array,
    mask: Array,
    slice_numbers: tuple[int, ...],
    *,
    mirrored: Array | None = None,
    manual: Array | None = None,
    known: Array | None = None,
) -> SliceSignals:
    """What a prediction tells of each of its slices.

    Parameters
    ----------
    probability, mask : ndarray
        (Z, Y, X), what a model says of a case, and what was made of it.
    slice_numbers : tuple of int
        As in the names of the files.
    mirrored : ndarray, optional
        Probability found in the mirrored volume, mirrored back.
    manual : ndarray, optional
        A mask that is there already.
    known : ndarray, optional
        (Z,) bool, of which slices it says something; of all if not given.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    shapes = [array.shape for array in (probability, mask, mirrored, manual) if array is not None]
    if len({*shapes, (len(slice_numbers), *probability.shape[1:])}) > 1:
        raise ValueError(f"{len(slice_numbers)} slices have arrays of shapes {', '.join(map(str, shapes))}")
    return SliceSignals(
        slice_numbers=slice_numbers,
        area=slice_areas(mask),
        expected_wrong=_sums(np.minimum(probability, 1 - probability)),
        entropy=_sums(entropy(probability)),
        flip=np.zeros(len(mask)) if mirrored is None else _sums(np.abs(probability - mirrored)),
        jump=_jumps(probability, mask),
        manual=None if manual is None else slice_areas((mask > 0) != (manual > 0)) * (known is None or known),
    )


def _sums(array: Array) -> Float64Array:
    sums: Float64Array = array.sum(axis=(1, 2), dtype=np.float64)
    return sums


def _jumps(probability: Array, mask: Array) -> Float64Array:
    """Steps between slices beyond the median of those at the tumour."""
    steps = np.concatenate([[0.0], _sums(np.abs(np.diff(probability, axis=0)))])
    has_tumour = slice_areas(mask) > 0
    at_tumour = steps[1:][has_tumour[1:] | has_tumour[:-1]]
    jumps: Float64Array = np.clip(steps - (np.median(at_tumour) if at_tumour.size else 0.0), 0, None)
    return jumps
