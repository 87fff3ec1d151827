"""The new model against the one that it came from, on the same validation patients."""

from statistics import fmean

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QWidget

from ..core.model_folders import ModelInfo
from .columns import stack, text_line

_ROWS = 8
"""Shown at once; more are scrolled to."""


class TrainOutcome(QWidget):
    """One sentence with the means, and a row per case."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence = text_line("Mean Dice per volume over the validation cases.")
        self.table = QTableWidget(0, 0)
        self.table.setToolTip(
            "Dice per volume of each validation case: before, after, what was gained; ✎ is a corrected one."
        )
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.verticalHeader().setMinimumSectionSize(22)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        stack(self, self.sentence, self.table)
        self._info: ModelInfo | None = None

    def show_model(self, info: ModelInfo | None) -> None:
        """Show how a model did, or nothing."""
        self.setVisible(info is not None)
        if info is None or info == self._info:
            return
        self._info = info
        self.sentence.setText(sentence(info))
        rows = compare(info)
        self.table.setVisible(bool(rows))
        headers = ["Case", "Old", "New", "Change"] if info.parent_dice else ["Case", "Dice"]
        self.table.setColumnCount(len(headers))
        self.table.setHorizontalHeaderLabels(headers)
        self.table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(row):
                is_corrected = not column and text in info.corrected_slices
                item = QTableWidgetItem(f"✎ {text}" if is_corrected else text)
                item.setToolTip(f"{row[0]}, corrected" if row[0] in info.corrected_slices else row[0])
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(number, column, item)
        self._fit()

    def _fit(self) -> None:
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(header.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, header.ResizeMode.Stretch)
        shown = min(self.table.rowCount(), _ROWS)
        height = sum(self.table.rowHeight(row) for row in range(shown))
        self.table.setFixedHeight(header.sizeHint().height() + height + 2 * self.table.frameWidth())


def sentence(info: ModelInfo) -> str:
    """How the new model did, in words."""
    count = len(info.validation_dice)
    if info.mean_dice is None:
        return "Not validated: how good the model is, nobody knows."
    cases = f"{count} validation case{'s' * (count != 1)}"
    known = [info.parent_dice[name] for name in info.validation_dice if name in info.parent_dice]
    if len(known) < count:
        return f"Mean Dice {info.mean_dice:.2f} on {cases}."
    gain = f"Old model {fmean(known):.2f}, new model {info.mean_dice:.2f}: mean Dice on the same {cases}."
    return f"{gain} {_forgetting(info)}".rstrip()


def _forgetting(info: ModelInfo) -> str:
    """What became of the patients that the old model knows, in words."""
    if not info.base_dice:
        return ""
    old, new = (fmean(dice.values()) for dice in (info.parent_base_dice, info.base_dice))
    return f"On {len(info.base_dice)} patients that the old model knows {new:.2f}, before {old:.2f}."


def compare(info: ModelInfo) -> list[list[str]]:
    """Cells of the table: cases from the greatest loss to the greatest gain, or from the worst to the best."""
    old, new = info.parent_dice, info.validation_dice
    if not old:
        return [[name, f"{dice:.2f}"] for name, dice in sorted(new.items(), key=lambda item: item[1])]
    gains = {name: dice - old[name] for name, dice in new.items() if name in old}
    return [
        [name, f"{old[name]:.2f}", f"{new[name]:.2f}", _signed(gain)]
        for name, gain in sorted(gains.items(), key=lambda item: item[1])
    ]


def _signed(gain: float) -> str:
    return "0.00" if abs(gain) < 0.005 else f"{gain:+.2f}".replace("-", "\u2212")
