"""The Metrics tab as a person uses it: choose two masks, read, paint, undo, step, show, take along."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels, Layer
from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_brainseg.core import colours
from napari_brainseg.core.config import ScoreConfig
from napari_brainseg.core.masks import write_mask, write_mask_file
from napari_brainseg.core.metrics import score_mask, score_slices
from napari_brainseg.core.phantom import make_phantom
from napari_brainseg.plugin import mask_comparison, metrics_widget
from napari_brainseg.plugin.layer_metadata import kind_of, note, volume_of
from napari_brainseg.plugin.layers import mask_layer, read_layers
from napari_brainseg.plugin.mask_comparison import AGREE, MISSED, TOO_MUCH
from napari_brainseg.plugin.mask_picker import NO_MASKS
from napari_brainseg.plugin.metrics_report import to_csv, to_markdown
from napari_brainseg.plugin.metrics_widget import MetricsWidget
from napari_brainseg.plugin.sources import set_spacing

SHAPE = (6, 64, 64)
OpenTab = Callable[..., MetricsWidget]


def add_masks(viewer, name: str = "anna", seed: int = 1) -> tuple[Labels, Labels]:
    """A prediction that is the manual mask moved by a few pixels, with nothing in one slice."""
    volume, manual = make_phantom(seed, SHAPE, name=name)
    predicted = np.roll(manual, 4, axis=2)
    predicted[np.flatnonzero(manual.any(axis=(1, 2)))[0]] = 0
    reference = viewer.add_layer(Layer.create(*mask_layer(manual, volume, "manual")))
    return viewer.add_layer(Layer.create(*mask_layer(predicted, volume, "prediction"))), reference


def overlays(viewer) -> list[Labels]:
    return [layer for layer in viewer.layers if kind_of(layer) == "disagreement"]


def expected_disagreement(prediction: Labels, reference: Labels) -> np.ndarray:
    ours, theirs = prediction.data > 0, reference.data > 0
    return np.where(ours & theirs, AGREE, np.where(theirs, MISSED, np.where(ours, TOO_MUCH, 0)))


def paint(layer: Labels) -> None:
    """One stroke of the brush in a corner of slice 1."""
    layer.paint((1, 3, 3), 1)


@pytest.fixture
def open_tab(qtbot) -> Iterator[OpenTab]:
    opened = []

    def open_tab(viewer) -> MetricsWidget:
        widget = MetricsWidget(viewer)
        opened.append(widget)
        qtbot.waitUntil(lambda: widget.strip.plot is not None, timeout=20_000)
        qtbot.waitUntil(lambda: bool(widget.comparison or widget.reason.text()))
        qtbot.waitUntil(lambda: not widget.is_measuring, timeout=10_000)
        return widget

    yield open_tab
    for widget in filter(isalive, opened):
        widget.close()
        widget.deleteLater()


@pytest.fixture
def masks(viewer) -> tuple[Labels, Labels]:
    return add_masks(viewer)


@pytest.fixture
def tab(viewer, masks, open_tab) -> MetricsWidget:
    return open_tab(viewer)


@pytest.fixture
def says(qtbot):
    """Wait until the tab shows the scores that two layers have now, distances included."""

    def check(tab: MetricsWidget, prediction: Labels, reference: Labels) -> None:
        scores = score_mask(prediction.data, reference.data, None, ScoreConfig(empty=tab.empty.value))
        expected = f"Dice {scores.dice:.2f}, IoU {scores.iou:.2f}"

        def shown() -> bool:
            return bool(tab.comparison) and not tab.is_measuring and tab.report().volume == scores

        qtbot.waitUntil(shown, timeout=30_000)
        assert tab.headline.text() == expected
        stacks = (mask.data.reshape(-1, *mask.data.shape[-2:]) for mask in (prediction, reference))
        assert tab.report().slices == score_slices(*stacks, None, ScoreConfig(empty=tab.empty.value))

    return check


# which masks


def test_without_masks_it_says_what_to_do(viewer, open_tab):
    tab = open_tab(viewer)

    assert tab.picker.pair == (None, None)
    assert tab.reason.text() == f"{NO_MASKS}: it takes two masks to compare them."
    assert tab.headline.text() == ""
    for control in (tab.next_button, tab.show_disagreement, tab.copy_table_button, tab.save_button):
        assert not control.isEnabled()
        assert control.toolTip() == "Choose two masks that can be compared first."


def test_the_newest_prediction_is_compared_with_the_manual_mask_of_its_case(viewer, open_tab, masks):
    bert = add_masks(viewer, "bert", 2)
    viewer.add_labels(np.zeros(SHAPE, np.uint8), name="mine")
    tab = open_tab(viewer)

    assert tab.picker.pair == bert


def test_masks_that_come_late_are_taken(viewer, open_tab, says):
    tab = open_tab(viewer)
    prediction, reference = add_masks(viewer)

    assert tab.picker.pair == (prediction, reference)
    says(tab, prediction, reference)
    assert not tab.reason.isVisibleTo(tab)


def test_masks_of_nobody_can_be_compared_too(viewer, open_tab, says):
    one = viewer.add_labels(np.ones(SHAPE, np.int32), name="one")
    other = viewer.add_labels(np.full(SHAPE, 3, np.uint8), name="other")
    other.data[2] = 0
    tab = open_tab(viewer)
    assert set(tab.picker.pair) == {one, other}

    tab.prediction.value, tab.reference.value = one, other
    says(tab, one, other)


def test_a_mask_opened_by_itself_is_compared_with_the_prediction(viewer, open_tab, says, tmp_path):
    tab = open_tab(viewer)
    prediction, reference = add_masks(viewer)
    viewer.layers.remove(reference)
    file = write_mask_file(reference.data, tmp_path / "expert.nii.gz", volume_of(reference))
    opened = viewer.add_layer(Layer.create(*read_layers(str(file))[0]))

    assert tab.picker.pair == (prediction, opened)
    says(tab, prediction, opened)


def test_a_mask_whose_file_states_no_size_is_laid_on_the_prediction(viewer, open_tab, tmp_path):
    prediction, reference = add_masks(viewer)
    viewer.layers.remove(reference)
    volume = volume_of(reference)
    write_mask(reference.data, tmp_path / "mine", replace(volume, spacing=None))
    set_spacing(prediction, volume.with_spacing((3.0, 1.0, 1.0)))
    opened = viewer.add_layer(Layer.create(*read_layers(str(tmp_path / "mine"))[0]))
    tab = open_tab(viewer)

    assert tuple(opened.scale) == (3, 1, 1)
    assert volume_of(opened).spacing == (3, 1, 1)
    assert tab.picker.pair == (prediction, opened)
    assert tab.report().volume == score_mask(prediction.data, opened.data, (3.0, 1.0, 1.0))


def test_masks_from_elsewhere_in_space_are_not_compared(viewer, open_tab, tmp_path):
    volume, manual = make_phantom(1, SHAPE)
    for x in (0, 40):
        placed = replace(volume, affine=np.diag([1.0, 1, 5, 1]) + np.eye(4, k=3) * x, spacing=(5.0, 1.0, 1.0))
        file = write_mask_file(manual, tmp_path / f"at_{x}.nii.gz", placed)
        viewer.add_layer(Layer.create(*read_layers(str(file))[0]))
    tab = open_tab(viewer)

    assert tab.reason.text() == "at_40 mask lies elsewhere in space than at_0 mask; register them first."
    assert tab.comparison is None


def test_a_mask_added_by_a_person_leaves_the_choice(tab, viewer, masks):
    mine = viewer.add_labels(np.zeros(SHAPE, np.uint8), name="mine")

    assert tab.picker.pair == masks
    assert mine in tab.prediction.choices


def test_renamed_masks_stay_chosen_under_their_new_name(tab, viewer, masks):
    masks[0].name = "mine"

    assert tab.picker.pair == masks
    assert tab.prediction.current_choice == "mine"
    assert tab.report().prediction == "mine"


def test_a_removed_mask_is_replaced_by_the_next_best(viewer, open_tab, masks, says, qtbot):
    bert = add_masks(viewer, "bert", 2)
    tab = open_tab(viewer)
    viewer.layers.remove(bert[0])
    viewer.layers.remove(bert[1])
    assert tab.picker.pair == masks
    says(tab, *masks)

    viewer.layers.remove(masks[0])
    assert tab.picker.pair == (None, masks[1])
    qtbot.waitUntil(lambda: tab.comparison is None)
    assert tab.reason.text().startswith(NO_MASKS)
    assert tab.headline.text() == ""
    assert {label.text() for label in tab.values.values()} == {"–"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"data": np.ones((5, 64, 64), np.uint8)}, "has shape (5, 64, 64), but", id="shape"),
        pytest.param({"scale": (2, 1, 1)}, "has scale (2.0, 1.0, 1.0), but", id="scale"),
        pytest.param({"translate": (0, 9, 0)}, "lies elsewhere than", id="place"),
        pytest.param({"data": np.full(SHAPE, -1, np.int8)}, "The predicted mask holds -1; allowed are", id="negative"),
    ],
)
def test_masks_that_do_not_fit_are_refused_with_the_reason(tab, viewer, masks, qtbot, options, reason):
    odd = viewer.add_labels(**({"data": np.ones(SHAPE, np.uint8), "name": "odd"} | options))
    tab.prediction.value = odd

    qtbot.waitUntil(lambda: reason in tab.reason.text())
    assert tab.headline.text() == ""
    assert not tab.save_button.isEnabled()

    tab.prediction.value = masks[0]
    qtbot.waitUntil(lambda: not tab.reason.text())
    assert tab.headline.text().startswith("Dice")


def test_one_mask_chosen_twice_is_refused(tab, masks, qtbot):
    tab.prediction.value = masks[1]

    qtbot.waitUntil(lambda: "chosen twice" in tab.reason.text())


# scores


def test_scores_are_those_of_core(tab, masks, says):
    says(tab, *masks)
    scores = score_mask(masks[0].data, masks[1].data)
    assert tab.scope.text() == "per volume, all 6 slices together"
    assert tab.values["sensitivity"].text() == f"{scores.sensitivity:.2f}"
    assert tab.values["assd"].text() == f"{scores.assd:.1f} voxels (voxel size unknown)"
    assert "surface" in tab.values["assd"].toolTip()


def test_scores_of_a_patient_that_the_model_has_learned_from_are_said_to_flatter(viewer, open_tab, says, provenance):
    known, other = (add_masks(viewer, name, seed) for seed, name in enumerate(("anna", "bert"), 1))
    for (prediction, _), learned in ((known, True), (other, False)):
        made = provenance.model_copy(update={"trained_on": learned}).model_dump()
        note(prediction, provenance=made | {"slices": tuple(range(SHAPE[0])), "finished": True})
    tab = open_tab(viewer)
    says(tab, *other)
    assert not tab.caution.isVisibleTo(tab)

    tab.prediction.value, tab.reference.value = known
    says(tab, *known)
    assert tab.caution.isVisibleTo(tab)
    assert tab.caution.text().startswith("The model tiny has learned from this patient")
    assert tab.caution.text() in to_markdown(tab.report())
    viewer.layers.clear()
    tab.look()
    assert not tab.caution.isVisibleTo(tab)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(paint, id="paint"),
        pytest.param(lambda layer: layer.fill((1, 3, 3), 1), id="fill"),
        pytest.param(
            lambda layer: layer.data_setitem((np.array([1]), np.array([3]), np.array([3])), 1), id="data_setitem"
        ),
        pytest.param(lambda layer: layer.data.__setitem__((1, slice(9)), 1), id="in place, telling nobody"),
        pytest.param(lambda layer: setattr(layer, "data", np.ones(SHAPE, np.uint8)), id="new array"),
    ],
)
@pytest.mark.parametrize("which", [0, 1], ids=["prediction", "reference"])
def test_scores_follow_edits(tab, masks, says, edit, which):
    before = tab.headline.text(), tab.report()
    edit(masks[which])

    says(tab, *masks)
    assert (tab.headline.text(), tab.report()) != before


@pytest.mark.parametrize("visible", [True, False], ids=["shown", "hidden"])
def test_scores_follow_undo_and_redo(tab, masks, says, visible):
    original = tab.report()
    paint(masks[0])
    says(tab, *masks)
    painted = tab.report()
    masks[0].visible = visible

    masks[0].undo()
    says(tab, *masks)
    assert tab.report() == original

    masks[0].redo()
    says(tab, *masks)
    assert tab.report() == painted


def test_only_the_slice_that_was_painted_is_counted_again(tab, masks, says, monkeypatch):
    counted = []

    def count(ours, theirs, *rest):
        counted.append(ours.shape)
        return score_slices(ours, theirs, *rest)

    monkeypatch.setattr(mask_comparison, "score_slices", count)
    paint(masks[0])
    says(tab, *masks)

    assert counted == [(1, 64, 64)]


def test_distances_are_measured_off_the_gui_thread_and_shown_as_dots_until_then(tab, masks, says, qtbot, monkeypatch):
    threads, go_on = [], threading.Event()

    def measure(*masks_and_settings):
        threads.append(threading.current_thread())
        assert go_on.wait(10)
        return score_mask(*masks_and_settings)

    monkeypatch.setattr(metrics_widget, "score_mask", measure)
    paint(masks[0])
    qtbot.waitUntil(lambda: bool(threads), timeout=10_000)

    assert threads[0] is not threading.main_thread()
    assert (tab.values["hd95"].text(), tab.values["assd"].text()) == ("...", "...")
    assert tab.save_button.toolTip() == "The distances are still being measured."
    go_on.set()
    says(tab, *masks)
    assert tab.save_button.isEnabled()


def test_distances_of_masks_that_are_no_more_are_dropped(tab, masks, says, qtbot, monkeypatch):
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def measure(*masks_and_settings):
        started.set()
        assert go_on.wait(10)
        ended.set()
        return score_mask(*masks_and_settings)

    monkeypatch.setattr(metrics_widget, "score_mask", measure)
    paint(masks[0])
    qtbot.waitUntil(started.is_set, timeout=10_000)
    headline = tab.headline.text()
    with monkeypatch.context() as patch:
        patch.setattr(tab, "_measure", lambda: None)
        masks[0].undo()
        qtbot.waitUntil(lambda: tab.headline.text() != headline)
        go_on.set()
        qtbot.waitUntil(ended.is_set)
        qtbot.wait(200)
        assert tab.is_measuring
        assert tab.values["hd95"].text() == "..."

    tab._measure()
    says(tab, *masks)


def test_policy_for_empty_masks_is_in_words_and_decides_empty_slices(tab, masks, says):
    assert [tab.empty.current_choice, len(tab.empty.choices)] == ["counts as 1", 3]
    for mask in masks:
        mask.data[1] = 0
    says(tab, *masks)
    assert tab.report().slices[1].dice == 1

    tab.empty.value = "skip"
    says(tab, *masks)
    assert tab.report().slices[1].dice is None


def test_voxel_size_that_becomes_known_changes_the_units(tab, viewer, masks, tiny_volume, qtbot):
    for mask in masks:
        set_spacing(mask, tiny_volume.with_spacing((5, 1, 1)))

    qtbot.waitUntil(lambda: tab.values["hd95"].text().endswith(" mm"), timeout=10_000)
    assert tab.values["predicted"].text().endswith(" mL")
    assert not tab.reason.text()


# the strip of slices


def test_strip_shows_areas_and_dice_of_each_slice(tab, masks, qtbot):
    qtbot.waitUntil(lambda: bool(tab.strip.plot.lanes))
    area, dice = tab.strip.plot.lanes
    scores = score_slices(masks[0].data, masks[1].data)

    assert [series.colour for series in area.series] == [colours.PREDICTION, colours.MANUAL]
    assert [list(series.values) for series in area.series] == [
        [item.predicted for item in scores],
        [item.reference for item in scores],
    ]
    assert list(dice.series[0].values) == [item.dice for item in scores]
    assert dice.series[0].marks.slices == tab.comparison.notable != ()


def test_strip_follows_a_stroke(tab, masks, says, qtbot):
    paint(masks[0])
    says(tab, *masks)
    area = np.count_nonzero(masks[0].data[1])

    qtbot.waitUntil(lambda: tab.strip.plot.lanes[0].series[0].values[1] == area)


def test_a_click_goes_to_the_slice_and_the_mark_follows_the_slider(tab, viewer):
    tab.strip.plot.clicked.emit(4)
    assert viewer.dims.current_step[0] == 4
    assert tab.strip.plot.current == 4

    viewer.dims.set_current_step(0, 2)
    assert tab.strip.plot.current == 2
    assert "z\u00a0=\u00a02" in tab.slice_line.text()


def test_slices_are_found_in_millimetres_too(tab, viewer, masks, tiny_volume, qtbot):
    for mask in masks:
        set_spacing(mask, tiny_volume.with_spacing((2.5, 1, 1)))
    tab.go_to(5)

    assert viewer.dims.point[0] == 12.5
    assert tab.strip.plot.current == 5


def test_steps_go_round_the_slices_that_disagree(tab, viewer, masks):
    notable = tab.comparison.notable
    assert 1 < len(notable) < SHAPE[0]
    tab.go_to(notable[0])

    visited = []
    for _ in notable:
        tab.next_button.click()
        visited.append(viewer.dims.current_step[0])
    assert visited == [*notable[1:], notable[0]]

    tab.previous_button.click()
    assert viewer.dims.current_step[0] == notable[-1]


def test_steps_say_what_disagreement_is_and_why_there_is_none(tab, masks, says):
    assert "more than 10 voxels differ and Dice is below 0.8" in tab.next_button.toolTip()
    masks[0].data[:] = masks[1].data
    says(tab, *masks)

    assert not tab.next_button.isEnabled()
    assert tab.next_button.toolTip().startswith("There is no slice where more than 10 voxels differ")


# the disagreement layer


def test_disagreement_lies_on_the_masks_and_can_not_be_edited(tab, viewer, masks):
    viewer.layers.selection.active = masks[0]
    tab.show_disagreement.click()
    (layer,) = overlays(viewer)

    assert np.array_equal(layer.data, expected_disagreement(*masks))
    for place in ("scale", "translate", "units", "axis_labels"):
        assert np.array_equal(getattr(layer, place), getattr(masks[1], place))
    assert not layer.editable
    assert viewer.layers.selection.active is masks[0]
    assert layer not in tab.prediction.choices
    assert tab.picker.pair == masks
    for label, colour in ((AGREE, colours.AGREE), (MISSED, colours.MISSED), (TOO_MUCH, colours.TOO_MUCH)):
        assert layer.get_color(label) == pytest.approx(Labels(layer.data, colormap={None: colour}).get_color(1))
        assert colour in tab.legend.text()


def test_disagreement_follows_strokes_slice_by_slice(tab, viewer, masks, says, monkeypatch):
    tab.show_disagreement.click()
    written = []
    write = tab.overlay.write
    monkeypatch.setattr(tab.overlay, "write", lambda touched, labels: (written.append(touched), write(touched, labels)))
    paint(masks[0])
    says(tab, *masks)
    masks[0].undo()
    says(tab, *masks)

    assert written == [[1], [1]]
    assert np.array_equal(overlays(viewer)[0].data, expected_disagreement(*masks))


def test_disagreement_goes_when_it_is_switched_off_or_removed_by_hand(tab, viewer):
    tab.show_disagreement.click()
    tab.show_disagreement.click()
    assert not overlays(viewer)

    tab.show_disagreement.click()
    viewer.layers.remove(overlays(viewer)[0])
    assert not tab.show_disagreement.isChecked()


def test_disagreement_changes_with_the_masks_that_are_chosen(tab, viewer, masks, qtbot):
    tab.show_disagreement.click()
    other = viewer.add_labels(np.ones(SHAPE, np.uint8), name="mine")
    tab.prediction.value = other

    qtbot.waitUntil(lambda: np.array_equal(overlays(viewer)[0].data, expected_disagreement(other, masks[1])))
    viewer.layers.remove(other)
    viewer.layers.remove(masks[1])
    qtbot.waitUntil(lambda: not overlays(viewer))


def test_disagreement_lies_on_masks_that_were_moved(tab, viewer, masks, qtbot):
    tab.show_disagreement.click()
    for mask in masks:
        mask.translate = (0, 7, 0)

    qtbot.waitUntil(lambda: [layer.translate.tolist() for layer in overlays(viewer)] == [[0, 7, 0]])
    assert np.array_equal(overlays(viewer)[0].data, expected_disagreement(*masks))


def test_flat_masks_have_scores_and_disagreement_but_no_strip(viewer, open_tab, says):
    one = viewer.add_labels(np.eye(32, dtype=np.uint8), name="one")
    other = viewer.add_labels(np.ones((32, 32), np.uint8), name="other")
    tab = open_tab(viewer)
    tab.prediction.value, tab.reference.value = one, other
    says(tab, one, other)
    tab.show_disagreement.click()

    assert tab.scope.text() == "of this one slice"
    assert np.array_equal(overlays(viewer)[0].data, expected_disagreement(one, other))
    one.data[0] = 1
    says(tab, one, other)
    assert np.array_equal(overlays(viewer)[0].data, expected_disagreement(one, other))
    assert not tab.strip.plot.isVisibleTo(tab)


# taking it along


def test_clipboard_holds_the_table_or_all_slices(tab):
    tab.copy_table_button.click()
    assert QApplication.clipboard().text() == to_markdown(tab.report())

    tab.copy_csv_button.click()
    assert QApplication.clipboard().text() == to_csv(tab.report())
    assert tab.done_line.text() == "Copied all slices as CSV."


def test_scores_are_saved_with_the_numbers_of_the_slices(tab, masks, tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    tab.save_button.click()

    text = path.read_text("utf-8")
    assert text == to_csv(tab.report())
    assert "# Prediction: anna prediction\n# Reference: anna manual\n" in text
    assert text.splitlines()[-1].startswith("slice,6,5,")
    assert tab.done_line.text() == f"Saved {path}."


def test_a_file_that_cannot_be_written_gives_a_sentence(tab, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "scores.xlsx"), ""))
    tab.save_button.click()

    assert tab.done_line.text().startswith("scores cannot be saved as scores.xlsx; allowed are")


def test_nothing_is_saved_without_a_name(tab, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    tab.save_button.click()

    assert tab.done_line.text() == ""


# in the window


def test_tab_in_a_real_window(make_napari_viewer, open_tab, qtbot, tmp_path: Path):
    viewer = make_napari_viewer(show=True)
    add_masks(viewer)
    tab = open_tab(viewer)
    viewer.window.add_dock_widget(tab, name="Metrics (BrainSeg)", area="right")
    qtbot.waitUntil(lambda: bool(tab.strip.plot.lanes))
    notable = tab.comparison.notable

    room = tab.minimumWidth() - tab.verticalScrollBar().sizeHint().width()
    assert tab.minimumWidth() == 300
    assert tab.widget().minimumSizeHint().width() <= room
    for theme in ("light", "dark"):
        viewer.theme = theme
        background = get_theme(theme).background.as_rgb_tuple()
        assert tab.strip.plot.grab().toImage().pixelColor(1, 1).getRgb()[:3] == background

    tab.go_to(notable[-1])
    press = viewer.window._qt_viewer.canvas._key_map_handler.press_key
    press("G")
    assert viewer.dims.current_step[0] == notable[0]
    press("Shift-G")
    assert viewer.dims.current_step[0] == notable[-1]
    press("D")
    assert len(overlays(viewer)) == 1
    press("D")
    assert not overlays(viewer)


def test_a_closed_tab_lets_go_of_the_viewer(tab, viewer, masks, monkeypatch):
    tab.show_disagreement.click()
    keys = set(map(str, viewer.keymap))
    assert {"G", "Shift+G", "D"} <= keys
    tab.close()

    assert not overlays(viewer)
    assert not {"G", "Shift+G", "D"} & set(map(str, viewer.keymap))
    assert not tab._timer.isActive()
    monkeypatch.setattr(tab, "look", lambda: pytest.fail("it still looks"))
    monkeypatch.setattr(tab.strip.plot, "mark", lambda _: pytest.fail("it still follows the slider"))
    monkeypatch.setattr(tab.strip.plot, "set_theme", lambda *_: pytest.fail("it still follows the theme"))
    monkeypatch.setattr(tab.picker, "_on_change", lambda: pytest.fail("it still follows the layers"))
    viewer.dims.set_current_step(0, 3)
    masks[0].name = "other"
    viewer.layers.remove(masks[1])
    viewer.theme = "light"
    assert not tab._tasks


def test_keys_of_another_tab_survive_that_this_one_is_closed(tab, viewer, open_tab):
    other = open_tab(viewer)
    tab.close()

    viewer.keymap[next(key for key in viewer.keymap if str(key) == "D")](viewer)
    assert other.show_disagreement.isChecked()


def test_the_strip_shows_how_uncertain_a_prediction_of_ours_is(
    viewer, tiny_case, add_layers, open_segment_tab, finish, open_tab, qtbot
):
    add_layers(viewer, tiny_case)
    segment_tab = open_segment_tab(viewer)
    segment_tab.run()
    finish(segment_tab)
    tab = open_tab(viewer)
    qtbot.waitUntil(lambda: bool(tab.strip.plot.lanes))
    curves = {series.title: series.values for series in tab.strip.plot.lanes[0].series}
    probability = segment_tab.result.probability

    assert list(curves) == ["prediction", "reference", "uncertain"]
    assert curves["uncertain"] == pytest.approx(np.minimum(probability, 1 - probability).sum(axis=(1, 2)).tolist())


def test_the_uncertain_voxels_come_when_a_run_ends_that_the_strip_has_followed(
    viewer, tiny_case, add_layers, open_segment_tab, finish, open_tab, qtbot
):
    add_layers(viewer, tiny_case)
    segment_tab = open_segment_tab(viewer)
    segment_tab.run()
    finish(segment_tab)
    result = segment_tab.result
    result.is_filling = True
    tab = open_tab(viewer)
    qtbot.waitUntil(lambda: bool(tab.strip.plot.lanes))
    assert len(tab.strip.plot.lanes[0].series) == 2
    result.end(result.provenance)
    qtbot.waitUntil(lambda: len(tab.strip.plot.lanes[0].series) == 3, timeout=10_000)


def test_slices_that_were_not_segmented_count_nowhere(
    viewer, tiny_case, add_layers, open_segment_tab, finish, open_tab, qtbot
):
    add_layers(viewer, tiny_case)
    segment_tab = open_segment_tab(viewer)
    viewer.dims.set_point(0, 3)
    segment_tab.run(this_slice=True)
    finish(segment_tab)
    tab = open_tab(viewer)
    qtbot.waitUntil(lambda: bool(tab.strip.plot.lanes))

    assert tab.scope.text() == "per volume, 1 of 6 slices segmented; the others count nowhere"
    assert tab.report().volume.dice == tab.comparison.slices[3].dice
    assert [z for z, dice in enumerate(tab.strip.plot.lanes[1].series[0].values) if dice is not None] == [3]
    viewer.dims.set_point(0, 2)
    assert tab.slice_line.text() == "Slice 3 (z\u00a0=\u00a02) was not segmented."
    segment_tab.run(this_slice=True)
    finish(segment_tab)
    qtbot.waitUntil(lambda: tab.comparison.counted == (2, 3))


def test_the_headline_grows_with_the_windows_font(tab):
    words, font = tab.headline.text(), tab.headline.font()
    heights = []
    for points in (10, 20):
        font.setPointSize(points)
        tab.headline.setFont(font)
        heights.append(tab.headline.sizeHint().height())

    assert words.startswith("Dice")
    assert heights[0] < 0.7 * heights[1]
