import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from napari_brainseg.core.config import ModelConfig, NetworkName
from napari_brainseg.core.model_folders import ModelInfo
from napari_brainseg.core.models import TrainedModel, load_model, save_model
from napari_brainseg.core.networks import SpaceToDepth, create_network, freeze_encoder, read_weights, write_weights

NAMES: tuple[NetworkName, ...] = get_args(NetworkName)
PRETRAINED: dict[NetworkName, str] = {"unet_vgg16": "vgg16", "unet_resnet50": "resnet50"}
FIRST = {"vgg16": "features.0.weight", "resnet50": "conv1.weight"}


def config_of(name: NetworkName, **settings: object) -> ModelConfig:
    return ModelConfig.model_validate({"network": name, "filters": (4, 8, 8), "context": 0, **settings})


def take_steps(network: SpaceToDepth, count: int = 1) -> list[float]:
    """Teach a network to find what is bright; the loss before each step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    masks = (images.mean(1, keepdim=True) > 0.5).float()
    network.train()
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(images), masks)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def photograph_weights(name: NetworkName, seed: int = 0) -> dict[str, Tensor]:
    """Made-up weights, named and shaped as torchvision has them: three colours, and a classifier on top."""
    draw = torch.Generator().manual_seed(seed)
    encoder = create_network(config_of(name, stem=1)).network.encoder
    shapes = {key: tuple(value.shape) for key, value in encoder.state_dict().items() if "num_batches" not in key}
    weights = {key: torch.rand(shape, generator=draw) * 0.01 for key, shape in shapes.items()}
    return weights | {"fc.weight": torch.zeros(1000, 8)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("stem", "context", "filters"),
    [(1, 0, (4, 8, 8)), (2, 1, (4, 8, 8)), (4, 2, (4, 6, 8, 8))],
    ids=["plain", "stem 2", "stem 4"],
)
def test_network_gives_one_logit_per_pixel(
    name: NetworkName, stem: int, context: int, filters: tuple[int, ...]
) -> None:
    config = ModelConfig.model_validate({"network": name, "stem": stem, "context": context, "filters": filters})
    size = config.size_multiple
    image = torch.rand(2, config.in_channels, 2 * size, 3 * size)
    network = create_network(config).eval()
    with torch.no_grad():
        logits = network(image)
    assert logits.shape == (2, 1, 2 * size, 3 * size)
    assert torch.isfinite(logits).all()
    assert logits.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_network_learns_while_training(name: NetworkName) -> None:
    """Every parameter gets a gradient: nothing in the network is dead."""
    config = config_of(name, context=1)
    network = create_network(config).train()
    network(torch.rand(2, config.in_channels, 128, 128)).square().mean().backward()
    dead = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    biases_before_norm = [key for key in dead if key.endswith("bias")]
    assert dead == biases_before_norm


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_change_a_network(name: NetworkName) -> None:
    torch.manual_seed(0)
    network = create_network(config_of(name))
    before = {key: value.clone() for key, value in network.named_parameters()}
    assert all(0 < loss < 5 for loss in take_steps(network, 2))
    still = [key for key, value in network.named_parameters() if torch.equal(value, before[key])]
    assert all(key.endswith("bias") for key in still)


@pytest.mark.parametrize("name", NAMES)
def test_image_of_any_size_gets_logits_of_its_size(name: NetworkName) -> None:
    """As if its border went on: sides that cannot be halved often enough need no care of anyone."""
    config = config_of(name)
    network = create_network(config).eval()
    multiple = config.size_multiple
    image = torch.rand(1, 3, multiple + 3, 2 * multiple - 1)
    whole = torch.nn.functional.pad(image, [0, 1, 0, multiple - 3], mode="replicate")
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(whole)[..., : multiple + 3, : 2 * multiple - 1])


@pytest.mark.parametrize(
    ("name", "multiple"),
    [("unet", 8), ("dynunet", 8), ("resunet", 8), ("attention_unet", 8), ("unet_vgg16", 32), ("unet_resnet50", 64)],
)
def test_size_multiple_is_what_the_network_halves(name: NetworkName, multiple: int) -> None:
    assert config_of(name, stem=2).size_multiple == multiple
    assert config_of(name, stem=4).size_multiple == 2 * multiple


def test_dynunet_is_unet_with_residual_blocks() -> None:
    plain, residual = (read_weights(create_network(config_of(name))) for name in ("unet", "dynunet"))
    assert plain.keys() < residual.keys()


def test_channels_are_all_sequences_of_all_slices() -> None:
    assert [ModelConfig(context=context).in_channels for context in range(4)] == [3, 9, 15, 21]


def test_blocks_of_pixels_are_laid_out_where_they_were() -> None:
    """With a stem, a pixel's logit depends on the pixel's surroundings and not on the far side of the image."""
    config = ModelConfig(filters=(4, 8, 8), stem=4, context=0)
    network = create_network(config).eval()
    image = torch.zeros(1, 3, 192, 192)
    changed = image.clone()
    changed[..., 4:8, 180:184] = 5
    with torch.no_grad():
        difference = (network(changed) - network(image)).abs()[0, 0]
    row, column = divmod(int(difference.argmax()), 192)
    assert (abs(row - 6) < 24, abs(column - 182) < 24) == (True, True)
    assert difference[150:, :40].max() == 0


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"network": "transformer"}, id="unknown network"),
        pytest.param({"filters": (4, 8)}, id="two levels"),
        pytest.param({"stem": 3}, id="stem"),
        pytest.param({"context": -1}, id="context"),
        pytest.param({"size": 3}, id="unknown setting"),
        pytest.param({"freeze_encoder_blocks": -1}, id="frozen blocks"),
    ],
)
def test_config_that_no_network_can_be_built_of_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(settings)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_copied_exactly(name: NetworkName) -> None:
    config = ModelConfig(network=name, filters=(4, 8, 8))
    torch.manual_seed(0)
    one, other = create_network(config).eval(), create_network(config).eval()
    image = torch.rand(1, config.in_channels, 64, 64)
    with torch.no_grad():
        assert (one(image) != other(image)).any()
        write_weights(other, {key: tensor.clone() for key, tensor in read_weights(one).items()})
        torch.testing.assert_close(other(image), one(image), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_weights_hold_everything_that_training_changes(name: NetworkName) -> None:
    """Buffers too: without the running statistics of the norms a loaded network gives something else."""
    network = create_network(ModelConfig(network=name, filters=(4, 8, 8)))
    state, weights = network.state_dict(), read_weights(network)
    assert {tensor.data_ptr() for tensor in state.values()} == {tensor.data_ptr() for tensor in weights.values()}


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_of_another_network_are_refused_and_change_nothing(change: str) -> None:
    network = create_network(ModelConfig(filters=(4, 8, 8)))
    weights = {key: torch.zeros_like(tensor) for key, tensor in read_weights(network).items()}
    before = {key: tensor.clone() for key, tensor in read_weights(network).items()}
    last = list(weights)[-1]
    if change == "missing":
        del weights[last]
    elif change == "extra":
        weights["another"] = torch.zeros(1)
    else:
        weights[last] = torch.zeros(3, 3, 3)
    with pytest.raises(ValueError, match="the weights belong to another network"):
        write_weights(network, weights)
    assert all(torch.equal(tensor, before[key]) for key, tensor in read_weights(network).items())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", "wrapped.pth"])
@pytest.mark.parametrize("name", PRETRAINED)
def test_pretrained_weights_are_read_from_a_file(name: NetworkName, suffix: str, tmp_path: Path) -> None:
    weights, path = photograph_weights(name), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights} if suffix == "wrapped.pth" else weights, path)
    own = create_network(config_of(name, stem=1, pretrained=str(path))).network.encoder.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in own.items() if "num_batches" not in key)


@pytest.mark.parametrize(("stem", "context"), [(1, 1), (2, 0), (2, 1)])
@pytest.mark.parametrize("name", PRETRAINED)
def test_slices_and_pixels_that_are_alike_give_what_one_photograph_gives(
    name: NetworkName, stem: int, context: int, tmp_path: Path
) -> None:
    weights = photograph_weights(name)
    torch.save(weights, tmp_path / "weights.pth")
    config = config_of(name, stem=stem, context=context, pretrained=str(tmp_path / "weights.pth"))
    network = create_network(config)
    small = torch.rand(1, 3, 64, 64)
    large = small.repeat_interleave(stem, 2).repeat_interleave(stem, 3).repeat(1, 2 * context + 1, 1, 1)
    first = next(layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d))
    filters = weights[FIRST[PRETRAINED[name]]]
    expected = torch.nn.functional.conv2d(small, filters, first.bias, first.stride, first.padding)
    torch.testing.assert_close(first(network.fold(large)), expected, atol=1e-5, rtol=1e-5)


def test_model_trained_from_pretrained_weights_does_not_need_their_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(photograph_weights("unet_vgg16"), path)
    config = config_of("unet_vgg16", pretrained=str(path), freeze_encoder_blocks=2)
    network = create_network(config).eval()
    save_model(TrainedModel(ModelInfo(name="x", model=config), network), tmp_path / "model")
    path.unlink()
    loaded = load_model(tmp_path / "model")
    assert loaded.info.model == config  # what it started from stays known
    assert all(value.requires_grad for value in loaded.network.parameters())
    stored = {key: value.half() for key, value in read_weights(network).items()}
    assert all(torch.equal(value.half(), stored[key]) for key, value in read_weights(loaded.network).items())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "weights.pth does not exist", id="no file"),
        pytest.param(b"no weights", "weights.pth is damaged or no file of weights", id="no state dict"),
        pytest.param(b"", "weights.pth is damaged or no file of weights", id="empty"),
        pytest.param({"a": 1}, "weights.pth is damaged or no file of weights", id="no tensors"),
        pytest.param({"layer": Path()}, "weights.pth is damaged or no file of weights", id="pickled object"),
        pytest.param(
            "unet_resnet50", r"not hold the weights of vgg16: features\.0\.weight is missing", id="other network"
        ),
        pytest.param("shape", r"features\.2\.weight is \(64, 3, 1, 1\), not \(64, 64, 3, 3\)", id="other shape"),
    ],
)
def test_wrong_file_of_pretrained_weights_is_told_in_a_sentence(content: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "unet_resnet50":
        torch.save(photograph_weights("unet_resnet50"), path)
    elif content == "shape":
        torch.save(photograph_weights("unet_vgg16") | {"features.2.weight": torch.zeros(64, 3, 1, 1)}, path)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises((ValueError, FileNotFoundError), match=reason) as caught:
        create_network(config_of("unet_vgg16", pretrained=str(path)))
    assert "\n" not in str(caught.value)


def test_torchvision_that_is_not_there_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ValueError, match="needs the package torchvision, which cannot be imported here"):
        create_network(config_of("unet_vgg16", pretrained="torchvision"))


def test_torchvision_gives_the_weights_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, asked = photograph_weights("unet_vgg16"), []

    def get_model(name: str, weights: str) -> SimpleNamespace:
        asked.append((name, weights))
        return SimpleNamespace(state_dict=lambda: photograph_weights("unet_vgg16"))

    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision.models", SimpleNamespace(get_model=get_model))
    network = create_network(config_of("unet_vgg16", stem=1, pretrained="torchvision"))
    assert asked == [("vgg16", "IMAGENET1K_V1")]
    assert torch.equal(network.network.encoder.features[0].weight, weights["features.0.weight"])


@pytest.mark.parametrize("name", sorted({*NAMES} - {*PRETRAINED}))
def test_network_without_pretrained_weights_refuses_them(name: NetworkName) -> None:
    with pytest.raises(ValueError, match=f"{name} has no pretrained weights, only unet_vgg16 and unet_resnet50 have"):
        config_of(name, pretrained="weights.pth")


@pytest.mark.parametrize("name", NAMES)
def test_frozen_blocks_are_left_alone_by_a_step(name: NetworkName) -> None:
    """Statistics of batch normalisation too, and nothing but the first layers of the encoder."""
    torch.manual_seed(0)
    network = create_network(config_of(name, freeze_encoder_blocks=2))
    frozen = {key for key, value in network.named_parameters() if not value.requires_grad}
    before = {key: value.clone() for key, value in read_weights(network).items()}
    take_steps(network)
    same = {key for key, value in read_weights(network).items() if torch.equal(value, before[key])}
    norms = {key.rpartition(".")[0] for key in frozen}
    statistics = {key for key in before if "running" in key and key.rpartition(".")[0] in norms}
    assert frozen
    assert frozen | statistics <= same
    assert {key for key in same - frozen - statistics if not key.endswith(("bias", "num_batches_tracked"))} == set()
    last = max(frozen, key=[key for key, _ in network.named_parameters()].index)
    assert not any(word in last for word in ("up", "decoder", "output", "merge"))


def test_freezing_one_more_block_freezes_more_and_none_frees_all() -> None:
    for name in NAMES:
        network = create_network(config_of(name).architecture)
        counts = []
        for blocks in range(4):
            freeze_encoder(network, config_of(name, freeze_encoder_blocks=blocks))
            counts.append(sum(not value.requires_grad for value in network.parameters()))
        assert counts[0] == 0
        assert counts == sorted(set(counts))
        freeze_encoder(network, config_of(name))
        assert all(value.requires_grad for value in network.parameters())


@pytest.mark.parametrize(
    ("name", "most"), [("unet", 3), ("attention_unet", 3), ("unet_vgg16", 5), ("unet_resnet50", 5)]
)
def test_more_frozen_blocks_than_there_are_is_refused(name: NetworkName, most: int) -> None:
    create_network(config_of(name, freeze_encoder_blocks=most))
    with pytest.raises(ValueError, match=f"the encoder of {name} has {most} blocks, {most + 1} of them cannot be"):
        config_of(name, freeze_encoder_blocks=most + 1)
