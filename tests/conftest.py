"""What all tests share: napari and Qt leave the developer's own settings alone, and real cases where there are some."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# Two threads that wait for each other on busy cores are far slower than one, and what is computed here is small.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before napari is imported: no settings file is read or written, and plugins that touch the window from a thread fail.
os.environ["NAPARI_CONFIG"] = ""
os.environ["NAPARI_ENSURE_PLUGIN_MAIN_THREAD"] = "1"

# How long an example takes says how busy the machine is, not whether the code is right.
SLOW = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=SLOW)
hypothesis.settings.load_profile("any machine")

PROJECT = Path(__file__).resolve().parents[1]
REAL_CASES = (
    "TCGA_CS_4941_19960909",  # all three sequences
    "TCGA_FG_7634_20000128",  # no post-contrast: FLAIR stands in for it
    "TCGA_HT_A616_19991226",  # FLAIR only
)


def pytest_xdist_auto_num_workers() -> int | None:
    """One process where there is one screen: windows of several would take the focus from one another."""
    return None if shutil.which("Xvfb") else 0


@pytest.fixture(scope="session")
def real_cases_folder(tmp_path_factory):
    """Folder of `REAL_CASES` as Kaggle ships them, unpacked from the data set that may lie beside the project."""
    packed = PROJECT.parent / "shared" / "lgg"
    if not (packed / "unpack.py").is_file():
        pytest.skip("the real cases are not beside the project, in ../shared/lgg")
    folder = tmp_path_factory.mktemp("real cases")
    subprocess.run([sys.executable, packed / "unpack.py", folder, *REAL_CASES], check=True)
    return folder / "kaggle_3m"


TINY_SHAPE = (6, 64, 64)
"""Slices, rows and columns of made-up patients, small enough that a test takes a moment."""


@pytest.fixture(scope="session")
def tiny():
    """Network that is trained in a moment."""
    from napari_brainseg.core.config import ModelConfig

    return ModelConfig(filters=(4, 8, 8), stem=2)


@pytest.fixture(scope="session")
def read_csv():
    """Read a table: a dictionary for each row."""

    def read(path):
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def patients(tmp_path_factory):
    """Data set of four: two with tumour, one with FLAIR alone, one without tumour."""
    from napari_brainseg.core.config import CHANNELS
    from napari_brainseg.core.phantom import PhantomCase, write_phantom_cases

    folder = tmp_path_factory.mktemp("patients")
    cases = (
        PhantomCase("anna", 1),
        PhantomCase("bert", 2),
        PhantomCase("carl", 3, missing=(CHANNELS[0], CHANNELS[2])),
        PhantomCase("dora", 4, tumour=False),
    )
    write_phantom_cases(folder, cases, TINY_SHAPE)
    return folder


@pytest.fixture(scope="session")
def shifted(patients, tmp_path_factory):
    """Predictions of `patients`: their manual masks, two pixels aside."""
    import numpy as np

    from napari_brainseg.core.cases import find_cases
    from napari_brainseg.core.masks import read_mask, write_mask
    from napari_brainseg.core.volumes import read_volume

    folder = tmp_path_factory.mktemp("predictions") / "shifted"
    for case in find_cases(patients):
        volume = read_volume(case)
        write_mask(np.roll(read_mask(case, volume), 2, axis=2), folder / case.name, volume)
    return folder


@pytest.fixture(scope="session")
def tiny_volume():
    """Images of anna."""
    from napari_brainseg.core.phantom import make_phantom

    return make_phantom(1, TINY_SHAPE, name="anna")[0]


@pytest.fixture(autouse=True)
def own_qt_settings(tmp_path_factory):
    """Settings that a widget remembers through QSettings go to a folder of this test's own."""
    try:
        from qtpy.QtCore import QSettings
    except ImportError:
        return
    folder = str(tmp_path_factory.mktemp("settings"))
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    for kind in (QSettings.Format.IniFormat, QSettings.Format.NativeFormat):
        QSettings.setPath(kind, QSettings.Scope.UserScope, folder)
