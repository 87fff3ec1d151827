"""How long it still takes."""

import pytest

from napari_brainseg.core import training_pace
from napari_brainseg.core.config import TrainConfig
from napari_brainseg.core.training_pace import TrainingPace


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
