"""What a prediction is without a sequence or without its neighbours."""

from dataclasses import replace

import numpy as np
import pytest

from napari_brainseg.core.config import CHANNELS, FLAIR, SegmentConfig
from napari_brainseg.core.contributions import Contribution, which_neighbours, which_sequences
from napari_brainseg.core.models import TrainedModel, load_model
from napari_brainseg.core.phantom import make_phantom
from napari_brainseg.core.segmentation import segment

CPU = SegmentConfig(device="cpu", threads=1)
SHAPE = (12, 256, 256)


@pytest.mark.parametrize("seed", [1, 2])
def test_on_phantoms_flair_matters_most(seed):
    volume, mask = make_phantom(seed, SHAPE)
    z, model = int(mask.sum(axis=(1, 2)).argmax()), load_model()
    found = {item.without: item for item in which_sequences(volume, z, model, mask, CPU)}

    assert tuple(found) == CHANNELS
    assert found[FLAIR].dice < min(item.dice for name, item in found.items() if name != FLAIR) - 0.2
    assert found[FLAIR].manual_dice < found[FLAIR].usual_manual_dice - 0.2
    assert found[FLAIR].usual_area == segment(volume, model, CPU, only=(z,)).mask[z].sum()


def test_without_pre_contrast_it_is_as_where_that_sequence_is_missing(untrained, volume):
    array = volume.array.copy()
    array[..., 0] = array[..., 1]
    expected = segment(replace(volume, array=array), untrained, CPU).mask[2].sum()
    found = which_sequences(volume, 2, untrained, segmenting=CPU)

    assert found[0].without == "pre-contrast"
    assert found[0].area == expected
    assert found[0].manual_dice is None


def test_what_is_usual_is_what_the_model_calls_at_its_temperature(untrained, volume):
    warm = TrainedModel(untrained.info.model_copy(update={"temperature": 2.0}), untrained.network)
    expected = (segment(volume, warm, CPU).probability[2] >= 0.55).sum()
    found = which_sequences(volume, 2, warm, segmenting=CPU, threshold=0.55)

    assert found[0].usual_area == expected
    assert expected < (segment(volume, untrained, CPU).probability[2] >= 0.55).sum()


def test_what_a_case_does_not_have_is_not_taken_away(untrained):
    volume, _ = make_phantom(3, (6, 64, 64), missing=(CHANNELS[0], CHANNELS[2]))
    (found,) = which_sequences(volume, 2, untrained, segmenting=CPU)
    head = volume.array[2, ..., 1] > 40

    assert volume.missing == (CHANNELS[0], CHANNELS[2])
    assert found.without == FLAIR
    assert head.any()
    assert found.dice < 1, "what stands in for the missing sequences must not show FLAIR either"


def test_neighbours_count_only_where_they_differ(untrained, volume):
    alike = replace(volume, array=np.repeat(volume.array[2:3], len(volume.array), axis=0))
    (same,), (other,) = (which_neighbours(one, 2, untrained, segmenting=CPU) for one in (alike, volume))

    assert (same.without, same.area, same.dice) == ("neighbour slices", same.usual_area, 1.0)
    assert other.dice < 1


def test_a_model_without_neighbours_has_none_to_tell_of(untrained, volume):
    from napari_brainseg.core.models import TrainedModel
    from napari_brainseg.core.networks import create_network

    config = untrained.info.model.model_copy(update={"context": 0})
    flat = TrainedModel(untrained.info.model_copy(update={"model": config}), create_network(config).eval())

    assert which_neighbours(volume, 2, flat) == ()
    assert len(which_sequences(volume, 2, flat)) == 3


def test_it_says_so_in_words():
    found = Contribution("FLAIR", 20, 50, 0.4, 0.3, 0.9)

    assert found.sentence == (
        "Without FLAIR: 20 voxels instead of 50, Dice 0.40 with the usual prediction; "
        "0.30 instead of 0.90 with the manual mask."
    )
    assert Contribution("FLAIR", 0, 0, 1.0).sentence == "Without FLAIR: 0 voxels instead of 0."
