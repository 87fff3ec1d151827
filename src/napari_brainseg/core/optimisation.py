"""One step of training: the loss, its gradient in the memory there is, and the learning rate."""

import math
from collections.abc import Callable

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from .config import TrainConfig
from .devices import Device, free_memory, is_out_of_memory
from .networks import read_weights

_WARM_UP = 0.3
"""Share of the steps in which the one-cycle schedule rises."""


class TrainingStep:
    """Teaches a network one batch, and keeps going when memory runs out: with a part of the batch at a time.

    The gradient stays that of the whole batch; only batch normalisation and the Dice loss see each part alone.

    Parameters
    ----------
    network : nn.Module
        On the device.
    config : TrainConfig
        Batch size, weight decay, clipping.
    device : Device
        Where to compute.
    tell : callable
        Called with a sentence for a person when the batch has to be divided.

    Attributes
    ----------
    optimizer : torch.optim.Optimizer
        AdamW.
    at_once : int
        Slices sent through the network together now.
    """

    def __init__(self, network: nn.Module, config: TrainConfig, device: Device, tell: Callable[[str], None]) -> None:
        self.optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
        self.at_once = config.batch_size
        self._network = network
        self._config = config
        self._device = device
        self._tell = tell

    def __call__(self, images: Tensor, masks: Tensor, rate: float) -> float:
        """Take a step at a learning rate and return the loss.

        Raises
        ------
        ValueError
            If the loss or its gradient is NaN or infinite; no step is taken then.
        MemoryError
            If there is not enough for a single slice.
        """
        while True:
            try:
                loss = self._find_gradient(images, masks)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._use_less()  # outside, where the error no longer holds on to tensors
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), self._config.clip_norm)
        if not math.isfinite(loss) or not torch.isfinite(norm):
            raise ValueError(
                f"the loss became NaN at a learning rate of {rate:.3g}: train anew with a lower one into another folder"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return loss

    def _find_gradient(self, images: Tensor, masks: Tensor) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        whole = 0.0
        for part, part_masks in zip(images.split(self.at_once), masks.split(self.at_once), strict=True):
            with self._device.autocast():
                logits = self._network(part.contiguous(memory_format=torch.channels_last))
            loss = batch_loss(logits.float(), part_masks) * (len(part) / len(images))
            loss.backward()
            whole += float(loss.detach())
        return whole

    def _use_less(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        free_memory()
        if self.at_once == 1:
            raise MemoryError(
                f"not enough memory on the {self._device.name} to train on even one slice: choose a smaller window or "
                "network, or resume where there is more"
            )
        self.at_once //= 2
        self._tell(
            f"out of memory on the {self._device.name}: each step takes its {self._config.batch_size} slices "
            f"{self.at_once} at a time"
        )


def batch_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Dice of the whole batch, where empty slices do no harm, plus binary cross-entropy."""
    dice: Tensor = DiceLoss(sigmoid=True, batch=True)(logits, masks)
    return dice + functional.binary_cross_entropy_with_logits(logits, masks)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Rate at a step: one-cycle rises to the highest rate and falls (Smith 2018), cosine only falls."""
    peak = config.learning_rate
    rise = _WARM_UP * steps if config.schedule == "one-cycle" else 0
    if step < rise:
        return _cosine(peak / 25, peak, step / rise)
    return _cosine(peak, peak / 10_000, (step - rise) / max(steps - 1 - rise, 1))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


@torch.no_grad()
def average_weights(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the running average towards the network's weights."""
    for mean, value in zip(read_weights(averaged).values(), read_weights(network).values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
