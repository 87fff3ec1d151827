"""Forms are what the fields of the settings say."""

import pytest
from magicgui.widgets import CheckBox, ComboBox

from napari_brainseg.core.config import AugmentationConfig, PostprocessConfig, SegmentConfig, TrainConfig
from napari_brainseg.core.settings import Settings
from napari_brainseg.plugin.form import read_form, settings_form, show_settings

GROUPS = (SegmentConfig, PostprocessConfig, TrainConfig, AugmentationConfig)


def single_fields(group: type[Settings]) -> list[str]:
    kinds = (bool, int, float, str)
    return [name for name, field in group.model_fields.items() if isinstance(field.default, kinds)]


ALL = [pytest.param(group, name, id=f"{group.__name__}.{name}") for group in GROUPS for name in single_fields(group)]


@pytest.fixture(autouse=True)
def application(qapp):
    """Controls need one."""


@pytest.mark.parametrize(("group", "name"), ALL)
def test_title_tooltip_and_default_come_from_the_field(group, name):
    field = group.model_fields[name]
    control = settings_form(group, name)[name]

    assert control.label == field.title
    assert control.tooltip == field.description
    assert control.value == field.default


@pytest.mark.parametrize(
    ("group", "name", "low", "high"),
    [
        (SegmentConfig, "batch_size", 1, 256),
        (SegmentConfig, "threads", 0, 512),
        (TrainConfig, "seed", 0, None),
        (PostprocessConfig, "threshold", 0, 1),
        (PostprocessConfig, "keep_share", 0, 1),
        (PostprocessConfig, "min_voxels", 0, None),
        (TrainConfig, "batch_size", 2, 4096),
        (AugmentationConfig, "rotation", 0, 180),
    ],
)
def test_bounds_come_from_the_field(group, name, low, high):
    control = settings_form(group, name)[name]

    assert control.min == low
    if high is None:
        assert control.max >= 10_000
    else:
        assert control.max == high


def test_a_bound_that_is_not_allowed_itself_cannot_be_set():
    form = settings_form(TrainConfig, "learning_rate", "ema")
    form["learning_rate"].value = form["learning_rate"].min
    form["ema"].value = form["ema"].max

    shown = read_form(form, TrainConfig())
    assert 0 < shown.learning_rate < 0.001
    assert 0.999 < shown.ema < 1


def test_showing_settings_tells_of_the_change_once():
    form = settings_form(PostprocessConfig, "keep_share", "min_voxels", "closing")
    told = []
    form.changed.connect(told.append)
    show_settings(form, PostprocessConfig(keep_share=0.0625, min_voxels=7, closing=True))

    assert len(told) == 1
    assert read_form(form, PostprocessConfig()) == PostprocessConfig(keep_share=0.0625, min_voxels=7, closing=True)


def test_kinds_of_control_follow_the_kind_of_field():
    form = settings_form(SegmentConfig, "device", "tta")

    assert isinstance(form["device"], ComboBox)
    assert form["device"].choices == ("auto", "cuda", "mps", "cpu")
    assert isinstance(form["tta"], CheckBox)


def test_fields_keep_the_order_asked_for():
    form = settings_form(SegmentConfig, "threads", "device")

    assert [control.name for control in form] == ["threads", "device"]


@pytest.mark.parametrize(
    "settings",
    [
        SegmentConfig(device="cpu", tta=True, batch_size=256, threads=3),
        PostprocessConfig(threshold=0.125, keep_share=0.0625, min_voxels=5000, fill_holes=True, closing=True),
        TrainConfig(epochs=1_000_000, batch_size=4096, window=2048, accumulate=1024, learning_rate=10, weight_decay=10),
        TrainConfig(learning_rate=0.0003, ema=0.9995, weight_decay=0.001, seed=4_294_967),
    ],
)
def test_settings_survive_the_way_through_a_form(settings):
    group = type(settings)
    form = settings_form(group, *single_fields(group), value=settings)

    assert read_form(form, group()) == settings


def test_fields_without_a_control_come_from_the_base():
    form = settings_form(PostprocessConfig, "closing", value=PostprocessConfig(closing=True, threshold=0.9))

    assert read_form(form, PostprocessConfig(threshold=0.25)) == PostprocessConfig(threshold=0.25, closing=True)


def test_boxes_line_up(qtbot):
    form = settings_form(PostprocessConfig, "keep_share", "min_voxels")
    qtbot.addWidget(form.native)
    form.native.setStyleSheet("QLabel { font-size: 20px }")  # as a window's theme comes after the form was made
    form.native.show()

    assert len({control.native.x() for control in form}) == 1
