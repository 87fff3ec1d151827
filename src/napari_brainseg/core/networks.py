"""The networks, by name: MONAI's, behind a stem that trades pixels for channels."""

from collections.abc import Callable, Mapping

import torch
from monai.networks.nets import AttentionUnet, DynUNet, UNet
from torch import Tensor, nn

from .config import ModelConfig, NetworkName


class SpaceToDepth(nn.Module):
    """Run a network on blocks of pixels instead of pixels.

    Layers at full resolution take most of a U-Net's time. A block of ``stem`` x ``stem`` pixels becomes as many
    channels, the network works on the smaller image, and its channels are laid out as pixels again (Shi et al. 2016,
    "Real-time single image and video super-resolution").

    Parameters
    ----------
    network : nn.Module
        Takes and gives ``stem ** 2`` times the channels.
    stem : int
        Edge of a block; 1 changes nothing.
    """

    def __init__(self, network: nn.Module, stem: int) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(stem)
        self.network = network
        self.unfold = nn.PixelShuffle(stem)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, Y, X) of an image (B, C, Y, X) whose sides are divisible by `ModelConfig.size_multiple`."""
        logits: Tensor = self.unfold(self.network(self.fold(image)))
        return logits


def create_network(config: ModelConfig) -> SpaceToDepth:
    """Return the network that a configuration describes, with random weights.

    Parameters
    ----------
    config : ModelConfig
        `network` chooses the row of the table, the other fields its size.

    Returns
    -------
    SpaceToDepth
        Takes (B, `config.in_channels`, Y, X) and gives logits (B, 1, Y, X).
    """
    blocks = config.stem**2
    network = _NETWORKS[config.network](config.in_channels * blocks, blocks, config.filters)
    return SpaceToDepth(network, config.stem)


def read_weights(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each once (`DynUNet`'s own state dict lists most of them twice)."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


@torch.no_grad()
def write_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a network.

    Raises
    ------
    ValueError
        If names or shapes are not those of the network.
    """
    own = read_weights(network)
    if own.keys() != weights.keys() or any(own[name].shape != weights[name].shape for name in own):
        raise ValueError("the weights belong to another network")
    for name, tensor in own.items():
        tensor.copy_(weights[name])


def _unet(inputs: int, outputs: int, filters: tuple[int, ...]) -> nn.Module:
    halvings = [2] * (len(filters) - 1)
    kernels = [3] * len(filters)
    return DynUNet(2, inputs, outputs, kernels, [1, *halvings], halvings, filters=filters, norm_name="batch")


def _resunet(inputs: int, outputs: int, filters: tuple[int, ...]) -> nn.Module:
    return UNet(2, inputs, outputs, filters, [2] * (len(filters) - 1), num_res_units=2, norm="batch")


def _attention_unet(inputs: int, outputs: int, filters: tuple[int, ...]) -> nn.Module:
    return AttentionUnet(2, inputs, outputs, filters, [2] * (len(filters) - 1))


_NETWORKS: dict[NetworkName, Callable[[int, int, tuple[int, ...]], nn.Module]] = {
    "unet": _unet,
    "resunet": _resunet,
    "attention_unet": _attention_unet,
}
