"""Draw the pictures of the window for the documentation.

    python docs/make_figures.py DATA_SET_FOLDER CASE_NAME MODEL

The model should be one that was not trained on the case, such as that of a fold.

Needs a display (on a server: ``xvfb-run -s "-screen 0 1280x800x24" python docs/make_figures.py ...``).
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # the person's own settings are left alone

import napari
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication

from napari_brainseg.plugin.tabs import show_tab

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Walk through the tabs and take a picture of the window at each."""
    folder, case, model = sys.argv[1:]
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    cases = show_tab(viewer, "Cases")
    segment = show_tab(viewer, "Segment")
    cases.open_folder(folder)
    wait(lambda: bool(cases.table.rows) and not cases.is_busy)
    cases.select(case)
    cases.open_current()
    wait(lambda: not cases.is_busy)
    show_tab(viewer, "Cases")
    picture(viewer, "cases")
    show_tab(viewer, "Segment")
    segment.models.choose(model)
    wait(lambda: segment.is_ready)
    segment.run()
    wait(lambda: not segment.is_running)
    picture(viewer, "segment")
    segment.show_uncertainty.value = True
    picture(viewer, "uncertainty")
    segment.show_uncertainty.value = False
    metrics = show_tab(viewer, "Metrics")
    wait(lambda: metrics.plot is not None and metrics.comparison is not None and not metrics.is_measuring)
    metrics.show_disagreement.setChecked(True)
    picture(viewer, "metrics")


def wait(until: Callable[[], bool], seconds: float = 120) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError("the window did not get ready")
        QApplication.processEvents()
        time.sleep(0.01)


def picture(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window once it has settled."""
    settled = time.monotonic() + 1.5
    wait(lambda: time.monotonic() > settled)
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / f"{name}.png"), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
