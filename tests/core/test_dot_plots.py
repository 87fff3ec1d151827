"""Dot plots: places of dots, boxes and axes."""

import numpy as np
import pytest

from napari_brainseg.core.dot_plots import plot_dice, plot_gains

CASES = {f"case {index}": value for index, value in enumerate(np.linspace(0, 1, 11).tolist())}


def test_dots_stand_where_the_axis_says():
    plot = plot_dice({"all": CASES}, 0.6)
    ticks = {text: x for x, text in plot.ticks}
    (row,) = plot.rows

    assert [row.dots[index].x for index in (0, 2, 10)] == [ticks["0"], ticks["0.2"], ticks["1.0"]]
    assert plot.mark == ticks["0.6"]
    assert row.dots[2].title == "case 2: 0.200"
    assert row.label == "all (11)"
    assert row.mean == pytest.approx((ticks["0.4"] + ticks["0.6"]) / 2)
    assert row.box == (row.dots[0].x, *(pytest.approx(row.dots[0].x + share * 710) for share in (0.25, 0.5, 0.75, 1)))


def test_cases_of_one_value_do_not_hide_each_other():
    (row,) = plot_dice({"all": {f"case {index}": 0.9 for index in range(30)}}, 0.6).rows
    places = {(dot.x, dot.y) for dot in row.dots}

    assert len(places) == 30
    assert all(abs(dot.y - row.y) <= 18 for dot in row.dots)


def test_a_handful_of_cases_has_no_box():
    few, none = plot_dice({"few": dict(list(CASES.items())[:4]), "none": {}}, 0.6).rows

    assert few.box is None
    assert (none.box, none.mean, none.dots) == (None, None, ())


@pytest.mark.parametrize(("largest", "end"), [(0.013, 0.02), (0.14, 0.2), (-0.14, 0.2), (1, 1), (0, 0.02)])
def test_differences_have_0_in_the_middle_and_room_for_the_largest(largest, end):
    plot = plot_gains({"b": {"case": largest}})

    assert [float(text) for _, text in plot.ticks] == [-end, -end / 2, 0, end / 2, end]
    assert plot.mark == plot.ticks[2][0]
    assert plot.ticks[0][0] <= plot.rows[0].dots[0].x <= plot.ticks[4][0]
