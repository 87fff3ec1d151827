"""How slices are drawn, put together and kept."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator

from napari_brainseg.core import peeks
from napari_brainseg.core.cases import Case
from napari_brainseg.core.config import ModelConfig, NormalisationConfig, TrainConfig
from napari_brainseg.core.devices import Device, choose_device
from napari_brainseg.core.preprocessing import measure_intensities
from napari_brainseg.core.progress import Progress, ignore_progress
from napari_brainseg.core.sampling import Sample, Sampler, cache_folder, count_steps, make_batch, read_samples
from napari_brainseg.core.volumes import volume_of_array

NORMALISATION = NormalisationConfig()


def sample(patient: str, tumour_slices: int, empty_slices: int, shape: tuple[int, int] = (8, 8)) -> Sample:
    count = tumour_slices + empty_slices
    array = np.random.default_rng(count).integers(50, 250, (count, *shape, 3)).astype(np.uint8)
    mask = np.zeros((count, *shape), np.uint8)
    mask[:tumour_slices, 2:4, 2:4] = 1
    return Sample(patient, volume_of_array(array, patient), mask, measure_intensities(array, NORMALISATION))


def drawn(samples: list[Sample], **settings: Any) -> list[tuple[int, int]]:
    sampler = Sampler(samples, TrainConfig(batch_size=8, epoch_slices=8000, **settings))
    generator = Generator().manual_seed(0)
    return [pick for _ in range(sampler.steps) for pick in sampler.draw(generator)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_sampler_draws_the_share_of_tumour_from_every_patient_alike(share: float) -> None:
    """A small tumour counts as much as a large one, and a patient examined twice no more than once."""
    samples = [sample("a", 1, 9), sample("b", 30, 30), sample("c", 0, 5), sample("d", 4, 4), sample("d", 2, 6)]
    picks = drawn(samples, tumour_share=share)
    with_tumour = [number for number, index in picks if samples[number].mask[index].any()]
    empty = [number for number, index in picks if not samples[number].mask[index].any()]
    assert len(picks) == 8000
    assert len(with_tumour) / len(picks) == pytest.approx(share, abs=0.03)
    for numbers, patients in ((with_tumour, "abd"), (empty, "abcd")):
        shares = Counter(samples[number].patient for number in numbers)
        assert set(shares) == (set(patients) if numbers else set())
        for patient in shares:
            assert shares[patient] / len(numbers) == pytest.approx(1 / len(patients), abs=0.04)


def test_sampler_draws_every_slice() -> None:
    samples = [sample("a", 3, 4), sample("b", 2, 2)]
    assert set(drawn(samples)) == {(0, index) for index in range(7)} | {(1, index) for index in range(4)}


def test_sampler_never_draws_slices_whose_mask_is_not_known() -> None:
    known = np.array([True, False, True, False, False])
    assert set(drawn([replace(sample("a", 2, 3), known=known), sample("b", 1, 0)])) == {(0, 0), (0, 2), (1, 0)}


def test_sampler_rehearses_as_often_as_it_is_told_and_fills_in_for_what_new_patients_lack() -> None:
    samples = [sample("new", 3, 0), sample("old", 30, 30), sample("older", 5, 5)]
    sampler = Sampler(samples, TrainConfig(batch_size=8, epoch_slices=8000, rehearsal=0.2), {"old", "older"})
    generator = Generator().manual_seed(0)
    picks = [pick for _ in range(sampler.steps) for pick in sampler.draw(generator)]
    tumour = [number for number, index in picks if samples[number].mask[index].any()]
    assert Counter(tumour)[0] / len(tumour) == pytest.approx(0.8, abs=0.03)
    empty = [number for number, index in picks if not samples[number].mask[index].any()]
    assert set(empty) == {1, 2}


@pytest.mark.parametrize(
    ("new", "old", "settings", "steps"),
    [
        (40, 0, {}, 10),
        (0, 40, {}, 10),
        (40, 4000, {"rehearsal": 0.5}, 20),
        (40, 4000, {"rehearsal": 0.5, "epoch_slices": 80}, 10),
    ],
)
def test_rehearsal_makes_an_epoch_only_as_long_as_its_share(
    new: int, old: int, settings: dict[str, Any], steps: int
) -> None:
    assert count_steps(TrainConfig(batch_size=8, **settings), new, old) == steps


def test_sampler_draws_tumour_alone_where_every_slice_has_some() -> None:
    assert set(drawn([sample("a", 3, 0)], tumour_share=0.2)) == {(0, 0), (0, 1), (0, 2)}


@pytest.mark.parametrize(
    ("epoch_slices", "batch_size", "accumulate", "steps"),
    [
        pytest.param(0, 4, 1, 6, id="twice the tumour slices"),
        pytest.param(30, 4, 1, 8, id="as many as asked for"),
        pytest.param(30, 4, 4, 2, id="of several batches each"),
        pytest.param(1, 16, 1, 1, id="at least one step"),
    ],
)
def test_epoch_has_so_many_steps(epoch_slices: int, batch_size: int, accumulate: int, steps: int) -> None:
    samples = [sample("a", 10, 40), sample("b", 2, 8)]
    config = TrainConfig(epoch_slices=epoch_slices, batch_size=batch_size, accumulate=accumulate)
    sampler = Sampler(samples, config)
    assert sampler.steps == steps
    assert len(sampler.draw(Generator())) == batch_size * accumulate


def test_batch_holds_what_segmentation_feeds_the_network() -> None:
    one = sample("a", 2, 3)
    images, masks = make_batch([one], [(0, 0), (0, 4)], ModelConfig(context=1), choose_device("cpu"))
    assert images.shape == (2, 3, 3, 8, 8)
    measured = one.intensities
    for image, indices in zip(images, ((0, 0, 1), (3, 4, 4)), strict=True):
        for found, index in zip(image, indices, strict=True):
            for channel in range(3):
                clipped = np.clip(
                    one.volume.array[index, ..., channel].astype(np.float32),
                    measured.lower[channel],
                    measured.upper[channel],
                )
                wanted = (clipped - measured.mean[channel]) / measured.sd[channel]
                np.testing.assert_allclose(found[channel], wanted, atol=1e-4)
    np.testing.assert_array_equal(masks, one.mask[[0, 4]])


def test_batch_for_an_apple_gpu_is_made_on_the_cpu() -> None:
    apple = Device("mps", torch.float32, "")
    batch = make_batch([sample("a", 2, 3)], [(0, 0)], ModelConfig(), apple)
    assert all(tensor.device.type == "cpu" for tensor in batch)


def test_batch_of_images_of_different_sizes_is_padded_without_tumour() -> None:
    samples = [sample("a", 2, 3, (8, 12)), sample("b", 2, 3, (10, 6))]
    images, masks = make_batch(samples, [(0, 0), (1, 0)], ModelConfig(context=0), choose_device("cpu"))
    assert images.shape == (2, 1, 3, 10, 12)
    assert masks.shape == (2, 10, 12)
    assert masks.sum(dim=(1, 2)).tolist() == [4, 4]
    assert torch.equal(images[1, ..., :, 6:], images[1, ..., :, 5:6].expand(1, 3, 10, 6))


# Where decoded images are kept


@pytest.mark.parametrize(
    ("cache", "fits", "on_disk"),
    [("auto", True, False), ("auto", False, True), ("memory", False, False), ("disk", True, True)],
)
def test_images_go_to_the_disk_where_memory_is_short_or_it_is_asked_for(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Any, fits: bool, on_disk: bool
) -> None:
    monkeypatch.setattr(peeks, "free_bytes", lambda: 10**12 if fits else 10)
    notes: list[Progress] = []
    with cache_folder(cases, TrainConfig(cache=cache), tmp_path, notes.append) as folder:
        assert [note.note for note in notes] == (
            ["decoded, the cases take 0.0 GB: they are kept on the disk meanwhile"] if on_disk else []
        )
        assert (folder is not None) == on_disk
        found = read_samples(cases, ModelConfig(), folder, ignore_progress)
        for one, other in zip(found, read_samples(cases, ModelConfig(), None, ignore_progress), strict=True):
            np.testing.assert_array_equal(one.volume.array, other.volume.array)
            np.testing.assert_array_equal(one.mask, other.mask)
            assert isinstance(one.volume.array, np.memmap) == isinstance(one.mask, np.memmap) == on_disk
        batches = [make_batch(found, [(0, 0), (1, 3)], ModelConfig(), choose_device("cpu"))]
        assert len(batches[0][0]) == 2
    assert not list(tmp_path.iterdir())


def test_cases_of_one_name_do_not_share_files_in_the_cache(cases: list[Case], tmp_path: Path) -> None:
    namesakes = [replace(case, name=name) for case, name in zip(cases, ("p", "P", "p"), strict=False)]
    found = read_samples(namesakes, ModelConfig(), tmp_path, ignore_progress)
    for one, other in zip(found, read_samples(namesakes, ModelConfig(), None, ignore_progress), strict=True):
        np.testing.assert_array_equal(one.volume.array, other.volume.array)
    assert len(list(tmp_path.iterdir())) == 2 * len(found)


def test_images_that_fit_nowhere_are_refused(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peeks, "free_bytes", lambda: 10)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    message = "decoded, the cases take .* GB, but there are .* of free memory and 0.0 GB on the disk"
    with pytest.raises(ValueError, match=message), cache_folder(cases, TrainConfig(), tmp_path, ignore_progress):
        pass


def test_what_a_kill_left_in_the_cache_is_removed(cases: list[Case], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "anna.images").write_bytes(b"old")
    with cache_folder(cases, TrainConfig(), tmp_path, ignore_progress):
        assert not (tmp_path / "cache").exists()
