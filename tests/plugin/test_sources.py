"""What of a viewer can be segmented, and what the picker says when something cannot."""

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_brainseg.core.phantom import make_phantom
from napari_brainseg.plugin.layers import image_layers
from napari_brainseg.plugin.sources import combine_layers, find_sources, named_sources, next_choice, place_of

STACK = np.arange(4 * 8 * 10, dtype=np.float32).reshape(4, 8, 10)


def grey(name: str = "grey", **options) -> Image:
    return Image(STACK, name=name, **options)


@pytest.fixture
def case_layers(tiny_volume) -> list[Layer]:
    return [Layer.create(*layer) for layer in image_layers(tiny_volume)]


def test_the_layers_of_a_case_are_one_choice(case_layers, tiny_volume):
    (source,) = find_sources(case_layers)

    assert source.name == "anna"
    assert source.slices == 6
    assert source.volume() is tiny_volume


def test_every_plain_image_is_a_choice_of_its_own(case_layers):
    rgb = Image(np.zeros((4, 8, 10, 3), np.uint8), name="rgb", rgb=True)
    flat = Image(np.zeros((8, 10)), name="flat")

    found = find_sources([grey(), *case_layers, rgb, flat])

    assert [(source.name, source.slices) for source in found] == [("grey", 4), ("anna", 6), ("rgb", 4), ("flat", 1)]


def test_what_is_new_is_taken_else_what_was_chosen_else_the_last(case_layers):
    one, two, three = grey("one"), grey("two"), grey("three")
    before = named_sources([one, two])

    assert next_choice(before, named_sources([one, two, three]), "one") == "three"
    assert next_choice(before, named_sources([one, two, three]), "one", stays=True) == "one"
    assert next_choice(before, named_sources([one, *case_layers, two]), "one", stays=True) == "anna"
    one.name = "another"
    assert next_choice(before, named_sources([one, two]), "one") == "another"
    assert next_choice(before, named_sources([two]), "one") == "two"


def test_what_is_no_image_volume_is_not_offered(tiny_volume):
    movie = Image(np.zeros((2, 4, 8, 10)), name="movie")
    pyramid = Image([np.zeros((8, 16, 16)), np.zeros((4, 8, 8))], multiscale=True, name="pyramid")
    labels = Labels(np.zeros((4, 8, 10), np.uint8))
    ours = Image(STACK, metadata={"brainseg": {"volume": tiny_volume, "kind": "probability"}})

    assert find_sources([movie, pyramid, labels, ours]) == []


def test_a_grey_stack_is_flair_standing_in_for_the_others():
    volume = find_sources([grey()])[0].volume()

    assert volume.shape == (4, 8, 10)
    assert volume.missing == ("pre-contrast", "post-contrast")
    assert volume.spacing is None


def test_an_rgb_stack_is_three_sequences():
    array = make_phantom(3, (4, 32, 32))[0].array
    volume = find_sources([Image(array, rgb=True)])[0].volume()

    assert np.array_equal(volume.array, array)
    assert volume.missing == ()


def test_a_single_slice_becomes_a_volume_of_one():
    assert find_sources([Image(np.eye(8))])[0].volume().shape == (1, 8, 8)
    assert find_sources([Image(np.zeros((8, 10, 3), np.uint8), rgb=True)])[0].volume().shape == (1, 8, 10)


@pytest.mark.parametrize(
    ("units", "spacing"),
    [("mm", (3.0, 0.5, 0.5)), ("um", (0.003, 0.0005, 0.0005)), ("pixel", None)],
)
def test_spacing_is_known_only_where_the_units_are_lengths(units, spacing):
    volume = find_sources([grey(scale=(3, 0.5, 0.5), units=(units,) * 3)])[0].volume()

    assert volume.spacing == (None if spacing is None else pytest.approx(spacing))


def test_three_layers_become_the_sequences_of_one_volume():
    pre, flair, post = grey("pre"), Image(STACK + 1, name="flair"), Image(STACK + 2, name="post")
    volume = combine_layers((pre, flair, post))

    assert volume.name == "flair"
    assert np.array_equal(volume.array, np.stack([STACK, STACK + 1, STACK + 2], axis=-1))
    assert volume.missing == ()


def test_flair_stands_in_for_layers_that_are_not_chosen():
    volume = combine_layers((None, grey(), None))

    assert volume.missing == ("pre-contrast", "post-contrast")
    assert np.array_equal(volume.array[..., 0], STACK)


def test_three_single_slices_become_one_slice():
    volume = combine_layers((None, Image(STACK[0], name="flair"), Image(STACK[1], name="post")))

    assert volume.shape == (1, 8, 10)
    assert volume.missing == ("pre-contrast",)


def test_separate_layers_without_flair_are_refused():
    with pytest.raises(ValueError, match="choose the layer that holds FLAIR"):
        combine_layers((grey(), None, None))


def test_separate_layers_of_different_shape_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"^post-contrast has shape \(3, 8, 10\), but FLAIR has \(4, 8, 10\)"):
        combine_layers((None, grey(), Image(STACK[:3])))


def test_separate_layers_at_different_scales_are_refused_with_both_scales():
    with pytest.raises(ValueError, match=r"^pre-contrast has scale \(2.0, 1.0, 1.0\), but FLAIR has \(1.0, 1.0, 1.0\)"):
        combine_layers((grey(scale=(2, 1, 1)), grey(), None))


def test_separate_layers_at_different_places_are_refused():
    with pytest.raises(ValueError, match="lies elsewhere"):
        combine_layers((grey(translate=(0, 5, 0)), grey(), None))


def test_separate_layers_in_colour_are_refused():
    rgb = Image(np.zeros((4, 8, 10, 3), np.uint8), rgb=True, name="photo")

    with pytest.raises(ValueError, match="photo is in colour"):
        combine_layers((None, rgb, None))


def test_place_of_a_layer_puts_another_exactly_on_it():
    image = grey(
        scale=(3, 0.5, 0.5),
        translate=(1, 2, 3),
        rotate=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
        units=("mm",) * 3,
        axis_labels=("z", "y", "x"),
        affine=np.diag([1, 2, 2, 1.0]),
    )
    labels = Labels(np.zeros(STACK.shape, np.uint8), **place_of(image))

    assert np.allclose(labels.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels


def test_place_of_a_flat_layer_puts_a_volume_of_one_slice_on_it():
    image = Image(STACK[0], scale=(0.5, 0.25), translate=(2, 3), rotate=30, units=("mm",) * 2, axis_labels=("y", "x"))
    labels = Labels(np.zeros((1, 8, 10), np.uint8), **place_of(image))

    assert np.allclose(labels.data_to_world((0, 4, 5))[1:], image.data_to_world((4, 5)))
    assert labels.units[1:] == image.units
    assert labels.axis_labels[1:] == ("y", "x")
