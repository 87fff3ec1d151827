from typing import get_args

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from napari_brainseg.core.augmentation import augment, drop_modalities, move, vary_intensities
from napari_brainseg.core.config import AUGMENTATIONS, AugmentationConfig, AugmentationName, TrainConfig

STILL = AugmentationConfig.model_validate("none")
PRESETS: tuple[AugmentationName, ...] = get_args(AugmentationName)


def changed(**settings: object) -> AugmentationConfig:
    return AugmentationConfig.model_validate(STILL.model_dump() | settings)


EVERYTHING = AugmentationConfig(elastic=0.05, bias_field=0.5, flip_up_down=0.5, modality_dropout=0.5, chance=1)


def draw(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def blobs(count: int, height: int, width: int) -> Tensor:
    """A lopsided blob in each mask: a moved or mirrored copy does not fit it."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    large = ((y - 0.1) / 0.35) ** 2 + ((x - 0.15) / 0.3) ** 2 < 1
    small = ((y + 0.35) / 0.15) ** 2 + ((x + 0.3) / 0.15) ** 2 < 1
    return (large | small).float().expand(count, height, width).clone()


def as_images(masks: Tensor, slices: int = 1) -> Tensor:
    return masks[:, None, None].expand(-1, slices, 3, -1, -1).clone()


def iou(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(changed(rotation=180), id="rotation"),
        pytest.param(changed(flip=1), id="flip"),
        pytest.param(changed(scale=(0.6, 1.6)), id="scale"),
        pytest.param(changed(shear=0.3), id="shear"),
        pytest.param(changed(shift=0.15), id="shift"),
        pytest.param(changed(flip_up_down=1), id="flip up-down"),
        pytest.param(changed(elastic=0.05, chance=1), id="elastic"),
        pytest.param(AugmentationConfig(), id="strong"),
        pytest.param(AugmentationConfig(elastic=0.05, flip_up_down=0.5, chance=1), id="all"),
    ],
)
@pytest.mark.parametrize(
    ("height", "width", "window"), [(96, 96, 96), (120, 80, 96), (81, 121, 97)], ids=["square", "tall", "odd"]
)
def test_image_and_mask_are_moved_alike(config: AugmentationConfig, height: int, width: int, window: int) -> None:
    masks = blobs(8, height, width)
    images, moved = move(as_images(masks), masks, config, window, draw())
    assert images.shape == (8, 1, 3, window, window)
    assert moved.shape == (8, 1, window, window)
    for image, mask in zip(images, moved, strict=True):
        assert iou(image[0, 1] >= 0.5, mask[0] > 0) > 0.95
    assert set(moved.unique().tolist()) == {0, 1}
    still = move(as_images(masks), masks, STILL, window, draw())[1]
    assert iou(still > 0, moved > 0) < 0.95  # something did move


@pytest.mark.parametrize(("size", "window"), [(64, 64), (64, 48), (65, 65)])
def test_window_of_an_image_that_is_not_moved_is_its_middle(size: int, window: int) -> None:
    images = torch.rand(2, 3, 3, size, size)
    masks = blobs(2, size, size)
    start = (size - window) // 2
    middle = slice(start, start + window)
    moved, moved_masks = move(images, masks, STILL, window, draw())
    torch.testing.assert_close(moved, images[..., middle, middle], atol=1e-4, rtol=0)
    assert torch.equal(moved_masks[:, 0], masks[:, middle, middle])


def test_flip_mirrors_left_and_right() -> None:
    images, masks = torch.rand(2, 1, 3, 32, 32), blobs(2, 32, 32)
    moved, moved_masks = move(images, masks, changed(flip=1), 32, draw())
    torch.testing.assert_close(moved, images.flip(-1), atol=1e-4, rtol=0)
    assert torch.equal(moved_masks[:, 0], masks.flip(-1))


def test_flip_up_down_mirrors_top_and_bottom() -> None:
    images, masks = torch.rand(2, 1, 3, 32, 32), blobs(2, 32, 32)
    moved, moved_masks = move(images, masks, changed(flip_up_down=1), 32, draw())
    torch.testing.assert_close(moved, images.flip(-2), atol=1e-4, rtol=0)
    assert torch.equal(moved_masks[:, 0], masks.flip(-2))


@pytest.mark.parametrize("window", [96, 64])
def test_elastic_deformation_moves_pixels_smoothly_and_not_too_far(window: int) -> None:
    """Seen in an image that holds the place of each pixel: how far it came, and that none overtook its neighbour."""
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(160.0), indexing="ij")
    places = torch.stack([y, x, x])[None, None].expand(20, -1, -1, -1, -1)
    config = changed(elastic=0.03, chance=1)
    start = move(places, torch.zeros(20, 120, 160), STILL, window, draw())[0][:, 0, :2]
    found = move(places, torch.zeros(20, 120, 160), config, window, draw())[0][:, 0, :2]
    distance = (found - start).abs().amax((1, 2, 3))
    assert 0.5 < distance.max() < 1.3 * 0.03 * window
    assert len(set(distance.tolist())) == 20
    assert found[:, 0].diff(dim=1).min() > 0
    assert found[:, 1].diff(dim=2).min() > 0


def test_elastic_deformation_is_made_to_its_share_of_the_images() -> None:
    images = torch.rand(300, 1, 3, 16, 16)
    still = move(images, torch.zeros(300, 16, 16), STILL, 16, draw())[0]
    moved = move(images, torch.zeros(300, 16, 16), changed(elastic=0.05, chance=0.3), 16, draw())[0]
    assert float(((moved - still).abs().amax((1, 2, 3, 4)) > 1e-3).float().mean()) == pytest.approx(0.3, abs=0.09)


def test_rotation_keeps_shapes_in_an_image_that_is_not_square() -> None:
    """A disc stays a disc: rotation is in pixels, not in shares of the sides."""
    y, x = torch.meshgrid(torch.arange(160.0) - 79.5, torch.arange(100.0) - 49.5, indexing="ij")
    disc = (y**2 + x**2 < 30**2).float().expand(6, -1, -1)
    _, moved = move(as_images(disc), disc, changed(rotation=90), 90, draw())
    assert all(iou(mask[0] > 0, disc[0, 35:125, 5:95] > 0) > 0.97 for mask in moved)


def test_scale_enlarges() -> None:
    masks = blobs(1, 64, 64)
    _, larger = move(as_images(masks), masks, changed(scale=(1.3, 1.3)), 64, draw())
    assert float(larger.sum() / masks.sum()) == pytest.approx(1.3**2, rel=0.1)


def test_window_larger_than_the_image_continues_its_border_without_tumour() -> None:
    images, masks = torch.full((1, 1, 3, 16, 16), 7.0), torch.ones(1, 16, 16)
    moved, moved_masks = move(images, masks, STILL, 32, draw())
    assert torch.equal(moved, torch.full((1, 1, 3, 32, 32), 7.0))
    assert int(moved_masks.sum()) == 16 * 16


@pytest.mark.parametrize(("chance", "order"), [(0, [0, 1, 2]), (1, [2, 1, 0])])
def test_neighbour_slices_swap_sides(chance: float, order: list[int]) -> None:
    images = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(2, 3, 3, 16, 16)
    moved, _ = move(images, torch.zeros(2, 16, 16), changed(reverse=chance), 16, draw())
    assert moved[0, :, 0, 8, 8].round().tolist() == order


def test_dropped_sequence_becomes_flair_in_all_slices() -> None:
    images = torch.rand(400, 3, 3, 2, 2)
    dropped = drop_modalities(images, changed(modality_dropout=0.25), draw())
    assert torch.equal(dropped[:, :, 1], images[:, :, 1])
    shares = []
    for channel in (0, 2):
        is_flair = (dropped[:, :, channel] == images[:, :, 1]).flatten(1).all(1)
        is_same = (dropped[:, :, channel] == images[:, :, channel]).flatten(1).all(1)
        assert (is_flair ^ is_same).all()
        shares.append(float(is_flair.float().mean()))
    assert shares == pytest.approx([0.25, 0.25], abs=0.08)


def test_all_sequences_are_flair_when_all_are_dropped() -> None:
    images = torch.rand(4, 3, 3, 5, 7)
    dropped = drop_modalities(images, changed(modality_dropout=1), draw())
    assert torch.equal(dropped, images[:, :, 1:2].expand_as(images))


def test_nothing_changes_when_all_is_switched_off() -> None:
    images = torch.rand(2, 3, 3, 32, 32)
    torch.testing.assert_close(vary_intensities(images, STILL, draw()), images)
    torch.testing.assert_close(drop_modalities(images, STILL, draw()), images)


@pytest.mark.parametrize("setting", ["gamma", "noise", "blur", "low_resolution", "bias_field"])
def test_each_change_is_made_to_its_share_of_the_images(setting: str) -> None:
    values = {"gamma": (0.5, 0.5), "noise": 0.5, "blur": (1, 1), "low_resolution": (0.5, 0.5), "bias_field": 0.5}
    config = changed(**{setting: values[setting]}, chance=0.3)
    images = torch.rand(300, 1, 3, 12, 12, generator=draw(1))
    found = vary_intensities(images, config, draw())
    share = float(((found - images).abs().amax((1, 2, 3, 4)) > 1e-3).float().mean())
    assert share == pytest.approx(0.3, abs=0.09)


def test_gain_and_offset_are_one_per_image_and_sequence() -> None:
    images = torch.rand(3, 3, 3, 8, 8)
    found = vary_intensities(images, changed(gain=(0.5, 1.5), offset=0.5), draw())
    gains = []
    for image, result in zip(images, found, strict=True):
        for channel in range(3):
            x, y = image[:, channel].flatten().numpy(), result[:, channel].flatten().numpy()
            gain, offset = np.polyfit(x, y, 1)
            np.testing.assert_allclose(y, gain * x + offset, atol=1e-4)
            gains.append(gain)
    assert len({round(gain, 3) for gain in gains}) == 9


def test_bias_field_is_smooth_alike_in_all_slices_and_leaves_air_dark() -> None:
    images = torch.ones(8, 3, 3, 64, 48)
    images[..., :4] = -1  # air
    found = vary_intensities(images, changed(bias_field=0.4, chance=1), draw())
    assert torch.equal(found[..., :4], images[..., :4])
    factors = (found[..., 4:] + 1) / 2
    assert torch.equal(factors[:, 0], factors[:, 2])
    assert not torch.equal(factors[:, 0, 0], factors[:, 0, 1])
    assert 0.5 < float(factors.min()) < 0.9
    assert 1.1 < float(factors.max()) < 1.5
    assert factors.diff(dim=-1).abs().max() < 0.06
    assert factors.diff(dim=-2).abs().max() < 0.06


def test_blur_and_gamma_keep_the_range() -> None:
    images = torch.randn(4, 3, 3, 33, 21)
    found = vary_intensities(images, changed(blur=(0.5, 1.2), gamma=(0.7, 1.5), chance=1), draw())
    assert found.shape == images.shape
    assert found.min() >= images.min() - 1e-4
    assert found.max() <= images.max() + 1e-4


@pytest.mark.parametrize(
    ("height", "width", "window"), [(64, 64, 48), (61, 83, 48), (83, 61, 47), (40, 30, 48)], ids=str
)
def test_windows_of_images_of_any_size(height: int, width: int, window: int) -> None:
    images, masks = augment(torch.randn(4, 3, 3, height, width), blobs(4, height, width), EVERYTHING, window, draw())
    assert images.shape == (4, 9, window, window)
    assert masks.shape == (4, 1, window, window)
    assert images.dtype == masks.dtype == torch.float32
    assert torch.isfinite(images).all()


def test_slices_come_before_sequences_in_the_channels() -> None:
    """As `predict` feeds the network: all sequences of the slice below, then of the slice itself, then above."""
    images = torch.arange(9.0).view(1, 3, 3, 1, 1).expand(1, 3, 3, 16, 16)
    found, _ = augment(images, torch.zeros(1, 16, 16), STILL, 16, draw())
    assert found[0, :, 8, 8].round().tolist() == list(range(9))


def test_same_seed_gives_the_same_result() -> None:
    images, masks = torch.randn(6, 3, 3, 40, 50), blobs(6, 40, 50)
    one, same, other = (augment(images.clone(), masks.clone(), EVERYTHING, 32, draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def test_input_is_left_alone() -> None:
    images, masks = torch.randn(4, 3, 3, 40, 40), blobs(4, 40, 40)
    before = images.clone(), masks.clone()
    augment(images, masks, EVERYTHING, 32, draw())
    vary_intensities(images, EVERYTHING, draw())
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])


def test_draws_of_the_default_are_those_of_runs_that_have_begun() -> None:
    """Seen in what is left to draw and in the result: a run that is resumed must go on as it began."""
    generator = draw(5)
    images, masks = torch.randn(6, 3, 3, 60, 50, generator=generator), blobs(6, 60, 50)
    found, moved = augment(images, masks, AugmentationConfig(), 48, generator)
    assert float(torch.rand(1, generator=generator)) == pytest.approx(0.6368133, abs=1e-6)
    means = [float(image.mean()) for image in found]
    assert means == pytest.approx([-0.0576, -0.0302, -0.0503, 0.1571, 0.1606, -0.0078], abs=1e-3)
    assert moved.flatten(1).sum(1).tolist() == pytest.approx([316, 340, 332, 292, 293, 509], abs=3)


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_moves_image_and_mask_alike_and_keeps_masks_binary(preset: AugmentationName) -> None:
    config, masks = AugmentationConfig.model_validate(preset), blobs(6, 64, 64)
    images, moved = move(as_images(masks), masks, config, 64, draw())
    assert set(moved.unique().tolist()) == {0, 1}
    assert all(iou(image[0, 1] >= 0.5, mask[0] > 0) > 0.95 for image, mask in zip(images, moved, strict=True))
    assert torch.equal(moved[:, 0], masks) == (preset == "none")


def test_presets_are_what_they_are_called() -> None:
    images = torch.rand(4, 3, 3, 32, 32)
    found, _ = augment(images, torch.zeros(4, 32, 32), STILL, 32, draw())
    torch.testing.assert_close(found, images.flatten(1, 2), atol=1e-4, rtol=0)
    light = AugmentationConfig.model_validate("light")
    assert (light.rotation, light.shift, light.shear, light.scale) == (0.1, 0.05, 0.05, (0.95, 1.05))
    assert (light.flip, light.flip_up_down, light.noise, light.gain) == (0.5, 0.5, 0, (1, 1))
    assert AugmentationConfig.model_validate("strong") == AugmentationConfig()
    assert AugmentationConfig().elastic == AugmentationConfig().bias_field == AugmentationConfig().flip_up_down == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_is_one_setting_whose_fields_can_be_overridden(preset: AugmentationName) -> None:
    whole = TrainConfig.model_validate({"augmentation": preset}).augmentation
    assert whole.preset == preset
    own = TrainConfig.model_validate({"augmentation": {"preset": preset, "rotation": 12}}).augmentation
    assert own == whole.changed({"rotation": 12})
    assert own.preset is None
    assert AugmentationConfig.model_validate_json(own.model_dump_json()) == own


def test_preset_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no augmentation 'wild': allowed are none, light, strong"):
        AugmentationConfig.model_validate("wild")
    assert tuple(AUGMENTATIONS) == PRESETS


@pytest.mark.parametrize(
    ("setting", "value"), [("noise", 0.5), ("gamma", (0.5, 0.5)), ("elastic", 0.05), ("bias_field", 0.5)]
)
def test_what_is_overridden_in_a_preset_without_it_does_happen(setting: str, value: object) -> None:
    images, masks = torch.rand(60, 1, 3, 16, 16), torch.zeros(60, 16, 16)
    found, _ = augment(images, masks, changed(**{setting: value}), 16, draw())
    assert 0.1 < float(((found - images[:, 0]).abs().amax((1, 2, 3)) > 1e-3).float().mean()) < 0.5
