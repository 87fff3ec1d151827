"""Checkpoints: everything that the next step depends on, in one file that is replaced in one move."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Generator, Tensor, nn

from .files import atomic_path
from .networks import read_weights, write_weights
from .optimisation import TrainingStep
from .runs import BEST_FILE, CHECKPOINT_FILE, KEPT_FOLDER
from .settings import Settings


class Checkpoint(Settings):
    """What a checkpoint says beside its tensors; as it is here before the first step.

    Everything drawn at random comes from one generator, which begins each epoch with a seed of its own.
    """

    epoch: int = 0
    losses: tuple[float, ...] = ()
    """Of the steps that were taken in the epoch at hand."""

    seconds: float = 0.0
    at_once: int | None = None
    notes: tuple[str, ...] = ()
    dice: Mapping[int, float] = {}
    """Mean validation Dice by epoch."""

    parent_dice: Mapping[str, float] | None = None
    scaler: Mapping[str, int | float] = {}
    truth: str = ""
    """See `digest_of_truth`."""


def save_checkpoint(folder: Path, state: Checkpoint, averaged: nn.Module, teach: TrainingStep, drawn: Tensor) -> None:
    """Write the network, its average, the optimiser and the state of the random generator after the last batch."""
    tensors = {f"network.{name}": tensor for name, tensor in read_weights(teach.network).items()}
    tensors |= {f"averaged.{name}": tensor for name, tensor in read_weights(averaged).items()}
    for number, values in teach.optimizer.state_dict()["state"].items():
        known = {name: value for name, value in values.items() if value is not None}
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in known.items()}
    if state.losses:
        tensors["random.generator"] = drawn
    state = state.model_copy(update={"at_once": teach.at_once, "scaler": teach.scaler.state_dict()})
    _write(folder / CHECKPOINT_FILE, tensors, {"state": state.model_dump_json()})


def load_checkpoint(folder: Path, averaged: nn.Module, teach: TrainingStep, generator: Generator) -> Checkpoint:
    """Read what `save_checkpoint` wrote; nothing changes where a run was stopped before there was anything to save.

    Raises
    ------
    ValueError
        If the file is damaged, or no checkpoint of this network.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return Checkpoint()
    try:
        return _load(path, averaged, teach, generator)
    except (SafetensorError, ValueError, LookupError) as error:
        raise ValueError(f"{path} is damaged: the run cannot be resumed, train anew into another folder") from error


def _load(path: Path, averaged: nn.Module, teach: TrainingStep, generator: Generator) -> Checkpoint:
    with safe_open(path, "pt") as file:
        state = Checkpoint.model_validate_json((file.metadata() or {})["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "averaged": {}, "optimizer": {}, "random": {}}
    for name, tensor in tensors.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    write_weights(teach.network, parts["network"])
    write_weights(averaged, parts["averaged"])
    weights = [parameter for group in teach.optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        number, key = name.split(".")
        states.setdefault(int(number), {})[key] = _laid_out_as(weights[int(number)], tensor)
    groups = teach.optimizer.state_dict()["param_groups"]
    teach.optimizer.load_state_dict({"state": states, "param_groups": groups})
    if state.scaler:
        teach.scaler.load_state_dict(dict(state.scaler))
    if state.losses:
        generator.set_state(parts["random"]["generator"])
    teach.at_once = min(state.at_once or teach.at_once, teach.at_once)
    return state


def save_best(folder: Path, network: nn.Module) -> None:
    """Write the weights with the best validation Dice so far."""
    _write(folder / BEST_FILE, read_weights(network))


def load_best(folder: Path, network: nn.Module) -> None:
    """Put the best weights into a network.

    Raises
    ------
    ValueError
        If the file is not there any more, is damaged, or holds no weights of this network.
    """
    path = folder / BEST_FILE
    try:
        write_weights(network, load_file(path))
    except (FileNotFoundError, SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is gone or damaged: the weights with the best Dice are lost, train anew into another folder"
        ) from error


def keep_weights(folder: Path, network: nn.Module, epoch: int) -> None:
    """Write the weights of an epoch into a folder where they stay."""
    (folder / KEPT_FOLDER).mkdir(exist_ok=True)
    _write(folder / KEPT_FOLDER / f"epoch_{epoch:04d}.safetensors", read_weights(network))


def _laid_out_as(weight: Tensor, tensor: Tensor) -> Tensor:
    """The same values in the same order in memory as the weight's, which is how the optimiser made them."""
    return torch.empty_like(weight, device="cpu").copy_(tensor) if tensor.shape == weight.shape else tensor


def _write(path: Path, tensors: Mapping[str, Tensor], about: dict[str, str] | None = None) -> None:
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, about)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
