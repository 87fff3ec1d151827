"""Train networks by recipe and fold, several at a time, and print what each recipe reaches on patients it never saw.

    python benchmarks/cross_validation.py DATA_SET_FOLDER FOLDS.json WORK_FOLDER RECIPE... [--folds 0 1] [--help]

A recipe is a name in the table below: what it changes of the settings that all share, and which other recipe's model
of the same fold it starts from, if any. Each run is a `brainseg train` of its own in WORK_FOLDER/RECIPE/fold-K (`all`
for a model of all cases): one that was killed is resumed, one that has ended is left alone. --report prints what is
there, one row per recipe, ready for a document. Dice is that of each volume at the end of the training: no epoch is
chosen by it, no case is left out, nothing is post-processed.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, median

from napari_brainseg.core.evaluation import POOR_DICE
from napari_brainseg.core.model_folders import INFO_FILE, ModelInfo, read_model_info
from napari_brainseg.core.runs import RUN_FILE

SHARED = "--batch-size 32 --learning-rate 0.003 --validate-every 100000 --cache memory"
SHORT = "--epochs 30"
LONG = "--epochs 80 --ema 0.999"
LONGER = "--epochs 40 --ema 0.999 --learning-rate 0.002"
COURSE = "--epochs 15"
WIDE = "--filters 32 --filters 64 --filters 128 --filters 256 --filters 320"
MORE = "--epochs 8 --ema 0.99 --learning-rate 0.0007"
FAST = "--stem 4 --filters 24 --filters 48 --filters 96 --filters 192"
SMALL = f"{COURSE} {FAST}"

RECIPES = {
    # one change at a time
    "base": SHORT,
    "bias-field": f"{SHORT} --bias-field 0.3",
    # the same with a network that a CPU can train
    "small": SMALL,
    "wide": f"{COURSE} --stem 4 --filters 48 --filters 96 --filters 192 --filters 384",
    "residual": f"{SMALL} --network dynunet",
    "context-2": f"{SMALL} --context 2",
    "window-256": f"{SMALL} --window 256",
    "dropout-0": f"{SMALL} --modality-dropout 0",
    "dropout-0.3": f"{SMALL} --modality-dropout 0.3",
    # the shipped one, and one in a fraction of its time
    "long-wide": f"{LONG} {WIDE}",
    "fast": f"{LONG} {FAST}",
    "longer-wide": LONGER,
    "fast-long": LONGER,
    "fast-residual": f"{LONG} {FAST} --network dynunet",
    "fast-more": MORE,
    "fast-light-end": f"{MORE} --augmentation light --modality-dropout 0.15 --reverse 0.5",
    # what course reports compare
    "unet": COURSE,
    "resunet": f"{COURSE} --network resunet",
    "attention-unet": f"{COURSE} --network attention_unet",
    "vgg16": f"{COURSE} --network unet_vgg16",
    "vgg16-frozen-2": f"{COURSE} --network unet_vgg16 --freeze-encoder-blocks 2",
    "resnet50": f"{COURSE} --network unet_resnet50",
    "resnet50-frozen-2": f"{COURSE} --network unet_resnet50 --freeze-encoder-blocks 2",
    "light": f"{COURSE} --augmentation light",
    "loss-dice": f"{COURSE} --loss dice",
    "loss-mse": f"{COURSE} --loss mse",
    "loss-bce": f"{COURSE} --loss bce",
}
GO_ON = {
    "longer-wide": "long-wide",
    "fast-long": "fast",
    "fast-more": "fast-long",
    "fast-light-end": "fast-long",
}
"""Recipes whose models start from those of another one."""


def main() -> None:
    options = parse()
    if not options.report:
        for recipes in stages(options.recipes):
            jobs = [(recipe, fold) for recipe in recipes for fold in options.folds]
            with ThreadPoolExecutor(options.parallel) as workers:
                list(workers.map(lambda job: run(options, *job), jobs))
    report(options)


def stages(recipes: Sequence[str]) -> list[list[str]]:
    """What the recipes need, those first that start from nothing; each stage goes on from the ones before."""
    before = list(dict.fromkeys(GO_ON[recipe] for recipe in recipes if recipe in GO_ON))
    earlier = stages(before) if before else []
    return [*earlier, [recipe for recipe in recipes if not any(recipe in stage for stage in earlier)]]


def run(options: argparse.Namespace, recipe: str, fold: str) -> None:
    folder = place(options, recipe, fold)
    if is_whole(folder):
        return
    told = options.work / "logs" / f"{recipe}-{folder.name}.log"
    told.parent.mkdir(parents=True, exist_ok=True)
    side = ["--validation-share", "0"] if fold == "all" else ["--folds", options.folds_file, "--fold", fold]
    settings = [*SHARED.split(), *RECIPES[recipe].split(), "--device", options.device, "--threads", options.threads]
    settings += options.also.split()
    if before := GO_ON.get(recipe):
        settings += ["--from", place(options, before, fold)]
    again = ["--resume"] if (folder / RUN_FILE).exists() else []
    command = [sys.executable, "-m", "napari_brainseg", "train", options.data, "--output", folder, *settings]
    with told.open("a") as log:
        code = subprocess.run(
            [str(part) for part in [*command, *(again or side)]], stdout=log, stderr=log, check=False
        ).returncode
    print(f"{recipe}, fold {fold}: {said(folder) if code == 0 else f'failed, see {told}'}", flush=True)


def said(folder: Path) -> str:
    info = read_model_info(folder)
    dice = info.validation_dice.values()
    scores = f"mean {mean(dice):.4f}, median {median(dice):.4f}, " if dice else ""
    return f"{scores}{info.provenance.seconds:.0f} s"


def report(options: argparse.Namespace) -> None:
    """Print a row for each recipe over the folds that all of those named have, and the difference to the first."""
    infos = {recipe: found(options, recipe) for recipe in options.recipes}
    infos = {recipe: folds for recipe, folds in infos.items() if folds}
    if not infos:
        print("nothing is there yet")
        return
    shared = sorted(set.intersection(*(set(folds) for folds in infos.values())))
    first = dice_of(infos[next(iter(infos))], shared)
    print(f"folds {', '.join(shared)}: {len(first)} patients")
    names = ("recipe", "changed settings", "mean", "median", "smallest", f"below {POOR_DICE}", "difference", "s")
    print(f"| {' | '.join(names)} |")
    print("|---|---|---|---|---|---|---|---|")
    for recipe, folds in infos.items():
        dice = dice_of(folds, shared)
        values, gains = list(dice.values()), [dice[name] - first[name] for name in first]
        error = (sum((gain - mean(gains)) ** 2 for gain in gains) / (len(gains) - 1) / len(gains)) ** 0.5
        low = sum(value < POOR_DICE for value in values)
        seconds = sum(folds[fold].provenance.seconds for fold in shared)
        print(
            f"| `{recipe}` | `{RECIPES[recipe]}` | {mean(values):.3f} | {median(values):.3f} | {min(values):.2f} "
            f"| {low} of {len(values)} | {mean(gains):+.3f} ± {error:.3f} | {seconds:.0f} |"
        )


def found(options: argparse.Namespace, recipe: str) -> dict[str, ModelInfo]:
    folders = {fold: place(options, recipe, fold) for fold in options.folds if fold != "all"}
    return {fold: read_model_info(folder) for fold, folder in folders.items() if is_whole(folder)}


def is_whole(folder: Path) -> bool:
    if not (folder / INFO_FILE).exists():
        return False
    info = read_model_info(folder)
    return info.training is not None and info.epoch == info.training.epochs


def dice_of(folds: dict[str, ModelInfo], wanted: list[str]) -> dict[str, float]:
    return {name: value for fold in wanted for name, value in folds[fold].validation_dice.items()}


def place(options: argparse.Namespace, recipe: str, fold: str) -> Path:
    return options.work / recipe / ("all" if fold == "all" else f"fold-{fold}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds_file", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("recipes", nargs="+", choices=RECIPES, metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("--folds", nargs="+", default=["0", "1", "2", "3", "4"], help="numbers, or all for all cases")
    parser.add_argument("--parallel", type=int, default=1, help="trainings at a time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--also", default="", help="more flags of `brainseg train`, for all; they win")
    parser.add_argument("--report", action="store_true", help="only print what is there so far")
    return parser.parse_args()


if __name__ == "__main__":
    main()
