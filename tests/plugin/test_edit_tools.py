"""The correction tools beside a mask, with the undo that follows."""

from collections.abc import Callable

import numpy as np
import pytest
from napari.layers import Labels, Layer
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_brainseg.core.edits import copy_slice, fill_between, grow, shrink, smooth
from napari_brainseg.plugin.edit_tools import (
    ABOVE,
    BELOW,
    FILL,
    GROW,
    KEEP,
    REMOVE,
    SHRINK,
    SMOOTH,
    TOOLTIPS,
    EditTools,
)
from napari_brainseg.plugin.layers import mask_layer

SHAPE = (6, 64, 64)


@pytest.fixture
def mask() -> np.ndarray:
    """Two islands in slice 1, of which one goes on in slice 2; a gap at 3; another in slice 4; none in 0 and 5."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 10:30, 10:30] = 1
    mask[1, 40:50, 40:50] = 1
    mask[4, 12:34, 12:34] = 1
    mask[1:5, 5:10, 20] = mask[1:5, 20, 35:38] = 0
    mask[1, 5:10, 20] = 1  # a spike
    return mask


@pytest.fixture
def make_tools(qtbot, tiny_volume, mask) -> Callable[..., EditTools]:
    """Tools for the mask as a layer of a viewer, at slice 1."""
    made = []

    def make(viewer, probability: np.ndarray | None = None) -> EditTools:
        layer = viewer.add_layer(Layer.create(*mask_layer(mask, tiny_volume, "prediction")))
        layer.contour = 2
        viewer.dims.set_current_step(0, 1)
        tools = EditTools(viewer)
        qtbot.addWidget(tools)
        tools.set_layer(layer, probability)
        made.append(tools)
        return tools

    yield make
    for tools in made:
        tools.let_go()


@pytest.fixture
def tools(viewer, make_tools) -> EditTools:
    return make_tools(viewer)


def go_to(tools: EditTools, z: int) -> None:
    tools.viewer.dims.set_current_step(0, z)
    tools._enable()  # what else comes within some milliseconds


def press(tools: EditTools, caption: str) -> np.ndarray:
    assert tools.buttons[caption].isEnabled(), tools.buttons[caption].toolTip()
    tools.buttons[caption].click()
    return np.asarray(tools.layer.data)


def draw(layer: Labels, *centres: tuple[int, int, int], label: int = 1) -> None:
    """One stroke, as the mouse makes it."""
    with layer.block_history():
        for centre in centres:
            layer.paint(centre, label, refresh=False)
        layer._partial_labels_refresh()


@pytest.mark.parametrize(
    ("z", "caption", "expected", "said"),
    [
        pytest.param(3, FILL, lambda mask: fill_between(mask, 2, 4), "Filled slice 4.", id="in the gap"),
        pytest.param(2, FILL, lambda mask: fill_between(mask, 2, 4), "Filled slice 4.", id="below the gap"),
        pytest.param(4, FILL, lambda mask: fill_between(mask, 2, 4), "Filled slice 4.", id="above the gap"),
        pytest.param(1, SMOOTH, lambda mask: smooth(mask, [1]), "Smoothed slice 2.", id="smooth"),
        pytest.param(1, GROW, lambda mask: grow(mask, [1]), "Grew the tumour in slice 2.", id="grow"),
        pytest.param(4, SHRINK, lambda mask: shrink(mask, [4]), "Shrank the tumour in slice 5.", id="shrink"),
        pytest.param(3, BELOW, lambda mask: copy_slice(mask, 2, 3), "Copied slice 3 to slice 4.", id="below"),
        pytest.param(0, ABOVE, lambda mask: copy_slice(mask, 1, 0), "Copied slice 2 to slice 1.", id="above"),
    ],
)
def test_a_button_changes_the_slice_in_view_in_one_step(tools, mask, z, caption, expected, said):
    go_to(tools, z)

    edited = press(tools, caption)

    np.testing.assert_array_equal(edited, expected(mask))
    assert (edited != mask).any()
    assert tools.status.text() == said
    tools.layer.undo()
    np.testing.assert_array_equal(tools.layer.data, mask)
    tools.layer.redo()
    np.testing.assert_array_equal(tools.layer.data, expected(mask))


def test_gaps_on_both_sides_are_filled_together(tools):
    mask = np.zeros(SHAPE, np.uint8)
    mask[[0, 2, 5], 20:30, 20:30] = 1
    tools.layer.data[:] = mask
    go_to(tools, 2)

    filled = press(tools, FILL)

    assert filled.any(axis=(1, 2)).all()
    assert tools.status.text() == "Filled slice 2 and slices 4 to 5."
    tools.layer.undo()
    np.testing.assert_array_equal(tools.layer.data, mask)


@pytest.mark.parametrize(
    ("z", "reasons"),
    [
        (
            0,
            {
                FILL: "There is no gap here: empty slices with tumour both below and above.",
                SMOOTH: "There is no tumour in this slice.",
                GROW: "There is no tumour in this slice.",
                SHRINK: "There is no tumour in this slice.",
                BELOW: "There is no slice below.",
            },
        ),
        (
            1,
            {
                FILL: "There is no gap here: empty slices with tumour both below and above.",
                BELOW: "The slice below has no tumour.",
            },
        ),
        (4, {BELOW: "The slice below has no tumour.", ABOVE: "The slice above has no tumour."}),
        (
            5,
            {
                FILL: "There is no gap here: empty slices with tumour both below and above.",
                SMOOTH: "There is no tumour in this slice.",
                GROW: "There is no tumour in this slice.",
                SHRINK: "There is no tumour in this slice.",
                ABOVE: "There is no slice above.",
            },
        ),
    ],
)
def test_a_button_that_cannot_be_pressed_says_why(tools, z, reasons):
    go_to(tools, z)

    for caption, button in tools.buttons.items():
        assert button.isEnabled() == (caption not in reasons)
        assert button.toolTip() == (TOOLTIPS | reasons)[caption]
    assert not tools.snaps.isEnabled()
    assert tools.snaps.toolTip() == "Segment first: there is no probability that belongs to this mask."


def why_nothing(tools: EditTools) -> str:
    assert not any(button.isEnabled() for button in [*tools.buttons.values(), tools.snaps, tools.minimum])
    [why] = {button.toolTip() for button in [*tools.buttons.values(), tools.snaps, tools.minimum]}
    return why


def test_no_tool_works_without_a_mask(tools):
    tools.viewer.layers.remove(tools.layer)

    assert why_nothing(tools) == "Choose a mask to correct first."


def test_no_tool_works_while_a_mask_is_made(tools, qtbot):
    tools.layer.editable = False
    qtbot.waitUntil(lambda: not tools.buttons[GROW].isEnabled())

    assert why_nothing(tools) == "anna prediction cannot be edited now."
    tools.layer.editable = True
    qtbot.waitUntil(lambda: tools.buttons[GROW].isEnabled())


@pytest.mark.parametrize(("what", "value"), [("ndisplay", 3), ("order", (1, 0, 2))])
def test_no_tool_works_in_other_views(tools, qtbot, what, value):
    tools.layer.contour = 0  # in 3D napari warns that it draws none
    setattr(tools.viewer.dims, what, value)
    qtbot.waitUntil(lambda: not tools.buttons[GROW].isEnabled())

    assert why_nothing(tools) == "Go back to the view of slices along Z first."


def test_no_tool_works_on_layers_of_another_kind(tools):
    tools.set_layer(tools.viewer.add_labels(np.zeros((2, 3, 4, 5), np.uint8), name="film"))

    assert why_nothing(tools) == "film has shape (2, 3, 4, 5); allowed are (Z, Y, X) and (Y, X)."


def test_a_flat_mask_is_one_slice(viewer, qtbot, make_tools):
    tools = make_tools(viewer)
    flat = np.zeros((64, 64), np.uint8)
    flat[20:30, 20:30] = 1
    tools.set_layer(viewer.add_labels(flat.copy()))

    np.testing.assert_array_equal(press(tools, GROW), grow(flat[None], [0])[0])
    assert not tools.buttons[FILL].isEnabled()
    assert tools.buttons[ABOVE].toolTip() == "There is no slice above."


def test_tools_follow_strokes_and_undo(tools, qtbot):
    go_to(tools, 0)
    draw(tools.layer, (0, 30, 30))
    qtbot.waitUntil(lambda: tools.buttons[GROW].isEnabled())
    tools.layer.undo()
    qtbot.waitUntil(lambda: not tools.buttons[GROW].isEnabled())


def test_nothing_to_change_is_said(tools):
    tools.layer.data[:] = 1
    go_to(tools, 3)

    press(tools, GROW)

    assert tools.status.text() == "There was nothing to change."


def test_closed_tools_leave_viewer_and_layer_alone(viewer, make_tools, mask):
    callbacks = list(viewer.mouse_drag_callbacks)
    tools = make_tools(viewer, np.zeros(SHAPE, np.float32))
    layer = tools.layer
    press(tools, REMOVE)
    tools.snaps.setChecked(True)

    tools.let_go()

    draw(layer, (0, 30, 30))
    assert layer.data[0].any()
    assert viewer.mouse_drag_callbacks == callbacks
    assert tools.layer is None


# islands, in a real window


class Canvas:
    """The image in a real window, for the mouse."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.native = viewer.window._qt_viewer.canvas.native
        viewer.reset_view()
        QApplication.processEvents()

    def place(self, y: float, x: float) -> QPoint:
        """Where a voxel is on the screen."""
        _, middle_y, middle_x = self.viewer.scene.camera.center
        zoom, size = self.viewer.scene.camera.zoom, self.native.size()
        return QPoint(round(size.width() / 2 + (x - middle_x) * zoom), round(size.height() / 2 + (y - middle_y) * zoom))

    def drag(self, *voxels: tuple[float, float]) -> None:
        """Press at the first, move to the others, and release."""
        first, *others = (self.place(*voxel) for voxel in voxels)
        self.qtbot.mouseMove(self.native, first)
        self.qtbot.mousePress(self.native, Qt.MouseButton.LeftButton, pos=first)
        for place in others:
            self.qtbot.wait(30)  # VisPy drops a move that follows another, or the one before the press, too soon
            self._move(place)
            self.qtbot.wait(30)  # napari passes it on a little later
        self.qtbot.mouseRelease(self.native, Qt.MouseButton.LeftButton, pos=[first, *others][-1])

    def _move(self, place: QPoint) -> None:
        left = Qt.MouseButton.LeftButton
        local, there = QPointF(place), QPointF(self.native.mapToGlobal(place))
        move = QMouseEvent(QEvent.Type.MouseMove, local, there, left, left, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self.native, move)


