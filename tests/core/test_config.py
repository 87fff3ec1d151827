import pytest

from napari_brainseg.core.config import AIMS, FINE_TUNING, AugmentationConfig, ModelConfig, SegmentConfig, TrainConfig


@pytest.mark.parametrize("limits", [(1.4, 0.7), (-1.0, 1.0), (0.0, 0.0)], ids=["turned round", "negative", "zero"])
def test_scale_that_makes_no_image_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="scale"):
        AugmentationConfig(scale=limits)


def test_filters_are_positive() -> None:
    with pytest.raises(ValueError, match="filters"):
        ModelConfig(filters=(4, 0, 8))


def test_change_is_checked_and_leaves_the_original_alone() -> None:
    config = SegmentConfig()
    assert config.changed({"batch_size": 3}).batch_size == 3
    assert config.batch_size == SegmentConfig().batch_size
    with pytest.raises(ValueError, match="batch_size"):
        config.changed({"batch_size": 0})
    with pytest.raises(ValueError, match="batchsize"):
        config.changed({"batchsize": 2})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SegmentConfig().tta = True  # type: ignore[misc]


def test_fine_tuning_is_shorter_and_gentler() -> None:
    gentle, whole = TrainConfig.default(fine_tunes=True), TrainConfig.default(fine_tunes=False)
    assert whole == TrainConfig()
    assert gentle.epochs < whole.epochs
    assert gentle.learning_rate < whole.learning_rate
    assert gentle == whole.changed(FINE_TUNING)


def test_an_aim_is_known_by_its_settings() -> None:
    assert TrainConfig().aim == "overlap"
    for name, settings in AIMS.items():
        assert TrainConfig(epochs=3).changed(settings).aim == name
    assert TrainConfig(loss="mse").aim is None
    assert TrainConfig(loss="tversky", missed_weight=0.6).aim is None
