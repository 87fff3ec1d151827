"""What the columns of the tabs are made of."""

from magicgui.widgets import FloatSlider, SpinBox
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSlider, QApplication, QComboBox, QLabel, QWidget

from napari_brainseg.plugin.columns import Column, folded, stack, text_line


def test_what_is_unfolded_grows_with_what_is_in_it(qtbot):
    """Rows that came in later were drawn over each other."""
    content, label = QWidget(), QLabel("one line")
    stack(content, label)
    part, column = folded("More", content), Column()
    qtbot.addWidget(column)
    column.set_parts(part)
    column.show()
    part.expand(animate=False)
    qtbot.waitUntil(lambda: label.height() >= label.sizeHint().height() > 0)
    label.setText("\n".join(map(str, range(30))))
    qtbot.waitUntil(lambda: label.height() >= label.sizeHint().height(), timeout=5000)
    part.collapse(animate=False)
    assert content.maximumHeight() == 0


def turn_wheel(control):
    """Turn the wheel by a notch, and return whether the control has taken it: if not, Qt passes it on to the column."""
    place, far = QPointF(control.rect().center()), QPointF(control.mapToGlobal(control.rect().center()))
    buttons, keys = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    event = QWheelEvent(place, far, QPoint(), QPoint(0, -120), buttons, keys, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(control, event)
    return event.isAccepted()


def test_the_wheel_turns_only_what_was_chosen_before(qtbot):
    column, part, later, combo = Column(), QWidget(), QComboBox(), QComboBox()
    number, slider = SpinBox(value=5, max=9), FloatSlider(value=0.5, max=1, step=0.1)
    layout = stack(part, combo, number.native, slider.native)
    qtbot.addWidget(column)
    column.set_parts(part)
    column.show()
    column.activateWindow()
    layout.insertWidget(0, later)
    for box in (combo, later):
        box.addItems(["a", "b", "c"])
    qtbot.waitUntil(later.isVisible)
    qtbot.wait(20)
    column.setFocus()

    for control in (combo, later, number.native, slider.native, *slider.native.findChildren(QAbstractSlider)):
        assert not turn_wheel(control)
        assert control.focusPolicy() != Qt.FocusPolicy.WheelFocus
    assert (combo.currentIndex(), later.currentIndex(), number.value, slider.value) == (0, 0, 5, 0.5)

    combo.setFocus()
    qtbot.waitUntil(combo.hasFocus)
    assert turn_wheel(combo)
    assert combo.currentIndex() == 1


def test_a_line_breaks_long_names_gives_them_back_whole_and_can_be_emptied(qapp):
    line = text_line("What it says.")
    line.setText("/data/TCGA_CS_4941_19960909")
    assert line.text() == "/data/TCGA_CS_4941_19960909"
    assert QLabel.text(line).count("\u200b") == 5
    line.clear()
    assert line.text() == QLabel.text(line) == ""


def test_what_a_large_font_leaves_no_room_for_can_be_scrolled_to(qtbot):
    column, part = Column(), QLabel("Nothing to be broken")
    qtbot.addWidget(column)
    column.set_parts(part)
    column.resize(300, 200)
    column.show()
    assert not column.horizontalScrollBar().isVisible()
    part.setMinimumWidth(400)
    qtbot.waitUntil(column.horizontalScrollBar().isVisible)
