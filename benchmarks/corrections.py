"""How many slices have to be corrected until a model is as good as with slices that were drawn at random?

    python benchmarks/corrections.py DATA_SET_FOLDER FOLDS.json WORK_FOLDER [--seeds 0 1 2] [--help]

A made-up annotator on real cases. A model learns from some patients; in each round some slices of the others are
corrected, which here means that their manual masks are taken. They are chosen by the queue, by entropy alone, or at
random out of all slices. Then the first model is fine-tuned on its own patients and on all slices corrected so far, and
scored on a fold of patients that nothing else has touched. All have the same number of training steps; round 0 has them
without any correction. With --ceiling, all slices of the others are corrected at once: what there is to gain at all.

Every result is a line of WORK_FOLDER/results.jsonl: a run that was killed goes on where it was, several runs with
different seeds can share the folder, and --report prints what is there so far.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import numpy as np
import tifffile
from machine import describe_machine

from napari_brainseg import (
    Case,
    ModelConfig,
    SegmentConfig,
    TrainConfig,
    find_cases,
    load_model,
    read_mask,
    read_volume,
    score_mask,
    segment,
    train,
)
from napari_brainseg.core.config import QueueConfig, ScoreConfig
from napari_brainseg.core.files import atomic_path
from napari_brainseg.core.model_folders import INFO_FILE
from napari_brainseg.core.models import TrainedModel
from napari_brainseg.core.queues import QueueItem, rank_slices
from napari_brainseg.core.runs import RUN_FILE
from napari_brainseg.core.signal_measurement import measure_signals
from napari_brainseg.core.signals import SliceSignals, find_signals
from napari_brainseg.core.splits import read_folds
from napari_brainseg.core.tiffs import read_slice

STRATEGIES = ("combined", "entropy", "random")
CEILING = "all"
Chosen = dict[str, list[int]]


@dataclass(frozen=True)
class Round:
    """What came of one round; `chosen` holds positions along Z of the slices corrected in it, by case."""

    seed: int
    strategy: str
    number: int
    slices: int
    dice: dict[str, float]
    chosen: Chosen = field(default_factory=dict)
    wrong_voxels: int = 0
    tumour_slices: int = 0

    @property
    def mean(self) -> float:
        return fmean(self.dice.values())


class Experiment:
    """One seed: which patients come first, every draw of the trainings, and the random order."""

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        self.options, self.seed = options, seed
        self.folder = options.work / f"seed-{seed}"
        self.segmenting = SegmentConfig(device=options.device, threads=options.threads)
        cases = {case.name: case for case in find_cases(_shrunk(options) if options.shrink > 1 else options.data)}
        folds = read_folds(options.folds)
        self.test = [cases[name] for name in folds.pop(options.test_fold)]
        names = sorted(name for fold in folds for name in fold)
        random.Random(seed).shuffle(names)
        self.base = [cases[name] for name in names[: options.base_patients]]
        self.pool = {name: cases[name] for name in names[options.base_patients :]}

    def run(self, done: dict[tuple[str, int], Round]) -> Iterator[Round]:
        """Rounds that are still to be done; the strategies take turns."""
        if ("none", 0) not in done:
            done["none", 0] = Round(self.seed, "none", 0, 0, self._score(self._tuned("none", 0, {})))
            yield done["none", 0]
        for number in range(1, self.options.rounds + 1):
            for strategy in self.options.strategies:
                if (strategy, number) not in done:
                    before = [done[strategy, earlier].chosen for earlier in range(1, number)]
                    done[strategy, number] = self._round(strategy, number, before)
                    yield done[strategy, number]
        if self.options.ceiling and (CEILING, 1) not in done:
            every = {name: list(range(len(case.masks))) for name, case in self.pool.items()}
            dice = self._score(self._tuned(CEILING, 1, every))
            yield Round(self.seed, CEILING, 1, sum(map(len, every.values())), dice)

    def _round(self, strategy: str, number: int, before: list[Chosen]) -> Round:
        corrected = _merged(before)
        model = self._tuned(strategy, number - 1, corrected) if number > 1 else self._tuned("none", 0, {})
        config = QueueConfig(strategy=strategy, count=self.options.slices, seed=1000 * self.seed + number)
        items = rank_slices(self._signals(strategy, model), config, corrected)
        chosen = _by_case(items)
        wrong, tumour = self._look_at(chosen, model)
        dice = self._score(self._tuned(strategy, number, _merged([*before, chosen])))
        return Round(self.seed, strategy, number, number * self.options.slices, dice, chosen, wrong, tumour)

    def _signals(self, strategy: str, model: TrainedModel) -> dict[str, SliceSignals]:
        """What the strategy needs to know of the pool, without looking at any mask."""
        return {name: self._signals_of(case, strategy, model) for name, case in self.pool.items()}

    def _signals_of(self, case: Case, strategy: str, model: TrainedModel) -> SliceSignals:
        volume = read_volume(case)
        if strategy == "combined":
            return measure_signals(volume, model, self.segmenting)
        if strategy == "entropy":
            found = segment(volume, model, self.segmenting)
            return find_signals(found.probability, found.mask, volume.slice_numbers)
        nothing = np.zeros((len(volume.array), 1, 1))
        return find_signals(nothing, nothing, volume.slice_numbers)

    def _look_at(self, chosen: Chosen, model: TrainedModel) -> tuple[int, int]:
        """Voxels that the model had wrong in the chosen slices, and in how many there is tumour."""
        wrong = tumour = 0
        for name, positions in chosen.items():
            volume = read_volume(self.pool[name])
            manual = read_mask(self.pool[name], volume)[positions]
            found = segment(volume, model, self.segmenting, only=tuple(positions)).mask[positions]
            wrong += int((found != manual).sum())
            tumour += int(manual.any(axis=(1, 2)).sum())
        return wrong, tumour

    def _base(self) -> Path:
        options = self.options
        network = ModelConfig(filters=tuple(options.filters), stem=options.stem, context=options.context)
        self._train(self.base, self.folder / "base", network, options.base_epochs, options.rate)
        return self.folder / "base"

    def _tuned(self, strategy: str, number: int, corrected: Chosen) -> TrainedModel:
        """The first model, fine-tuned on its own patients and on the corrected slices of the others."""
        partly = [_with_masks(self.pool[name], positions) for name, positions in sorted(corrected.items())]
        folder, options = self.folder / f"{strategy}-{number}", self.options
        self._train([*self.base, *partly], folder, None, options.tune_epochs, options.tune_rate, self._base())
        return load_model(folder)

    def _train(
        self,
        cases: list[Case],
        folder: Path,
        network: ModelConfig | None,
        epochs: int,
        rate: float,
        parent: Path | None = None,
    ) -> None:
        if (folder / INFO_FILE).exists():
            return
        options = self.options
        config = TrainConfig(
            epochs=epochs,
            epoch_slices=options.epoch_slices,
            window=options.window,
            learning_rate=rate,
            ema=options.ema,
            rehearsal=options.rehearsal,
            seed=self.seed,
            device=options.device,
            threads=options.threads,
            augmentation={"preset": "strong", "shift": 0.2},
        )
        train(cases, [], folder, network, config, parent=parent, resume=(folder / RUN_FILE).exists())

    def _score(self, model: TrainedModel) -> dict[str, float]:
        dice = {}
        for case in self.test:
            volume = read_volume(case)
            found = segment(volume, model, self.segmenting).mask
            dice[case.name] = score_mask(found, read_mask(case, volume), config=ScoreConfig(distances=False)).dice
        return dice


def _shrunk(options: argparse.Namespace) -> Path:
    """The data set with smaller slices, written once into the work folder: a cheap stand-in for the whole one."""
    folder = options.work / f"slices-{options.shrink}-times-smaller"
    for case in find_cases(options.data):
        (folder / case.name).mkdir(parents=True, exist_ok=True)
        for file in (*case.images, *case.masks):
            target = folder / case.name / file.name
            if not target.exists():
                means = _means_of_blocks(read_slice(file), options.shrink)
                plane = means.round() if means.ndim == 3 else 255 * (means >= 127.5)
                with atomic_path(target) as temporary:
                    kind = "rgb" if means.ndim == 3 else "minisblack"
                    tifffile.imwrite(temporary, plane.astype(np.uint8), photometric=kind, metadata=None)
    return folder


def _means_of_blocks(plane: np.ndarray, edge: int) -> np.ndarray:
    height, width = (side // edge for side in plane.shape[:2])
    blocks = plane[: height * edge, : width * edge].reshape(height, edge, width, edge, *plane.shape[2:])
    return blocks.mean(axis=(1, 3))


def _with_masks(case: Case, positions: list[int]) -> Case:
    """The case as it is when no other slices have been corrected."""
    return replace(case, masks=tuple(mask if z in positions else None for z, mask in enumerate(case.masks)))


def _by_case(items: list[QueueItem]) -> Chosen:
    return _merged([{item.case: [item.z]} for item in items])


def _merged(parts: list[Chosen]) -> Chosen:
    merged: Chosen = {}
    for part in parts:
        for name, positions in part.items():
            merged[name] = sorted([*merged.get(name, []), *positions])
    return merged


def report(rounds: list[Round], strategies: list[str]) -> None:
    """Means over the seeds of which all rounds are done; a strategy may have more rounds than another."""
    done = {(item.seed, *_place(item)): item for item in rounds}
    places = {_place(item) for item in rounds if item.strategy in ("none", *strategies)}
    seeds = sorted({seed for seed, _, _ in done if all((seed, *place) in done for place in places)})
    if not seeds:
        print("no seed is done yet")
        return
    numbers = {each: range(1, max((n for name, n in places if name == each), default=0) + 1) for each in strategies}
    longest = max(strategies, key=lambda each: len(numbers[each]))
    counts = [0, *(done[seeds[0], longest, number].slices for number in numbers[longest])]
    none = np.array([done[seed, "none", 0].mean for seed in seeds])
    print(f"{describe_machine()}; seeds {', '.join(map(str, seeds))}")
    print(f"{'mean Dice per volume after corrected slices':44}" + "".join(f"{count:7d}" for count in counts))
    dice = {}
    for strategy in strategies:
        every = [[done[seed, strategy, number] for number in numbers[strategy]] for seed in seeds]
        dice[strategy] = np.column_stack([none, [[item.mean for item in items] for items in every]])
        for seed, values in zip(seeds, dice[strategy], strict=True):
            print(f"  {f'{strategy}, seed {seed}':42}" + "".join(f"{value:7.3f}" for value in values))
        print(f"  {f'{strategy}, mean':42}" + "".join(f"{value:7.3f}" for value in dice[strategy].mean(axis=0)))
        flat = [item for items in every for item in items]
        slices = sum(len(positions) for item in flat for positions in item.chosen.values())
        wrong, tumour = (sum(getattr(item, name) for item in flat) for name in ("wrong_voxels", "tumour_slices"))
        patients = fmean(len(_merged([item.chosen for item in items])) for items in every)
        print(f"    {wrong / slices:.0f} wrong voxels a slice, {tumour / slices:.0%} with tumour, {patients:.0f} cases")
    if all((seed, CEILING, 1) in done for seed in seeds):
        ceiling = np.array([done[seed, CEILING, 1].mean for seed in seeds])
        print(f"  {'all slices, mean':42}{ceiling.mean():7.3f}, above none by {_with_error(ceiling - none)}")
    if "random" in strategies:
        _compare_with_random(dice, counts)


def _compare_with_random(dice: dict[str, np.ndarray], counts: list[int]) -> None:
    random_dice = dice["random"]
    target, end = random_dice.mean(axis=0)[-1], counts[random_dice.shape[1] - 1]
    for strategy, values in dice.items():
        if strategy == "random":
            continue
        needed = _count_at(target, counts[: values.shape[1]], values.mean(axis=0).tolist())
        share = "does not reach it" if needed is None else f"needs {needed:.0f} slices, {needed / end:.0%} of them"
        print(f"the Dice that random has after {end} slices, {target:.3f}: {strategy} {share}")
        both = min(values.shape[1], random_dice.shape[1])
        gains = (values[:, :both] - random_dice[:, :both])[:, 1:]
        for count, gain in zip(counts[1:], gains.T, strict=False):
            won = f"{(gain > 0).sum()} of {gain.size} seeds"
            print(f"  after {count} slices above random by {_with_error(gain)}, in {won}")
        print(f"  over all rounds above random by {_with_error(gains.mean(axis=1))}")
        for count, others in zip(counts[both:], random_dice[:, both:].T, strict=False):
            gain = values[:, -1] - others
            words = f"after {counts[values.shape[1] - 1]} slices above random after {count}"
            print(f"  {words} by {_with_error(gain)}, in {(gain > 0).sum()} of {gain.size} seeds")


def _with_error(gains: np.ndarray) -> str:
    """Mean over the seeds, and its standard error."""
    error = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
    return f"{gains.mean():+.4f} ± {error:.4f}"


def _place(item: Round) -> tuple[str, int]:
    return item.strategy, item.number


def _count_at(dice: float, counts: list[int], curve: list[float]) -> float | None:
    """Corrected slices at which a curve first reaches a Dice, between the rounds by a straight line."""
    for (low, high), (before, after) in zip(pairwise(counts), pairwise(curve), strict=True):
        if before < dice <= after:
            return low + (high - low) * (dice - before) / (after - before)
    return None


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--report", action="store_true", help="only print what is there so far")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--ceiling", action="store_true", help="correct all slices, too")
    parser.add_argument("--test-fold", type=int, default=0)
    parser.add_argument("--shrink", type=int, default=1, help="edge of the blocks of pixels that are averaged first")
    parser.add_argument("--base-patients", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--slices", type=int, default=30, help="corrected in each round")
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--stem", type=int, default=4)
    parser.add_argument("--context", type=int, default=0)
    parser.add_argument("--window", type=int, default=160)
    parser.add_argument("--epoch-slices", type=int, default=800)
    parser.add_argument("--base-epochs", type=int, default=12)
    parser.add_argument("--tune-epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--tune-rate", type=float, default=2e-3)
    parser.add_argument("--ema", type=float, default=0.98)
    parser.add_argument("--rehearsal", type=float, default=0.3, help="share of slices of the first patients")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _check_settings(options: argparse.Namespace) -> None:
    """Results of different settings must not get into one folder."""
    beside = {"data", "folds", "work", "report", "seeds", "strategies", "rounds", "ceiling", "device", "threads"}
    settings = {name: value for name, value in vars(options).items() if name not in beside}
    file = options.work / "settings.json"
    if not file.exists():
        file.write_text(json.dumps(settings))
    elif (known := json.loads(file.read_text())) != settings and not options.report:
        sys.exit(f"{file} has other settings than were asked for: {known}")


def main() -> None:
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    _check_settings(options)
    results = options.work / "results.jsonl"
    rounds = [Round(**json.loads(line)) for line in results.read_text().splitlines()] if results.exists() else []
    for seed in [] if options.report else options.seeds:
        done = {_place(item): item for item in rounds if item.seed == seed}
        for item in Experiment(options, seed).run(done):
            with results.open("a") as file:
                file.write(json.dumps(vars(item)) + "\n")
            rounds.append(item)
            print(f"seed {seed}, {item.strategy}, {item.slices} slices: {item.mean:.4f}", flush=True)
    report(rounds, options.strategies)


if __name__ == "__main__":
    main()
