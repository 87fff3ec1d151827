"""What stands against a slice, and which slices come first in the queue."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_brainseg.core.config import QueueConfig
from napari_brainseg.core.phantom import make_phantom
from napari_brainseg.core.queues import QueueItem, rank_slices, read_queue, write_queue
from napari_brainseg.core.signals import SliceSignals, find_signals
from napari_brainseg.core.volumes import Array

SHAPE = (16, 64, 64)
NUMBERS = tuple(range(1, SHAPE[0] + 1))


def sure_of(mask: Array) -> Array:
    """What a good network says: sure inside and outside, less so at the edge."""
    soft: Array = ndimage.gaussian_filter(mask.astype(np.float32), (0, 0.7, 0.7))
    return soft


def tumour(seed: int = 1) -> Array:
    mask: Array = make_phantom(seed, SHAPE)[1]
    return mask


def signals_of(probability: Array, **others: Array) -> SliceSignals:
    return find_signals(probability, probability >= 0.5, NUMBERS, **others)


def middle(mask: Array) -> int:
    return int(np.median(np.flatnonzero(mask.any(axis=(1, 2)))))


def ranked(signals: SliceSignals, **changes: object) -> list[int]:
    return [item.z for item in rank_slices({"anna": signals}, QueueConfig().changed({"count": 99} | changes))]


# What stands against a slice


def test_a_slice_that_is_undecided_comes_first_and_says_how_much() -> None:
    probability = sure_of(tumour())
    wrong = middle(tumour())
    probability[wrong, 10:30, 10:30] = 0.4
    first = rank_slices({"anna": signals_of(probability)})[0]

    assert (first.case, first.z, first.slice_number) == ("anna", wrong, wrong + 1)
    assert any(reason.startswith("uncertain: about ") and reason.endswith(" voxels") for reason in first.reasons)


def test_a_slice_that_is_other_in_the_mirror_comes_first() -> None:
    probability = sure_of(tumour())
    mirrored = probability.copy()
    mirrored[3, 40:55, 40:55] = 1
    first = rank_slices({"anna": signals_of(probability, mirrored=mirrored)})[0]

    assert first.z == 3
    assert first.reasons == ("differs from its mirror image: about 225 voxels",)


def test_a_slice_where_the_tumour_is_missed_and_sure_of_it_jumps() -> None:
    probability = sure_of(tumour())
    wrong = middle(tumour())
    probability[wrong] = 0
    signals = signals_of(probability)
    first = rank_slices({"anna": signals})[0]

    assert first.z in (wrong, wrong + 1), "the step into the gap or out of it"
    assert any("jumps against the slice" in reason for reason in first.reasons)
    assert np.median(signals.jump) == 0, "what neighbours usually differ by is no jump"


def test_a_slice_that_differs_from_its_manual_mask_comes_first() -> None:
    manual = tumour()
    probability = sure_of(manual)
    manual = manual.copy()
    manual[2, :10, :31] = 1
    first = rank_slices({"anna": signals_of(probability, manual=manual)})[0]

    assert first.z == 2
    assert first.reasons[0] == "differs from the manual mask in 310 voxels"
    assert signals_of(probability).manual is None


def test_a_prediction_nothing_speaks_against_says_so() -> None:
    nothing = np.zeros(SHAPE, np.float32)

    assert rank_slices({"anna": signals_of(nothing)})[0].reasons == ("nothing stands out",)


def test_arrays_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"16 slices have arrays of shapes \(16, 64, 64\), \(15, 64, 64\)"):
        find_signals(sure_of(tumour()), tumour()[1:], NUMBERS)


def test_voxels_of_a_small_tumour_weigh_more() -> None:
    small, large = np.zeros((2, 3, 64, 64), np.float32)
    small[1, :10, :10], large[1, :60, :60] = 1, 1
    small[2, :10, :10], large[2, :11, :10] = 0.3, 0.3
    signals = {name: find_signals(item, item >= 0.5, (1, 2, 3)) for name, item in (("large", large), ("small", small))}

    assert [item.case for item in rank_slices(signals, QueueConfig(count=6)) if item.z == 2] == ["small", "large"]


# The order


def uncertain(**voxels: list[float]) -> dict[str, SliceSignals]:
    """Cases of which nothing is known but how many voxels are uncertain."""
    return {
        name: SliceSignals(
            tuple(range(1, len(each) + 1)), *(np.array(each) for _ in range(3)), *np.zeros((2, len(each)))
        )
        for name, each in voxels.items()
    }


def test_neighbours_of_one_tumour_do_not_fill_the_queue() -> None:
    signals = uncertain(anna=[100, 101, 102, 103, 102, 101, 100, 0, 0, 60, 0, 0])
    spread_out, plain = ranked(signals["anna"]), ranked(signals["anna"], reach=0)

    assert spread_out[:3] == [3, 0, 6]
    assert plain[:3] == [3, 2, 4]
    assert spread_out.index(9) < plain.index(9)
    assert sorted(spread_out) == list(range(12)), "all come in the end"


def test_the_queue_spreads_over_cases_and_takes_visits_of_one_patient_together() -> None:
    one = [100.0] + [0.0] * 9 + [90.0]
    signals = uncertain(TCGA_CS_1_2000=one, TCGA_CS_1_2001=one, bert=[75.0])

    def cases(**changes: object) -> list[str]:
        config = QueueConfig().changed({"count": 3} | changes)
        return [item.case for item in rank_slices(signals, config)]

    assert cases() == ["TCGA_CS_1_2000", "bert", "TCGA_CS_1_2001"]
    assert cases(spread=0) == ["TCGA_CS_1_2000", "TCGA_CS_1_2001", "TCGA_CS_1_2000"]


def test_reviewed_slices_never_come_and_their_neighbours_later() -> None:
    signals = uncertain(anna=[10, 50, 100, 50, 10, 40], bert=[30, 20])
    queue = rank_slices(signals, QueueConfig(count=99), {"anna": {2}, "bert": {0, 1}, "gone": {3}})

    assert {item.case for item in queue} == {"anna"}
    assert sorted(item.z for item in queue) == [0, 1, 3, 4, 5]
    assert queue[0].z == 5


def test_entropy_alone_goes_by_entropy() -> None:
    signals = uncertain(anna=[3, 9, 8, 7])

    assert ranked(signals["anna"], strategy="entropy") == [1, 2, 3, 0]
    assert rank_slices(signals, QueueConfig(strategy="entropy"))[0].reasons == ("uncertain: entropy of 9 bits",)


def test_random_is_the_same_for_a_seed_and_takes_every_slice_alike() -> None:
    signals = uncertain(anna=[0.0] * 30, bert=[500.0] * 10)
    queues = [rank_slices(signals, QueueConfig(strategy="random", count=10, seed=seed)) for seed in range(40)]
    shares = Counter(item.case for queue in queues for item in queue)

    assert queues[0] == rank_slices(signals, QueueConfig(strategy="random", count=10, seed=0))
    assert queues[0] != queues[1]
    assert 0.6 < shares["anna"] / 400 < 0.9
    assert queues[0][0].reasons == ("drawn at random",)


def test_no_case_gives_no_queue() -> None:
    assert rank_slices({}) == []


# On disk


@pytest.fixture
def items() -> list[QueueItem]:
    return rank_slices(uncertain(anna=[1, 5, 3], bert=[4, 9]), QueueConfig(count=4))


def test_a_queue_comes_back_in_its_order(items: list[QueueItem], tmp_path: Path) -> None:
    write_queue(tmp_path / "queue.json", items)
    write_queue(tmp_path / "queue.json", items[::-1])

    assert read_queue(tmp_path / "queue.json") == items[::-1]
    assert json.loads((tmp_path / "queue.json").read_text("utf-8"))["schema_version"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["queue.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:40], "is damaged"),
        (lambda _: "[]", "is damaged"),
        (lambda _: '{"items": []}', "is damaged"),
        (lambda text: text.replace('"z": 1', '"z": "x"', 1), r"is damaged: items\.\d\.z: "),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2, "more": 1'), "schema version 2"),
    ],
    ids=["cut off", "a list", "no version", "a value", "newer"],
)
def test_a_damaged_queue_is_one_clear_error(items: list[QueueItem], tmp_path: Path, change, message) -> None:
    path = tmp_path / "queue.json"
    write_queue(path, items)
    path.write_text(change(path.read_text("utf-8")), "utf-8")

    with pytest.raises(ValueError, match=message) as found:
        read_queue(path)
    assert str(found.value).startswith(str(path))
