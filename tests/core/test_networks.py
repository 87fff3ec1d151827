from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from napari_brainseg.core.config import ModelConfig, NetworkName
from napari_brainseg.core.networks import create_network, read_weights, write_weights

NAMES: tuple[NetworkName, ...] = get_args(NetworkName)


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
    config = ModelConfig(network=name, filters=(4, 8, 8))
    network = create_network(config).train()
    network(torch.rand(2, config.in_channels, 32, 32)).square().mean().backward()
    dead = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    biases_before_norm = [key for key in dead if key.endswith("bias")]
    assert dead == biases_before_norm


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
    image = torch.rand(1, config.in_channels, 32, 32)
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
