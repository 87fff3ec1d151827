"""Who trains and who validates, as a small table of sums and a list of the cases."""

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTreeWidget, QTreeWidgetItem, QWidget

from ..core.words import counted, grouped
from .columns import folded, stack, text_line
from .sentences import as_sentence
from .train_data import CountedCase, Split, TrainingData, count

Side = tuple[str, Sequence[CountedCase]]


class TrainSplit(QWidget):
    """Shown before anything is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = text_line("How the patients are split: nobody is on both sides.")
        self.left_out = text_line("Cases that cannot be trained on.")
        self.worth = text_line("What the validation is worth.")
        self.tree = _tree()
        around_tree = QWidget()  # which can be folded smaller than the tree likes to be
        stack(around_tree, self.tree)
        self.cases = folded("Who trains, who validates", around_tree)
        stack(self, self.sums, self.left_out, self.worth, self.cases)
        self.show_split(None, None)

    def show_split(self, data: TrainingData | None, split: Split | None) -> None:
        """Show what is known by now."""
        sides: list[Side] = [("Train", split.training), ("Validate", split.validation)] if split else []
        if data and data.cases and not split:
            sides = [("Not split", data.cases)]
        left_out = data.left_out if data else ()
        self.sums.setText(split_table(sides))
        self.sums.setVisible(bool(sides))
        self.left_out.setText(f"{counted(len(left_out), 'case')} left out; why stands in the list.")
        self.left_out.setVisible(bool(left_out))
        worth = split.worth if split else ""
        self.worth.setText(f"\u26a0 {as_sentence(worth)}")
        self.worth.setVisible(bool(worth))
        self.cases.setVisible(bool(sides) or bool(left_out))
        _fill_tree(self.tree, sides, left_out)


def split_table(sides: Sequence[Side]) -> str:
    """Patients, slices, and slices with tumour of each side, as rich text."""
    rows = [["", "Patients", "Slices", "With tumour"]]
    rows += [[title, *map(grouped, count(cases))] for title, cases in sides]
    lines = (
        "".join(f'<td align="{"right" if column else "left"}">{text}</td>' for column, text in enumerate(row))
        for row in rows
    )
    return f'<table width="100%">{"".join(f"<tr>{line}</tr>" for line in lines)}</table>'


def _tree() -> QTreeWidget:
    tree = QTreeWidget()
    tree.setHeaderLabels(["Case", "Slices", "Tumour"])
    tree.setToolTip("The cases on each side, their slices, and how many of these have tumour.")
    tree.setMinimumHeight(180)
    tree.setUniformRowHeights(True)
    tree.setIndentation(10)
    tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    tree.header().setStretchLastSection(False)
    tree.header().setSectionResizeMode(0, tree.header().ResizeMode.Stretch)
    for column in (1, 2):
        tree.header().setSectionResizeMode(column, tree.header().ResizeMode.ResizeToContents)
    return tree


def _fill_tree(tree: QTreeWidget, sides: Sequence[Side], left_out: Sequence[str]) -> None:
    tree.clear()
    for title, cases in sides:
        total = [sum(item.slices for item in cases), sum(item.tumour_slices for item in cases)]
        side = QTreeWidgetItem(tree, [f"{title} ({len(cases)})", *map(str, total)])
        for item in cases:
            QTreeWidgetItem(side, [item.case.name, str(item.slices), str(item.tumour_slices)]).setToolTip(
                0, item.case.name
            )
        side.setExpanded(True)
    if left_out:
        others = QTreeWidgetItem(tree, [f"Left out ({len(left_out)})"])
        for reason in left_out:
            QTreeWidgetItem(others, [reason]).setToolTip(0, reason)
