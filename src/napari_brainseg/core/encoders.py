"""Encoders known from photographs: VGG16 for MONAI's flexible U-Net, and ImageNet weights for it and ResNet50."""

from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from monai.networks.blocks import BaseEncoder
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

TORCHVISION = "torchvision"
"""In the place of a file: the weights that torchvision brings."""

_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16Encoder(nn.Module, BaseEncoder):
    """The convolutions of VGG16 (Simonyan and Zisserman 2015), named as in torchvision.

    What `FlexibleUNet` takes are the features before each pooling but the first, at 1/2 to 1/16 of the resolution.

    Parameters
    ----------
    in_channels : int
        Of the image.
    pretrained, spatial_dims
        Asked for by `FlexibleUNet`: False and 2.
    """

    def __init__(self, in_channels: int, pretrained: bool = False, spatial_dims: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block in _VGG16:
            for channels in block:
                layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
                in_channels = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features (B, C, Y / n, X / n) for n = 2, 4, 8, 16."""
        found = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(image)
            image = layer(image)
        return [*found[1:], image]

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        """How to make it."""
        return [{"in_channels": 3, "pretrained": False, "spatial_dims": 2}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Channels of the features."""
        return [tuple(block[-1] for block in _VGG16[1:])]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """How many features."""
        return [len(_VGG16) - 1]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Name for `FlexibleUNet`."""
        return ["vgg16"]


FLEXUNET_BACKBONE.register_class(VGG16Encoder)


def load_encoder(encoder: nn.Module, name: str, source: str, phases: int) -> None:
    """Put weights trained on photographs into an encoder.

    The filters of the first layer are repeated for all channels of the image and divided by how often, so that an
    image whose slices are all alike gives what the file's network gives: pre-contrast takes the place of red, FLAIR of
    green, post-contrast of blue.

    Parameters
    ----------
    encoder : nn.Module
        Its first weights are those of the first convolution.
    name : str
        What torchvision calls the network: ``vgg16`` or ``resnet50``.
    source : str
        A ``.safetensors`` file, a file of PyTorch's with a state dict, or ``torchvision``.
    phases : int
        Consecutive channels that stem from one sequence of one slice.

    Raises
    ------
    ValueError
        If torchvision is not installed, or the file does not hold the weights of that network.
    OSError
        If the file cannot be read, or torchvision cannot download it.
    """
    given = _read_torchvision(name) if source == TORCHVISION else _read_file(Path(source))
    own = {key: value for key, value in encoder.state_dict().items() if not key.endswith("num_batches_tracked")}
    first = next(iter(own))
    if first in given and given[first].ndim == own[first].ndim:
        given[first] = _repeat_filters(given[first], own[first].shape[1], phases)
    for key, value in own.items():
        if key not in given:
            raise ValueError(f"{source} does not hold the weights of {name}: {key} is missing")
        if given[key].shape != value.shape:
            shapes = f"{key} is {tuple(given[key].shape)}, not {tuple(value.shape)}"
            raise ValueError(f"{source} does not hold the weights of {name}: {shapes}")
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(given[key])


def _repeat_filters(filters: Tensor, channels: int, phases: int) -> Tensor:
    colours = filters.shape[1]
    order = torch.arange(channels) // phases % colours
    return filters[:, order] * (colours / channels)


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: pretrained needs a file of weights, or {TORCHVISION!r}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is damaged or no file of weights: allowed are safetensors and state dicts") from error
    return content


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """Tensors only: nothing else is unpickled."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UnpicklingError("no state dict")
    return dict(content)


def _read_torchvision(name: str) -> dict[str, Tensor]:
    try:
        models = import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError where it was built for another PyTorch
        raise ValueError(
            f"pretrained {TORCHVISION!r} needs the package torchvision, which cannot be imported here: install it or "
            "name a file of weights"
        ) from error
    try:
        network = models.get_model(name, weights="IMAGENET1K_V1")
    except OSError as error:
        raise OSError(f"torchvision cannot download the weights of {name}, name a file of them: {error}") from error
    return dict(network.state_dict())
