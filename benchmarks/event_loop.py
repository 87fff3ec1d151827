"""How long does napari's window hang while a training is set up, started, followed and stopped in the Train tab?

    python benchmarks/event_loop.py [DATA_SET_FOLDER]

A timer of 5 ms tells the worst gap between two of its ticks in each phase. Needs a display (on a server: ``xvfb-run``).
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # the person's own settings are left alone

import napari
from machine import describe_machine
from qtpy.QtCore import QSettings, QTimer
from qtpy.QtWidgets import QApplication

from napari_brainseg import write_phantom_cases
from napari_brainseg.core.phantom import SAMPLE_CASES
from napari_brainseg.plugin.train_form import FROM_NOTHING
from napari_brainseg.plugin.train_widget import TrainWidget

_TICK = 5


class Gaps:
    """Notes when the event loop was late."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(_TICK)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.worst = max(self.worst, now - self._last)
        self._last = now

    def during(self, phase: str, until: Callable[[], bool], seconds: float = 300) -> None:
        """Run the event loop until something is so, and print the worst gap."""
        self.worst, began = 0.0, time.perf_counter()
        while not until():
            if time.perf_counter() - began > seconds:
                raise TimeoutError(phase)
            QApplication.processEvents()
            time.sleep(0.001)
        print(f"{phase:34} {time.perf_counter() - began:6.1f} s   worst gap {self.worst * 1000:5.0f} ms")


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(folder))
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "data"
    if len(sys.argv) == 1:
        write_phantom_cases(data, SAMPLE_CASES)
    print(describe_machine())
    viewer = napari.Viewer()
    tab = TrainWidget(viewer)
    viewer.window.add_dock_widget(tab, name="Train")
    gaps, setup = Gaps(), tab.setup
    settled = time.monotonic() + 3
    gaps.during("window opens (for comparison)", lambda: time.monotonic() > settled)
    setup.open_folder(data)
    setup.source.value = FROM_NOTHING
    for name, value in (("epoch_slices", 32), ("validate_every", 1), ("threads", 1)):
        setup.advanced[name].value = value
    setup.models_folder = folder / "models"
    gaps.during("cases are counted and split", lambda: setup.split is not None and not setup.is_busy)
    setup.start_button.click()
    gaps.during("start, until the first epoch ended", lambda: tab.view is not None and len(tab.view.history) > 0)
    gaps.during("curves are drawn for the first time", lambda: tab.run_page.curves.image is not None)
    gaps.during("three more epochs are followed", lambda: tab.view is not None and len(tab.view.history) > 3)
    tab.stop()
    gaps.during("stop", lambda: not tab.is_under_way)
    viewer.close()


if __name__ == "__main__":
    main()
