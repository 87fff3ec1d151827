"""On an NVIDIA GPU: the same results as on the CPU, repeatable, and with little memory too."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, distributed

from napari_brainseg.core.augmentation import augment
from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.config import (
    AugmentationConfig,
    ExplainConfig,
    ExplainMethod,
    ModelConfig,
    NetworkName,
    SegmentConfig,
    TrainConfig,
)
from napari_brainseg.core.contributions import which_sequences
from napari_brainseg.core.devices import Device, aside, choose_device, choose_training_device
from napari_brainseg.core.distribution import Team
from napari_brainseg.core.masks import Mask
from napari_brainseg.core.models import TrainedModel, load_model
from napari_brainseg.core.networks import create_network, read_weights
from napari_brainseg.core.phantom import PhantomCase, make_phantom, write_phantom_cases
from napari_brainseg.core.progress import Progress
from napari_brainseg.core.runs import ask_to_stop, read_history, read_state
from napari_brainseg.core.saliency import explain
from napari_brainseg.core.segmentation import Runner, predict, segment
from napari_brainseg.core.training import train
from napari_brainseg.core.training_plans import plan_training
from napari_brainseg.core.volumes import Float32Array, Volume

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

WIDE = ModelConfig(filters=(16, 32, 48), stem=2)
"""Wide enough that it lies channels-last, as the networks that are in use do."""

RUN = TrainConfig(epochs=2, epoch_slices=64, batch_size=8, window=64, learning_rate=0.01, device="cuda", seed=7)
FLOAT32, BFLOAT16, FLOAT16 = (Device("cuda", dtype, "") for dtype in (torch.float32, torch.bfloat16, torch.float16))


@pytest.fixture(scope="module")
def shipped() -> TrainedModel:
    return load_model()


@pytest.fixture(scope="module")
def head() -> Volume:
    return make_phantom(1, (6, 256, 256))[0]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Two to learn from and one to validate on."""
    folder = tmp_path_factory.mktemp("patients")
    write_phantom_cases(folder, [PhantomCase(name, seed) for seed, name in enumerate("abc")], (6, 64, 64))
    return find_cases(folder)


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Let PyTorch have so many bytes of the GPU, until the test ends."""

    def set_limit(most: int) -> None:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(most / torch.cuda.get_device_properties(0).total_memory)

    yield set_limit
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def taken(work: Callable[[], object]) -> int:
    """Bytes of the GPU that are in use at most while it works."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated()


def overlap(one: Mask, other: Mask) -> float:
    return float(2 * np.logical_and(one, other).sum() / (one.sum() + other.sum()))


def probability_of(volume: Volume, model: TrainedModel, device: Device) -> Float32Array:
    return predict(volume, model.info.model, Runner(model.network, device, 4, tta=False), range(len(volume.array)))


# Where and at which precision


def test_gpu_is_chosen_at_its_fastest_precision() -> None:
    device = choose_device()
    assert device.name == "cuda"
    assert device.reason == f"the fastest here: {torch.cuda.get_device_name()}"
    is_new = torch.cuda.get_device_capability() >= (8, 0)
    assert device.dtype == (torch.bfloat16 if is_new else torch.float16)
    assert choose_training_device().dtype == (torch.bfloat16 if is_new else torch.float32)
    assert choose_training_device("cuda", precision="float16").dtype == torch.float16


# Segmenting


@pytest.mark.parametrize("tta", [False, True])
def test_mask_is_that_of_the_cpu(head: Volume, shipped: TrainedModel, tta: bool) -> None:
    here, there = (segment(head, shipped, SegmentConfig(device=name, tta=tta)) for name in ("cuda", "cpu"))
    assert here.provenance.device.startswith("CUDA GPU")
    assert not here.provenance.notes
    assert overlap(here.mask, there.mask) > 0.99
    assert np.abs(here.probability - there.probability).mean() < 1e-3


