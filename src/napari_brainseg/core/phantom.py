"""Made-up patients that look like the real ones: sample data, demo and tests without any patient's images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

from .config import CHANNELS, FLAIR
from .files import atomic_path
from .masks import Mask, write_mask
from .volumes import Array, Volume, volume_of_array

Field = npt.NDArray[np.float32]

_TISSUES = {
    #        pre, FLAIR, post (grey values of 255)
    "skull": (70, 60, 75),
    "scalp": (150, 120, 160),
    "brain": (90, 82, 95),
    "white matter": (112, 75, 118),
    "fluid": (35, 22, 38),
    "tumour": (70, 165, 78),
    "core": (58, 140, 120),
}


@dataclass(frozen=True, slots=True)
class PhantomCase:
    """One made-up patient of the sample data set."""

    name: str
    seed: int
    tumour: bool = True
    missing: tuple[str, ...] = ()


SAMPLE_CASES = (
    PhantomCase("phantom_1", 1),
    PhantomCase("phantom_2", 2),
    PhantomCase("phantom_3_FLAIR_only", 3, missing=(CHANNELS[0], CHANNELS[2])),
    PhantomCase("phantom_4_no_tumour", 4, tumour=False),
)


def make_phantom(
    seed: int = 0,
    shape: tuple[int, int, int] = (24, 256, 256),
    *,
    tumour: bool = True,
    missing: Sequence[str] = (),
    name: str = "phantom",
) -> tuple[Volume, Mask]:
    """Return the images of a made-up head, and the mask of its tumour.

    Parameters
    ----------
    seed : int
        Decides shape, place and texture.
    shape : tuple of int
        Slices, rows, columns.
    tumour : bool
        Whether there is one; the mask is empty without.
    missing : sequence of str
        Sequences in whose place FLAIR stands, as in the real data set.
    name : str
        The case's name.

    Returns
    -------
    Volume, ndarray
        uint8 images (Z, Y, X, 3), and the mask (Z, Y, X) of 0 and 1.
    """
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32) for size in shape), indexing="ij")
    wobble = _smooth_noise(rng, shape, 0.12)
    profile = np.sqrt(np.clip(1 - 0.8 * z**2, 0, 1))
    radius = np.hypot(y / 0.82, x / 0.68) / profile + 0.02 * wobble
    tissue = {
        "scalp": radius < 0.98,
        "skull": radius < 0.90,
        "brain": radius < 0.82,
        "white matter": radius + 0.08 * (wobble + wobble[..., ::-1]) < 0.6,  # as alike on both sides as real ones
        "fluid": (np.hypot((np.abs(x) - 0.10 - 0.12 * np.abs(y)) / 0.07, y / 0.28) + 0.3 * wobble < 1)
        & (np.abs(z) < 0.5),
    }
    gap = (radius >= 0.76 + 0.03 * wobble) & (radius < 0.82) | (np.abs(x) < 0.012) & (radius < 0.82)
    tissue["fluid"] |= gap & (_smooth_noise(rng, shape, 0.03) > -0.3)
    mask = np.zeros(shape, bool)
    if tumour:
        mask = _tumour(rng, z, y, x, wobble) & (radius < 0.78)
        tissue["tumour"] = mask
        tissue["core"] = mask & (ndimage.gaussian_filter(mask.astype(np.float32), (0.6, 5, 5)) > 0.93)
    channels = [_paint(tissue, channel, rng, shape) for channel in range(len(CHANNELS))]
    for absent in missing:
        channels[CHANNELS.index(absent)] = channels[CHANNELS.index(FLAIR)]
    return volume_of_array(np.stack(channels, axis=-1), name), mask.astype(np.uint8)


def write_phantom_cases(
    folder: Path | str,
    cases: Sequence[PhantomCase] = SAMPLE_CASES,
    shape: tuple[int, int, int] = (24, 256, 256),
) -> list[Path]:
    """Write a made-up data set in Kaggle's layout and return its case folders; those already there are left alone.

    Parameters
    ----------
    folder : Path or str
        Gets one folder per case, with ``NAME_1.tif``, ``NAME_1_mask.tif`` and so on.
    cases : sequence of PhantomCase
        By default two patients with tumour, one with FLAIR alone, and one without tumour.
    shape : tuple of int
        Slices, rows, columns.
    """
    written = []
    for case in cases:
        target = Path(folder) / case.name
        if not target.is_dir():
            volume, mask = make_phantom(case.seed, shape, tumour=case.tumour, missing=case.missing, name=case.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".", dir=target.parent) as temporary:
                unfinished = Path(temporary) / case.name
                write_mask(mask, unfinished, volume)
                for number, plane in zip(volume.slice_numbers, volume.array, strict=True):
                    with atomic_path(unfinished / f"{case.name}_{number}.tif") as file:
                        tifffile.imwrite(file, plane, photometric="rgb", metadata=None)
                unfinished.rename(target)
        written.append(target)
    return written


def _tumour(rng: np.random.Generator, z: Field, y: Field, x: Field, wobble: Field) -> Array:
    side = rng.choice([-1.0, 1.0])
    centre = rng.uniform([-0.3, -0.35, 0.28], [0.3, 0.25, 0.36])
    size = rng.uniform([0.35, 0.20, 0.18], [0.5, 0.30, 0.24])
    distance = np.sqrt(
        ((z - centre[0]) / size[0]) ** 2 + ((y - centre[1]) / size[1]) ** 2 + ((x - side * centre[2]) / size[2]) ** 2
    )
    inside: Array = distance + 0.45 * wobble < 1
    return inside


def _paint(
    tissue: dict[str, npt.NDArray[np.bool_]], channel: int, rng: np.random.Generator, shape: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    image = np.full(shape, 3, np.float32)
    for name, where in tissue.items():
        image[where] = _TISSUES[name][channel]
    image = ndimage.gaussian_filter(image, (0, 0.9, 0.9))
    image *= 1 + 0.06 * _smooth_noise(rng, shape, 0.02) + 0.04 * _smooth_noise(rng, shape, 0.3)
    image += rng.normal(0, 2.5, shape)
    painted: npt.NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return painted


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int, int], scale: float) -> Field:
    """Noise of unit SD; `scale` is its coarseness as a share of the image."""
    sigma = [max(scale * size, 0.3) for size in shape]
    coarse = [max(int(size / max(s / 2, 1)), 4) for size, s in zip(shape, sigma, strict=True)]
    noise = ndimage.gaussian_filter(rng.standard_normal(coarse), 1.0)
    zoomed: Field = ndimage.zoom(noise / noise.std(), [n / c for n, c in zip(shape, coarse, strict=True)], order=1)
    return zoomed.astype(np.float32)
