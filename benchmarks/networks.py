"""What does each network cost to train and to run, and what does augmentation cost beside it?

    python benchmarks/networks.py

All are measured in turns in one run; the median counts. On the CPU it is the time of one thread, so that other
processes disturb little.
"""

import time
from typing import TYPE_CHECKING, get_args

import torch
from machine import describe_machine, take_turns
from torch import Generator
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_brainseg import ModelConfig
from napari_brainseg.core.augmentation import augment
from napari_brainseg.core.config import AugmentationConfig, AugmentationName, NetworkName
from napari_brainseg.core.devices import choose_device
from napari_brainseg.core.networks import create_network

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9
BATCH, SIZE, WINDOW = 16, 256, 192


def main() -> None:
    device = choose_device(threads=1)
    contestants: dict[str, Callable[[], object]] = {}
    parameters: dict[str, int] = {}
    masks = (torch.rand(BATCH, 1, WINDOW, WINDOW) < 0.1).float().to(device.name)
    images = torch.randn(BATCH, 9, WINDOW, WINDOW).contiguous(memory_format=torch.channels_last).to(device.name)
    for name in get_args(NetworkName):
        network = create_network(ModelConfig(network=name)).to(device.name, memory_format=torch.channels_last)
        parameters[name] = sum(value.numel() for value in network.parameters())
        optimizer = torch.optim.AdamW(network.parameters())

        def learn(network=network, optimizer=optimizer) -> None:
            optimizer.zero_grad()
            with device.autocast():
                logits = network.train()(images)
            binary_cross_entropy_with_logits(logits.float(), masks).backward()
            optimizer.step()

        def run(network=network) -> None:
            with torch.inference_mode(), device.autocast():
                network.eval()(images).float().cpu()

        contestants |= {f"{name}: step": learn, f"{name}: run": run}
    stored = torch.randn(BATCH, 3, 3, SIZE, SIZE, device=device.name)
    manual = torch.zeros(BATCH, SIZE, SIZE, device=device.name)
    settings = {name: AugmentationConfig.model_validate(name) for name in get_args(AugmentationName)}
    settings["strong, elastic 0.02, bias field 0.3"] = AugmentationConfig(elastic=0.02, bias_field=0.3)
    seeds = iter(range(1_000_000))
    for name, config in settings.items():
        contestants[f"augmentation {name}"] = lambda config=config: augment(
            stored, manual, config, WINDOW, Generator().manual_seed(next(seeds))
        )

    def clock() -> float:
        if device.name == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if device.name == "cpu" else time.perf_counter()

    middle = {name: seconds / BATCH for name, seconds in take_turns(contestants, ROUNDS, clock).items()}
    print(describe_machine(), "|", device)
    for name, value in middle.items():
        kind = "run" if name.endswith(": run") else "step"
        network = name.partition(":")[0]
        size = f", {parameters[network] / 1e6:.1f} M parameters" if network in parameters else ""
        print(f"{name}: {value * 1e3:.1f} ms a slice, {value / middle[f'unet: {kind}']:.2f} of unet's {kind}{size}")


if __name__ == "__main__":
    main()
