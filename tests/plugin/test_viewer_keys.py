"""Keys that act in a viewer while a tab is open."""

from napari_brainseg.plugin.viewer_keys import ViewerKeys


def press(viewer, key: str) -> None:
    next(function for bound, function in viewer.keymap.items() if str(bound) == key)(viewer)


def test_a_key_acts_until_it_is_let_go(viewer):
    pressed = []
    keys = ViewerKeys(viewer, {"G": lambda: pressed.append("G"), "Shift-G": lambda: pressed.append("Shift-G")})

    press(viewer, "Shift+G")
    press(viewer, "G")
    assert pressed == ["Shift-G", "G"]

    keys.let_go()
    assert not {"G", "Shift+G"} & set(map(str, viewer.keymap))


def test_a_key_that_another_has_taken_over_stays_with_it(viewer):
    pressed = []
    former = ViewerKeys(viewer, {"G": lambda: pressed.append("former")})
    later = ViewerKeys(viewer, {"G": lambda: pressed.append("later")})

    former.let_go()
    press(viewer, "G")
    assert pressed == ["later"]

    later.let_go()
    assert "G" not in map(str, viewer.keymap)
