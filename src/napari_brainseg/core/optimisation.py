"""One step of training: the gradient of the loss in the memory there is, and the running average of the weights."""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .config import ModelConfig, TrainConfig
from .devices import Device, free_memory, is_out_of_memory
from .distribution import Team
from .losses import create_loss
from .networks import SpaceToDepth, freeze_encoder


class TrainingStep:
    """Teaches a network some slices, a batch at a time, and keeps going when memory runs out: with smaller batches.

    The gradient stays that of all slices; only batch normalisation and the Dice loss see each batch alone, but all of
    it in a team. Weights that need no gradient are left as they are.

    Parameters
    ----------
    network : SpaceToDepth
        On the device.
    config : TrainConfig
        Loss, optimiser, batch size, accumulation, clipping.
    device : Device
        Where to compute.
    tell : callable
        Called with a sentence for a person when the batch has to be divided.
    team : Team
        The processes that share each step.

    Attributes
    ----------
    network : SpaceToDepth
        The network.
    optimizer : torch.optim.Optimizer
        The one that the configuration names.
    scaler : torch.amp.GradScaler
        Keeps small gradients alive in float16; does nothing elsewhere.
    at_once : int
        Slices sent through the network together now.
    """

    def __init__(
        self,
        network: SpaceToDepth,
        config: TrainConfig,
        device: Device,
        tell: Callable[[str], None],
        team: Team = Team(),  # noqa: B008 - frozen
    ) -> None:
        self.network = network
        self._synchronised = team.synchronised(network, device)
        self._team = team
        self.optimizer = create_optimizer(network, config)
        self.scaler = torch.amp.GradScaler(device.name, enabled=device.dtype == torch.float16)
        self.at_once = config.batch_size // team.size
        self._weights = list(network.parameters())
        self._loss = create_loss(config)
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
        images, masks = (tensor.to(self._device.name) for tensor in (images, masks))
        while True:
            try:
                losses = self._find_gradient(images, masks)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._use_less()  # outside, where the error no longer holds on to tensors
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._weights, self._config.clip_norm or math.inf)
        loss = sum(map(float, losses))  # only now, for it waits for the GPU
        is_finite = self.scaler.is_enabled() or bool(torch.isfinite(norm))  # the scaler passes over a step of too much
        if not math.isfinite(loss) or not is_finite:
            raise ValueError(
                f"the loss became NaN at a learning rate of {rate:.3g}: train anew with a lower one into another folder"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _find_gradient(self, images: Tensor, masks: Tensor) -> list[Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for part, part_masks in zip(images.split(self.at_once), masks.split(self.at_once), strict=True):
            with self._device.autocast():
                logits = self._synchronised(part.contiguous(memory_format=self.network.memory_format))
            logits, part_masks = self._team.whole(logits.float()), self._team.whole(part_masks)
            loss = self._loss(logits, part_masks) * (len(part) / len(images))
            self.scaler.scale(loss).backward()
            losses.append(loss.detach())
        return losses

    def _use_less(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        free_memory()
        if self._team.size > 1:  # the others wait for gradients that do not come
            raise MemoryError(
                f"not enough memory on the {self._device.name} for {self.at_once} slices, the share of one process: "
                "train anew with a smaller batch, or resume where there is more"
            )
        if self.at_once == 1:
            raise MemoryError(
                f"not enough memory on the {self._device.name} to train on even one slice: choose a smaller window or "
                "network, or resume where there is more"
            )
        self.at_once //= 2
        self._tell(
            f"out of memory on the {self._device.name}: each step takes its {self._config.step_slices} slices "
            f"{self.at_once} at a time"
        )


def prepare_step(
    network: SpaceToDepth,
    model: ModelConfig,
    config: TrainConfig,
    device: Device,
    tell: Callable[[str], None],
    team: Team = Team(),  # noqa: B008 - frozen
) -> tuple[TrainingStep, SpaceToDepth]:
    """Bring a network to the device, freeze what is not to change, and return its step and a copy to average into."""
    network.to(device.name)
    network.to(memory_format=network.memory_format)  # type: ignore[call-overload]
    freeze_encoder(network, model)
    averaged = copy.deepcopy(network)
    return TrainingStep(network, config, device, tell, team), averaged


def create_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser that a configuration names, for the weights that need a gradient."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate, decay = config.learning_rate, config.weight_decay
    fused = any(weight.is_cuda for weight in weights) or None  # on the CPU it goes on otherwise from a checkpoint
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(weights, rate, weight_decay=decay, fused=fused)
        case "adam":
            return torch.optim.Adam(weights, rate, weight_decay=decay, fused=fused)
        case "sgd":
            return torch.optim.SGD(weights, rate, config.momentum, weight_decay=decay, nesterov=config.momentum > 0)


@torch.no_grad()
def average_weights(averaged: Sequence[Tensor], weights: Sequence[Tensor], decay: float) -> None:
    """Move a running average towards the weights; whole numbers are taken as they are."""
    pairs = list(zip(averaged, weights, strict=True))
    fractions = [pair for pair in pairs if pair[0].is_floating_point()]
    counts = [pair for pair in pairs if not pair[0].is_floating_point()]
    # on a GPU a single call for all of them
    torch._foreach_lerp_([mean for mean, _ in fractions], [value for _, value in fractions], 1 - decay)
    for mean, value in counts:
        mean.copy_(value)