@pytest.mark.parametrize(
    ("device", "most"),
    [
        pytest.param(FLOAT32, 1e-3, id="float32"),  # sums are taken in another order
        pytest.param(FLOAT16, 0.02, id="float16"),  # 11 bits
        pytest.param(BFLOAT16, 0.06, id="bfloat16"),  # 8 bits: on a CPU 0.016 from float32 in this case
    ],
)
def test_probability_is_that_of_the_cpu_but_for_rounding(
    head: Volume, shipped: TrainedModel, device: Device, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # which has 11 bits as well
    exact = probability_of(head, shipped, Device("cpu", torch.float32, ""))
    difference = np.abs(probability_of(head, shipped, device) - exact)
    assert difference.max() < most
    assert difference.mean() < most / 20


def test_segmenting_twice_gives_nearly_the_same(head: Volume, shipped: TrainedModel) -> None:
    once, again = (segment(head, shipped, SegmentConfig(device="cuda")).probability for _ in range(2))
    np.testing.assert_allclose(once, again, rtol=0, atol=1e-3)


def test_segmenting_goes_on_with_fewer_slices_where_memory_is_short(
    shipped: TrainedModel, limit: Callable[[int], None]
) -> None:
    large, _ = make_phantom(1, (6, 512, 512))
    config = SegmentConfig(device="cuda", batch_size=6)
    plenty = []
    most = taken(lambda: plenty.append(segment(large, shipped, config)))
    least = taken(lambda: segment(large, shipped, SegmentConfig(device="cuda", batch_size=1)))
    assert least < most
    limit((least + most) // 2)
    little = segment(large, shipped, config)
    assert little.provenance.device == plenty[0].provenance.device
    assert little.provenance.notes
    assert all("out of memory on the cuda: went on with" in note for note in little.provenance.notes)
    assert overlap(little.mask, plenty[0].mask) > 0.99


def test_segmenting_goes_on_with_the_cpu_where_a_slice_is_too_much(
    shipped: TrainedModel, limit: Callable[[int], None]
) -> None:
    large, _ = make_phantom(1, (2, 768, 768))
    shipped.network.to("cuda")
    torch.cuda.empty_cache()
    limit(torch.cuda.memory_reserved() + 4_000_000)
    result = segment(large, shipped, SegmentConfig(device="cuda", batch_size=2))
    assert result.provenance.device.startswith("CPU")
    assert list(result.provenance.notes) == [
        "out of memory on the cuda: went on with 1 slices at once",
        "out of memory on the cuda: went on with the CPU",
    ]
    assert np.isfinite(result.probability).all()


def test_gpu_that_is_full_is_left_for_the_cpu(
    head: Volume, shipped: TrainedModel, limit: Callable[[int], None]
) -> None:
    shipped.network.to("cpu")
    torch.cuda.empty_cache()
    limit(torch.cuda.memory_reserved() + 1_000_000)
    result = segment(head, shipped, SegmentConfig(device="cuda"))
    assert result.provenance.device.startswith("CPU")
    assert list(result.provenance.notes) == ["out of memory on the cuda: went on with the CPU"]


# Training


def test_batch_is_that_of_the_cpu() -> None:
    """The same state of the generator varies images alike but for noise, also in a stream of its own."""
    everything = AugmentationConfig(elastic=0.05, bias_field=0.3, chance=0.5, flip_up_down=0.5, noise=0)
    images = torch.from_numpy(make_phantom(2, (24, 96, 96))[0].array).permute(0, 3, 1, 2).float() / 64 - 1
    images, masks = images.unflatten(0, (8, 3)), (images[::3, 0] > 0).byte()

    def make(device: str) -> tuple[torch.Tensor, ...]:
        return augment(images.to(device), masks.to(device), everything, 64, Generator().manual_seed(3))

    with ThreadPoolExecutor(1) as worker:
        found = worker.submit(aside(FLOAT32, lambda: make("cuda"))).result()
    assert all(tensor.is_cuda for tensor in found)
    expected = make("cpu")
    torch.testing.assert_close(found[0].cpu(), expected[0], rtol=0, atol=2e-3)
    assert (found[1].cpu() != expected[1]).float().mean() < 1e-3  # where a pixel lies on the very edge


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_learns(cases: list[Case], tmp_path: Path, precision: Any) -> None:
    run = RUN.changed({"precision": precision})
    trained = train(cases[:2], cases[2:], tmp_path / "m", WIDE, run)
    losses = [row.loss for row in read_history(tmp_path / "m")]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert trained.info.provenance.device.startswith(f"CUDA GPU, {precision}")
    assert not trained.info.provenance.notes
    assert all(not weights.is_cuda for weights in read_weights(trained.network).values())
    state = read_state(tmp_path / "m")
    assert state
    assert state.status == "finished"


def difference_of(one: Path, other: Path) -> float:
    """The largest, in everything that the next step depends on."""
    tensors, wanted = (load_file(folder / "last.safetensors") for folder in (one, other))
    assert tensors.keys() == wanted.keys()
    return max(float((tensor.double() - wanted[name].double()).abs().max()) for name, tensor in tensors.items())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_stopped_run_ends_like_one_never_stopped(cases: list[Case], tmp_path: Path, precision: Any) -> None:
    run = RUN.changed({"precision": precision, "epoch_slices": 32, "ema": 0.5})
    train(cases[:2], cases[2:], tmp_path / "whole", WIDE, run)
    train(cases[:2], cases[2:], tmp_path / "again", WIDE, run)
    assert difference_of(tmp_path / "again", tmp_path / "whole") == 0  # else the rest cannot hold

    def stop(report: Progress) -> None:
        if (report.stage, report.done) == ("epoch 2", 2):
            ask_to_stop(tmp_path / "stopped")

    train(cases[:2], cases[2:], tmp_path / "stopped", WIDE, run, on_progress=stop)
    state = read_state(tmp_path / "stopped")
    assert state
    assert (state.status, state.epoch) == ("stopped", 1)
    train(cases[:2], cases[2:], tmp_path / "stopped", resume=True)
    assert difference_of(tmp_path / "stopped", tmp_path / "whole") == 0


@pytest.mark.parametrize("places", [("cuda", "cpu"), ("cpu", "cuda")], ids=" to ".join)
def test_run_goes_on_elsewhere(cases: list[Case], tmp_path: Path, places: tuple[Any, Any]) -> None:
    runs = [RUN.changed({"device": place, "precision": "float32", "epoch_slices": 16}) for place in places]

    def stop(report: Progress) -> None:
        if (report.stage, report.done) == ("training", 1):
            ask_to_stop(tmp_path / "m")

    train(cases[:2], [], tmp_path / "m", WIDE, runs[0], on_progress=stop)
    trained = train(cases[:2], [], tmp_path / "m", config=runs[1], resume=True)
    assert trained.info.epoch == 2


def test_shipped_model_is_fine_tuned(cases: list[Case], tmp_path: Path) -> None:
    run = RUN.changed({"learning_rate": 1e-3, "epoch_slices": 32})
    trained = train(cases[:2], cases[2:], tmp_path / "m", config=run, parent="default")
    assert trained.info.parent_dice.keys() == {"c"}
    assert np.isfinite(trained.info.validation_dice["c"])


@pytest.mark.parametrize("network", get_args(NetworkName))
def test_every_network_is_trained(cases: list[Case], tmp_path: Path, network: Any) -> None:
    model = ModelConfig(network=network, filters=(16, 32, 48), stem=2)
    trained = train(cases[:2], [], tmp_path / "m", model, RUN.changed({"epochs": 1, "epoch_slices": 16}))
    assert trained.info.epoch == 1


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_optimisers_are_used(cases: list[Case], tmp_path: Path, optimizer: Any) -> None:
    run = RUN.changed({"epochs": 1, "epoch_slices": 16, "optimizer": optimizer})
    assert train(cases[:2], [], tmp_path / "m", WIDE, run).info.epoch == 1


def test_training_with_little_memory_goes_on_and_says_so(
    cases: list[Case], tmp_path: Path, limit: Callable[[int], None]
) -> None:
    # at full resolution, so that nearly all memory goes with the number of slices
    model = ModelConfig(filters=(32, 64, 96), stem=1, context=0)
    run = RUN.changed({"epochs": 1, "epoch_slices": 96, "batch_size": 32, "window": 256, "augmentation": "none"})
    most = taken(lambda: train(cases[:2], [], tmp_path / "plenty", model, run))
    limit(int(most * 0.65))
    told = []
    trained = train(cases[:2], [], tmp_path / "little", model, run, on_progress=lambda report: told.append(report.note))
    assert trained.info.epoch == 1
    notes = list(trained.info.provenance.notes)
    assert notes[0] == "out of memory on the cuda: each step takes its 32 slices 16 at a time"
    assert set(notes) <= set(told)
    losses = [read_history(tmp_path / name)[0].loss for name in ("plenty", "little")]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)  # batch normalisation and Dice loss see each part alone


def test_plan_measures_the_gpu(cases: list[Case]) -> None:
    plan = plan_training(cases[:2], cases[2:], WIDE, RUN)
    assert plan.on_gpu
    assert 1_000_000 < plan.most_bytes < torch.cuda.get_device_properties(0).total_memory
    assert 0 < plan.step_seconds < 5


# Explaining


@pytest.mark.parametrize("method", get_args(ExplainMethod))
def test_explanation_is_that_of_the_cpu(head: Volume, shipped: TrainedModel, method: Any) -> None:
    config = ExplainConfig(method=method, samples=4)
    here, there = (explain(head, 3, shipped, config, SegmentConfig(device=name)) for name in ("cuda", "cpu"))
    assert here.provenance.device.startswith("CUDA GPU")
    assert here.map.max() == 1
    assert here.map.min() >= 0
    assert overlap(here.prediction, there.prediction) > 0.99
    alike = 0.5 if method == "smoothgrad" else 0.98  # its noise is drawn on the GPU
    assert np.corrcoef(here.map.ravel(), there.map.ravel())[0, 1] > alike


def test_contributions_are_those_of_the_cpu(head: Volume, shipped: TrainedModel) -> None:
    here, there = (which_sequences(head, 3, shipped, segmenting=SegmentConfig(device=name)) for name in ("cuda", "cpu"))
    assert [one.without for one in here] == [one.without for one in there]
    for one, other in zip(here, there, strict=True):
        assert one.area == pytest.approx(other.area, rel=0.02, abs=10)
        assert one.dice == pytest.approx(other.dice, abs=0.02)


# Several processes


def test_torchrun_trains(cases: list[Case], tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"),
        *("-m", "napari_brainseg", "train", cases[0].folder.parent, "--output", tmp_path / "m"),
        *("--epochs", "1", "--epoch-slices", "16", "--batch-size", "8", "--window", "64", "--device", "cuda"),
    ]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "m").info.epoch == 1


