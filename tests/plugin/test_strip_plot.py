"""The strip of slices: what it shows, and what a click does."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_brainseg.plugin.strip_plot import Lane, Marks, Series, StripPlot

AREA = Lane(
    "Area (voxels)", (Series("prediction", [0, 50, 20], "#E69F00"), Series("reference", [0, 40, 20], "#56B4E9"))
)
DICE = Lane("Dice", (Series("Dice", [None, 0.25, 1.0], marks=Marks("low", (1,), "#D55E00")),), (0, 1))


@pytest.fixture
def plot(qtbot):
    plot = StripPlot(lanes=2)
    qtbot.addWidget(plot)
    plot.resize(320, plot.height())
    plot.set_theme("#102030", "#f0f0f0")
    plot.show_lanes(AREA, DICE)
    plot.show()
    qtbot.waitExposed(plot)
    return plot


def pixels(plot) -> np.ndarray:
    image = plot.grab().toImage()
    data = image.constBits().asarray(image.sizeInBytes())
    return np.frombuffer(bytes(data), np.uint8).reshape(image.height(), -1, 4)[..., 2::-1]  # as RGB


def test_it_has_the_colours_of_the_window_and_of_the_curves(plot):
    shown = pixels(plot)

    assert tuple(shown[2, 2]) == (0x10, 0x20, 0x30)
    assert not (shown.min(axis=-1) > 250).any()
    for colour in ((0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9), (0xD5, 0x5E, 0x00)):
        assert (np.abs(shown.astype(int) - colour).max(axis=-1) < 12).any()


def test_axes_are_named(plot):
    upper, lower = plot.figure.axes

    assert (upper.get_ylabel(), lower.get_ylabel(), lower.get_xlabel()) == ("Area (voxels)", "Dice", "Slice (z)")
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["prediction", "reference"]


def test_what_there_is_none_of_is_a_gap(plot):
    curve = plot.figure.axes[1].lines[0].get_ydata()

    assert np.isnan(curve[0])
    assert curve[1:].tolist() == [0.25, 1.0]


@pytest.mark.parametrize(("position", "sideways", "goes_to"), [(1, 0, 1), (2, 6, 2), (0, -500, 0), (2, 500, 2)])
def test_a_click_gives_the_nearest_slice(plot, qtbot, position, sideways, goes_to):
    place = QPoint(round(plot._place(position)) + sideways, 60)

    with qtbot.waitSignal(plot.clicked) as clicked:
        qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=place)

    assert clicked.args == [goes_to]


def test_an_empty_strip_cannot_be_clicked(plot, qtbot):
    plot.show_lanes()

    with qtbot.assertNotEmitted(plot.clicked):
        qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(150, 60))


def test_marking_a_positionmoves_a_line_and_draws_no_curve(plot, monkeypatch):
    pixels(plot)
    drawn = []
    monkeypatch.setattr(plot, "draw", lambda: drawn.append(1))
    plot.mark(0)
    first = pixels(plot)
    plot.mark(2)
    second = pixels(plot)

    changed = np.flatnonzero((first != second).any(axis=(0, 2)))
    assert not drawn
    assert changed.min() == pytest.approx(plot._place(0), abs=2)
    assert changed.max() == pytest.approx(plot._place(2), abs=2)
    assert len(changed) <= 4
