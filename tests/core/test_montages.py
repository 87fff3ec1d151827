"""Montages: what is drawn where."""

from io import BytesIO

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from napari_brainseg.core import colours
from napari_brainseg.core.montages import MontageRow, differences_png, montage_png, save_png, write_montage

IMAGE = np.zeros((64, 64))
MANUAL, PREDICTION = np.zeros((2, 64, 64), np.uint8)
MANUAL[10:50, 10:40] = PREDICTION[10:50, 25:55] = 1
KINDS = {colours.AGREE: 15 * 40, colours.MISSED: 15 * 40, colours.TOO_MUCH: 15 * 40}


def painted(png, colour, opacity=0.75):
    """Share of a picture that is painted in a colour over black."""
    picture = matplotlib.image.imread(BytesIO(png))[..., :3]
    return np.isclose(picture, opacity * np.array(to_rgb(colour)), atol=0.02).all(axis=-1).mean()


@pytest.mark.parametrize("colour", KINDS)
def test_every_kind_of_difference_has_its_colour_and_its_size(colour):
    share = painted(montage_png(MontageRow("slice 1", IMAGE, MANUAL, PREDICTION)), colour)

    assert share == pytest.approx(KINDS[colour] / IMAGE.size / 4, rel=0.3)


def test_equal_masks_differ_nowhere():
    png = montage_png(MontageRow("slice 1", IMAGE, MANUAL, MANUAL))

    assert painted(png, colours.AGREE) > 0
    assert painted(png, colours.MISSED) == painted(png, colours.TOO_MUCH) == 0


def test_without_a_manual_mask_nothing_is_compared():
    png = montage_png(MontageRow("slice 1", IMAGE, None, PREDICTION))

    assert painted(png, colours.PREDICTION, 1) > 0
    assert not any(painted(png, colour) for colour in KINDS)


def test_each_prediction_is_compared_in_a_picture_of_its_own():
    png = differences_png("slice 1", IMAGE, MANUAL, {"a": MANUAL, "b": PREDICTION, "c": np.zeros_like(MANUAL)})
    width = matplotlib.image.imread(BytesIO(png)).shape[1]

    assert width == 5 * 250
    assert painted(png, colours.AGREE) == pytest.approx((1200 + 600) / IMAGE.size / 5, rel=0.3)
    assert painted(png, colours.MISSED) == pytest.approx((600 + 1200) / IMAGE.size / 5, rel=0.3)


def test_a_montage_has_a_row_for_each_slice(tmp_path):
    rows = [MontageRow("a", IMAGE, MANUAL, PREDICTION), MontageRow("b", IMAGE, None, PREDICTION)]
    write_montage(rows, tmp_path / "new" / "montage.png")

    assert matplotlib.image.imread(tmp_path / "new" / "montage.png").shape[:2] == (550, 1000)


@pytest.mark.parametrize("name", ["$\\frac{$", "a$b$c"])
def test_dollars_in_the_name_of_a_case_are_no_formula(name):
    row = MontageRow(name, IMAGE, MANUAL, PREDICTION)

    figure = Figure()
    figure.suptitle(name)
    save_png(figure, BytesIO())

    assert montage_png(row).startswith(b"\x89PNG")
    assert not any(text.get_parse_math() for text in figure.findobj(Text))
