"""What is noted on layers, and found there again."""

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_brainseg.plugin.layer_metadata import is_edited, kind_of, note, role_of, volume_of
from napari_brainseg.plugin.layers import image_layers, mask_layer


@pytest.fixture
def manual(tiny_volume) -> Labels:
    return Layer.create(*mask_layer(np.ones(tiny_volume.shape, np.uint8), tiny_volume, "manual"))


def test_layers_of_a_case_lead_to_it_and_masks_know_their_role(tiny_volume, manual):
    flair = Layer.create(*image_layers(tiny_volume)[-1])
    prediction = Layer.create(*mask_layer(np.zeros(tiny_volume.shape, np.uint8), tiny_volume, "prediction"))

    assert volume_of(flair) is volume_of(manual) is volume_of(prediction) is tiny_volume
    assert [kind_of(layer) for layer in (flair, manual, prediction)] == ["image", "manual", "prediction"]
    assert [role_of(layer) for layer in (flair, manual, prediction)] == [None, "manual", "prediction"]


def test_layers_of_others_have_neither_case_nor_role():
    for layer in (Image(np.zeros((4, 8, 8))), Labels(np.ones((4, 8, 8), np.uint8), metadata={"theirs": 1})):
        assert (volume_of(layer), kind_of(layer), role_of(layer)) == (None, None, None)
        assert not is_edited(layer)


def test_what_is_noted_on_a_layer_is_not_noted_on_its_duplicate(manual, tiny_volume):
    duplicate = Layer.create(*manual.as_layer_data_tuple())
    other = tiny_volume.with_spacing((5.0, 1.0, 1.0))
    note(manual, volume=other)

    assert volume_of(manual) is other
    assert volume_of(duplicate) is tiny_volume
    assert role_of(manual) == "manual"


def test_an_undone_edit_is_none(manual):
    assert not is_edited(manual)

    manual.data_setitem((np.array([0]), np.array([0]), np.array([0])), 0)
    assert is_edited(manual)

    manual.undo()
    assert not is_edited(manual)


def test_another_label_in_the_same_voxels_is_no_edit_for_masks_are_saved_without(manual):
    manual.data[0, :2] = 2
    assert not is_edited(manual)

    manual.data[0, :2] = 0
    assert is_edited(manual)
