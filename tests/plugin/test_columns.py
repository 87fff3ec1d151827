"""What the columns of the tabs are made of."""

from qtpy.QtWidgets import QLabel, QWidget

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