@pytest.fixture
def canvas(make_napari_viewer, qtbot) -> Canvas:
    return Canvas(make_napari_viewer(show=True), qtbot)


def islands(mask: np.ndarray) -> int:
    return ndimage.label(mask, np.ones((3, 3, 3)))[1]


def test_an_island_is_removed_by_a_click(canvas, make_tools, mask):
    tools = make_tools(canvas.viewer)
    canvas.viewer.reset_view()
    tools.layer.mode = "paint"
    assert islands(mask) == 3

    press(tools, REMOVE)
    assert tools.status.text() == "Click on the island to remove, or press the button again to leave it."
    assert tools.layer.cursor == "crosshair"
    canvas.drag((60, 60))
    assert tools.status.text() == "There is no tumour at z = 1, y = 60, x = 60."
    assert tools.buttons[REMOVE].isChecked()
    canvas.drag((45, 45), (45, 50))
    np.testing.assert_array_equal(tools.layer.data, mask)  # that moved the image
    canvas.viewer.reset_view()
    canvas.drag((20, 20))

    removed = tools.layer.data.copy()
    assert islands(removed) == 2
    assert not removed[1:3, 10:30, 10:30].any()
    np.testing.assert_array_equal(removed[4], mask[4])
    assert tools.status.text() == "Removed the island in slice 2."
    assert not tools.buttons[REMOVE].isChecked()
    assert tools.layer.mode == "paint"
    tools.layer.undo()
    np.testing.assert_array_equal(tools.layer.data, mask)

    canvas.drag((60, 10), (60, 20))
    assert tools.layer.data[1, 60, 10:20].all()  # the brush is back


