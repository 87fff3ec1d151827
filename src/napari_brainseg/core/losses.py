"""The losses, by name. Those with Dice take the whole batch as one volume, so that empty slices do no harm."""

from collections.abc import Callable

import torch
from monai.losses import DiceFocalLoss, DiceLoss, TverskyLoss
from torch import Tensor
from torch.nn import functional

from .config import LossName, TrainConfig

Loss = Callable[[Tensor, Tensor], Tensor]


def create_loss(config: TrainConfig) -> Loss:
    """Return the loss that a configuration names.

    Returns
    -------
    callable
        Takes logits (B, 1, Y, X) and masks of 0 and 1 of the same shape, gives a scalar.
    """
    if config.loss == "tversky":
        missed = config.missed_weight
        tversky: Loss = TverskyLoss(sigmoid=True, batch=True, alpha=1 - missed, beta=missed)
        return tversky
    return _LOSSES[config.loss]


_batch_dice: Loss = DiceLoss(sigmoid=True, batch=True)
_batch_focal_dice: Loss = DiceFocalLoss(sigmoid=True, batch=True)
_cross_entropy: Loss = functional.binary_cross_entropy_with_logits


def _dice_and_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    return _batch_dice(logits, masks) + _cross_entropy(logits, masks)


def _squared_error(logits: Tensor, masks: Tensor) -> Tensor:
    return functional.mse_loss(torch.sigmoid(logits), masks)


_LOSSES: dict[LossName, Loss] = {
    "dice_bce": _dice_and_cross_entropy,
    "dice": _batch_dice,
    "bce": _cross_entropy,
    "focal_dice": _batch_focal_dice,
    "mse": _squared_error,
}
