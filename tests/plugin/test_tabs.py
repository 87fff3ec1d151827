"""Where the tabs of this plugin stand in napari's window."""

from qtpy.QtWidgets import QTabBar

from napari_brainseg.plugin.tabs import show_tab


def test_a_tab_that_is_opened_again_takes_its_place_in_the_order_of_work(make_napari_viewer, plugin, qtbot):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window

    def captions():
        bars = window.findChildren(QTabBar)
        return [[bar.tabText(number) for number in range(bar.count())] for bar in bars if bar.isVisible()]

    for name in ("Metrics", "Review", "Cases"):
        tab = show_tab(viewer, name)
    qtbot.waitUntil(lambda: ["Cases", "Metrics", "Review"] in captions())
    assert not tab.visibleRegion().isEmpty()

    viewer.window.remove_dock_widget(viewer.window.dock_widgets["Metrics (BrainSeg)"])
    qtbot.waitUntil(lambda: ["Cases", "Review"] in captions())
    again = show_tab(viewer, "Metrics")
    qtbot.waitUntil(lambda: ["Cases", "Metrics", "Review"] in captions())
    qtbot.waitUntil(lambda: not again.visibleRegion().isEmpty())
