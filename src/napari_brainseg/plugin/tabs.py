"""The plugin's widgets as tabs on the right of napari's window."""

from typing import TYPE_CHECKING, Any

from npe2 import PluginManager
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-brainseg"
_OPEN_ALL = "Open all"


class OpenAll(QWidget):
    """Docks every tab in the order of work, with the first in front, and takes itself away again."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = without_proxy(viewer)
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
    if _full_name(name) not in viewer.window.dock_widgets:
        contribution = next(widget for widget in manifest.contributions.widgets if widget.display_name == name)
        widget: Any = contribution.get_callable()(viewer)
        viewer.window.add_dock_widget(widget, name=_full_name(name), area="right", tabify=True)
        _put_in_order(viewer, name, [widget.display_name for widget in manifest.contributions.widgets])
    for other in manifest.contributions.widgets:  # also those that napari's own menu has docked
        if (dock := _dock_of(viewer, other.display_name)) is not None:
            dock.setWindowTitle(other.display_name)
    raise_tab(viewer, name)
    return viewer.window.dock_widgets[_full_name(name)]


def find_tab(viewer: "napari.Viewer", name: str) -> Any:
    """A widget of this plugin if it is docked, else None; a viewer without a window, as in scripts, has none."""
    window = getattr(viewer, "window", None)
    docked = window.dock_widgets if window else {}
    return docked.get(_full_name(name)) if docked else None


def raise_tab(viewer: "napari.Viewer", name: str) -> None:
    """Bring a widget of this plugin to the front if it is docked."""
    if (dock := _dock_of(viewer, name)) is not None:
        dock.show()
        dock.raise_()


def without_proxy(viewer: "napari.Viewer") -> "napari.Viewer":
    """The viewer itself: in the proxy of it that `napari -w` gives to widgets, no layer is the one that was added."""
    itself: napari.Viewer = getattr(viewer, "__wrapped__", viewer)
    return itself


def is_closing(tab: QWidget, event: QEvent) -> bool:
    """Whether an event of a tab says that it is being closed, or taken out of the window for good."""
    return event.type() == QEvent.Type.Close or (event.type() == QEvent.Type.ParentChange and tab.parent() is None)


def _put_in_order(viewer: "napari.Viewer", name: str, order: list[str]) -> None:
    """Put a tab that was docked just now, behind all others, before those that follow it in the order of work."""
    dock, window = _dock_of(viewer, name), viewer.window._qt_window
    for later in order[order.index(name) + 1 :]:
        other = _dock_of(viewer, later)
        if other is not None and other in window.tabifiedDockWidgets(dock):
            window.tabifyDockWidget(dock, other)


def _full_name(name: str) -> str:
    """The name by which napari's own menu finds a dock; on a tab it would be cut off, five of them have no room."""
    return f"{name} ({PluginManager.instance().get_manifest(PLUGIN).display_name})"


def _dock_of(viewer: "napari.Viewer", name: str) -> QDockWidget | None:
    widget = find_tab(viewer, name)
    dock = getattr(widget, "native", widget)
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parent()
    return dock
