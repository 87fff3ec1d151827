"""Random variation of training images, a batch at a time, on the device."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from .config import CHANNELS, FLAIR, AugmentationConfig, Range

_FLAIR = CHANNELS.index(FLAIR)


def augment(
    images: Tensor, masks: Tensor, config: AugmentationConfig, window: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return randomly varied windows of images and masks; both are moved alike, masks keep 0 and 1.

    Parameters
    ----------
    images : Tensor
        (B, S, C, Y, X), normalised: S neighbouring slices with C sequences each.
    masks : Tensor
        (B, Y, X) of the middle slice.
    window : int
        Edge of the window, in pixels.
    generator : Generator
        On the CPU: the same state gives the same result on every device.

    Returns
    -------
    tuple of Tensor
        Images (B, S * C, window, window) and masks (B, 1, window, window), float32.
    """
    images, masks = move(images, masks, config, window, generator)
    images = drop_modalities(images, config, generator)
    images = vary_intensities(images, config, generator)
    return images.flatten(1, 2), masks


def move(
    images: Tensor, masks: Tensor, config: AugmentationConfig, window: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Cut a randomly turned, scaled, sheared, shifted and mirrored window out of each image and its mask."""
    count, slices, channels, height, width = images.shape
    angle = _uniform((-config.rotation, config.rotation), count, generator) * math.pi / 180
    scale = _uniform(config.scale, count, generator)
    shear = _uniform((-config.shear, config.shear), count, generator)
    mirror = torch.where(torch.rand(count, generator=generator) < config.flip, -1.0, 1.0)
    shift = _uniform((-config.shift, config.shift), 2 * count, generator).view(2, count) * window
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = torch.stack([cos * mirror, -sin + shear * cos, sin * mirror, cos + shear * sin], dim=1).view(count, 2, 2)
    # grid_sample counts from -1 to 1 over the whole image: the window's pixels are scaled to that, per axis
    half = torch.tensor([width / 2, height / 2])
    linear = rows * (window / 2) / half.view(1, 2, 1)
    theta = torch.cat([linear, (shift.T / half).unsqueeze(-1)], dim=2).to(images.device)
    grid = functional.affine_grid(theta, [count, 1, window, window], align_corners=False)
    moved = functional.grid_sample(images.flatten(1, 2), grid, padding_mode="border", align_corners=False)
    moved_masks = functional.grid_sample(masks.unsqueeze(1).float(), grid, align_corners=False)
    moved = moved.view(count, slices, channels, window, window)
    swap = (torch.rand(count, generator=generator) < config.reverse).to(images.device)
    moved = torch.where(swap.view(-1, 1, 1, 1, 1), moved.flip(1), moved)
    return moved, (moved_masks >= 0.5).float()


def drop_modalities(images: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Put FLAIR in the place of pre- or post-contrast, as the data set does where a sequence is missing."""
    drop = torch.rand(len(images), len(CHANNELS), generator=generator) < config.modality_dropout
    flair = images[:, :, _FLAIR : _FLAIR + 1]
    return torch.where(drop.view(len(images), 1, len(CHANNELS), 1, 1).to(images.device), flair, images)


def vary_intensities(images: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Change sharpness, gamma, contrast, brightness and noise; all slices of one image and sequence alike."""
    count, _, channels = images.shape[:3]

    def per_channel(limits: Range) -> Tensor:
        values = _uniform(limits, count * channels, generator).view(count, 1, channels, 1, 1)
        return values.to(images.device)

    for change, limits in (
        (_lower_resolution, config.low_resolution),
        (_blur, config.blur),
        (_change_gamma, config.gamma),
        (_add_noise, (0.0, config.noise)),
    ):
        chosen = (torch.rand(count, generator=generator) < config.chance).nonzero().flatten().to(images.device)
        if len(chosen):
            images = images.index_copy(0, chosen, change(images[chosen], limits, generator))
    return images * per_channel(config.gain) + per_channel((-config.offset, config.offset))


def _uniform(limits: Range, count: int, generator: Generator) -> Tensor:
    low, high = limits
    return torch.rand(count, generator=generator) * (high - low) + low


def _lower_resolution(images: Tensor, share: Range, generator: Generator) -> Tensor:
    """One share for all images: resampling each by its own would cost as many calls."""
    planes = images.flatten(1, 2)
    small = functional.interpolate(planes, scale_factor=float(_uniform(share, 1, generator)), mode="area")
    back = functional.interpolate(small, size=planes.shape[-2:], mode="bilinear", align_corners=False)
    return back.view(images.shape)


def _blur(images: Tensor, sd: Range, generator: Generator) -> Tensor:
    spread = float(_uniform(sd, 1, generator))
    reach = math.ceil(2 * spread)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / max(spread, 1e-3)) ** 2)
    taps /= taps.sum()
    height, width = images.shape[-2:]
    planes = functional.pad(images.flatten(1, 2), [reach] * 4, mode="replicate")
    # a sum of a few shifted images is several times faster on the CPU than a convolution of single channels
    nothing = torch.zeros(())
    rows = sum((float(tap) * planes[:, :, shift : shift + height] for shift, tap in enumerate(taps)), nothing)
    blurred = sum((float(tap) * rows[..., shift : shift + width] for shift, tap in enumerate(taps)), nothing)
    return blurred.view(images.shape)


def _change_gamma(images: Tensor, exponents: Range, generator: Generator) -> Tensor:
    low = images.amin((1, 3, 4), keepdim=True)
    span = (images.amax((1, 3, 4), keepdim=True) - low).clamp_min(1e-6)
    exponent = _uniform(exponents, low.numel(), generator).view(low.shape).to(images.device)
    return ((images - low) / span).clamp_min(1e-6) ** exponent * span + low


def _add_noise(images: Tensor, sd: Range, generator: Generator) -> Tensor:
    noise = torch.randn(images.shape, generator=generator) * _uniform(sd, len(images), generator).view(-1, 1, 1, 1, 1)
    return images + noise.to(images.device)
