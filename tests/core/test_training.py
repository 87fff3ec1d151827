import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, nn

from napari_brainseg.core import training
from napari_brainseg.core.cases import Case, find_cases
from napari_brainseg.core.config import ModelConfig, NormalisationConfig, SegmentConfig, TrainConfig
from napari_brainseg.core.devices import Device, choose_device
from napari_brainseg.core.masks import read_mask
from napari_brainseg.core.metrics import score_mask
from napari_brainseg.core.models import load_model
from napari_brainseg.core.networks import SpaceToDepth, read_weights
from napari_brainseg.core.preprocessing import measure_intensities
from napari_brainseg.core.progress import Cancelled, Progress, ignore_progress
from napari_brainseg.core.segmentation import segment
from napari_brainseg.core.training import Sample, Sampler, make_batch, train, validate
from napari_brainseg.core.volumes import read_volume, volume_of_array


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def changed(config: TrainConfig, **values: Any) -> TrainConfig:
    return TrainConfig.model_validate(config.model_dump() | values)


def stop_at(stage: str, done: int) -> Callable[[Progress], None]:
    def callback(report: Progress) -> None:
        if (report.stage, report.done) == (stage, done):
            raise Cancelled

    return callback


# A whole run


def test_training_leaves_a_model_that_loads(
    trained_folder: Path, cases: list[Case], tiny: ModelConfig, quick: TrainConfig
) -> None:
    info = load_model(trained_folder).info
    assert (info.name, info.model, info.training) == ("trained", tiny, quick)
    assert (info.train_cases, info.validation_cases) == (("anna", "bert"), ("carl",))
    assert info.provenance.command == "brainseg train here"
    assert info.provenance.device.startswith("CPU, ")
    assert info.provenance.parent_sha256 is None
    assert info.provenance.seconds > 0


def test_score_of_the_model_is_that_of_its_segmentation(trained_folder: Path, cases: list[Case]) -> None:
    model = load_model(trained_folder)
    volume = read_volume(cases[2])
    manual = read_mask(cases[2], volume)
    assert manual is not None
    dice = score_mask(segment(volume, model, SegmentConfig(device="cpu")).mask, manual).dice
    assert model.info.validation_dice == {"carl": pytest.approx(dice, abs=0.03)}
    assert dice > 0


def test_history_has_a_row_per_epoch(trained_folder: Path) -> None:
    rows = history(trained_folder)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert float(rows[0]["seconds"]) <= float(rows[1]["seconds"])
    assert rows[0]["validation_dice"] == ""
    dice = load_model(trained_folder).info.validation_dice["carl"]
    assert float(rows[1]["validation_dice"]) == pytest.approx(dice)


def test_training_learns(cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path) -> None:
    config = changed(quick, epochs=6, epoch_slices=40, learning_rate=0.01)
    train(cases[:2], [], tmp_path / "m", tiny, config)
    losses = [float(row["loss"]) for row in history(tmp_path / "m")]
    assert losses[-1] < 0.85 * losses[0]


