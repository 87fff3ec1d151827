"""Does a probability mean what it says, and does uncertainty find what is wrong? From histograms of logits.

A histogram (2, B) counts voxels by logit, those that are no tumour first. Its bins are so narrow that all figures are
those of the single voxels to the third digit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from out_of_fold import MOST
from scipy.optimize import minimize_scalar

_WIDTH = 1 / 32
_EDGES = np.arange(-MOST, MOST + _WIDTH / 2, _WIDTH)
_LOGITS = (_EDGES[:-1] + _EDGES[1:]) / 2
BINS = 10


@dataclass(frozen=True)
class Reliability:
    """By bins of equal width of the probability: voxels, their mean probability, and the share that is tumour."""

    voxels: np.ndarray
    probability: np.ndarray
    tumour: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: how far the two are apart, on average over all voxels."""
        return float(np.average(abs(self.probability - self.tumour), weights=self.voxels))

    @property
    def middle_error(self) -> float:
        """The same without the first and the last bin, which hold nearly all voxels."""
        middle = slice(1, -1)
        gap = abs(self.probability - self.tumour)[middle]
        return float(np.average(gap, weights=self.voxels[middle]))


def count_logits(logits: np.ndarray, tumour: np.ndarray) -> np.ndarray:
    """Histogram of some voxels, whose logits are those of `OutOfFold`."""
    return np.stack([np.histogram(logits[tumour == kind], _EDGES)[0] for kind in (False, True)])


def fit_temperature(counts: np.ndarray) -> float:
    """The temperature by which logits have to be divided for the smallest cross-entropy."""
    best = minimize_scalar(lambda log: cross_entropy(scaled(np.exp(log)), counts), bounds=(-3, 3), method="bounded")
    return float(np.exp(best.x))


def scaled(temperature: float) -> np.ndarray:
    """Probability of each bin of a histogram, at a temperature."""
    return 1 / (1 + np.exp(-_LOGITS / temperature))


def cross_entropy(probability: np.ndarray, counts: np.ndarray) -> float:
    """Mean over voxels, in nats."""
    nats = counts[0] * np.log1p(-probability) + counts[1] * np.log(probability)
    return float(-nats.sum() / counts.sum())


def reliability(parts: Iterable[tuple[np.ndarray, float]]) -> Reliability:
    """Reliability of all voxels of some histograms, each of them at a temperature."""
    sums = np.zeros((3, BINS))
    for counts, temperature in parts:
        probability, voxels = scaled(temperature), counts.sum(axis=0)
        places = np.minimum((probability * BINS).astype(int), BINS - 1)
        for total, weights in zip(sums, (voxels, voxels * probability, counts[1]), strict=True):
            total += np.bincount(places, weights, BINS)
    voxels = np.maximum(sums[0], 1)
    return Reliability(sums[0], sums[1] / voxels, sums[2] / voxels)


def rank_errors(counts: np.ndarray) -> tuple[float, float, float] | None:
    """How well the uncertainty of voxels tells the wrong ones: areas under the ROC and the precision-recall curve.

    Entropy falls with the distance of the logit from 0, and wrong is what a threshold of one half gets wrong.

    Returns
    -------
    tuple of float or None
        Both areas, and the share of wrong voxels, which the second is by chance; None where none is wrong.
    """
    called = _LOGITS > 0
    wrong, right = np.where(called, counts[0], counts[1]), np.where(called, counts[1], counts[0])
    distance = (abs(_LOGITS) / _WIDTH).astype(int)
    wrong, right = (np.bincount(distance, values) for values in (wrong, right))  # the most uncertain first
    if not wrong.sum() or not right.sum():
        return None
    found, false = (np.concatenate([[0], np.cumsum(values)]) for values in (wrong, right))
    recall, precision = found / found[-1], found[1:] / np.maximum(found + false, 1)[1:]
    roc = np.trapezoid(recall, false / false[-1])
    return float(roc), float((np.diff(recall) * precision).sum()), float(wrong.sum() / (wrong.sum() + right.sum()))
