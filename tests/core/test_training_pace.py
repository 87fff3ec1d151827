"""How long it still takes."""

import pytest

from napari_brainseg.core import training_pace
from napari_brainseg.core.config import MOST_EPOCHS, TrainConfig
from napari_brainseg.core.training_pace import MeasuredPace, TrainingPace


def test_time_left_follows_from_the_mean_of_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(training_pace.time, "perf_counter", lambda: now)
    pace = TrainingPace(TrainConfig(epochs=5, validate_every=2), steps=10, seconds=1000)
    assert pace.seconds_left(0, 0) == 0  # nothing is known yet
    for seconds in (1, 3):
        now += seconds
        pace.took("step")
    assert pace.seconds_left(0, 2) == (5 * 10 - 2) * 2
    now += 7
    pace.took("validation")
    now += 0.5
    pace.took("saving")
    assert pace.seconds_left(1, 4) == (4 * 10 - 4) * 2 + 3 * 7 + 4 * 0.5  # after epochs 2, 4 and 5
    assert pace.seconds_left(5, 0) == 0
    assert pace.seconds == pytest.approx(1011.5)


def measured(*, validation_seconds: float = 20.0, validates_parent: bool = False) -> MeasuredPace:
    return MeasuredPace(10, 0.5, validation_seconds, validates_parent)


def test_a_training_takes_its_epochs_and_its_validations() -> None:
    config = TrainConfig(epochs=7, validate_every=3)
    assert measured().seconds(config) == 7 * 5 + 3 * 20  # after epochs 3, 6 and 7
    assert measured(validates_parent=True).seconds(config) == 7 * 5 + 4 * 20


@pytest.mark.parametrize("validate_every", [1, 3, 5, 40])
@pytest.mark.parametrize("validates_parent", [False, True])
@pytest.mark.parametrize("validation_seconds", [0.0, 20.0])
def test_as_many_epochs_as_end_in_time(validate_every: int, validates_parent: bool, validation_seconds: float) -> None:
    pace = measured(validation_seconds=validation_seconds, validates_parent=validates_parent)
    config = TrainConfig(validate_every=validate_every)
    for minutes in (0.8, 1, 1.5, 2, 3.14, 10, 60):
        epochs = pace.epochs_within(minutes, config)
        assert pace.seconds(config.changed({"epochs": epochs})) <= minutes * 60
        assert pace.seconds(config.changed({"epochs": epochs + 1})) > minutes * 60


def test_a_year_of_short_epochs_ends_with_the_most_that_there_may_be() -> None:
    pace = MeasuredPace(1, 1e-3, 1e-3, validates_parent=False)
    assert TrainConfig(epochs=pace.epochs_within(60 * 24 * 365, TrainConfig())).epochs == MOST_EPOCHS


def test_no_time_for_one_epoch_is_refused_with_what_it_takes() -> None:
    with pytest.raises(
        ValueError, match=r"one epoch takes about 0\.8 min on this machine and does not end within 0\.5"
    ):
        measured(validates_parent=True).epochs_within(0.5, TrainConfig())
