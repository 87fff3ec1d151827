"""Plots of a data set: what stands in them, and that nothing is cut off."""

import shutil
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from napari_brainseg.core.cases import find_cases
from napari_brainseg.core.exploration import explore_cases
from napari_brainseg.core.exploration_figures import LIGHT, _draw
from napari_brainseg.core.exploration_reports import write_exploration


@pytest.mark.parametrize("width", [250, 420, 900])
def test_the_legend_of_slices_stands_in_the_picture(patients: Path, width: int) -> None:
    figure = _draw("slices", explore_cases(find_cases(patients)), LIGHT, width, 1.0)
    FigureCanvasAgg(figure).draw()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    assert [text.get_text() for text in legend.get_texts()] == ["without tumour", "with tumour"]


def test_slices_without_a_mask_are_shown_as_such(patients: Path, tmp_path: Path) -> None:
    data = shutil.copytree(patients, tmp_path / "data", ignore=shutil.ignore_patterns("*_mask.tif"))
    by_site = _draw("slices", explore_cases(find_cases(data)), LIGHT, 900, 1.0).axes[0]
    legend = by_site.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["no manual mask"]
    assert sum(bar.get_height() for bar in by_site.patches) == 24  # type: ignore[attr-defined]


def test_nothing_to_report_is_said(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "anna_1.tif").write_bytes(b"no image")
    nothing = explore_cases(find_cases(tmp_path / "data"))
    with pytest.raises(ValueError, match=r"^there is nothing to report: none of the 1 cases could be read$"):
        write_exploration(nothing, tmp_path / "out")
    assert not (tmp_path / "out").exists()
