import pytest

from napari_brainseg.core.config import AugmentationConfig, ModelConfig, SegmentConfig


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
