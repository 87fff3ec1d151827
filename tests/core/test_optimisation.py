"""One step of training, also where memory is short."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_brainseg.core import optimisation
from napari_brainseg.core.config import TrainConfig
from napari_brainseg.core.devices import choose_device
from napari_brainseg.core.networks import read_weights
from napari_brainseg.core.optimisation import TrainingStep, average_weights, batch_loss, learning_rate
from napari_brainseg.core.volumes import Array

CPU = choose_device("cpu")


class Hungry(nn.Module):
    """One convolution that runs out of memory when it gets more slices than `most`."""

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


def step(network: nn.Module, count: int, told: list[str] | None = None) -> TrainingStep:
    return TrainingStep(network, TrainConfig(batch_size=count), CPU, [].append if told is None else told.append)


# Memory


@pytest.mark.parametrize("most", [4, 3, 1])
def test_step_in_parts_is_that_of_the_whole_batch(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the Dice loss, which sees each part alone."""
    monkeypatch.setattr(optimisation, "batch_loss", functional.binary_cross_entropy_with_logits)
    plenty, little = Hungry(most=7), Hungry(most)
    losses = [step(network, 7)(*batch(7), 0.01) for network in (plenty, little)]
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
    monkeypatch.setattr(optimisation, "batch_loss", loss)
    network = Hungry(most=4)
    with pytest.raises(ValueError, match=r"the loss became NaN at a learning rate of 0\.01: train anew with a lower"):
        step(network, 4)(*batch(4), 0.01)
    for name, weights in read_weights(network).items():
        assert torch.equal(weights, read_weights(Hungry(4))[name])


# Rate, loss, average


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
    average_weights(mean, network, 0.75)
    assert mean.weight.item() == pytest.approx(1.5)
    assert mean.num_batches_tracked == 7


@pytest.mark.parametrize("steps", [10, 100, 3000])
def test_one_cycle_rises_to_the_highest_rate_and_falls_to_almost_nothing(steps: int) -> None:
    config = TrainConfig(schedule="one-cycle", learning_rate=0.01)
    rates = np.array([learning_rate(config, step, steps) for step in range(steps)])
    peak = int(rates.argmax())
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[peak] == pytest.approx(0.01)
    assert peak == pytest.approx(0.3 * steps, abs=1)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] == pytest.approx(0.01 / 10_000)


@pytest.mark.parametrize("steps", [2, 10, 100])
def test_cosine_only_falls(steps: int) -> None:
    config = TrainConfig(schedule="cosine", learning_rate=0.01)
    rates = np.array([learning_rate(config, step, steps) for step in range(steps)])
    assert rates[0] == pytest.approx(0.01)
    assert (np.diff(rates) < 0).all()
    assert rates[-1] == pytest.approx(0.01 / 10_000)


def loss_of(logits: Array, masks: Array) -> float:
    return float(batch_loss(torch.from_numpy(logits), torch.from_numpy(masks)))


def test_loss_is_dice_of_the_whole_batch_and_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 1, 9, 9)).astype(np.float32)
    masks = (rng.random((4, 1, 9, 9)) > 0.7).astype(np.float32)
    masks[1:3] = 0
    p = 1 / (1 + np.exp(-logits.astype(float)))
    dice = 1 - 2 * (p * masks).sum() / (p.sum() + masks.sum())
    entropy = -(masks * np.log(p) + (1 - masks) * np.log(1 - p)).mean()
    assert loss_of(logits, masks) == pytest.approx(dice + entropy, abs=1e-4)


def test_loss_is_small_for_the_right_answer_alone() -> None:
    masks = np.zeros((2, 1, 8, 8), np.float32)
    masks[0, 0, 2:5, 2:5] = 1
    right = (masks * 2 - 1) * 20
    assert loss_of(right, masks) < 0.01
    assert loss_of(-right, masks) > 10


def test_loss_of_a_batch_without_tumour_is_finite_and_teaches() -> None:
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    loss = batch_loss(logits, torch.zeros(2, 1, 8, 8))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert (logits.grad > 0).all()
