"""What a network says of cases while it learns."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_brainseg.core.config import ModelConfig, NormalisationConfig, TrainConfig
from napari_brainseg.core.devices import Device, choose_device
from napari_brainseg.core.losses import create_loss
from napari_brainseg.core.preprocessing import measure_intensities
from napari_brainseg.core.progress import ignore_progress
from napari_brainseg.core.runs import read_previews
from napari_brainseg.core.sampling import Sample
from napari_brainseg.core.validation import PreviewSlices, Validation, validate
from napari_brainseg.core.volumes import volume_of_array

MODEL = ModelConfig(filters=(4, 8, 8), context=0)


def sample(name: str, tumour: slice = slice(0, 2), shape: tuple[int, int] = (8, 8)) -> Sample:
    array = np.random.default_rng(3).integers(50, 250, (3, *shape, 3)).astype(np.uint8)
    mask = np.zeros((3, *shape), np.uint8)
    mask[tumour, 2:4, 2:4] = 1
    mask[1, 2:5, 2:4] = mask[1].any()
    return Sample(name, volume_of_array(array, name), mask, measure_intensities(array, NormalisationConfig()))


class Oracle(nn.Module):
    """Knows the answer to everything it is asked in turn: tumour where it was told."""

    def __init__(self, answers: Any) -> None:
        super().__init__()
        self.answers = iter(answers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(images), 1, *images.shape[-2:]), -20.0)
        for plane, answer in zip(logits, self.answers, strict=False):
            plane[0, : answer.shape[0], : answer.shape[1]][torch.from_numpy(answer) > 0] = 20
        return logits


def judge(network: Any, samples: list[Sample]) -> Validation:
    cpu = choose_device("cpu")
    return validate(network, samples, MODEL, cpu, create_loss(TrainConfig()), [].append, ignore_progress)


def test_the_right_answer_scores_1() -> None:
    samples = [sample("a"), sample("b", slice(1, 3))]
    found = judge(Oracle([plane for one in samples for plane in one.mask]), samples)
    assert found.dice == found.iou == {"a": 1, "b": 1}
    assert found.means["validation_dice"] == 1
    assert 0 <= found.means["validation_loss"] < 0.01


def test_scores_are_per_volume_and_the_worst_slice_is_where_most_is_wrong() -> None:
    one = sample("a")  # 4 + 6 voxels in slices 0 and 1
    nothing_in_slice_1 = [one.mask[0], np.zeros_like(one.mask[1]), one.mask[2]]
    found = judge(Oracle(nothing_in_slice_1), [one])
    assert found.dice == {"a": pytest.approx(2 * 4 / 14)}
    assert found.iou == {"a": pytest.approx(4 / 10)}
    assert found.means["validation_loss"] > 1 - 2 * 4 / 14
    assert found.worst["a"].index == 1
    assert not found.worst["a"].prediction.any()


def test_previews_show_the_largest_tumour_of_the_first_cases(tmp_path: Path) -> None:
    samples = [sample(name, shape=(8, 8 + n)) for n, name in enumerate("abcde")]
    previews = PreviewSlices(samples, tmp_path, MODEL, choose_device("cpu"), ", training")
    previews.write(Oracle([one.mask[1] for one in samples]), 5)  # type: ignore[arg-type]
    seen = read_previews(tmp_path)
    assert seen is not None
    assert seen.names == tuple(f"{name}, slice 2, training" for name in "abcd")
    assert seen.images.shape == seen.manual.shape == seen.probability(5).shape == (4, 8, 11)
    assert seen.images.dtype == np.uint8
    assert seen.images.max() == 255
    np.testing.assert_array_equal(seen.probability(5), seen.manual * 255)
    assert seen.manual.sum() == 4 * 6


def test_case_without_tumour_is_previewed_in_the_middle(tmp_path: Path) -> None:
    PreviewSlices([sample("a", slice(0, 0))], tmp_path, MODEL, choose_device("cpu"), "")
    seen = read_previews(tmp_path)
    assert seen is not None
    assert seen.names == ("a, slice 2",)


class Gpu(Device):
    """The CPU under another name."""

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext()


class Wanderer(nn.Module):
    """Network that says where it was sent, and has no memory there but on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[str] = []

    def to(self, device: str) -> "Wanderer":  # type: ignore[override]
        self.at.append(device)
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.at[-1] != "cpu":
            raise RuntimeError("out of memory")
        return images[:, :1]


def test_validation_that_had_to_leave_the_gpu_brings_the_network_back() -> None:
    told: list[str] = []
    network: Any = Wanderer()
    model = ModelConfig(filters=(4, 8, 8), context=0)
    device = Gpu("cpu:0", torch.float32, "pretended")
    found = validate(network, [sample("a")], model, device, create_loss(TrainConfig()), told.append, ignore_progress)
    assert found.dice.keys() == {"a"}
    assert network.at == ["cpu:0", "cpu", "cpu:0"]
    assert told[-1] == "validation: out of memory on the cpu:0: went on with the CPU"
