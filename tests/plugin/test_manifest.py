"""The manifest says what there is, and all of it can be imported."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name
from qtpy.QtWidgets import QTabBar

import napari_brainseg
from napari_brainseg.plugin.tabs import OpenAll, show_tab

MANIFEST = Path(napari_brainseg.__file__).parent / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(MANIFEST)


def test_every_command_can_be_imported(manifest):
    for command in manifest.contributions.commands:
        assert callable(import_python_name(command.python_name))


def test_every_contribution_has_its_command(manifest):
    contributions = manifest.contributions
    named = {command.id for command in contributions.commands}
    used = [*contributions.readers, *contributions.writers, *contributions.sample_data, *contributions.widgets]

    assert {contribution.command for contribution in used} == named


def test_widgets_stand_in_the_order_of_work(manifest):
    assert [widget.display_name for widget in manifest.contributions.widgets] == [
        "Cases",
        "Segment",
        "Metrics",
        "Review",
        "Train",
        "Open all",
    ]


def test_the_reader_loads_no_torch():
    code = "import sys, napari_brainseg.plugin.layers; assert not {'torch', 'monai', 'qtpy'} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "files"),
    [("mask.tif", ["mask.tif"]), ("mask.nii.gz", ["mask.nii.gz"]), ("mask.nii", ["mask.nii"])],
)
def test_napari_saves_a_mask_through_the_writers(make_napari_viewer, plugin, tmp_path, name, files):
    viewer = make_napari_viewer()
    layer = viewer.add_labels(np.ones((3, 8, 8), np.uint8), name="mine")

    layer.save(str(tmp_path / name), plugin="napari-brainseg")

    assert [file.name for file in tmp_path.iterdir()] == files


def test_napari_opens_a_case_through_the_reader(make_napari_viewer, plugin, tiny_case):
    viewer = make_napari_viewer()

    viewer.open(str(tiny_case), plugin="napari-brainseg")

    assert [layer.name for layer in viewer.layers][-2:] == ["bert FLAIR", "bert manual"]
    assert viewer.layers["bert manual"].contour == 2
    assert [str(unit) for unit in viewer.layers["bert FLAIR"].units] == ["pixel"] * 3


def test_open_all_docks_every_tab_with_cases_in_front(make_napari_viewer, plugin, qtbot, tiny_default):
    viewer = make_napari_viewer(show=True)
    opener = OpenAll(viewer)
    viewer.window.add_dock_widget(opener, name="Open all (BrainSeg)")

    titles = ["Cases (BrainSeg)", "Segment (BrainSeg)", "Metrics (BrainSeg)", "Review (BrainSeg)", "Train (BrainSeg)"]
    qtbot.waitUntil(lambda: list(viewer.window.dock_widgets) == titles, timeout=20_000)

    captions = [title.removesuffix(" (BrainSeg)") for title in titles]
    bars = viewer.window._qt_window.findChildren(QTabBar)
    bar = next(bar for bar in bars if [bar.tabText(number) for number in range(bar.count())] == captions)
    assert bar.sizeHint().width() < 300  # none is cut off in the narrowest column
    cases = viewer.window.dock_widgets[titles[0]]
    qtbot.waitUntil(lambda: not cases.visibleRegion().isEmpty(), timeout=10_000)
    assert show_tab(viewer, "Cases") is cases  # not a second one
    segment = viewer.window.dock_widgets[titles[1]]
    qtbot.waitUntil(lambda: "Loading" not in segment.device_line.text(), timeout=30_000)
