"""The plugin's widgets as tabs on the right of napari's window."""

from typing import TYPE_CHECKING, Any

from npe2 import PluginManager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-brainseg"
_OPEN_ALL = "Open all"


class OpenAll(QWidget):
    """Docks every tab in the order of work, with the first in front, and takes itself away again."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self.setMaximumHeight(0)
        QTimer.singleShot(0, self._open)

    def _open(self) -> None:
        self._viewer.window.remove_dock_widget(self)
        contributed = PluginManager.instance().get_manifest(PLUGIN).contributions.widgets or []
        names = [widget.display_name for widget in contributed if widget.display_name != _OPEN_ALL]
        for name in names:
            show_tab(self._viewer, name)
        show_tab(self._viewer, names[0])


def show_tab(viewer: "napari.Viewer", name: str) -> Any:
    """Bring a widget of this plugin to the front, docked first if it is not there yet, and return it.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose window.
    name : str
        The widget's display name in the manifest.
    """
    manifest = PluginManager.instance().get_manifest(PLUGIN)
    title = f"{name} ({manifest.display_name})"  # as napari's own menu calls it, which then finds it
    if title not in viewer.window.dock_widgets:
        contribution = next(widget for widget in manifest.contributions.widgets if widget.display_name == name)
        widget: Any = contribution.get_callable()(viewer)
        viewer.window.add_dock_widget(widget, name=title, area="right", tabify=True)
    raise_tab(viewer, name)
    return viewer.window.dock_widgets[title]


def find_tab(viewer: "napari.Viewer", name: str) -> Any:
    """A widget of this plugin if it is docked, else None."""
    window = getattr(viewer, "window", None)  # which a viewer in a script may lack
    docked = window.dock_widgets if window else {}
    return docked.get(f"{name} ({PluginManager.instance().get_manifest(PLUGIN).display_name})") if docked else None


def raise_tab(viewer: "napari.Viewer", name: str) -> None:
    """Bring a widget of this plugin to the front if it is docked."""
    widget = find_tab(viewer, name)
    dock = getattr(widget, "native", widget)
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    if dock is not None:
        dock.show()
        dock.raise_()