def test_progress_tells_reading_steps_and_epochs(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    train(cases[:2], cases[2:3], tmp_path / "m", tiny, quick, on_progress=seen.append)
    assert [(report.stage, report.done, report.total) for report in seen] == [
        ("reading", 1, 2),
        ("reading", 2, 2),
        ("reading", 1, 1),
        ("epoch 1", 1, 2),
        ("epoch 1", 2, 2),
        ("training", 1, 2),
        ("epoch 2", 1, 2),
        ("epoch 2", 2, 2),
        ("validating", 1, 1),
        ("training", 2, 2),
    ]
    assert [report.stage for report in seen if report.note == "checkpoint saved"] == ["training", "training"]
    assert seen[3].metrics.keys() == {"loss"}
    assert seen[-1].metrics.keys() == {"loss", "learning_rate", "validation_dice"}


def test_model_without_validation_has_no_score(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    model = train(cases[:2], [], tmp_path / "m", tiny, changed(quick, epochs=1))
    assert model.info.validation_dice == {}
    assert model.info.mean_dice is None


def test_validation_comes_every_so_many_epochs_and_at_the_end(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    train(cases[:2], cases[2:3], tmp_path / "m", tiny, changed(quick, epochs=5, epoch_slices=4, validate_every=2))
    assert [bool(row["validation_dice"]) for row in history(tmp_path / "m")] == [False, True, False, True, True]


def test_same_seed_gives_the_same_weights(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(99)  # what was drawn before does not matter
    train(cases[:2], cases[2:3], tmp_path / "same", tiny, quick)
    train(cases[:2], cases[2:3], tmp_path / "other", tiny, changed(quick, seed=8))
    weights = (trained_folder / "weights.safetensors").read_bytes()
    assert (tmp_path / "same" / "weights.safetensors").read_bytes() == weights
    assert (tmp_path / "other" / "weights.safetensors").read_bytes() != weights


def last_and_averaged(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "averaged": {}, "optimizer": {}}
    for name, tensor in load_file(folder / "last.safetensors").items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    return parts["network"], parts["averaged"]


def test_every_epoch_draws_anew(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Sequence[tuple[int, int]]] = []

    def recording(samples: Any, chosen: Sequence[tuple[int, int]], *rest: Any) -> Any:
        drawn.append(chosen)
        return make_batch(samples, chosen, *rest)

    monkeypatch.setattr(training, "make_batch", recording)
    train(cases[:2], [], tmp_path / "m", tiny, quick)
    assert len(drawn) == 4
    assert drawn[:2] != drawn[2:]


def test_average_without_memory_is_the_last(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    train(cases[:2], [], tmp_path / "m", tiny, changed(quick, epochs=1, ema=0))
    last, mean = last_and_averaged(tmp_path / "m")
    for name, tensor in last.items():
        torch.testing.assert_close(mean[name], tensor)


def test_weights_kept_are_the_average_and_not_the_last(trained_folder: Path) -> None:
    kept = read_weights(load_model(trained_folder).network)
    last, mean = last_and_averaged(trained_folder)
    assert kept.keys() == last.keys() == mean.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, mean[name], rtol=1e-3, atol=1e-3)
    assert any(not torch.equal(last[name], mean[name]) for name in kept)


# Stopped, killed, resumed

KILLED_IN_EPOCH_2 = """
import os, signal, sys
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import ModelConfig, TrainConfig
from napari_brainseg.core.training import train

def report(progress):
    if (progress.stage, progress.done) == ("epoch 2", 1):
        os.kill(os.getpid(), signal.SIGKILL)

data, output, model, config = sys.argv[1:]
cases = find_cases(data)
train(
    cases[:2], cases[2:3], output, ModelConfig.model_validate_json(model), TrainConfig.model_validate_json(config),
    command="brainseg train here", on_progress=report,
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill like this")
def test_killed_run_is_no_model_and_ends_like_one_never_killed(
    patients: Path, cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "trained"
    arguments = [patients, output, tiny.model_dump_json(), quick.model_dump_json()]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_EPOCH_2, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert [row["epoch"] for row in history(output)] == ["1"]
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(output)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True, command="brainseg train here")
    assert (output / "weights.safetensors").read_bytes() == (trained_folder / "weights.safetensors").read_bytes()
    assert_same_run(output, trained_folder)


def assert_same_run(one: Path, other: Path) -> None:
    tensors, wanted = load_file(one / "last.safetensors"), load_file(other / "last.safetensors")
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())
    rows, wanted_rows = history(one), history(other)
    assert [row | {"seconds": ""} for row in rows] == [row | {"seconds": ""} for row in wanted_rows]


@pytest.mark.parametrize(
    ("stage", "done"),
    [
        pytest.param("reading", 1, id="before the run"),
        pytest.param("epoch 1", 1, id="in the first epoch"),
        pytest.param("training", 1, id="between epochs"),
        pytest.param("epoch 2", 2, id="in the second epoch"),
        pytest.param("validating", 1, id="in the validation"),
        pytest.param("training", 2, id="before the model is written"),
    ],
)
def test_stopped_run_is_no_model_and_ends_like_one_never_stopped(
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    stage: str,
    done: int,
) -> None:
    output = tmp_path / "trained"
    with pytest.raises(Cancelled):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=stop_at(stage, done))
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(output)
    resume = stage != "reading"
    assert output.exists() == resume
    train(cases[:2], cases[2:3], output, tiny, quick, resume=resume)
    assert_same_run(output, trained_folder)
    assert load_model(output).info.validation_dice == load_model(trained_folder).info.validation_dice


def test_rows_of_an_epoch_that_a_kill_undid_are_replaced(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    """Killed after the row of epoch 2 was written, but with the checkpoint of epoch 1: as from a copied folder."""
    output = tmp_path / "trained"
    with pytest.raises(Cancelled):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=stop_at("training", 1))
    shutil.copy(trained_folder / "history.csv", output)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert_same_run(output, trained_folder)


def test_finished_run_can_be_resumed_and_stays_the_same(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "trained"
    shutil.copytree(trained_folder, output)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert (output / "weights.safetensors").read_bytes() == (trained_folder / "weights.safetensors").read_bytes()
    assert load_model(output).info.validation_dice == load_model(trained_folder).info.validation_dice
    assert_same_run(output, trained_folder)


@pytest.mark.parametrize("what", ["settings", "network", "cases"])
def test_run_is_resumed_only_as_it_was_begun(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path, what: str
) -> None:
    output = tmp_path / "trained"
    shutil.copytree(trained_folder, output)
    before = files(output)
    quick = changed(quick, learning_rate=0.5) if what == "settings" else quick
    tiny = ModelConfig(filters=(4, 4, 4)) if what == "network" else tiny
    chosen = cases[:1] if what == "cases" else cases[:2]
    message = f"{output / 'run.json'} describes a run with other cases or settings; resume with the same ones"
    with pytest.raises(ValueError, match=re.escape(message)):
        train(chosen, cases[2:3], output, tiny, quick, resume=True)
    assert files(output) == before


def test_folder_without_a_run_is_not_resumed(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} holds no run to resume")):
        train(cases[:2], [], tmp_path, tiny, quick, resume=True)


@pytest.mark.parametrize("name", ["run.json", "last.safetensors"])
def test_damaged_run_is_not_resumed(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "trained"
    shutil.copytree(trained_folder, output)
    (output / name).write_bytes((output / name).read_bytes()[:50])
    message = f"{output / name} is damaged: the run cannot be resumed, train anew into another folder"
    with pytest.raises(ValueError, match=re.escape(message)):
        train(cases[:2], cases[2:3], output, tiny, quick, resume=True)


# Short of memory


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """From now on networks run out of memory when they are taught more slices at once than this."""
    forward = SpaceToDepth.forward

    def limit(most: int) -> None:
        def limited(network: SpaceToDepth, image: torch.Tensor) -> torch.Tensor:
            if network.training and len(image) > most:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(network, image)

        monkeypatch.setattr(SpaceToDepth, "forward", limited)

    return limit


DIVIDED = "out of memory on the cpu: each step takes its 4 slices 2 at a time"


def test_training_with_little_memory_goes_on_and_says_so(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, short_of_memory: Callable[[int], None]
) -> None:
    short_of_memory(2)
    seen: list[Progress] = []
    train(cases[:2], [], tmp_path / "m", tiny, quick, on_progress=seen.append)
    assert [(report.stage, report.done) for report in seen if report.note == DIVIDED] == [("training", 0)]
    assert load_model(tmp_path / "m").info.provenance.notes == (DIVIDED,)
    assert len(history(tmp_path / "m")) == 2


def test_resumed_run_takes_as_few_slices_at_once_as_before(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, short_of_memory: Callable[[int], None]
) -> None:
    short_of_memory(2)
    train(cases[:2], [], tmp_path / "whole", tiny, quick)
    with pytest.raises(Cancelled):
        train(cases[:2], [], tmp_path / "stopped", tiny, quick, on_progress=stop_at("training", 1))
    short_of_memory(99)
    train(cases[:2], [], tmp_path / "stopped", tiny, quick, resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    assert load_model(tmp_path / "stopped").info.provenance.notes == (DIVIDED,)


def test_run_without_memory_for_one_slice_keeps_its_checkpoint(
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    short_of_memory: Callable[[int], None],
) -> None:
    def fill_memory(report: Progress) -> None:
        if (report.stage, report.done) == ("training", 1):
            short_of_memory(0)

    output = tmp_path / "trained"
    with pytest.raises(MemoryError, match="not enough memory on the cpu to train on even one slice"):
        train(cases[:2], cases[2:3], output, tiny, quick, on_progress=fill_memory)
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(output)
    short_of_memory(99)
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert_same_run(output, trained_folder)


class Gpu(Device):
    """The CPU under another name."""

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext()


class Wanderer(nn.Module):
    """Network that says where it was sent, and has no memory there but on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[str] = []

    def to(self, device: str) -> "Wanderer":  # type: ignore[override]
        self.at.append(device)
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.at[-1] != "cpu":
            raise RuntimeError("out of memory")
        return images[:, :1]


def test_validation_that_had_to_leave_the_gpu_brings_the_network_back() -> None:
    told: list[str] = []
    network: Any = Wanderer()
    model = ModelConfig(filters=(4, 8, 8), context=0)
    device = Gpu("cpu:0", torch.float32, "pretended")
    scores = validate(network, [sample("a", 2, 1)], model, device, told.append, ignore_progress)
    assert scores.keys() == {"a"}
    assert network.at == ["cpu:0", "cpu", "cpu:0"]
    assert told[-1] == "validation: out of memory on the cpu:0: went on with the CPU"


# Full disk


def test_full_disk_is_told_and_keeps_the_checkpoint_before(
    cases: list[Case],
    tiny: ModelConfig,
    quick: TrainConfig,
    trained_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, write, written = tmp_path / "trained", Path.write_bytes, []

    def fill(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) == 2:
            write(path, content[:9])
            raise OSError(28, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fill)
        message = f"{output / 'last.safetensors'} cannot be written: no space left on device"
        with pytest.raises(OSError, match=re.escape(message)):
            train(cases[:2], cases[2:3], output, tiny, quick)
    assert {path.name for path in output.iterdir()} == {"run.json", "history.csv", "last.safetensors"}
    train(cases[:2], cases[2:3], output, tiny, quick, resume=True)
    assert_same_run(output, trained_folder)


# Refused


@pytest.mark.parametrize("file", ["model.json", "run.json"])
def test_folder_with_a_model_or_a_run_is_refused_and_nothing_changes(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, file: str
) -> None:
    (tmp_path / file).write_text("precious")
    message = f"{tmp_path / file} exists already; resume that run or choose another folder"
    with pytest.raises(FileExistsError, match=re.escape(message)):
        train(cases[:2], [], tmp_path, tiny, quick)
    assert files(tmp_path) == {file: b"precious"}


def refused(
    train_cases: Sequence[Case], validation_cases: Sequence[Case], output: Path, message: str, **options: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        train(train_cases, validation_cases, output, **options)
    assert not output.exists()


def test_patient_on_both_sides_is_refused(cases: list[Case], tmp_path: Path) -> None:
    visits = [replace(cases[0], name=f"TCGA_CS_4941_1996010{day}") for day in (1, 2)]
    message = "patient TCGA_CS_4941 is among the training and the validation cases"
    refused([visits[0], cases[1]], [visits[1]], tmp_path / "m", message)


def test_no_case_at_all_is_refused(tmp_path: Path) -> None:
    refused([], [], tmp_path / "m", "there is no case to train on")


def test_cases_without_any_tumour_are_refused(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    message = "no training slice has tumour: there is nothing to learn from"
    refused([cases[3]], [cases[0]], tmp_path / "m", message, model=tiny, config=quick)


@pytest.mark.parametrize("without", ["all", "one"])
@pytest.mark.parametrize("side", ["training", "validation"])
def test_case_without_masks_is_refused(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path, without: str, side: str
) -> None:
    masks = (None,) * len(cases[0].masks) if without == "all" else (None, *cases[0].masks[1:])
    bad = replace(cases[0], masks=masks)
    message = "anna has slices without a manual mask and cannot be trained on"
    sides = ([bad], [cases[1]]) if side == "training" else ([cases[1]], [bad])
    refused(*sides, tmp_path / "m", message, model=tiny, config=quick)


def test_loss_that_becomes_nan_ends_the_run_and_leaves_no_model(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, tmp_path: Path
) -> None:
    message = r"the loss became NaN at a learning rate of \d.*e\+(28|29|30): train anew with a lower one"
    with pytest.raises(ValueError, match=message):
        train(cases[:2], [], tmp_path / "m", tiny, changed(quick, learning_rate=1e30, clip_norm=1e30))
    with pytest.raises(FileNotFoundError, match="is not a model"):
        load_model(tmp_path / "m")


# Fine-tuning


def test_fine_tuning_begins_with_the_parent_and_records_it(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    parent = load_model(trained_folder)
    model = train(
        cases[2:3],
        [],
        tmp_path / "child",
        parent.info.model,
        changed(quick, epochs=1, learning_rate=1e-12),
        parent=trained_folder,
    )
    assert model.info.model == parent.info.model
    assert model.info.provenance.parent_sha256 == parent.info.provenance.weights_sha256
    parameters = dict(load_model(tmp_path / "child").network.named_parameters())
    for name, tensor in parent.network.named_parameters():
        torch.testing.assert_close(parameters[name], tensor, rtol=1e-3, atol=1e-3)


def test_other_network_than_the_parents_is_refused(cases: list[Case], trained_folder: Path, tmp_path: Path) -> None:
    message = re.escape("filters (9, 9, 9) was asked for, but the model to start from has (4, 8, 8), which is kept")
    other = ModelConfig(filters=(9, 9, 9))
    refused(cases[2:3], [], tmp_path / "child", message, model=other, parent=trained_folder)


def test_fine_tuning_leaves_the_parent_alone(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    before = files(trained_folder)
    train(cases[2:3], [], tmp_path / "child", None, changed(quick, epochs=1, learning_rate=0.1), parent=trained_folder)
    assert files(trained_folder) == before
    assert (tmp_path / "child" / "weights.safetensors").read_bytes() != before["weights.safetensors"]


def test_patient_that_the_parent_was_trained_on_is_not_validated_on(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="was trained on patient anna"):
        train(cases[2:3], cases[:1], tmp_path / "child", None, quick, parent=trained_folder)
    assert not (tmp_path / "child").exists()


# Parts

NORMALISATION = NormalisationConfig()


def sample(patient: str, tumour_slices: int, empty_slices: int, shape: tuple[int, int] = (8, 8)) -> Sample:
    count = tumour_slices + empty_slices
    array = np.random.default_rng(count).integers(50, 250, (count, *shape, 3)).astype(np.uint8)
    mask = np.zeros((count, *shape), np.uint8)
    mask[:tumour_slices, 2:4, 2:4] = 1
    return Sample(patient, volume_of_array(array, patient), mask, measure_intensities(array, NORMALISATION))


def drawn(samples: list[Sample], **settings: Any) -> list[tuple[int, int]]:
    config = TrainConfig(batch_size=8, epoch_slices=8000, **settings)
    return [pick for batch in Sampler(samples, config).epoch(Generator().manual_seed(0)) for pick in batch]


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


def test_sampler_draws_tumour_alone_where_every_slice_has_some() -> None:
    assert set(drawn([sample("a", 3, 0)], tumour_share=0.2)) == {(0, 0), (0, 1), (0, 2)}


@pytest.mark.parametrize(
    ("epoch_slices", "batch_size", "steps"),
    [
        pytest.param(0, 4, 6, id="twice the tumour slices"),
        pytest.param(30, 4, 8, id="as many as asked for"),
        pytest.param(1, 16, 1, id="at least one step"),
    ],
)
def test_epoch_has_so_many_steps(epoch_slices: int, batch_size: int, steps: int) -> None:
    samples = [sample("a", 10, 40), sample("b", 2, 8)]
    sampler = Sampler(samples, TrainConfig(epoch_slices=epoch_slices, batch_size=batch_size))
    batches = list(sampler.epoch(Generator()))
    assert sampler.steps == len(batches) == steps
    assert {len(batch) for batch in batches} == {batch_size}


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


def test_batch_of_images_of_different_sizes_is_padded_without_tumour() -> None:
    samples = [sample("a", 2, 3, (8, 12)), sample("b", 2, 3, (10, 6))]
    images, masks = make_batch(samples, [(0, 0), (1, 0)], ModelConfig(context=0), choose_device("cpu"))
    assert images.shape == (2, 1, 3, 10, 12)
    assert masks.shape == (2, 10, 12)
    assert masks.sum(dim=(1, 2)).tolist() == [4, 4]
    assert torch.equal(images[1, ..., :, 6:], images[1, ..., :, 5:6].expand(1, 3, 10, 6))


def test_cases_of_the_fixture_are_what_the_tests_think(cases: list[Case]) -> None:
    tumour = []
    for case in cases:
        mask = read_mask(case, read_volume(case))
        assert mask is not None
        tumour.append(bool(mask.any()))
    assert tumour == [True, True, True, False]
    assert find_cases(cases[0].folder.parent) == cases
