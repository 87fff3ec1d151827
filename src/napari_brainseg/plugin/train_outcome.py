"""The new model against the one that it came from, on the same validation patients."""

from statistics import fmean

from qtpy.QtWidgets import QWidget

from ..core.model_folders import ModelInfo
from ..core.words import counted
from .columns import stack, text_line
from .row_table import RowTable


class TrainOutcome(QWidget):
    """One sentence with the means, and a row per case."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence = text_line("Mean Dice per volume over the validation cases.")
        self.table = RowTable(
            "Dice per volume of each validation case: before, after, what was gained; ✎ is a corrected one.", most=8
        )
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
        headings = ["Case", "Old", "New", "Change"] if info.parent_dice else ["Case", "Dice"]
        self.table.show_rows(headings, [[_marked(row[0], info), *row[1:]] for row in rows])
        for number, (name, *_) in enumerate(rows):
            for column in range(len(headings)):
                self.table.item(number, column).setToolTip(
                    name + (", corrected" if name in info.corrected_slices else "")
                )


def sentence(info: ModelInfo) -> str:
    """How the new model did, in words."""
    count = len(info.validation_dice)
    if info.mean_dice is None:
        return "Not validated: how good the model is, nobody knows."
    cases = counted(count, "validation case")
    known = [info.parent_dice[name] for name in info.validation_dice if name in info.parent_dice]
    if len(known) < count:
        return f"Mean Dice {info.mean_dice:.2f} on {cases}."
    gain = f"Old model {fmean(known):.2f}, new model {info.mean_dice:.2f}: mean Dice on the same {cases}."
    return f"{gain} {_forgetting(info)}".rstrip()


def _marked(name: str, info: ModelInfo) -> str:
    return f"✎ {name}" if name in info.corrected_slices else name


def _forgetting(info: ModelInfo) -> str:
    """What became of the patients that the old model knows, in words."""
    if not info.base_dice:
        return ""
    old, new = (fmean(dice.values()) for dice in (info.parent_base_dice, info.base_dice))
    count = len(info.base_dice)
    return f"On {counted(count, 'patient')} that the old model knows {new:.2f}, before {old:.2f}."


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
