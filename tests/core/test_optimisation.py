"""One step of training, also where memory is short."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_brainseg.core import optimisation
from napari_brainseg.core.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from napari_brainseg.core.config import TrainConfig
from napari_brainseg.core.devices import Device, choose_device
from napari_brainseg.core.networks import read_weights
from napari_brainseg.core.optimisation import TrainingStep, average_weights, create_optimizer

CPU = choose_device("cpu")


class Hungry(nn.Module):
    """One convolution that runs out of memory when it gets more slices than `most`."""

    memory_format = torch.channels_last

    def __init__(self, most: int, message: str = "CUDA out of memory. Tried to allocate 2.00 GiB") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 1, 3, padding=1)
        self.most, self.message = most, message
        self.tried: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.tried.append(len(images))
        if len(images) > self.most:
            raise RuntimeError(self.message)
        logits: Tensor = self.convolution(images)
        return logits


def batch(count: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 3, 8, 8), (torch.rand(count, 1, 8, 8) > 0.7).float()


def step(network: nn.Module, count: int, told: list[str] | None = None, **settings: Any) -> TrainingStep:
    config = TrainConfig(**{"batch_size": count, **settings})
    return TrainingStep(network, config, CPU, [].append if told is None else told.append)


# Memory


@pytest.mark.parametrize("most", [4, 3, 1])
def test_step_in_parts_is_that_of_the_whole_batch(most: int) -> None:
    """But for the Dice loss, which sees each part alone."""
    plenty, little = Hungry(most=7), Hungry(most)
    losses = [step(network, 7, loss="bce")(*batch(7), 0.01) for network in (plenty, little)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)  # bfloat16 where the CPU has it
    assert max(little.tried[-3:]) <= most
    for name, weights in read_weights(little).items():
        torch.testing.assert_close(weights, read_weights(plenty)[name], rtol=0, atol=1e-4)
        assert not torch.equal(weights, read_weights(Hungry(7))[name])


def test_want_of_memory_is_told_and_remembered() -> None:
    told: list[str] = []
    network = Hungry(most=2)
    teach = step(network, 8, told)
    teach(*batch(8), 0.01)
    teach(*batch(8), 0.01)
    assert network.tried == [8, 4, *[2] * 8]  # what failed is not tried again
    assert teach.at_once == 2
    assert told == [
        "out of memory on the cpu: each step takes its 8 slices 4 at a time",
        "out of memory on the cpu: each step takes its 8 slices 2 at a time",
    ]


def test_too_little_memory_for_one_slice_is_an_error() -> None:
    network = Hungry(most=0)
    with pytest.raises(MemoryError, match="not enough memory on the cpu to train on even one slice: choose a smaller"):
        step(network, 4)(*batch(4), 0.01)
    assert network.tried == [4, 2, 1]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    network = Hungry(most=0, message="shape mismatch")
    with pytest.raises(RuntimeError, match="shape mismatch"):
        step(network, 4)(*batch(4), 0.01)
    assert network.tried == [4]


# Figures that cannot be


def gradient_of_nan(logits: Tensor, _: Tensor) -> Tensor:
    return (logits.sum() * 0).sqrt()


def loss_of_nan(logits: Tensor, _: Tensor) -> Tensor:
    return logits.sum() * torch.nan


@pytest.mark.parametrize("loss", [gradient_of_nan, loss_of_nan])
def test_nan_is_refused_before_it_reaches_the_weights(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimisation, "create_loss", lambda _: loss)
    network = Hungry(most=4)
    with pytest.raises(ValueError, match=r"the loss became NaN at a learning rate of 0\.01: train anew with a lower"):
        step(network, 4)(*batch(4), 0.01)
    for name, weights in read_weights(network).items():
        assert torch.equal(weights, read_weights(Hungry(4))[name])


# Rate, optimiser, average


def test_step_uses_the_rate_it_is_given() -> None:
    network = Hungry(most=4)
    before = copy.deepcopy(network)
    teach = step(network, 4)
    teach(*batch(4), 0.0)
    assert all(torch.equal(weights, read_weights(before)[name]) for name, weights in read_weights(network).items())
    teach(*batch(4), 0.01)
    change = (network.convolution.weight - before.convolution.weight).detach().abs().max()
    assert float(change) == pytest.approx(0.01, rel=0.3)


def test_average_moves_by_the_share_it_is_given() -> None:
    mean, network = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    with torch.no_grad():
        network.weight.fill_(3)
        assert network.num_batches_tracked is not None
        network.num_batches_tracked.fill_(7)
    average_weights(list(read_weights(mean).values()), list(read_weights(network).values()), 0.75)
    assert mean.weight.item() == pytest.approx(1.5)
    assert mean.num_batches_tracked == 7


def test_accumulated_batches_are_one_step() -> None:
    """Three batches of two slices teach what one of six does, and the network never sees more than two."""
    at_once, in_turn = Hungry(most=6), Hungry(most=6)
    step(at_once, 6, loss="bce")(*batch(6), 0.01)
    step(in_turn, 2, loss="bce", accumulate=3)(*batch(6), 0.01)
    assert in_turn.tried == [2, 2, 2]
    torch.testing.assert_close(in_turn.convolution.weight, at_once.convolution.weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimiser_is_the_one_named_and_moves_the_weights(name: Any, kind: type[torch.optim.Optimizer]) -> None:
    network = Hungry(most=4)
    before = copy.deepcopy(network)
    teach = step(network, 4, optimizer=name, momentum=0.7, weight_decay=0.3)
    assert type(teach.optimizer) is kind
    assert teach.optimizer.param_groups[0]["weight_decay"] == 0.3
    assert teach.optimizer.param_groups[0].get("momentum", 0.7) == 0.7
    teach(*batch(4), 0.01)
    assert not torch.equal(network.convolution.weight, before.convolution.weight)


def test_frozen_weights_are_left_alone() -> None:
    network = Hungry(most=4)
    network.convolution.bias.requires_grad_(False)  # type: ignore[union-attr]
    assert [len(group["params"]) for group in create_optimizer(network, TrainConfig()).param_groups] == [1]
    step(network, 4)(*batch(4), 0.01)
    assert torch.equal(network.convolution.bias, Hungry(4).convolution.bias)  # type: ignore[arg-type]
    assert not torch.equal(network.convolution.weight, Hungry(4).convolution.weight)


@pytest.mark.parametrize(("clip", "largest"), [(0.001, 0.001), (0.0, float("inf"))])
def test_gradient_is_clipped_unless_the_limit_is_0(clip: float, largest: float) -> None:
    network = Hungry(most=4)
    step(network, 4, clip_norm=clip, optimizer="sgd")(*batch(4), 0.01)
    norm = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).norm()
    assert 0 < float(norm) <= largest * 1.01
    assert float(norm) > 0.01 or clip


def test_optimiser_goes_on_with_its_figures_laid_out_as_the_weights(tmp_path: Path) -> None:
    """Otherwise PyTorch would update them one by one, or not at all where it takes all weights in one call."""
    teach, other = (step(Hungry(most=4).to(memory_format=torch.channels_last), 4) for _ in range(2))
    teach(*batch(4), 0.01)
    mean = Hungry(4)
    save_checkpoint(tmp_path, Checkpoint(epoch=1), mean, teach, torch.Generator().get_state())
    load_checkpoint(tmp_path, mean, other, torch.Generator())
    for one, same in zip(teach.optimizer.state.values(), other.optimizer.state.values(), strict=True):
        for name, tensor in one.items():
            assert torch.equal(tensor, same[name])
            assert tensor.stride() == same[name].stride()


# float16


def test_float16_passes_over_a_step_that_overflows_and_learns_again() -> None:
    half = Device("cpu", torch.float16, "pretended")
    network = Hungry(most=4)
    teach = TrainingStep(network, TrainConfig(batch_size=4, loss="bce"), half, [].append)
    teach.scaler.load_state_dict(teach.scaler.state_dict() | {"scale": 1e12})
    images, masks = batch(4)
    losses = [teach(images, masks, 0.01)]
    assert torch.equal(network.convolution.weight, Hungry(4).convolution.weight)
    assert teach.scaler.get_scale() < 1e12
    losses += [teach(images, masks, 0.01) for _ in range(40)]
    assert losses[-1] < losses[0]


def test_float16_goes_on_with_the_scale_it_had(tmp_path: Path) -> None:
    half = Device("cpu", torch.float16, "pretended")
    teach, other = (TrainingStep(Hungry(most=4), TrainConfig(batch_size=4), half, [].append) for _ in range(2))
    for _ in range(3):
        teach(*batch(4), 0.01)
    teach.scaler.load_state_dict(teach.scaler.state_dict() | {"scale": 512.0})
    mean = Hungry(4)
    save_checkpoint(tmp_path, Checkpoint(epoch=1), mean, teach, torch.Generator().get_state())
    load_checkpoint(tmp_path, mean, other, torch.Generator())
    assert other.scaler.get_scale() == 512
    for step_of in (teach, other):
        step_of(*batch(4), 0.01)
    assert other.scaler.state_dict() == teach.scaler.state_dict()
    for name, weights in read_weights(other.network).items():
        assert torch.equal(weights, read_weights(teach.network)[name])
