"""The networks, by name: MONAI's, behind a stem that trades pixels for channels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.nets import AttentionUnet, DynUNet, FlexibleUNet, UNet
from monai.networks.nets.attentionunet import AttentionLayer
from torch import Tensor, nn
from torch.nn import functional

from .config import ModelConfig, NetworkName
from .encoders import load_encoder


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
    multiple : int
        What the sides of an image must be divisible by; others are padded, and the logits cropped.
    memory_format : torch.memory_format
        How weights and images should lie in memory in training.
    """

    def __init__(
        self,
        network: nn.Module,
        stem: int,
        multiple: int,
        memory_format: torch.memory_format = torch.channels_last,
    ) -> None:
        super().__init__()
        self.memory_format = memory_format
        self.fold = nn.PixelUnshuffle(stem)
        self.network = network
        self.unfold = nn.PixelShuffle(stem)
        self._multiple = multiple

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, Y, X) of an image (B, C, Y, X)."""
        height, width = image.shape[-2:]
        below, right = -height % self._multiple, -width % self._multiple
        if below or right:
            image = functional.pad(image, [0, right, 0, below], mode="replicate")
        logits: Tensor = self.unfold(self.network(self.fold(image)))
        return logits[..., :height, :width]

    def train(self, mode: bool = True) -> "SpaceToDepth":
        """Set the mode; batch normalisation that is not trained keeps its statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)) and not module.weight.requires_grad:
                module.eval()
        return self


def create_network(config: ModelConfig) -> SpaceToDepth:
    """Return the network that a configuration describes, as its training starts.

    Weights are random but those of a pretrained encoder, which are read from their file; `config.architecture` is the
    same network without these. Blocks that are frozen need no gradient.

    Parameters
    ----------
    config : ModelConfig
        `network` chooses the row of the table, the other fields its size.

    Returns
    -------
    SpaceToDepth
        Takes (B, `config.in_channels`, Y, X) and gives logits (B, 1, Y, X).

    Raises
    ------
    ValueError, OSError
        If the pretrained weights cannot be had, or are those of another network.
    """
    phases = config.stem**2
    inner = _NETWORKS[config.network].build(config.in_channels * phases, phases, config.filters)
    if config.pretrained:
        assert isinstance(inner, FlexibleUNet)
        load_encoder(inner.encoder, inner.backbone, config.pretrained, phases)
    # oneDNN's AVX2 kernels write past their memory in the gradient of narrower layers that lie channels-last.
    layout = torch.channels_last if min(config.filters) >= 8 else torch.contiguous_format
    network = SpaceToDepth(inner, config.stem, config.size_multiple, layout)
    freeze_encoder(network, config)
    return network


def freeze_encoder(network: SpaceToDepth, config: ModelConfig) -> None:
    """Let training change all but the first `config.freeze_encoder_blocks` blocks of a network's encoder."""
    network.requires_grad_(True)
    for block in _NETWORKS[config.network].blocks(network.network)[: config.freeze_encoder_blocks]:
        block.requires_grad_(False)


def deepest_layer(network: SpaceToDepth, config: ModelConfig) -> str:
    """Name of the module at the end of a network's encoder, where one feature sees most of the image."""
    named: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    blocks = [block for block in _NETWORKS[config.network].blocks(network.network) if any(block.children())]
    # blocks of VGG16 are no modules of their own
    return named.get(blocks[-1]) or named[list(blocks[-1].children())[-1]]


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


def _unet(inputs: int, outputs: int, filters: Sequence[int], *, residual: bool = False) -> nn.Module:
    halvings = [2] * (len(filters) - 1)
    kernels = [3] * len(filters)
    strides = [1, *halvings]
    return DynUNet(
        2, inputs, outputs, kernels, strides, halvings, filters=filters, norm_name="batch", res_block=residual
    )


def _dynunet(inputs: int, outputs: int, filters: Sequence[int]) -> nn.Module:
    return _unet(inputs, outputs, filters, residual=True)


def _resunet(inputs: int, outputs: int, filters: Sequence[int]) -> nn.Module:
    return UNet(2, inputs, outputs, filters, [2] * (len(filters) - 1), num_res_units=2, norm="batch")


def _attention_unet(inputs: int, outputs: int, filters: Sequence[int]) -> nn.Module:
    return AttentionUnet(2, inputs, outputs, filters, [2] * (len(filters) - 1))


def _unet_vgg16(inputs: int, outputs: int, filters: Sequence[int]) -> nn.Module:
    return FlexibleUNet(inputs, outputs, "vgg16")


def _unet_resnet50(inputs: int, outputs: int, filters: Sequence[int]) -> nn.Module:
    return FlexibleUNet(inputs, outputs, "resnet50")


def _dynunet_blocks(network: nn.Module) -> list[nn.Module]:
    assert isinstance(network, DynUNet)
    return [network.input_block, *network.downsamples, network.bottleneck]


def _resunet_blocks(network: nn.Module) -> list[nn.Module]:
    assert isinstance(network, UNet)
    blocks: list[nn.Module] = []
    level: Any = network.model
    while isinstance(level, nn.Sequential):  # down, what is below, up
        blocks.append(level[0])
        level = level[1].submodule
    return [*blocks, level]


def _attention_unet_blocks(network: nn.Module) -> list[nn.Module]:
    assert isinstance(network, AttentionUnet)
    level: Any
    head, level, _ = network.model
    blocks = [head]
    while isinstance(level, AttentionLayer):
        below = level.submodule
        down, level = below if isinstance(below, nn.Sequential) else (below, None)
        blocks.append(down)
    return blocks


def _vgg16_blocks(network: nn.Module) -> list[nn.Module]:
    """Convolutions from one pooling to the next."""
    assert isinstance(network, FlexibleUNet)
    blocks: list[list[nn.Module]] = [[]]
    for layer in network.encoder.features:
        if isinstance(layer, nn.MaxPool2d):
            blocks.append([])
        blocks[-1].append(layer)
    return [nn.Sequential(*block) for block in blocks]


def _resnet50_blocks(network: nn.Module) -> list[nn.Module]:
    assert isinstance(network, FlexibleUNet)
    encoder = network.encoder
    return [nn.Sequential(encoder.conv1, encoder.bn1), encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]


@dataclass(frozen=True, slots=True)
class _Architecture:
    """How a network is made of input channels, output channels and filters, and what its encoder consists of."""

    build: Callable[[int, int, Sequence[int]], nn.Module]
    blocks: Callable[[nn.Module], Sequence[nn.Module]]


_NETWORKS: dict[NetworkName, _Architecture] = {
    "unet": _Architecture(_unet, _dynunet_blocks),
    "resunet": _Architecture(_resunet, _resunet_blocks),
    "attention_unet": _Architecture(_attention_unet, _attention_unet_blocks),
    "dynunet": _Architecture(_dynunet, _dynunet_blocks),
    "unet_vgg16": _Architecture(_unet_vgg16, _vgg16_blocks),
    "unet_resnet50": _Architecture(_unet_resnet50, _resnet50_blocks),
}
