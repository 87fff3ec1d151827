"""Rounds of correcting and retraining in the Review tab: effort, what each model brought, which one is in use."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from ..core.durations import in_words
from ..core.ledgers import Effort, efforts, read_ledgers
from ..core.model_folders import DEFAULT_MODEL
from ..core.rounds import Round, adopt, find_rounds, model_in_use, name_models, roll_back
from ..core.words import grouped
from .buttons import allow, make_button, side_by_side
from .columns import stack, text_line
from .row_table import RowTable
from .sentences import as_sentence
from .tabs import find_tab, show_tab

if TYPE_CHECKING:
    from .review_widget import ReviewWidget

RETRAIN, ADOPT, BACK = "Retrain on corrections…", "Use selected model", "Go back"
TOOLTIPS = {
    RETRAIN: "Set up in the Train tab: the model in use learns from what was corrected.",
    ADOPT: "Use the selected model for the next segmentations; the former one stays where it is.",
    BACK: "Use the model again that was in use before this one.",
}
_COLUMNS = {
    "Round": "The model.",
    "Slices": "Corrected slices that it learned from.",
    "Dice": "Mean Dice on the same validation patients, before and after.",
    "Known": "Mean Dice on patients that the former model had learned from: what was forgotten.",
}
_TABLE = "Models that came of corrections, the latest last; the one in use is bold."


class ReviewRounds(QWidget):
    """The models that came of corrections, the one in use marked, and the way to the next.

    Parameters
    ----------
    review : ReviewWidget
        The tab that it belongs to.
    """

    def __init__(self, review: "ReviewWidget") -> None:
        super().__init__()
        self.rounds: list[Round] = []
        self._used = DEFAULT_MODEL
        """The model in use, which need not be a round, and may be gone."""
        self._review = review
        self.in_use = text_line("The model that Segment and the next training start from.")
        self.effort = text_line("What the corrections took, round by round.")
        self.retrain_button = make_button(RETRAIN, self.retrain, TOOLTIPS[RETRAIN])
        self.adopt_button = make_button(ADOPT, self.adopt, TOOLTIPS[ADOPT])
        self.back_button = make_button(BACK, self.go_back, TOOLTIPS[BACK])
        self.table = RowTable(_TABLE, most=5, selectable=True)
        self.table.itemSelectionChanged.connect(self._update)
        buttons = side_by_side(self.adopt_button, self.back_button, stretch=(1, 1))
        stack(self, self.effort, self.retrain_button, self.table, self.in_use, buttons)
        self._refresh_soon = qdebounced(self.refresh, timeout=1000, parent=self)
        review.changed.connect(lambda: self._refresh_soon())
        self.refresh()

    def refresh(self) -> None:
        """Show what the workspace holds now."""
        workspace, damaged = self._review.workspace, list[str]()
        try:
            self.rounds = find_rounds(workspace, on_failure=lambda _, why: damaged.append(why)) if workspace else []
            ledgers = read_ledgers(workspace) if workspace else []
            self._used = used = model_in_use(workspace) if workspace else DEFAULT_MODEL
        except (OSError, ValueError) as error:
            self.in_use.setText(as_sentence(error))
            return
        self.effort.setText(describe_efforts(efforts(ledgers), name_models(workspace) if workspace else {}))
        self.effort.setVisible(bool(self.effort.text()))
        in_use = f"In use: {Path(used).name}."
        if (chosen := self._chosen_by_hand()) and chosen != used:
            in_use += f" {Path(chosen).name} is chosen in Segment: retraining starts from it."
        self.in_use.setText("\n".join([in_use, *map(as_sentence, damaged)]))
        self._fill()
        self._update()

    def close_tasks(self) -> None:
        """Look no more."""
        self._refresh_soon.cancel()

    def retrain(self) -> None:
        """Set the next training up in the Train tab."""
        if (data := self._review.place.data_folder) is not None:
            if self._review.session:
                self._review.session.autosave.flush()
            train = show_tab(self._review.viewer, "Train")
            train.retrain(data, self._chosen_by_hand())

    def adopt(self) -> None:
        """Use the selected model from now on."""
        workspace, row = self._review.workspace, self.table.currentRow()
        if workspace and 0 <= row < len(self.rounds):
            self._change(lambda: adopt(workspace, self.rounds[row].folder))

    def go_back(self) -> None:
        """Use the former model again."""
        if workspace := self._review.workspace:
            self._change(lambda: roll_back(workspace))

    def _chosen_by_hand(self) -> str | None:
        """What a person has chosen in the Segment tab in place of the model in use."""
        segment = find_tab(self._review.viewer, "Segment")
        return str(segment.models.name) if segment is not None and segment.models.is_by_hand else None

    def _change(self, change: "Callable[[], object]") -> None:
        try:
            change()
        except (OSError, ValueError) as error:
            self.in_use.setText(as_sentence(error))
            show_error(as_sentence(error))
            return
        workspace = self._review.workspace
        assert workspace
        if (segment := find_tab(self._review.viewer, "Segment")) is not None:
            segment.models.choose(model_in_use(workspace))
        self.refresh()

    def _fill(self) -> None:
        self.table.show_rows(list(_COLUMNS), [cells(found) for found in self.rounds])
        for column, tooltip in enumerate(_COLUMNS.values()):
            self.table.horizontalHeaderItem(column).setToolTip(tooltip)
        for row, found in enumerate(self.rounds):
            for column, tooltip in enumerate((str(found.folder), *list(_COLUMNS.values())[1:])):
                cell = self.table.item(row, column)
                cell.setToolTip(tooltip)
                font = cell.font()
                font.setBold(found.is_used)
                cell.setFont(font)

    def _update(self) -> None:
        row = self.table.currentRow()
        chosen = self.rounds[row] if 0 <= row < len(self.rounds) and self.table.selectedItems() else None
        no_case = None if self._review.workspace else "Open a case first."
        no_data = None if self._review.place.data_folder else "These images come from no file."
        nothing = None if self.effort.text() else "Correct or accept some slices first."
        none_before = f"{DEFAULT_MODEL} is in use." if self._used == DEFAULT_MODEL else None
        why_not = "Select a model in the list." if chosen is None else "It is in use." if chosen.is_used else None
        allow(self.retrain_button, no_case or no_data or nothing, TOOLTIPS[RETRAIN])
        allow(self.adopt_button, no_case or why_not, TOOLTIPS[ADOPT])
        allow(self.back_button, no_case or none_before, TOOLTIPS[BACK])
        for button in (self.adopt_button, self.back_button):
            button.setVisible(bool(self.rounds))


def describe_efforts(found: Sequence[Effort], named: dict[str, str]) -> str:
    """A line per round on what corrections took."""
    return "\n".join(_describe_effort(effort, named.get(effort.model_sha256, "another model")) for effort in found)


def _describe_effort(effort: Effort, model: str) -> str:
    origin = f"predicted by {model}" if effort.model_sha256 else "that no model predicted"
    took, changed = in_words(effort.seconds), f"{grouped(round(effort.voxels / effort.slices))} changed voxels"
    if effort.slices == 1:
        return f"Correcting 1 slice {origin} took {took}: {changed}."
    mean = in_words(effort.seconds / effort.slices)
    return f"Correcting {effort.slices} slices {origin} took {took}: on average {mean} and {changed} per slice."


def cells(found: Round) -> list[str]:
    """What the table shows of a round."""
    return [
        found.folder.name,
        str(found.corrected_slices),
        _change_of(found.before, found.after),
        _change_of(found.base_before, found.base_after),
    ]


def _change_of(before: float | None, after: float | None) -> str:
    if after is None:
        return "–"
    return f"{after:.2f}" if before is None else f"{before:.2f} → {after:.2f}"
