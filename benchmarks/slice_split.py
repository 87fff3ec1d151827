"""What would a random split by slice have claimed? The wrong way, beside the right one, to show how much it flatters.

    python benchmarks/slice_split.py DATA_SET_FOLDER OUTPUT_FOLDER [--config model.json] [--from FOLD_MODEL] [--help]

In a random split by slice, which many published notebooks use, neighbouring slices of one patient are on both sides: a
network that has learned a tumour by heart is examined on the slice beside it. Some slices of some patients are held
out. The same network learns twice for as many steps: from all other patients, and from these and the other slices of
the same patients. Both are scored on the slices held out, as those notebooks do: per slice, and pooled. Nothing is
validated meanwhile, and no epoch is picked. A model that is in OUTPUT_FOLDER is not trained again.

With --from both go on from a model, and the patients are those that it was validated on and has not seen.
"""

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from napari_brainseg import (
    Case,
    ModelConfig,
    ScoreConfig,
    SegmentConfig,
    TrainConfig,
    find_cases,
    load_model,
    read_mask,
    read_volume,
    segment,
    split_cases,
    train,
)
from napari_brainseg.core.metrics import Scores, pool_scores, score_slices
from napari_brainseg.core.model_folders import INFO_FILE, read_model_info
from napari_brainseg.core.runs import RUN_FILE
from napari_brainseg.core.settings_files import read_settings
from napari_brainseg.core.splits import Sides

HeldOut = dict[str, list[int]]
WRONG, RIGHT = "by slice (the wrong way)", "by patient"


def hold_out(cases: list[Case], share: float, seed: int) -> HeldOut:
    """Positions along Z that are held out of each case, drawn at random."""
    places = [(case.name, z) for case in cases for z in range(len(case.images))]
    drawn = set(random.Random(seed).sample(places, round(share * len(places))))
    return {case.name: [z for z in range(len(case.images)) if (case.name, z) in drawn] for case in cases}


def without_masks(cases: list[Case], held_out: HeldOut) -> Iterator[Case]:
    """What is left to learn from: cases whose slices that are held out have no mask."""
    for case in cases:
        masks = [None if z in held_out[case.name] else mask for z, mask in enumerate(case.masks)]
        if any(masks):
            yield replace(case, masks=tuple(masks))


def score(cases: list[Case], held_out: HeldOut, folder: Path, device: str, threads: int) -> list[tuple[Scores, ...]]:
    """Scores of the slices that are held out, of each case that has any."""
    model, settings = load_model(folder), SegmentConfig(device=device, threads=threads, batch_size=32)
    scores = []
    for case in cases:
        if positions := held_out[case.name]:
            volume = read_volume(case)
            found = segment(volume, model, settings, only=tuple(positions)).mask[positions]
            scores.append(score_slices(found, read_mask(case, volume)[positions], config=ScoreConfig(distances=False)))
    return scores


def row(split: str, scores: list[tuple[Scores, ...]]) -> str:
    slices = [item for case in scores for item in case]
    figures = (
        fmean(item.dice for item in slices),
        fmean(item.dice for item in slices if item.reference),
        pool_scores(slices).dice,
        fmean(pool_scores(case).dice for case in scores),
    )
    return f"| {split} | {len(slices)} of {len(scores)} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def sides_of(cases: list[Case], options: argparse.Namespace) -> Sides:
    """Patients to learn from, and those to be examined."""
    if not options.parent:
        return split_cases(cases, options.patients, options.seed)
    unseen = read_model_info(options.parent).validation_cases
    return [case for case in cases if case.name not in unseen], [case for case in cases if case.name in unseen]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--config", type=Path, help="YAML or JSON as for brainseg train, such as a model.json")
    parser.add_argument("--from", dest="parent", type=Path, help="model of a fold that both go on from")
    parser.add_argument("--patients", type=float, default=0.2, help="share of patients of whom slices are held out")
    parser.add_argument("--slices", type=float, default=0.5, help="share of their slices that is held out")
    for name in ("epochs", "epoch_slices", "batch_size", "window"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=TrainConfig.model_fields[name].description)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parse()
    given = read_settings(options.config) if options.config else {"model": {}, "training": {}}
    asked = {name: value for name, value in vars(options).items() if name in TrainConfig.model_fields}
    training = given["training"] | {name: value for name, value in asked.items() if value is not None}
    config = TrainConfig.model_validate(training).changed({"keep": "last", "patience": 0, "keep_every": 0})
    cases = [case for case in find_cases(options.data) if not case.error and case.layout == "slices" and case.has_masks]
    known, examined = sides_of(cases, options)
    held_out = hold_out(examined, options.slices, options.seed)
    # as many steps on both sides; and all patients equally often, also where some are known to the model to start from
    config = config.changed(
        {
            "validate_every": config.epochs,
            "epoch_slices": config.epoch_slices or round(0.7 * sum(len(case.images) for case in known)),
            "rehearsal": len(known) / len(cases),
        }
    )
    model = None if options.parent else ModelConfig.model_validate(given["model"])
    learned = {WRONG: [*known, *without_masks(examined, held_out)], RIGHT: known}
    rows = []
    for name, some in learned.items():
        folder, started = options.output / name.split(" (")[0].replace(" ", "-"), time.perf_counter()
        if not (folder / INFO_FILE).exists():
            train(some, [], folder, model, config, parent=options.parent, resume=(folder / RUN_FILE).exists())
        rows.append(row(name, score(examined, held_out, folder, options.device, options.threads)))
        print(f"{name}: {time.perf_counter() - started:.0f} seconds", flush=True)
    print(f"Dice; {len(cases)} cases, {config.epochs} epochs of {config.epoch_slices} slices each\n")
    print("| split | slices held out, cases | per slice, both empty = 1 | slices with tumour | pooled | per case |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
