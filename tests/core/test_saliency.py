"""What a prediction rests on: maps that depend on what was learned, that find the tumour, and that can be stopped."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brainseg.core.config import ExplainConfig, SegmentConfig
from napari_brainseg.core.masks import Mask
from napari_brainseg.core.models import TrainedModel, load_model
from napari_brainseg.core.networks import create_network, read_weights
from napari_brainseg.core.phantom import make_phantom
from napari_brainseg.core.progress import Cancelled, Progress
from napari_brainseg.core.saliency import explain
from napari_brainseg.core.volumes import Volume

CPU = SegmentConfig(device="cpu", threads=1)
METHODS = ("occlusion", "gradcam", "smoothgrad")


@pytest.fixture(scope="module")
def shipped() -> TrainedModel:
    return load_model()


@pytest.fixture(scope="module")
def phantom() -> tuple[Volume, Mask, int]:
    volume, mask = make_phantom(1, (12, 256, 256))
    return volume, mask, int(mask.sum(axis=(1, 2)).argmax())


def randomised(model: TrainedModel, seed: int) -> TrainedModel:
    """The same network as its training would start."""
    torch.manual_seed(seed)
    return replace(model, network=create_network(model.info.model.architecture).eval())


@pytest.mark.parametrize("method", METHODS)
def test_a_map_lies_on_the_slice_and_says_how_it_was_made(untrained, volume, method):
    before = copy.deepcopy(read_weights(untrained.network))
    found = explain(volume, 2, untrained, ExplainConfig(method=method, samples=2), CPU)

    assert (found.map.shape, found.map.dtype) == (volume.shape[1:], np.float32)
    assert found.map.min() >= 0
    assert found.map.max() == pytest.approx(1)
    assert found.sentence.startswith("Bright: ")
    assert (found.method, found.provenance.slice_number) == (method, volume.slice_numbers[2])
    assert all(torch.equal(before[name], now) for name, now in read_weights(untrained.network).items())
    assert not any(module._forward_hooks or module._backward_hooks for module in untrained.network.modules())


@pytest.mark.parametrize("method", METHODS)
def test_the_same_slice_gives_the_same_map(untrained, volume, method):
    one, other = (explain(volume, 2, untrained, ExplainConfig(method=method, samples=2), CPU) for _ in range(2))

    assert np.array_equal(one.map, other.map)


@pytest.mark.parametrize("network", ["unet", "resunet", "attention_unet", "dynunet", "unet_vgg16", "unet_resnet50"])
def test_every_network_has_a_layer_for_grad_cam(untrained, volume, network):
    config = untrained.info.model.model_copy(update={"network": network})
    model = TrainedModel(untrained.info.model_copy(update={"model": config}), create_network(config).eval())

    found = explain(volume, 2, model, ExplainConfig(method="gradcam"), CPU)

    assert found.map.max() <= 1
    assert np.isfinite(found.map).all()


def test_where_nothing_is_called_the_whole_head_is_explained(untrained, volume):
    found = explain(volume, 2, untrained, ExplainConfig(method="gradcam"), CPU, threshold=1.0)

    assert not found.prediction.any()
    assert found.sentence.count("it calls none") == 1


def test_what_is_explained_is_what_the_model_calls_at_its_temperature(untrained, volume):
    warm = TrainedModel(untrained.info.model_copy(update={"temperature": 2.0}), untrained.network)
    config = ExplainConfig(method="gradcam")
    found = explain(volume, 2, warm, config, CPU, threshold=0.55)
    same = explain(volume, 2, untrained, config, CPU, threshold=1 / (1 + (0.45 / 0.55) ** 2))

    assert 0 < found.prediction.sum() < explain(volume, 2, untrained, config, CPU, threshold=0.55).prediction.sum()
    np.testing.assert_array_equal(found.prediction, same.prediction)


@pytest.mark.parametrize("method", METHODS)
def test_it_stops_between_two_passes(untrained, volume, method):
    def stop(_: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        explain(volume, 2, untrained, ExplainConfig(method=method), CPU, on_progress=stop)


def test_progress_counts_the_passes(untrained, volume):
    reports = []
    explain(volume, 2, untrained, ExplainConfig(patch=16), in_batches(4), on_progress=reports.append)

    assert [report.done for report in reports] == list(range(reports[-1].total))[: len(reports)]
    assert len(reports) == reports[-1].total > 2


def in_batches(size: int) -> SegmentConfig:
    return CPU.model_copy(update={"batch_size": size})


def test_a_slice_that_is_not_there_is_refused(untrained, volume):
    with pytest.raises(ValueError, match="no slice at 6: allowed are 0 to 5"):
        explain(volume, 6, untrained)


def test_covering_the_tumour_matters_more_than_covering_anything_else(shipped, phantom):
    volume, mask, z = phantom
    found = explain(volume, z, shipped, ExplainConfig(patch=32), CPU)
    tumour = mask[z] > 0
    tissue = (volume.array[z, ..., 1] > 20) & ~tumour

    assert found.prediction[tumour].mean() > 0.8
    assert found.map[tumour].mean() > 10 * found.map[tissue].mean()


@pytest.mark.parametrize("method", METHODS)
def test_maps_depend_on_what_was_learned(shipped, phantom, method):
    """Adebayo et al. 2018, "Sanity checks for saliency maps": of a network with random weights the map is another one.

    It has the tumour hardly brighter than the rest of the head. A repeated run has other patches or other noise.
    """
    volume, mask, z = phantom
    settings = ExplainConfig(method=method, patch=44, samples=3)

    def contrast(model: TrainedModel, config: ExplainConfig = settings) -> float:
        found = explain(volume, z, model, config, CPU).map
        tumour = mask[z] > 0
        return found[tumour].mean() / found[(volume.array[z, ..., 1] > 20) & ~tumour].mean()

    repeated = settings.model_copy(update={"patch": 40, "seed": 1})
    by_chance = max(contrast(randomised(shipped, seed)) for seed in range(2))
    assert by_chance < 3
    assert min(contrast(shipped), contrast(shipped, repeated)) > 2 * max(by_chance, 2)
