"""What is remembered of a person's choices from one start of napari to the next."""

from qtpy.QtCore import QSettings

CASES_FOLDER = "cases/folder"
"""Key of the folder that the Cases tab lists."""


def preferences() -> QSettings:
    """Where it is kept."""
    return QSettings("napari-brainseg", "napari-brainseg")
