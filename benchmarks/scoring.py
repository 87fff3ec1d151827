"""How long does scoring take, beside segmenting and beside MONAI's own metrics?

    python benchmarks/scoring.py [FOLDER]

Without a folder, on a made-up case of 88 slices; with a data set folder, on its largest case, and all its manual masks
are scored too. The prediction is that of the shipped model. All are measured in turns in one run; medians are compared.
"""

import sys
import time
import tracemalloc
import warnings

import torch
from machine import describe_machine, take_turns
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_distance import compute_average_surface_distance

from napari_brainseg import find_cases, load_model, make_phantom, read_mask, read_volume, score_mask, segment
from napari_brainseg.core.config import ScoreConfig
from napari_brainseg.core.evaluation import score_cases, summarise_scores
from napari_brainseg.core.mask_pairs import pair_masks


def main() -> None:
    if len(sys.argv) > 1:
        case = max(find_cases(sys.argv[1]), key=lambda case: len(case.images))
        volume = read_volume(case)
        manual = read_mask(case, volume)
    else:
        volume, manual = make_phantom(shape=(88, 256, 256))
    assert manual is not None
    model = load_model()
    found = segment(volume, model).mask
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (found, manual)]

    def monai() -> None:
        compute_hausdorff_distance(*tensors, include_background=True, percentile=95)
        compute_average_surface_distance(*tensors, include_background=True, symmetric=True)

    contestants = {
        "segment": lambda: segment(volume, model),
        "all scores": lambda: score_mask(found, manual),
        "without distances": lambda: score_mask(found, manual, config=ScoreConfig(distances=False)),
        "MONAI's HD95 and ASSD": monai,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        middle = take_turns(contestants)
    print(f"{describe_machine()}; {len(manual)} slices")
    for name, value in middle.items():
        print(f"{name}: {value * 1000:.0f} ms, {value / middle['segment']:.3f} of segmenting")
    ratio = middle["MONAI's HD95 and ASSD"] / middle["all scores"]
    print(f"scoring is {ratio:.1f} times faster than MONAI's distances")
    if len(sys.argv) > 1:
        _score_folder(sys.argv[1])


def _score_folder(folder: str) -> None:
    pairs = pair_masks(folder, folder).pairs
    tracemalloc.start()
    started = time.perf_counter()
    scored = score_cases(pairs, ScoreConfig(distances=False), on_failure=print)
    summarise_scores(scored)
    taken = time.perf_counter() - started
    print(f"{len(scored)} cases read and scored in {taken:.1f} s, {tracemalloc.get_traced_memory()[1] / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