def test_an_island_is_kept_by_a_click_though_another_layer_was_active(canvas, make_tools, mask):
    tools = make_tools(canvas.viewer)
    canvas.viewer.reset_view()
    other = canvas.viewer.add_labels(np.zeros(SHAPE, np.uint8), scale=tools.layer.scale)
    other.mode = "paint"

    press(tools, KEEP)
    canvas.drag((45, 45))

    assert islands(tools.layer.data) == 1
    assert tools.layer.data[1, 45, 45]
    assert not other.data.any()


def test_a_pick_is_left_by_the_button_by_another_by_the_brush_and_by_another_layer(tools, mask):
    layer, (remove, keep) = tools.layer, (tools.buttons[REMOVE], tools.buttons[KEEP])
    callbacks = list(tools.viewer.mouse_drag_callbacks)
    layer.mode = "erase"

    press(tools, REMOVE)
    press(tools, REMOVE)
    assert (remove.isChecked(), layer.mode, tools.status.text()) == (False, "erase", "")

    press(tools, REMOVE)
    press(tools, KEEP)
    assert (remove.isChecked(), keep.isChecked()) == (False, True)
    assert "island to keep" in tools.status.text()
    assert len(tools.viewer.mouse_drag_callbacks) == len(callbacks) + 1

    layer.mode = "paint"
    assert (keep.isChecked(), layer.mode) == (False, "paint")
    assert tools.viewer.mouse_drag_callbacks == callbacks

    press(tools, REMOVE)
    press(tools, GROW)
    assert (remove.isChecked(), layer.mode) == (False, "paint")

    press(tools, REMOVE)
    tools.viewer.add_labels(mask)
    assert (remove.isChecked(), layer.mode) == (False, "paint")


# the brush that snaps


