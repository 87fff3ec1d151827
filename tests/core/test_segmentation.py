import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_brainseg.core import devices, segmentation
from napari_brainseg.core.config import ModelConfig, PostprocessConfig, SegmentConfig
from napari_brainseg.core.devices import Device
from napari_brainseg.core.model_folders import Ancestor, ModelInfo, Provenance
from napari_brainseg.core.models import TrainedModel
from napari_brainseg.core.preprocessing import measure_intensities, normalise
from napari_brainseg.core.progress import Cancelled, Progress
from napari_brainseg.core.segmentation import Runner, Segmentation, SlicePrediction, head_box, segment
from napari_brainseg.core.volumes import Array, Volume, volume_of_array

CPU = SegmentConfig(device="cpu")


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arithmetic on every machine."""
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: False)


def noise(shape: tuple[int, ...] = (5, 32, 32, 3), seed: int = 0) -> Volume:
    """Bright everywhere, so that nothing is taken for air."""
    return volume_of_array(np.random.default_rng(seed).integers(100, 250, shape).astype(np.uint8), "noise")


def with_network(network: nn.Module, context: int = 1) -> TrainedModel:
    info = ModelInfo(name="fake", model=ModelConfig(filters=(4, 8, 8), context=context))
    return TrainedModel(info, network)  # type: ignore[arg-type]


class Flair(nn.Module):
    """Gives the FLAIR of the middle slice back, so that one sees where each pixel went."""

    def forward(self, images: Tensor) -> Tensor:
        middle = images.shape[1] // 2
        return images[:, middle : middle + 1]


class Hungry(Flair):
    """Runs out of memory above a number of slices."""

    def __init__(self, most: int, message: str = "CUDA out of memory. Tried to allocate 2.00 GiB") -> None:
        super().__init__()
        self.most = most
        self.message = message
        self.tried: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.tried.append(len(images))
        if len(images) > self.most:
            raise RuntimeError(self.message)
        return super().forward(images)


def flair_probability(volume: Volume, model: TrainedModel) -> Array:
    slices = torch.from_numpy(volume.array.astype(np.float32)).permute(0, 3, 1, 2)
    scaled = normalise(slices, [measure_intensities(volume.array, model.info.model.normalisation)])
    result: Array = torch.sigmoid(scaled[:, 1]).numpy()
    return result


# Where every voxel goes


@pytest.mark.parametrize("shape", [(5, 50, 70), (3, 33, 41), (1, 64, 64), (2, 16, 9), (4, 7, 5), (1, 1, 1)], ids=str)
def test_any_size_is_segmented(untrained: TrainedModel, shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).integers(0, 250, (*shape, 3)).astype(np.uint8)
    if shape == (1, 1, 1):
        with pytest.raises(ValueError, match="is empty"):
            segment(volume_of_array(array, "p"), untrained, CPU)
        return
    result = segment(volume_of_array(array, "p"), untrained, CPU)
    assert result.mask.shape == result.probability.shape == result.uncertainty.shape == shape
    assert result.mask.dtype == np.uint8
    assert result.probability.dtype == np.float32
    assert 0 <= result.probability.min() <= result.probability.max() <= 1
    assert result.probability.std() > 0


@pytest.mark.parametrize("shape", [(5, 32, 32), (5, 50, 70), (3, 33, 41)], ids=str)
@pytest.mark.parametrize("tta", [False, True], ids=["once", "flipped too"])
@pytest.mark.parametrize("context", [0, 1, 2])
def test_every_voxel_gets_its_own_probability(shape: tuple[int, int, int], tta: bool, context: int) -> None:
    volume, model = noise((*shape, 3)), with_network(Flair(), context)
    result = segment(volume, model, SegmentConfig(device="cpu", tta=tta, batch_size=2))
    np.testing.assert_allclose(result.probability, flair_probability(volume, model), atol=1e-6)


def test_only_the_head_is_looked_at_and_it_stays_in_its_place(volume: Volume) -> None:
    padded = replace(volume, array=np.pad(volume.array, ((0, 0), (61, 30), (13, 40), (0, 0)), constant_values=2))
    model = with_network(Flair())
    rows, columns = head_box(padded, model.info.model)
    assert (rows.stop - rows.start, columns.stop - columns.start) < (85, 85)
    result = segment(padded, model, CPU)
    wanted = flair_probability(padded, model)
    np.testing.assert_allclose(result.probability[:, rows, columns], wanted[:, rows, columns], atol=1e-6)
    outside = np.ones(padded.shape, bool)
    outside[:, rows, columns] = False
    assert not result.probability[outside].any()


def test_head_box_holds_the_whole_brain(volume: Volume) -> None:
    padded = replace(volume, array=np.pad(volume.array, ((0, 0), (61, 30), (13, 40), (0, 0)), constant_values=2))
    rows, columns = head_box(padded, ModelConfig())
    brain = padded.array[..., 1] > 45
    assert brain.sum() == brain[:, rows, columns].sum()


def test_cropping_changes_nothing_inside(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = with_network(nn.Conv2d(9, 1, 3, padding=1, padding_mode="replicate"))
    padded = replace(volume, array=np.pad(volume.array, ((0, 0), (61, 30), (13, 40), (0, 0)), constant_values=2))
    rows, columns = head_box(padded, model.info.model)
    cropped = segment(padded, model, CPU).probability
    with monkeypatch.context() as patched:
        patched.setattr(segmentation, "head_box", lambda *_: (slice(0, None), slice(0, None)))
        whole = segment(padded, model, CPU).probability
    inside = np.s_[:, rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1]
    np.testing.assert_allclose(cropped[inside], whole[inside], atol=1e-5)
    assert whole.std() > 0.01


def test_neighbours_are_those_of_each_slice() -> None:
    """The network sees the slice below first: its FLAIR is channel 1 of 9."""

    class Below(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, 1:2]

    volume, model = noise(), with_network(Below())
    found = segment(volume, model, CPU).probability
    own = flair_probability(volume, model)
    np.testing.assert_allclose(found, own[[0, 0, 1, 2, 3]], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.float64, ">u2"], ids=str)
def test_type_of_the_images_does_not_matter(volume: Volume, untrained: TrainedModel, dtype: Any) -> None:
    other = replace(volume, array=volume.array.astype(dtype))
    np.testing.assert_allclose(
        segment(other, untrained, CPU).probability, segment(volume, untrained, CPU).probability, atol=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 2, 3, 256])
def test_batch_size_does_not_change_the_result(volume: Volume, untrained: TrainedModel, batch_size: int) -> None:
    found = segment(volume, untrained, SegmentConfig(device="cpu", batch_size=batch_size)).probability
    np.testing.assert_allclose(found, segment(volume, untrained, CPU).probability, atol=1e-5)


def test_images_are_left_alone(volume: Volume, untrained: TrainedModel) -> None:
    before = volume.array.copy()
    segment(volume, untrained, SegmentConfig(device="cpu", tta=True))
    np.testing.assert_array_equal(volume.array, before)


# Flipped views


def test_flip_test_gives_the_mirror_image_for_the_mirror_image(untrained: TrainedModel) -> None:
    pairs = np.repeat(noise((5, 32, 16, 3)).array, 2, axis=2)  # every second column tells the same from either side
    volume = volume_of_array(pairs, "pairs")
    mirrored = replace(volume, array=volume.array[:, :, ::-1].copy())
    for tta in (True, False):
        config = SegmentConfig(device="cpu", tta=tta)
        one = segment(volume, untrained, config).probability
        other = segment(mirrored, untrained, config).probability[:, :, ::-1]
        assert np.allclose(one, other, atol=1e-5) == tta


# Order, reports, stopping


def recorded(volume: Volume, model: TrainedModel, config: SegmentConfig, **options: Any) -> list[tuple[int, ...]]:
    seen: list[SlicePrediction] = []
    result = segment(volume, model, config, on_slices=seen.append, **options)
    for part in seen:
        np.testing.assert_array_equal(part.probability, result.probability[list(part.indices)])
    return [part.indices for part in seen]


@pytest.mark.parametrize(
    ("first", "batch_size", "order"),
    [
        pytest.param(None, 1, [(2,), (1,), (3,), (0,), (4,)], id="middle"),
        pytest.param(0, 1, [(0,), (1,), (2,), (3,), (4,)], id="lowest"),
        pytest.param(3, 1, [(3,), (2,), (4,), (1,), (0,)], id="asked for"),
        pytest.param(3, 2, [(3,), (2, 4), (1, 0)], id="the first alone, then two at once"),
    ],
)
def test_slice_asked_for_comes_first_then_outwards(
    first: int | None, batch_size: int, order: list[tuple[int, ...]]
) -> None:
    config = SegmentConfig(device="cpu", batch_size=batch_size)
    assert recorded(noise(), with_network(Flair()), config, first=first) == order


def test_only_the_slices_asked_for_are_segmented(volume: Volume, untrained: TrainedModel) -> None:
    config = SegmentConfig(device="cpu", batch_size=1)
    assert recorded(volume, untrained, config, first=1, only=(4, 1)) == [(1,), (4,)]
    found = segment(volume, untrained, config, only=(1, 4)).probability
    whole = segment(volume, untrained, config).probability
    np.testing.assert_allclose(found[[1, 4]], whole[[1, 4]], atol=1e-6)
    assert not found[[0, 2, 3]].any()


@pytest.mark.parametrize("options", [{"only": (1, 5)}, {"only": (-1,)}, {"first": 5}, {"first": -1}], ids=str)
def test_slice_that_does_not_exist_is_refused(untrained: TrainedModel, options: dict[str, Any]) -> None:
    wrong = options.get("only", (options.get("first"),))[-1]
    with pytest.raises(ValueError, match=f"noise has no slice at {wrong}: allowed are 0 to 4"):
        segment(noise(), untrained, CPU, **options)


def test_progress_is_reported_after_each_batch(untrained: TrainedModel) -> None:
    seen: list[Progress] = []
    segment(noise(), untrained, SegmentConfig(device="cpu", batch_size=2), on_progress=seen.append)
    assert [(report.stage, report.done, report.total) for report in seen] == [
        ("segmenting", 2, 5),
        ("segmenting", 4, 5),
        ("segmenting", 5, 5),
    ]


@pytest.mark.parametrize("callback", ["on_progress", "on_slices"])
def test_callback_can_stop_the_work(callback: str) -> None:
    network = Hungry(most=8)

    def stop(_: object) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        segment(noise(), with_network(network), SegmentConfig(device="cpu", batch_size=1), **{callback: stop})
    assert network.tried == [1]


# Out of memory

MESSAGES = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "GET was unable to find an engine to execute this computation",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "MPS backend out of memory (MPS allocated: 17.44 GB)",
    "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes",
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 5 bytes.",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
]


@pytest.mark.parametrize(
    "message", MESSAGES, ids=["CUDA", "no algorithm", "cuDNN 9", "Apple", "CPU", "Windows", "cuDNN"]
)
def test_out_of_memory_halves_the_batch_and_says_so(message: str) -> None:
    network = Hungry(most=2, message=message)
    volume, model = noise((20, 32, 32, 3)), with_network(network)
    result = segment(volume, model, SegmentConfig(device="cpu", batch_size=8))
    np.testing.assert_allclose(result.probability, flair_probability(volume, model), atol=1e-6)
    assert result.provenance.notes == (
        "out of memory on the cpu: went on with 4 slices at once",
        "out of memory on the cpu: went on with 2 slices at once",
    )
    assert network.tried[:3] == [8, 4, 2]
    assert max(network.tried[3:]) == 2  # it does not try the large batches again


def test_too_little_memory_for_one_slice_is_an_error() -> None:
    with pytest.raises(MemoryError, match="not enough memory to segment even one slice on the CPU"):
        segment(noise(), with_network(Hungry(most=0)), CPU)


class Gpu(Device):
    """The CPU under another name."""

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext()


def test_out_of_memory_with_one_slice_goes_to_the_cpu_and_says_so() -> None:
    class Network(Flair):
        at: list[str]

        def __init__(self) -> None:
            super().__init__()
            self.at = []

        def to(self, device: str) -> "Network":  # type: ignore[override]
            self.at.append(device)
            return self

        def forward(self, images: Tensor) -> Tensor:
            if self.at[-1] != "cpu":
                raise RuntimeError("out of memory")
            return super().forward(images)

    network = Network()
    runner = Runner(network, Gpu("cpu:0", torch.float32, "pretended"), batch_size=2, tta=False)
    images = torch.rand(3, 9, 8, 8)
    torch.testing.assert_close(runner(images), torch.sigmoid(images[:, 4]))
    assert network.at == ["cpu:0", "cpu"]
    assert runner.device.name == "cpu"
    assert runner.notes == [
        "out of memory on the cpu:0: went on with 1 slices at once",
        "out of memory on the cpu:0: went on with the CPU",
    ]


def test_gpu_that_is_full_already_is_left_for_the_cpu() -> None:
    class Network(Flair):
        def to(self, device: str) -> "Network":  # type: ignore[override]
            if device != "cpu":
                raise RuntimeError("CUDA error: out of memory")
            return self

    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    runner = Runner(Network(), Gpu("cpu:0", torch.float32, "pretended"), batch_size=2, tta=False)
    assert runner.device.name == "cpu"
    assert torch.get_num_threads() == threads + 1  # as it was asked for
    torch.set_num_threads(threads)
    assert runner.notes == ["out of memory on the cpu:0: went on with the CPU"]
    assert runner(torch.rand(3, 9, 8, 8)).shape == (3, 8, 8)


@pytest.mark.parametrize("message", ["unsupported memory format option", "shape mismatch"])
def test_other_errors_of_the_network_are_not_taken_for_want_of_memory(message: str) -> None:
    network = Hungry(most=0, message=message)
    with pytest.raises(RuntimeError, match=message):
        segment(noise(), with_network(network), CPU)
    assert network.tried == [5]


# Temperature


@pytest.mark.parametrize("tta", [False, True])
def test_logits_are_divided_by_the_temperature_which_changes_no_mask(untrained: TrainedModel, tta: bool) -> None:
    config = CPU.model_copy(update={"tta": tta})
    warm = TrainedModel(untrained.info.model_copy(update={"temperature": 2.0}), untrained.network)
    plain, scaled = (segment(noise(), model, config) for model in (untrained, warm))
    assert 0 < plain.mask.mean() < 1
    if not tta:
        np.testing.assert_array_equal(plain.mask, scaled.mask)
        logits = np.log(plain.probability / (1 - plain.probability))
        np.testing.assert_allclose(scaled.probability, 1 / (1 + np.exp(-logits / 2)), atol=1e-5)
    assert (abs(scaled.probability - 0.5) <= abs(plain.probability - 0.5) + 1e-3).all()
    assert scaled.uncertainty.mean() > plain.uncertainty.mean()


# Never a silent result


def test_nan_of_the_network_is_an_error() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits = images[:, :1].clone()
            logits[-1, 0, 3, 3] = float("nan")
            return logits

    seen: list[SlicePrediction] = []
    with pytest.raises(ValueError, match="the model gives NaN for noise: its weights or the images are damaged"):
        segment(noise(), with_network(Broken()), CPU, on_slices=seen.append)
    assert not seen


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(np.zeros((0, 8, 8, 3)), "p has no voxels: its shape is (0, 8, 8, 3)", id="no slices"),
        pytest.param(np.ones((2, 8, 8, 2)), "p has 2 channels, but the model needs 3", id="two channels"),
        pytest.param(np.ones((2, 8, 8, 3)), "p is empty: every voxel of its FLAIR is 1.0", id="constant"),
        pytest.param(
            np.eye(8, dtype=np.uint8)[None, :, :, None] * np.full(3, 255, np.uint8),
            "p is a mask: its FLAIR holds nothing but 0 and 255; give its images",
            id="mask",
        ),
        pytest.param(
            np.random.default_rng(0).random((2, 8, 8, 3)) * [1, 0, 1],
            "p is empty: every voxel of its FLAIR is 0.0",
            id="FLAIR constant",
        ),
    ],
)
def test_volume_that_cannot_be_segmented_is_refused(untrained: TrainedModel, array: Array, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        segment(Volume(array, "p"), untrained, CPU)


@pytest.mark.parametrize("channel", [0, 2], ids=["pre-contrast", "post-contrast"])
def test_constant_contrast_sequence_is_segmented_all_the_same(
    volume: Volume, untrained: TrainedModel, channel: int
) -> None:
    array = volume.array.copy()
    array[..., channel] = 0
    assert np.isfinite(segment(replace(volume, array=array), untrained, CPU).probability).all()


# The result


@pytest.fixture
def result(volume: Volume) -> Segmentation:
    return segment(volume, with_network(Flair()), CPU)


def test_uncertainty_is_the_entropy_of_the_probability(result: Segmentation) -> None:
    sure = replace(result, probability=np.array([[[0, 1, 0.5, 0.25]]], np.float32))
    wanted = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    np.testing.assert_allclose(sure.uncertainty, [[[0, 0, 1, wanted]]], atol=1e-4)
    assert result.uncertainty.shape == result.probability.shape


def test_models_own_post_processing_is_used_unless_another_is_given(volume: Volume) -> None:
    own = PostprocessConfig(threshold=0.8)
    info = ModelInfo(name="m", model=ModelConfig(), postprocess=own)
    model = TrainedModel(info, Flair())  # type: ignore[arg-type]
    result = segment(volume, model, CPU)
    np.testing.assert_array_equal(result.mask, result.probability >= 0.8)
    assert result.provenance.postprocess == own
    other = segment(volume, model, CPU, PostprocessConfig(threshold=0.3))
    np.testing.assert_array_equal(other.mask, result.probability >= 0.3)
    assert other.provenance.postprocess.threshold == 0.3


def test_provenance_tells_how_the_result_was_made(volume: Volume, untrained: TrainedModel) -> None:
    provenance = Provenance(weights_sha256="ab" * 32)
    model = TrainedModel(untrained.info.model_copy(update={"provenance": provenance}), untrained.network)
    config = SegmentConfig(device="cpu", tta=True, batch_size=3)
    told = segment(volume, model, config).provenance
    assert (told.case, told.model, told.weights_sha256) == ("anna", "untrained", "ab" * 32)
    assert told.settings == config
    assert told.postprocess == PostprocessConfig()
    assert told.device == "CPU, float32"
    assert told.notes == ()
    assert told.trained_on is False
    assert told.versions["torch"] == torch.__version__
    assert told.seconds > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", told.created)


@pytest.mark.parametrize("learned", ["anna", "TCGA_AB_1234_19991231"])
def test_provenance_tells_whether_the_model_has_learned_from_the_patient(
    volume: Volume, untrained: TrainedModel, learned: str
) -> None:
    """Also in another visit, and where a model learned from it that this one comes from."""
    ancestor = Ancestor(name="old", weights_sha256="ab", train_cases=(learned,))
    model = TrainedModel(untrained.info.model_copy(update={"lineage": (ancestor,)}), untrained.network)
    names = ("anna", "TCGA_AB_1234_20010203", "carl")
    told = [segment(replace(volume, name=name), model, CPU, only=(0,)).provenance.trained_on for name in names]
    assert told == [learned == "anna", learned != "anna", False]


def test_number_of_threads_is_the_one_asked_for(
    volume: Volume, untrained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    segment(volume, untrained, SegmentConfig(device="cpu", threads=3))
    assert asked == [3]


def test_head_box_holds_what_only_one_slice_shows() -> None:
    array = np.zeros((40, 128, 128), np.uint8)
    array[:, 40:80, 40:80] = 200
    array[3, 100:120, 40:80] = 200
    rows, columns = head_box(volume_of_array(array, "v"), ModelConfig())
    assert (rows.start, rows.stop) == (32, 128)
    assert (columns.start, columns.stop) == (32, 88)
