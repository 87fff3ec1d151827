"""Which threshold and which rule for small components give the best mean Dice on some cases?"""

from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
from scipy import ndimage

from napari_brainseg import PostprocessConfig

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
SHARES, SIZES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0), (0, 10, 30, 100, 300)
RULES = [
    PostprocessConfig(threshold=threshold, keep_share=share, min_voxels=size)
    for threshold, share, size in product(THRESHOLDS, SHARES, SIZES)
]


def dice_of_rules(probability: np.ndarray, manual: np.ndarray) -> np.ndarray:
    """Dice of a case by each of `RULES`: components are found once for each threshold."""
    return np.array(
        [dice for threshold in THRESHOLDS for dice in _dice_of_components(probability >= threshold, manual)]
    )


def best_rule(cases: Iterable[np.ndarray]) -> PostprocessConfig:
    """The rule with the best mean Dice over cases; of equally good ones that which does least."""
    means = np.mean(list(cases), axis=0).round(4)
    plain = [abs(rule.threshold - 0.5) + rule.keep_share + rule.min_voxels for rule in RULES]
    return RULES[min(range(len(RULES)), key=lambda number: (-means[number], plain[number]))]


def _dice_of_components(mask: np.ndarray, manual: np.ndarray) -> Iterator[float]:
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels[mask], minlength=count + 1)[1:]
    hits = np.bincount(labels[mask & manual], minlength=count + 1)[1:]
    reference, largest = manual.sum(), sizes.max(initial=0)
    for share, size in product(SHARES, SIZES):
        keep = sizes >= max(share * largest, size)
        whole = sizes[keep].sum() + reference
        yield 2 * hits[keep].sum() / whole if whole else 1.0
