"""A result in the viewer: it grows, follows the threshold, and loses neither an edit nor the way back."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_brainseg.core.config import PostprocessConfig, SegmentConfig
from napari_brainseg.core.postprocessing import postprocess
from napari_brainseg.core.segmentation import SlicePrediction
from napari_brainseg.plugin.layer_metadata import METADATA
from napari_brainseg.plugin.layers import COLOURS, image_layers
from napari_brainseg.plugin.result_layer import ResultLayer, result_of

SHAPE = (6, 64, 64)


@pytest.fixture
def probability() -> np.ndarray:
    """A cone that is surest in its middle, so that every threshold cuts another disk."""
    z, y, x = np.indices(SHAPE)
    return np.clip(1 - np.hypot(y - 32, x - 32) / 30 - 0.05 * abs(z - 2), 0, 1).astype(np.float32)


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def result(viewer, tiny_volume, changes, provenance) -> ResultLayer:
    images = [viewer.add_layer(Layer.create(*layer)) for layer in image_layers(tiny_volume)]
    result = ResultLayer(viewer, images[0], tiny_volume, PostprocessConfig(), provenance)
    result.on_change = lambda: changes.append("changed")
    return result


@pytest.fixture
def finished(result, probability, provenance) -> ResultLayer:
    result.add_slices(SlicePrediction(tuple(range(6)), probability), provenance)
    result.end(provenance)
    return result


def mask_at(probability: np.ndarray, threshold: float) -> np.ndarray:
    return postprocess(probability, PostprocessConfig(threshold=threshold))


def paint(layer: Labels) -> None:
    """One stroke of the brush in the corner of slice 1, where no prediction is."""
    layer.data_setitem((np.array([1, 1]), np.array([3, 3]), np.array([3, 4])), 1)


def predictions(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if isinstance(layer, Labels)]


def test_result_lies_on_the_images_as_an_outline_in_its_colour(result, tiny_volume):
    layer, images = result.layer, result.images

    assert layer.name == "anna prediction"
    assert layer.contour == 2
    assert np.allclose(layer.colormap.map(1)[:3], [int(COLOURS["prediction"][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    assert np.array_equal(layer.scale, images.scale)
    assert (layer.units, layer.axis_labels) == (images.units, images.axis_labels)
    assert layer.metadata[METADATA]["volume"] is tiny_volume
    assert not layer.data.any()


def test_result_follows_images_that_were_moved(viewer, tiny_volume, provenance):
    images = viewer.add_layer(Layer.create(*image_layers(tiny_volume)[0]))
    images.translate = (4, 5, 6)
    images.scale = (3, 0.5, 0.5)
    result = ResultLayer(viewer, images, tiny_volume, PostprocessConfig(), provenance)

    assert result.layer.data_to_world((1, 2, 3)) == images.data_to_world((1, 2, 3))


def test_slices_are_shown_as_they_come(result, probability, changes, provenance):
    changes.clear()
    result.add_slices(SlicePrediction((2, 3), probability[2:4]), provenance)
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:4] = mask_at(probability, 0.5)[2:4]

    assert expected.any()
    assert np.array_equal(result.layer.data, expected)
    assert changes
    assert not result.is_edited


def test_what_is_drawn_follows_what_is_written(result, probability, viewer, provenance):
    viewer.dims.set_point(0, 2)
    result.add_slices(SlicePrediction((2,), probability[2:3]), provenance)
    drawn = result.layer._slice.image.view > 0  # an outline

    assert 0 < np.count_nonzero(drawn) < np.count_nonzero(result.layer.data[2])
    assert not drawn[result.layer.data[2] == 0].any()


def test_the_end_cleans_up_and_records_how_it_was_made(result, probability, provenance):
    probability[0, :4, :4] = 0.9  # a speck
    result.settings = PostprocessConfig(keep_share=1)
    result.add_slices(SlicePrediction(tuple(range(6)), probability), provenance)
    assert result.layer.data[0, 0, 0] == 1

    result.end(provenance)

    assert np.array_equal(result.layer.data, postprocess(probability, PostprocessConfig(keep_share=1)))
    assert result.layer.data[0, 0, 0] == 0
    assert result.layer.metadata[METADATA]["provenance"] == provenance.model_dump() | {
        "postprocess": PostprocessConfig(keep_share=1).model_dump(),
        "slices": (0, 1, 2, 3, 4, 5),
        "finished": True,
    }


def test_an_end_before_its_time_cleans_up_too_and_records_which_slices_are_done(result, probability, provenance):
    probability[4, :4, :4] = 0.9  # a speck
    result.settings = PostprocessConfig(keep_share=1)
    result.add_slices(SlicePrediction((4, 3), probability[[4, 3]]), provenance)
    result.end()
    done = np.zeros_like(probability)
    done[3:5] = probability[3:5]

    assert np.array_equal(result.layer.data, postprocess(done, PostprocessConfig(keep_share=1)))
    assert result.layer.metadata[METADATA]["provenance"] == provenance.model_dump() | {
        "postprocess": PostprocessConfig(keep_share=1).model_dump(),
        "slices": (3, 4),
        "finished": False,
    }


def test_a_layer_made_in_place_of_an_edited_one_says_how_it_was_made(finished):
    former = finished.layer
    paint(former)
    finished.apply(PostprocessConfig(threshold=0.3))

    made = [layer.metadata[METADATA]["provenance"]["postprocess"]["threshold"] for layer in (former, finished.layer)]
    assert made == [0.5, 0.3]


def test_a_duplicate_keeps_the_provenance_it_was_made_with(finished):
    duplicate = Layer.create(*finished.layer.as_layer_data_tuple())
    finished.apply(PostprocessConfig(threshold=0.3))

    assert duplicate.metadata[METADATA]["provenance"]["postprocess"]["threshold"] == 0.5


def test_the_layer_leads_to_the_result_until_it_is_put_aside(finished):
    layer = finished.layer
    assert result_of(layer) is finished
    assert result_of(Layer.create(*layer.as_layer_data_tuple())) is None  # a duplicate

    paint(layer)
    finished.apply(PostprocessConfig(threshold=0.3))
    assert result_of(layer) is None
    assert result_of(finished.layer) is finished

    finished.retire(keep=True)
    assert result_of(finished.layer) is None


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"seconds": 9.0, "settings": SegmentConfig(batch_size=1)}, True),
        ({"weights_sha256": "cd"}, False),
        ({"settings": SegmentConfig(tta=True)}, False),
    ],
)
def test_slices_join_those_of_the_same_model_and_views_only(result, tiny_volume, changes, fits, provenance):
    assert result.fits(tiny_volume, provenance.changed(changes)) is fits


def test_a_higher_threshold_never_gives_a_larger_mask(finished, probability):
    sizes = []
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        finished.apply(PostprocessConfig(threshold=threshold))
        assert np.array_equal(finished.layer.data, mask_at(probability, threshold))
        sizes.append(np.count_nonzero(finished.layer.data))

    assert sizes == sorted(set(sizes), reverse=True)
    assert finished.layer.metadata[METADATA]["provenance"]["postprocess"]["threshold"] == 0.9


def test_following_the_threshold_stays_in_one_layer(finished, viewer):
    layer = finished.layer
    finished.apply(PostprocessConfig(threshold=0.2))

    assert finished.layer is layer
    assert predictions(viewer) == ["anna prediction"]


@pytest.mark.parametrize("way", ["paint", "fill"])
def test_an_edit_counts_until_it_is_undone(finished, way):
    if way == "paint":
        paint(finished.layer)
    else:
        finished.layer.fill((1, 3, 3), 1)
    assert finished.is_edited

    finished.layer.undo()
    assert not finished.is_edited


def test_the_end_of_a_stroke_is_told(finished, viewer, changes):
    viewer.dims.set_point(0, 1)
    changes.clear()
    finished.layer.paint((1, 3, 3), 1)

    assert changes


def test_a_threshold_after_an_edit_keeps_the_edited_layer(finished, viewer, probability):
    edited = finished.layer
    paint(edited)
    kept = edited.data.copy()
    finished.apply(PostprocessConfig(threshold=0.3))

    assert finished.layer is not edited
    assert np.array_equal(edited.data, kept)
    assert not edited.visible
    assert np.array_equal(finished.layer.data, mask_at(probability, 0.3))
    assert sorted(predictions(viewer)) == ["anna prediction", "anna prediction (edited)"]
    assert not finished.is_edited


def test_two_edited_layers_are_both_kept(finished, viewer):
    for threshold in (0.3, 0.6):
        paint(finished.layer)
        finished.apply(PostprocessConfig(threshold=threshold))

    assert len(predictions(viewer)) == 3
    assert finished.layer.name == "anna prediction"


@pytest.mark.parametrize("undone", [False, True], ids=["painted", "painted and undone"])
def test_undo_and_redo_after_a_threshold_bring_no_old_voxels_back(finished, probability, undone):
    paint(finished.layer)
    if undone:
        finished.layer.undo()
    finished.apply(PostprocessConfig(threshold=0.3))
    expected = mask_at(probability, 0.3)

    finished.layer.undo()
    assert np.array_equal(finished.layer.data, expected)
    finished.layer.redo()
    assert np.array_equal(finished.layer.data, expected)


def test_a_stroke_that_was_undone_leaves_no_second_layer_behind(finished, viewer):
    paint(finished.layer)
    finished.layer.undo()
    finished.apply(PostprocessConfig(threshold=0.3))

    assert predictions(viewer) == ["anna prediction"]


def test_sparing_edits_shows_the_same_prediction_in_a_new_layer(finished, probability):
    edited = finished.layer
    paint(edited)
    finished.spare_edits()

    assert finished.layer is not edited
    assert np.array_equal(finished.layer.data, mask_at(probability, 0.5))


def test_a_new_layer_stays_where_its_former_was_moved_to(finished):
    finished.layer.scale = (5, 1, 1)
    paint(finished.layer)
    finished.spare_edits()

    assert tuple(finished.layer.scale) == (5, 1, 1)


def test_retiring_takes_an_unedited_layer_out_with_its_maps(finished, viewer):
    finished.show_map("probability", True)
    finished.retire()

    assert [layer.name for layer in viewer.layers] == ["anna pre-contrast", "anna post-contrast", "anna FLAIR"]


def test_maps_appear_under_the_mask_and_disappear(finished, viewer, probability):
    for kind in ("probability", "uncertainty"):
        finished.show_map(kind, True)
    names = [layer.name for layer in viewer.layers]
    certain = viewer.layers["anna uncertainty"].data

    assert names[-1] == "anna prediction"
    assert np.array_equal(viewer.layers["anna probability"].data, probability)
    assert certain.max() == pytest.approx(1, abs=1e-2)
    assert certain[probability == 0].max() < 1e-3
    assert np.array_equal(viewer.layers["anna probability"].scale, finished.layer.scale)

    for kind in ("probability", "uncertainty"):
        finished.show_map(kind, False)
    assert not {"anna probability", "anna uncertainty"} & {layer.name for layer in viewer.layers}


def test_maps_leave_the_brush_in_the_hand(finished, viewer):
    viewer.layers.selection.active = finished.layer
    finished.layer.mode = "paint"
    for shown in (True, False):
        finished.show_map("probability", shown)
        assert viewer.layers.selection.active is finished.layer
        assert finished.layer.mode == "paint"

    finished.show_map("probability", True)
    viewer.layers.selection.active = finished.maps("probability")[0]
    finished.show_map("probability", False)
    assert viewer.layers.selection.active is finished.layer


def test_showing_a_map_twice_leaves_one(finished, viewer):
    finished.show_map("probability", True)
    finished.show_map("probability", True)

    assert len(finished.maps("probability")) == 1


def test_a_layer_of_the_user_with_the_same_name_is_left_alone(finished, viewer):
    own = viewer.add_image(np.zeros(SHAPE), name="anna probability")
    finished.show_map("probability", True)
    finished.show_map("probability", False)

    assert own in viewer.layers


def test_slices_for_a_layer_that_was_removed_do_no_harm(result, viewer, probability, provenance):
    viewer.layers.remove(result.layer)
    result.add_slices(SlicePrediction((0,), probability[:1]), provenance)
    result.end(provenance)

    assert not result.is_shown
    assert predictions(viewer) == []
