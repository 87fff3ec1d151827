"""Keys that act in a viewer while a tab is open."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ViewerKeys:
    """Binds keys, also those that another tab of the same kind has bound before.

    Parameters
    ----------
    viewer : ViewerModel
        Where they are pressed.
    actions : mapping of str to callable
        What each key does.
    """

    def __init__(self, viewer: "ViewerModel", actions: Mapping[str, Callable[[], object]]) -> None:
        self._viewer = viewer
        self._bound = {key: _without_viewer(action) for key, action in actions.items()}
        for key, bound in self._bound.items():
            viewer.bind_key(key, bound, overwrite=True)

    def let_go(self) -> None:
        """Unbind the keys that no other tab has taken over meanwhile."""
        for key, bound in self._bound.items():
            if bound in self._viewer.keymap.values():
                self._viewer.bind_key(key, None, overwrite=True)


def _without_viewer(action: Callable[[], object]) -> Callable[[Any], None]:
    def bound(_: Any) -> None:
        action()

    return bound
