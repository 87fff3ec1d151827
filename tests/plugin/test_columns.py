"""What the columns of the tabs are made of."""

from qtpy.QtWidgets import QLabel, QWidget

from napari_brainseg.plugin.columns import Column, folded, stack


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
