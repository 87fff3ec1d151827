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


def test_tabs_that_the_command_line_of_napari_opens_know_the_viewer_itself(
    make_napari_viewer, plugin, qtbot, tiny_default
):
    """What `napari -w napari-brainseg "Open all"` gives them is a proxy, in which no layer is that of the viewer."""
    viewer = make_napari_viewer(show=True)
    viewer.window.add_plugin_dock_widget("napari-brainseg", "Open all")
    qtbot.waitUntil(lambda: len(viewer.window.dock_widgets) == 5, timeout=20_000)

    assert all(tab.viewer is viewer for tab in viewer.window.dock_widgets.values())
    segment = viewer.window.dock_widgets["Segment (BrainSeg)"]
    qtbot.waitUntil(lambda: "Loading" not in segment.device_line.text(), timeout=30_000)
