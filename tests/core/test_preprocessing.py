from typing import Any

import numpy as np
import pytest
import torch

from napari_brainseg.core.config import NormalisationConfig
from napari_brainseg.core.phantom import make_phantom
from napari_brainseg.core.preprocessing import head_mask, measure_intensities, neighbours, normalise
from napari_brainseg.core.volumes import Array, Volume

CONFIG = NormalisationConfig()


def normalised(array: Array) -> Array:
    slices = torch.from_numpy(array.astype(np.float32)).permute(0, 3, 1, 2)
    result: Array = normalise(slices, [measure_intensities(array, CONFIG)]).numpy()
    return result


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda array: array.astype(np.uint16) * 257, id="16 bit"),
        pytest.param(lambda array: array.astype(np.int32) - 1000, id="negative"),
        pytest.param(lambda array: array.astype(np.float32) / 255, id="0 to 1"),
        pytest.param(lambda array: array.astype(np.float64) * 1e-9, id="tiny"),
        pytest.param(lambda array: array.astype(np.float32) * 1e6 + 5e6, id="huge"),
        pytest.param(lambda array: array * np.array([0.1, 3.0, 20.0]), id="each channel by itself"),
    ],
)
def test_scale_and_offset_of_intensities_do_not_matter(volume: Volume, change: Any) -> None:
    np.testing.assert_allclose(normalised(change(volume.array)), normalised(volume.array), atol=2e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64], ids=str)
def test_figures_are_those_of_numpy_over_every_second_voxel_of_the_head(dtype: Any) -> None:
    volume, _ = make_phantom(1, (8, 160, 160))
    fine = (volume.array + np.random.default_rng(0).random(volume.array.shape)) * 120 - 800
    array = volume.array if dtype == np.uint8 else fine.clip(0).astype(dtype)
    measured = measure_intensities(array, CONFIG)
    for channel in range(3):
        values = array[:, ::2, ::2, channel].astype(np.float64)
        head = values[values > values.min() + CONFIG.foreground * (np.percentile(values, 99.9) - values.min())]
        low, high = np.percentile(head, [CONFIG.lower, CONFIG.upper])
        clipped = head.clip(low, high)
        found = (measured.lower[channel], measured.upper[channel], measured.mean[channel], measured.sd[channel])
        assert found == pytest.approx((low, high, clipped.mean(), clipped.std()), rel=1e-9)


def test_head_has_zero_mean_and_unit_sd_in_every_channel() -> None:
    volume, _ = make_phantom(1, (8, 160, 160))
    values = normalised(volume.array)
    for channel in range(3):
        head = head_mask(volume.array[..., channel], CONFIG)
        inside = values[:, channel][head]
        assert inside.mean() == pytest.approx(0, abs=0.05)
        assert inside.std() == pytest.approx(1, abs=0.05)
        assert 0.2 < head.mean() < 0.8


def test_few_extreme_voxels_change_little(volume: Volume) -> None:
    spoilt = volume.array.astype(np.float32)
    spoilt[2, 20:22, 20:22] = 50 * spoilt.max()
    here = np.ones(spoilt.shape[:3], bool)
    here[2, 20:22, 20:22] = False
    difference = normalised(spoilt).transpose(0, 2, 3, 1)[here] - normalised(volume.array).transpose(0, 2, 3, 1)[here]
    assert np.abs(difference).max() < 0.3
    assert normalised(spoilt).max() < 5


@pytest.mark.parametrize("value", [0, 1, 200, -3.5, 1e-12, 1e12])
def test_constant_channel_becomes_zero(volume: Volume, value: float) -> None:
    array = volume.array.astype(np.float64)
    array[..., 0] = value
    values = normalised(array)
    np.testing.assert_allclose(values[:, 0], 0, atol=1e-3)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[:, 1], normalised(volume.array)[:, 1], atol=1e-5)


def test_more_background_changes_little() -> None:
    volume, _ = make_phantom(1, (8, 160, 160))
    air = np.pad(volume.array, ((0, 0), (40, 40), (40, 40), (0, 0)))
    values = normalised(air)[..., 40:-40, 40:-40]
    assert np.abs(values - normalised(volume.array)).mean() < 0.1


def test_volume_is_normalised_as_a_whole_not_slice_by_slice(volume: Volume) -> None:
    darker = volume.array.copy()
    darker[0] //= 2
    values = normalised(darker)
    assert values[0].mean() < values[1].mean() - 0.1


def test_each_slice_of_a_batch_has_the_intensities_of_its_own_volume(volume: Volume) -> None:
    arrays = [volume.array, volume.array // 3 + 7]
    measured = [measure_intensities(array, CONFIG) for array in arrays]
    batch = torch.stack([torch.from_numpy(array[1:4].transpose(0, 3, 1, 2).copy()) for array in arrays])
    together = normalise(batch, measured)
    assert together.shape == (2, 3, 3, 64, 64)
    for part, array, of in zip(together, arrays, measured, strict=True):
        alone = normalise(torch.from_numpy(array[1:4].transpose(0, 3, 1, 2).copy()), [of])
        torch.testing.assert_close(part, alone)


def test_normalising_leaves_its_input_alone() -> None:
    slices = torch.rand(2, 3, 8, 8) * 100
    before = slices.clone()
    normalise(slices, [measure_intensities(slices.permute(0, 2, 3, 1).numpy(), CONFIG)])
    torch.testing.assert_close(slices, before)


@pytest.mark.parametrize(
    ("index", "count", "context", "wanted"),
    [
        pytest.param(2, 5, 0, [2], id="none"),
        pytest.param(2, 5, 1, [1, 2, 3], id="middle"),
        pytest.param(0, 5, 1, [0, 0, 1], id="first"),
        pytest.param(4, 5, 1, [3, 4, 4], id="last"),
        pytest.param(0, 5, 3, [0, 0, 0, 0, 1, 2, 3], id="wide"),
        pytest.param(0, 1, 2, [0, 0, 0, 0, 0], id="one slice"),
    ],
)
def test_neighbours_repeat_the_last_slice_at_the_ends(index: int, count: int, context: int, wanted: list[int]) -> None:
    assert neighbours(index, count, context) == wanted
