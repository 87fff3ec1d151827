"""The losses, each against a formula of its own."""

from typing import Any

import numpy as np
import pytest
import torch

from napari_brainseg.core.config import TrainConfig
from napari_brainseg.core.losses import create_loss
from napari_brainseg.core.volumes import Array

default = create_loss(TrainConfig())


def loss_of(logits: Array, masks: Array) -> float:
    return float(default(torch.from_numpy(logits), torch.from_numpy(masks)))


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
    loss = default(logits, torch.zeros(2, 1, 8, 8))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def dice_of(p: Array, masks: Array) -> float:
    return float(1 - 2 * (p * masks).sum() / (p.sum() + masks.sum()))


def bce_of(p: Array, masks: Array) -> float:
    return float(-(masks * np.log(p) + (1 - masks) * np.log(1 - p)).mean())


def focal_of(p: Array, masks: Array) -> float:
    right = np.where(masks == 1, p, 1 - p)
    return float(-((1 - right) ** 2 * np.log(right)).mean())


def tversky_of(p: Array, masks: Array) -> float:
    both, missed, too_many = (p * masks).sum(), ((1 - p) * masks).sum(), (p * (1 - masks)).sum()
    return float(1 - both / (both + 0.8 * missed + 0.2 * too_many))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("dice_bce", lambda p, masks: dice_of(p, masks) + bce_of(p, masks)),
        ("dice", dice_of),
        ("bce", bce_of),
        ("focal_dice", lambda p, masks: dice_of(p, masks) + focal_of(p, masks)),
        ("tversky", tversky_of),
        ("mse", lambda p, masks: ((p - masks) ** 2).mean()),
    ],
)
def test_each_loss_is_what_its_name_says(name: Any, formula: Any) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 1, 9, 9))
    masks = (rng.random((4, 1, 9, 9)) > 0.7).astype(float)
    masks[1] = 0
    loss = create_loss(TrainConfig(loss=name, missed_weight=0.8))
    found = float(loss(torch.from_numpy(logits), torch.from_numpy(masks)))
    assert found == pytest.approx(formula(1 / (1 + np.exp(-logits)), masks), abs=1e-4)