@pytest.fixture
def nccl() -> Iterator[None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    distributed.init_process_group("nccl", place, world_size=1, rank=0)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("nccl")
@pytest.mark.skipif(not distributed.is_nccl_available(), reason="needs NCCL")
def test_gradient_of_a_team_is_that_of_one() -> None:
    """As much of a team as one GPU can have: NCCL wants one for each process."""
    images = torch.randn(4, WIDE.in_channels, 64, 64, device="cuda").contiguous(memory_format=torch.channels_last)
    gradients = []
    for size in (1, 2):
        torch.manual_seed(0)
        network = create_network(WIDE).to("cuda", memory_format=torch.channels_last).train()
        team = Team(0, size)
        team.align(network)
        with BFLOAT16.autocast():
            logits = team.synchronised(network, BFLOAT16)(images)
        logits.float().square().mean().backward()
        gradients.append(torch.cat([weights.grad.flatten() for weights in network.parameters()]))  # type: ignore[union-attr]
        assert team.gather("here") == ["here"]
    difference = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert float(difference) < 0.02  # bfloat16, and other kernels of batch normalisation


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")
def test_two_gpus_train(cases: list[Case], tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "napari_brainseg", "train", cases[0].folder.parent, "--output", tmp_path / "m"),
        *("--epochs", "2", "--epoch-slices", "32", "--batch-size", "8", "--window", "64", "--device", "cuda"),
    ]
    environment = os.environ | {"TORCH_CPP_LOG_LEVEL": "ERROR"}
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "m").info.epoch == 2
