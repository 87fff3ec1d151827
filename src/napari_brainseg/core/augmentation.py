"""Random variation of training images, a batch at a time, wherever the batch is."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from .config import CHANNELS, FLAIR, AugmentationConfig
from .settings import Range

_FLAIR = CHANNELS.index(FLAIR)
_ELASTIC_POINTS, _BIAS_POINTS = 8, 4
"""Along each side of the window: deformations vary over a seventh of it, brightness over a third."""


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
        On the CPU: the same state gives the same result, and on every device the same but for noise, which is drawn
        there.

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
    """Cut a randomly turned, scaled, sheared, shifted, mirrored and bent window out of each image and its mask."""
    count, slices, channels, height, width = images.shape
    angle = _uniform((-config.rotation, config.rotation), count, generator) * math.pi / 180
    scale = _uniform(config.scale, count, generator)
    shear = _uniform((-config.shear, config.shear), count, generator)
    mirror = _mirror(config.flip, count, generator)
    upturn = _mirror(config.flip_up_down, count, generator) if config.flip_up_down else torch.ones(count)
    shift = _uniform((-config.shift, config.shift), 2 * count, generator).view(2, count) * window
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = torch.stack([cos, -sin + shear * cos, sin, cos + shear * sin], dim=1).view(count, 2, 2)
    rows = rows * torch.stack([mirror, upturn], dim=1).view(count, 1, 2)
    # grid_sample counts from -1 to 1 over the whole image: the window's pixels are scaled to that, per axis
    half = torch.tensor([width / 2, height / 2])
    linear = rows * (window / 2) / half.view(1, 2, 1)
    theta = torch.cat([linear, (shift.T / half).unsqueeze(-1)], dim=2).to(images.device)
    grid = functional.affine_grid(theta, [count, 1, window, window], align_corners=False)
    if config.elastic:
        grid = _bend(grid, config, half / window, generator)
    moved = functional.grid_sample(images.flatten(1, 2), grid, padding_mode="border", align_corners=False)
    moved_masks = functional.grid_sample(masks.unsqueeze(1).float(), grid, align_corners=False)
    moved = moved.view(count, slices, channels, window, window)
    swap = _choose(count, config.reverse, generator).to(images.device)
    moved.index_copy_(0, swap, moved[swap].flip(1))
    return moved, (moved_masks >= 0.5).float()


def drop_modalities(images: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Put FLAIR in the place of pre- or post-contrast, as the data set does where a sequence is missing."""
    drop = torch.rand(len(images), len(CHANNELS), generator=generator) < config.modality_dropout
    image, channel = (index.to(images.device) for index in drop.nonzero(as_tuple=True))
    images = images.clone()
    images[image, :, channel] = images[image, :, _FLAIR]
    return images


def vary_intensities(images: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """Change brightness, sharpness, gamma, contrast and noise; all slices of one image and sequence alike."""
    count, _, channels = images.shape[:3]

    def per_channel(limits: Range) -> Tensor:
        values = _uniform(limits, count * channels, generator).view(count, 1, channels, 1, 1)
        return values.to(images.device)

    images = images.clone()
    for change, limits, nothing in (
        (_drift, (0.0, config.bias_field), 0.0),
        (_lower_resolution, config.low_resolution, 1.0),
        (_blur, config.blur, 0.0),
        (_change_gamma, config.gamma, 1.0),
        (_add_noise, (0.0, config.noise), 0.0),
    ):
        if limits != (nothing, nothing):
            chosen = _choose(count, config.chance, generator).to(images.device)
            if len(chosen):
                images.index_copy_(0, chosen, change(images[chosen], limits, generator))
    return images.mul_(per_channel(config.gain)).add_(per_channel((-config.offset, config.offset)))


def _uniform(limits: Range, count: int, generator: Generator) -> Tensor:
    low, high = limits
    return torch.rand(count, generator=generator) * (high - low) + low


def _mirror(chance: float, count: int, generator: Generator) -> Tensor:
    return torch.where(torch.rand(count, generator=generator) < chance, -1.0, 1.0)


def _choose(count: int, chance: float, generator: Generator) -> Tensor:
    return (torch.rand(count, generator=generator) < chance).nonzero().flatten()


def _smooth(rough: Tensor, size: tuple[int, int]) -> Tensor:
    """Lay a smooth surface through a few points (B, C, n, n)."""
    return functional.interpolate(rough, size=size, mode="bicubic", align_corners=True)


def _bend(grid: Tensor, config: AugmentationConfig, half: Tensor, generator: Generator) -> Tensor:
    """Move the places that a window is read from; `half` is half of the image in windows, along X and Y."""
    chosen = _choose(len(grid), config.chance, generator)
    strength = _uniform((0.0, config.elastic), len(chosen), generator).view(-1, 1, 1, 1)
    points = torch.rand(len(chosen), 2, _ELASTIC_POINTS, _ELASTIC_POINTS, generator=generator) * 2 - 1
    bent = (points * strength / half.view(1, 2, 1, 1)).to(grid.device)
    if not len(chosen):
        return grid
    return grid.index_add(0, chosen.to(grid.device), _smooth(bent, (grid.shape[1], grid.shape[2])).permute(0, 2, 3, 1))


def _drift(images: Tensor, strength: Range, generator: Generator) -> Tensor:
    """Multiply by a field, counted from the darkest pixel: air stays dark."""
    count, _, channels, height, width = images.shape
    drawn = _uniform(strength, count * channels, generator).view(-1, 1, 1, 1)
    points = (torch.rand(len(drawn), 1, _BIAS_POINTS, _BIAS_POINTS, generator=generator) * 2 - 1) * drawn
    field = 1 + _smooth(points.to(images.device), (height, width)).view(count, 1, channels, height, width)
    low = images.amin((1, 3, 4), keepdim=True)
    return (images - low) * field + low


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
    strength = _uniform(sd, len(images), generator).view(-1, 1, 1, 1, 1).to(images.device)
    seed = int(torch.randint(2**62, (1,), generator=generator))
    there = Generator(images.device).manual_seed(seed)  # on a GPU, a CPU's draws would hold up all else
    return images + torch.randn(images.shape, generator=there, device=images.device) * strength
