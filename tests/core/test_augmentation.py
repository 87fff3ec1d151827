import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from napari_brainseg.core.augmentation import augment, drop_modalities, move, vary_intensities
from napari_brainseg.core.config import AugmentationConfig

STILL = AugmentationConfig.model_validate(
    {
        **dict.fromkeys(("rotation", "shear", "shift", "flip", "reverse", "offset", "noise", "chance"), 0),
        **dict.fromkeys(("scale", "gain", "gamma", "low_resolution"), (1, 1)),
        "blur": (0.5, 0.5),
        "modality_dropout": 0,
    }
)


def changed(**settings: object) -> AugmentationConfig:
    return AugmentationConfig.model_validate(STILL.model_dump() | settings)


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
        pytest.param(AugmentationConfig(), id="all"),
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
        assert iou(image[0, 1] > 0.5, mask[0] > 0) > 0.95
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


@pytest.mark.parametrize("setting", ["gamma", "noise", "blur", "low_resolution"])
def test_each_change_is_made_to_its_share_of_the_images(setting: str) -> None:
    value = {"gamma": (0.5, 0.5), "noise": 0.5, "blur": (1, 1), "low_resolution": (0.5, 0.5)}[setting]
    others = {"low_resolution": (1, 1), "blur": (1e-3, 1e-3), "gamma": (1, 1), "noise": 0}
    config = changed(**others | {setting: value}, chance=0.3)
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
    images, masks = augment(
        torch.randn(4, 3, 3, height, width), blobs(4, height, width), AugmentationConfig(chance=1), window, draw()
    )
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
    config = AugmentationConfig(chance=0.5)
    one, same, other = (augment(images.clone(), masks.clone(), config, 32, draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def test_input_is_left_alone() -> None:
    images, masks = torch.randn(4, 3, 3, 40, 40), blobs(4, 40, 40)
    before = images.clone(), masks.clone()
    augment(images, masks, AugmentationConfig(chance=1, modality_dropout=1), 32, draw())
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])
