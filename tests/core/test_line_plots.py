"""Where lines go."""

import pytest

from napari_brainseg.core.line_plots import plot_lines


def test_points_ticks_and_marks_agree() -> None:
    plot = plot_lines({"Dice": {5: 0.0, 10: 0.5, 20: 1.0}}, {"Dice": "#123456"}, (0, 1))
    (line,) = plot.lines
    xs, ys = zip(*[(x, y) for x, y, _ in line.marks], strict=True)
    assert (xs[0], xs[2]) == (plot.left, plot.right)
    assert (ys[0], ys[2]) == (plot.bottom, plot.top)
    assert ys[1] == (plot.bottom + plot.top) / 2
    assert line.points == " ".join(f"{x},{y}" for x, y in zip(xs, ys, strict=True))
    assert line.marks[1][2] == "Dice 0.5 after epoch 10"
    assert dict(plot.y_ticks)[plot.top] == "1"
    assert [text for _, text in plot.x_ticks] == ["5", "10", "15", "20"]


@pytest.mark.parametrize("values", [{1: 0.3}, {1: 0.3, 2: 0.3}, {1: float("nan"), 2: 0.3}])
def test_little_to_plot_is_no_error(values: dict[int, float]) -> None:
    assert plot_lines({"loss": values, "other": {}}, {"loss": "red"}).lines[0].label == "loss"
