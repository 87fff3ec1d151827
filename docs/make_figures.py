"""Draw the pictures of the window for the documentation.

    python docs/make_figures.py DATA_SET_FOLDER CASE_NAME MODEL [review]
    python docs/make_figures.py DATA_SET_FOLDER
    python docs/make_figures.py DATA_SET_FOLDER explore
    python docs/make_figures.py --explain CASE_FOLDER [MODEL]

The first line draws Cases, Segment, Metrics and Review; the model should be one that was not trained on the case, such
as that of a fold. With ``review`` behind it, it draws only that. The second draws Train, with 15 epochs from nothing:
eight patients are enough. The third draws Explore. The fourth draws what a prediction rests on, without a window.

The others need a display (on a server: ``xvfb-run -s "-screen 0 1280x800x24" python docs/make_figures.py ...``).
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ["NAPARI_CONFIG"] = ""  # the person's own settings are left alone

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication

from napari_brainseg.cli import main as brainseg
from napari_brainseg.plugin.cases_widget import CasesWidget
from napari_brainseg.plugin.tabs import show_tab
from napari_brainseg.plugin.train_form import FROM_NOTHING

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Open a window with a case in it and walk through the tabs."""
    folder, *rest = sys.argv[1:]
    if folder == "--explain":
        draw_explained(*rest)
        return
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, tempfile.mkdtemp())
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    cases, *_ = [show_tab(viewer, name) for name in ("Cases", "Segment", "Metrics", "Review", "Train")]
    show_tab(viewer, "Cases")
    cases.open_folder(folder)
    wait(lambda: bool(cases.cases_page.table.rows) and not cases.is_busy)
    if rest == ["explore"]:
        draw_exploring(viewer, cases)
        viewer.close()
        return
    row = cases.cases_page.find(rest[0]) if rest else 0
    if row is None:
        sys.exit(f"there is no case {rest[0]} in {folder}")
    cases.cases_page.select(row)
    cases.open_current()
    wait(lambda: not cases.is_busy)
    if rest:
        draw_segmenting(viewer, rest[1], only_review=rest[2:] == ["review"])
    else:
        draw_training(viewer)
    viewer.close()


def draw_exploring(viewer: napari.Viewer, cases: CasesWidget) -> None:
    """Take a picture of the Explore page, with the case of its last finding open."""
    cases.cases_page.explore_button.click()
    page = cases.explore_page
    wait(lambda: not page.is_busy and not page.figures.is_busy and bool(page.figures.pictures))
    page.findings.scrollToBottom()
    page.findings.itemClicked.emit(page.findings.item(page.findings.count() - 1))
    wait(lambda: len(viewer.layers) > 0 and not cases.is_busy)
    picture(viewer, "explore")


def draw_segmenting(viewer: napari.Viewer, model: str, *, only_review: bool) -> None:
    """Take a picture of the Cases, Segment, Metrics and Review tabs, with what a model says of the open case."""
    show_tab(viewer, "Cases")
    if not only_review:
        picture(viewer, "cases")
    segment = show_tab(viewer, "Segment")
    segment.models.choose(model)
    wait(lambda: segment.is_ready)
    segment.run()
    wait(lambda: not segment.is_running)
    if not only_review:
        draw_result(viewer, segment)
    draw_review(viewer)


def draw_result(viewer: napari.Viewer, segment: Any) -> None:
    """Take a picture of the Segment and Metrics tabs."""
    picture(viewer, "segment")
    segment.show_uncertainty.value = True
    picture(viewer, "uncertainty")
    segment.show_uncertainty.value = False
    metrics = show_tab(viewer, "Metrics")
    wait(lambda: metrics.strip.plot is not None and metrics.comparison is not None and not metrics.is_measuring)
    metrics.show_disagreement.setChecked(True)
    picture(viewer, "metrics")


def draw_review(viewer: napari.Viewer) -> None:
    """Take a picture of the Review tab after one stroke, three accepted slices and a flagged one."""
    review = show_tab(viewer, "Review")
    wait(lambda: review.correct_button.isEnabled())
    with tempfile.TemporaryDirectory() as folder:
        review.place.choose(Path(folder) / "kaggle_3m-corrected")
        wait(lambda: review.corrections is not None and review.correct_button.isEnabled())
        review.correct()
        middle = review.slice_in_view()
        rows, columns = np.nonzero(review.layer.data[middle])
        with review.layer.block_history():
            for column in range(columns.min(), columns.max(), 4):
                review.layer.paint((middle, rows.min(), column), 1)
        for z in (middle - 2, middle - 1, middle + 1):
            review.go_to(z)
            review.accept()
        review.go_to(middle + 2)
        review.flag()
        review.go_to(middle)
        wait(lambda: review.states().count("accepted") == 3 and review.states()[middle] == "edited")
        picture(viewer, "review")
        review.close()


def draw_explained(case: str, model: str = "default") -> None:
    """Let the command draw what a prediction rests on, and make the picture small."""
    path = IMAGES / "explain.png"
    with suppress(SystemExit):
        brainseg(["explain", case, "--model", model, "--output", str(path), "--overwrite"])
    shrink(path)


def draw_training(viewer: napari.Viewer) -> None:
    """Take a picture of the Train tab before a training of 15 epochs, and after it."""
    train = show_tab(viewer, "Train")
    setup = train.setup
    setup.source.value = FROM_NOTHING
    setup.epochs.value = 15
    setup.share.setValue(25)
    setup.advanced["batch_size"].value = 8
    setup.advanced["threads"].value = 1
    wait(lambda: setup.cost_line.cost is not None)
    picture(viewer, "train-setup")
    output = setup.output
    setup.start_button.click()
    wait(lambda: train.view is not None and not train.is_under_way, 3600)
    picture(viewer, "train")
    shutil.rmtree(output)


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
    path = IMAGES / f"{name}.png"
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    shrink(path)


def shrink(path: Path) -> None:
    """Save a picture with 256 colours."""
    Image.open(path).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


if __name__ == "__main__":
    main()
