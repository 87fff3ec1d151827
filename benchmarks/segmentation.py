"""Is `segment` as fast as the network allows, and faster than a plain U-Net run slice by slice?

    python benchmarks/segmentation.py [CASE_FOLDER]

Without a folder, on a made-up case of 88 slices. All are measured in turns in one run; ratios of medians are printed.
"""

import sys
from collections.abc import Callable
from functools import partial

import torch
from machine import describe_machine, take_turns
from monai.networks.nets import BasicUNet

from napari_brainseg import find_cases, load_model, make_phantom, read_volume, segment
from napari_brainseg.core.devices import choose_device
from napari_brainseg.core.model_folders import DEFAULT_MODEL, shipped_models
from napari_brainseg.core.segmentation import head_box

BATCH = 8
PLAIN_SLICES = 8
"""The plain network is so slow that a few slices have to stand for all."""


def main() -> None:
    volume = read_volume(find_cases(sys.argv[1])[0]) if len(sys.argv) > 1 else make_phantom(shape=(88, 256, 256))[0]
    slices, height, width = volume.shape
    model = load_model()
    device = choose_device()
    network = model.network.to(device.name)
    rows, columns = head_box(volume, model.info.model)
    multiple = model.info.model.size_multiple
    box = [-(-(part.stop - part.start) // multiple) * multiple for part in (rows, columns)]
    plain = BasicUNet(2, 3, 1, features=(32, 64, 128, 256, 512, 32)).eval().to(device.name)

    def bare(size: list[int]) -> Callable[[], None]:
        batch = torch.randn(BATCH, model.info.model.in_channels, *size, device=device.name)
        batch = batch.contiguous(memory_format=torch.channels_last)

        def run() -> None:
            with torch.inference_mode(), device.autocast():
                for start in range(0, slices, BATCH):
                    network(batch[: min(BATCH, slices - start)]).float().cpu()

        return run

    def slice_by_slice() -> None:
        image = torch.randn(1, 3, height, width, device=device.name)
        with torch.inference_mode():
            for _ in range(PLAIN_SLICES):
                plain(image).cpu()

    others = {name: load_model(name) for name in shipped_models() if name != DEFAULT_MODEL}
    contestants = {
        "segment": partial(segment, volume, model),
        **{name: partial(segment, volume, other) for name, other in others.items()},
        "bare, head": bare(box),
        "bare, whole": bare([height, width]),
        "plain U-Net": slice_by_slice,
    }
    for run in contestants.values():
        run()
    middle = take_turns(contestants)
    middle["plain U-Net"] *= slices / PLAIN_SLICES
    print(
        f"{describe_machine()}; {device} ({device.reason}); {slices} slices of {height} x {width}, "
        f"head {box[0]} x {box[1]}"
    )
    print(f"segment, end to end:                              {middle['segment']:7.2f} s")
    for name, label in (
        ("bare, head", "bare network on ready batches of the head's size"),
        ("bare, whole", "bare network on ready batches of the whole size"),
        ("plain U-Net", "plain float32 U-Net (32 to 512), slice by slice"),
        *((name, f"segment with the model {name}") for name in others),
    ):
        print(f"{label}: {middle[name]:7.2f} s, segment takes {middle['segment'] / middle[name]:.3f} of it")
    for name in ("segment", *others):
        print(f"{name} is {middle['plain U-Net'] / middle[name]:.1f} times faster than the plain U-Net")


if __name__ == "__main__":
    main()
