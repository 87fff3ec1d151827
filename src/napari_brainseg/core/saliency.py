"""Which parts of a slice a prediction rests on.

Each method explains one number: the mean logit over the predicted tumour of the slice, or over all of the head where
nothing is predicted. A logit, because a probability near 1 hardly changes whatever one does to the image.
"""

import copy
import time
from dataclasses import dataclass

import numpy as np
import torch
from monai.visualize import GradCAM, SmoothGrad
from torch import Tensor, nn
from torch.nn import functional

from .config import ExplainConfig, ExplainMethod, SegmentConfig
from .devices import choose_device
from .durations import now
from .masks import Mask
from .models import TrainedModel, versions
from .networks import deepest_layer
from .progress import OnProgress, Progress, ignore_progress
from .segmentation import slice_input
from .settings import Settings
from .volumes import Float32Array, Volume

_SAYS: dict[ExplainMethod, str] = {
    "occlusion": "Bright: covering this place with average tissue makes the model less sure of {}.",
    "gradcam": "Bright: deep features that speak for {} are strong here; a coarse map.",
    "smoothgrad": "Bright: small changes of intensity here change how sure the model is of {} most.",
}


class ExplanationProvenance(Settings):
    """How an explanation was made: enough to make it again."""

    case: str
    slice_number: int
    model: str
    weights_sha256: str
    temperature: float = 1.0
    settings: ExplainConfig
    threshold: float
    device: str
    seconds: float
    created: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What a prediction on one slice rests on.

    Attributes
    ----------
    map : ndarray
        (Y, X), float32: 0 where nothing speaks for the prediction, 1 where most does.
    z : int
        Position of the slice in the volume.
    prediction : ndarray
        (Y, X), 1 is tumour: what is explained.
    sentence : str
        What bright places of the map mean.
    provenance : ExplanationProvenance
        Method, model, settings, device, versions and seconds.
    """

    map: Float32Array
    z: int
    prediction: Mask
    sentence: str
    provenance: ExplanationProvenance

    @property
    def method(self) -> ExplainMethod:
        """How it was found."""
        return self.provenance.settings.method


def explain(
    volume: Volume,
    z: int,
    model: TrainedModel,
    config: ExplainConfig | None = None,
    segmenting: SegmentConfig | None = None,
    threshold: float | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Explanation:
    """Find out what a model's prediction on a slice rests on.

    Occlusion is that of Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks". Grad-CAM is
    that of Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based localization",
    with the predicted region as what is explained (Vinogradova et al. 2020, "Towards interpretable semantic
    segmentation via gradient-weighted class activation mapping"). SmoothGrad is that of Smilkov et al. 2017,
    "SmoothGrad: removing noise by adding noise".

    Parameters
    ----------
    volume : Volume
        The images.
    z : int
        Which slice.
    model : TrainedModel
        From `load_model`; it is left as it is.
    config : ExplainConfig, optional
        Method and its settings.
    segmenting : SegmentConfig, optional
        Device, threads and batch size; it computes in float32.
    threshold : float, optional
        From which probability on a voxel is tumour; the model's own if not given.
    on_progress : callable
        Called with each pass through the network; it may raise `Cancelled`.

    Raises
    ------
    ValueError
        If the volume is empty or constant, or has no such slice.
    """
    config, segmenting = config or ExplainConfig(), segmenting or SegmentConfig()
    threshold = model.info.postprocess.threshold if threshold is None else threshold
    started = time.perf_counter()
    device = choose_device(segmenting.device, segmenting.threads)
    # A copy: MONAI's hooks stay for good, and gradients and device are nobody else's business.
    network = copy.deepcopy(model.network).eval().requires_grad_(True).to(device.name)
    seen = slice_input(volume, z, model.info.model)
    image = seen.images.flatten(0, 1)[None].to(device.name)
    head = seen.head[model.info.model.context].to(device.name)
    with torch.no_grad():
        logits = network(image)[0, 0]
    called = torch.sigmoid(logits / model.info.temperature) >= threshold
    score = _Score(network, called if called.any() else head, on_progress)
    if config.method == "gradcam":
        found = _grad_cam(score, image, f"network.{deepest_layer(network, model.info.model)}")
    elif config.method == "smoothgrad":
        found = _smooth_grad(score, image, config)
    else:
        found = _occlude(score, image, head, config, segmenting.batch_size)
    found = found * head  # nothing in the air is a finding, though features of the deepest layer reach into it
    saliency, prediction = np.zeros(volume.shape[1:], np.float32), np.zeros(volume.shape[1:], np.uint8)
    saliency[seen.rows, seen.columns] = (found / found.max().clamp_min(1e-12)).cpu().numpy()
    prediction[seen.rows, seen.columns] = called.cpu().numpy()
    what = "the tumour that it calls" if called.any() else "tumour anywhere, though it calls none"
    provenance = ExplanationProvenance(
        case=volume.name,
        slice_number=volume.slice_numbers[z],
        model=model.info.name,
        weights_sha256=model.info.provenance.weights_sha256,
        temperature=model.info.temperature,
        settings=config,
        threshold=threshold,
        device=str(device),
        seconds=round(time.perf_counter() - started, 3),
        created=now(),
        versions=versions(),
    )
    return Explanation(saliency, z, prediction, _SAYS[config.method].format(what), provenance)


class _Score(nn.Module):
    """The number that is explained (B, 1), of images (B, C, Y, X); reports each pass through the network."""

    def __init__(self, network: nn.Module, region: Tensor, on_progress: OnProgress) -> None:
        super().__init__()
        self.network = network
        self.passes = 1
        self._region, self._on_progress, self._done = region, on_progress, 0

    def forward(self, images: Tensor) -> Tensor:
        self._on_progress(Progress("explaining", self._done, self.passes))
        self._done += 1
        scores: Tensor = self.network(images)[:, 0, self._region].mean(1, keepdim=True)
        return scores


def _grad_cam(score: _Score, image: Tensor, layer: str) -> Tensor:
    grad_cam = GradCAM(score, layer, postprocessing=_unchanged)
    found: Tensor = grad_cam(image.requires_grad_(True), class_idx=0).detach()[0, 0]
    return found


def _smooth_grad(score: _Score, image: Tensor, config: ExplainConfig) -> Tensor:
    """The strongest of the gradients of all sequences and neighbours at each place."""
    score.passes = config.samples
    smooth_grad = SmoothGrad(score, config.noise, config.samples, verbose=False)
    with torch.random.fork_rng(devices=[image.device] if image.is_cuda else []):
        torch.manual_seed(config.seed)
        gradients: Tensor = smooth_grad(image, 0, retain_graph=False)
    return gradients[0].amax(0)


def _occlude(score: _Score, image: Tensor, head: Tensor, config: ExplainConfig, batch_size: int) -> Tensor:
    """How much the score falls where the tissue under overlapping patches is set to the mean of the head, which is 0.

    Not MONAI's: that one indexes tensors with lists, which PyTorch has given up, and also paints tissue into the air.
    """
    height, width = image.shape[-2:]
    reach, step = config.patch // 2, max(config.patch * 2 // 3, 1)
    rows, columns = (torch.arange(step // 2, size, step) for size in (height, width))
    covered = torch.zeros(len(rows), len(columns), height, width, dtype=torch.bool, device=head.device)
    for i, y in enumerate(rows.tolist()):
        for j, x in enumerate(columns.tolist()):
            covered[i, j, max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach] = True
    covered = (covered & head).flatten(0, 1)
    tried = covered.any(dim=(1, 2)).nonzero()[:, 0]  # the others cover nothing but air
    parts = tried.split(batch_size)
    score.passes = len(parts) + 1
    fall = torch.zeros(len(covered), device=head.device)
    with torch.inference_mode():
        before = score(image)
        for part in parts:
            fall[part] = (before - score(image.masked_fill(covered[part, None], 0.0)))[:, 0].clamp_min(0)
    coarse = fall.view(1, 1, len(rows), len(columns))
    return functional.interpolate(coarse, size=(height, width), mode="bilinear")[0, 0]


def _unchanged(values: Tensor) -> Tensor:
    return values