@pytest.fixture
def probability() -> np.ndarray:
    """Sure in the left half, not at all in the right."""
    probability = np.zeros(SHAPE, np.float32)
    probability[:, :, :32] = 0.9
    probability[:, :, 20] = 0.3
    return probability


@pytest.fixture
def snapping(viewer, make_tools, probability) -> EditTools:
    tools = make_tools(viewer, probability)
    tools.snaps.setChecked(True)
    tools.layer.brush_size = 4
    return tools


def test_a_stroke_snaps_and_is_undone_as_a_whole(snapping, mask):
    layer = snapping.layer
    shown = []
    layer.events.paint.connect(lambda _: shown.append(layer.data.copy()), position="last")

    draw(layer, *((5, 50, x) for x in range(10, 50)))

    snapped = layer.data.copy()
    assert np.flatnonzero(snapped[5].any(axis=0)).tolist() == list(range(8, 32))
    np.testing.assert_array_equal(shown, [snapped])  # who listens sees it corrected
    layer.undo()
    np.testing.assert_array_equal(layer.data, mask)
    layer.redo()
    np.testing.assert_array_equal(layer.data, snapped)
    layer.undo()
    layer.undo()
    np.testing.assert_array_equal(layer.data, mask)


def test_strokes_after_an_undo_snap_to_what_is_there(snapping, mask):
    layer = snapping.layer
    draw(layer, (5, 50, 10))
    layer.undo()
    draw(layer, (5, 50, 31))

    assert np.flatnonzero(layer.data[5].any(axis=0)).tolist() == [29, 30, 31]
    layer.undo()
    np.testing.assert_array_equal(layer.data, mask)


def test_the_eraser_spares_what_is_probable(snapping, mask):
    snapping.layer.data[5, 50, 20:45] = 1
    snapping.layer.refresh()

    draw(snapping.layer, *((5, 50, x) for x in range(20, 45)), label=0)

    assert np.flatnonzero(snapping.layer.data[5].any(axis=0)).tolist() == list(range(20, 32))


def test_the_limit_is_the_one_on_the_screen(snapping):
    snapping.minimum.setValue(0.5)

    draw(snapping.layer, *((5, 50, x) for x in range(15, 25)))

    assert not snapping.layer.data[5, :, 20].any()
    assert snapping.layer.data[5, :, 21].any()


def test_polygons_snap_too(snapping, mask, qtbot):
    layer = snapping.layer
    layer.paint_polygon([(5, 40, 20), (5, 40, 50), (5, 60, 50), (5, 60, 20)], 1)
    qtbot.waitUntil(lambda: not layer.data[5, :, 32:].any())

    assert layer.data[5, 41:60, 21:32].all()
    layer.undo()
    np.testing.assert_array_equal(layer.data, mask)


def test_the_right_button_s_ring_snaps_too(snapping, mask):
    layer = snapping.layer
    layer._begin_stroke()
    for y, x in ((40, 20), (40, 50), (60, 50), (60, 20)):
        layer.paint((5, y, x), 1)
    layer.paint_polygon([(5, 40, 20), (5, 40, 50), (5, 60, 50), (5, 60, 20)], 1)
    layer._commit_stroke()

    assert layer.data[5, 41:60, 21:32].all()
    assert not layer.data[5, :, 32:].any()
    layer.undo()
    np.testing.assert_array_equal(layer.data, mask)


def test_tools_do_not_snap(snapping, mask):
    np.testing.assert_array_equal(press(snapping, GROW), grow(mask, [1]))
    draw(snapping.layer, (1, 60, 60))
    np.testing.assert_array_equal(snapping.layer.data, grow(mask, [1]))


def test_the_brush_is_free_again(snapping, probability):
    layer = snapping.layer
    snapping.snaps.setChecked(False)
    draw(layer, (5, 50, 50))
    assert layer.data[5, 50, 50]

    snapping.snaps.setChecked(True)
    draw(layer, (5, 10, 50))
    assert not layer.data[5, 10, 50]

    snapping.set_layer(layer, probability[:3])  # of another mask
    assert not snapping.snaps.isEnabled()
    draw(layer, (5, 10, 50))
    assert layer.data[5, 10, 50]


def test_a_stroke_of_the_mouse_snaps(canvas, make_tools, mask, probability):
    tools = make_tools(canvas.viewer, probability)
    canvas.viewer.reset_view()
    tools.snaps.setChecked(True)
    tools.layer.mode = "paint"
    tools.layer.brush_size = 4

    canvas.drag((60, 10), (60, 30), (60, 50))

    assert tools.layer.data[1, 60, 10:32].all()
    assert not tools.layer.data[1, 60, 32:].any()
    tools.layer.undo()
    np.testing.assert_array_equal(tools.layer.data, mask)
