"""Sheets of augmented slices: what is drawn where."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from napari_brainseg.core.augmentation_sheets import draw_augmentation, read_with_tumour
from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.config import AugmentationConfig
from napari_brainseg.core.masks import Mask
from napari_brainseg.core.montages import write_figure
from napari_brainseg.core.volumes import Array, Volume

NONE = AugmentationConfig.model_validate("none")


def pictures(figure: Figure) -> list[Array]:
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes]


@pytest.fixture
def anna(patients: Path) -> tuple[Volume, Mask]:
    return read_with_tumour(find_cases(patients))


def test_the_first_case_with_tumour_is_taken(patients: Path) -> None:
    cases = find_cases(patients)
    assert read_with_tumour(cases)[0].name == "anna"
    volume, mask = read_with_tumour(cases[::-1])  # dora has no tumour
    assert volume.name == "carl"
    assert mask.any()
    with pytest.raises(ValueError, match="no case with a manual mask that has tumour"):
        read_with_tumour(cases[3:])


def test_sheet_shows_the_slice_as_it_is_and_eleven_variants(anna: tuple[Volume, Mask]) -> None:
    shown = pictures(draw_augmentation(*anna, AugmentationConfig(), window=48))
    assert [picture.shape for picture in shown] == [(48, 72)] * 12
    assert len({picture.tobytes() for picture in shown}) == 12
    volume, mask = anna
    flair = volume.array[mask.sum((1, 2)).argmax(), 8:56, 8:56, 1].astype(float)
    assert np.corrcoef(shown[0][:, :48].ravel(), flair.ravel())[0, 1] > 0.99


def test_without_augmentation_all_pictures_are_alike(anna: tuple[Volume, Mask]) -> None:
    first, *others = pictures(draw_augmentation(*anna, NONE, window=48))
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-4)


def test_mask_is_outlined_around_the_tumour_of_each_picture(anna: tuple[Volume, Mask]) -> None:
    figure = draw_augmentation(*anna, NONE.changed({"flip": 1}), window=64)
    mask = anna[1][anna[1].sum((1, 2)).argmax()]
    columns = np.flatnonzero(mask.any(axis=0))
    expected = [(columns[0], columns[-1]), *[(63 - columns[-1], 63 - columns[0])] * 11]
    for axis, (left, right) in zip(figure.axes, expected, strict=True):
        (outline,) = (item for item in axis.collections if item.get_paths())
        points = outline.get_paths()[0].vertices[:, 0]
        assert (points.min(), points.max()) == pytest.approx((left - 0.5, right + 0.5), abs=0.1)


def test_dropped_sequence_is_seen_in_the_small_pictures(anna: tuple[Volume, Mask]) -> None:
    plain, dropped = pictures(draw_augmentation(*anna, NONE.changed({"modality_dropout": 1}), window=48))[:2]
    np.testing.assert_allclose(dropped[:24, 48:], dropped[:48:2, :48:2], atol=1e-6)
    assert not np.allclose(plain[:24, 48:], plain[:48:2, :48:2])


def test_same_seed_draws_the_same_sheet(anna: tuple[Volume, Mask]) -> None:
    one, same, other = (
        np.stack(pictures(draw_augmentation(*anna, AugmentationConfig(), window=33, seed=seed))) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_sheet_is_written_whole(anna: tuple[Volume, Mask], tmp_path: Path) -> None:
    write_figure(draw_augmentation(*anna, NONE, window=48), tmp_path / "new" / "sheet.png")
    assert matplotlib.image.imread(tmp_path / "new" / "sheet.png").shape[:2] == (745, 1320)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]
