"""What a training would do and cost."""

from dataclasses import replace
from pathlib import Path

import pytest

from napari_brainseg.core import training
from napari_brainseg.core.cases import Case
from napari_brainseg.core.config import FINE_TUNING, ModelConfig, TrainConfig
from napari_brainseg.core.masks import read_mask_alone
from napari_brainseg.core.models import load_model
from napari_brainseg.core.training import train
from napari_brainseg.core.training_plans import plan_training


def test_plan_says_what_training_then_does(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path
) -> None:
    plan = plan_training(cases[:2], cases[2:3], tiny, quick)
    masks = [read_mask_alone(case)[0] for case in cases[:3]]
    assert (plan.training.patients, plan.training.cases, plan.training.slices) == (2, 2, 12)
    assert plan.training.tumour_slices == sum(int(mask.any((1, 2)).sum()) for mask in masks[:2])
    assert plan.validation.tumour_slices == int(masks[2].any((1, 2)).sum())
    assert plan.steps == 2
    assert (
        plan.weights == plan.trained_weights == sum(p.numel() for p in load_model(trained_folder).network.parameters())
    )
    assert plan.image_bytes == sum(mask.size * 4 for mask in masks)
    assert not plan.on_disk
    assert plan.step_bytes > plan.image_bytes
    assert plan.most_bytes == plan.step_bytes + plan.image_bytes
    assert replace(plan, on_gpu=True).most_bytes == plan.step_bytes  # which has memory of its own
    assert plan.seconds(quick) == pytest.approx(4 * plan.step_seconds + plan.validation_seconds)


def test_plan_of_fine_tuning_counts_frozen_weights_and_the_parents_validation(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, trained_folder: Path
) -> None:
    frozen = tiny.changed({"freeze_encoder_blocks": 1})
    plan = plan_training(cases[:2], cases[2:3], frozen, quick, parent=trained_folder)
    assert 0 < plan.trained_weights < plan.weights
    assert plan.seconds(quick) == pytest.approx(4 * plan.step_seconds + 2 * plan.validation_seconds)


def test_fine_tuning_is_shorter_and_gentler_unless_it_is_said_otherwise(
    cases: list[Case], trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def stop(*arguments: object, **_: object) -> None:
        seen.append(arguments)
        raise InterruptedError

    monkeypatch.setattr(training, "checked_run", stop)
    for parent in (None, trained_folder):
        with pytest.raises(InterruptedError):
            training.train(cases[:2], [], tmp_path / "new", parent=parent)
    assert [arguments[3] for arguments in seen] == [TrainConfig(), TrainConfig.model_validate(FINE_TUNING)]


def test_plan_leaves_the_model_that_training_starts_from_alone(
    cases: list[Case], quick: TrainConfig, trained_folder: Path, tmp_path: Path
) -> None:
    once = quick.changed({"epochs": 1})
    train(cases[:2], [], tmp_path / "one", None, once, parent=trained_folder)
    plan_training(cases[:2], [], None, once, parent=trained_folder)
    train(cases[:2], [], tmp_path / "other", None, once, parent=trained_folder)
    hashes = {load_model(tmp_path / name).info.provenance.weights_sha256 for name in ("one", "other")}
    assert len(hashes) == 1


@pytest.mark.parametrize(("train_on", "message"), [([], "no case to train on"), ([3], "no training slice has tumour")])
def test_plan_refuses_what_training_would(
    cases: list[Case], tiny: ModelConfig, quick: TrainConfig, train_on: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_training([cases[number] for number in train_on], cases[:1], tiny, quick)
