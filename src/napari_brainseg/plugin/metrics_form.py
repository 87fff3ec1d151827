"""What the Metrics tab shows: controls, scores and lines of text, no behaviour."""

from html import escape
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QPushButton,
    QWidget,
)

from ..core.config import ScoreConfig
from ..core.metrics import DISTANCES, EMPTY_POLICIES, Scores
from ..core.words import grouped
from .buttons import side_by_side
from .columns import Column, TextLine, text_line
from .disagreement import LEGEND
from .form import put_in_rows
from .mask_comparison import AGREE, MISSED, NOTABLE_DICE, NOTABLE_VOXELS, TOO_MUCH
from .metrics_report import HEADLINE, NOTHING, TABLE, scope, shown
from .score_strip import ScoreStrip

if TYPE_CHECKING:
    from napari.components import ViewerModel

NEXT_KEY, PREVIOUS_KEY, SHOW_KEY = "G", "Shift-G", "D"
MEASURING = "..."
"""Stands where a figure is on its way."""

_NARROW = 380
"""Pixels below which a name of a layer and its title do not fit beside each other."""

NOTABLE = f"more than {NOTABLE_VOXELS} voxels differ and Dice is below {NOTABLE_DICE}"
_EMPTY = ScoreConfig.model_fields["empty"]
_DEFINITIONS = "\n".join(f"{figure.title} = {figure.definition}" for figure in HEADLINE)


class Headline(TextLine):
    """Text that is larger than the window's font, whichever size that has."""

    def setText(self, words: str) -> None:
        """Show words."""
        super().setText(f'<b style="font-size: x-large">{escape(words)}</b>' if words else "")
        self._words = words


class MetricsForm(Column):
    """One column: which masks, the scores, the strip of slices, the disagreement, and ways to take it all along.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme the strip takes over.
    """

    def __init__(self, viewer: "ViewerModel") -> None:
        super().__init__()
        self.prediction = ComboBox(label="Prediction", tooltip="The mask to judge.", choices=())
        self.reference = ComboBox(
            label="Reference", tooltip="The mask that counts as the truth, such as the manual one.", choices=()
        )
        self.reason = text_line("Why the masks cannot be compared.")
        self.headline = Headline()
        self.headline.setToolTip(_DEFINITIONS)
        self.scope = text_line("Slice by slice means would count a slice with three voxels as much as the largest.")
        self.caution = text_line("Why the scores flatter.")
        self.values = {figure.name: text_line(figure.definition) for figure in TABLE}
        policies = [(_policy(words), name) for name, words in EMPTY_POLICIES.items()]
        self.empty = ComboBox(
            label=_EMPTY.title,
            choices=policies,
            value=_EMPTY.default,
            tooltip=f"{_EMPTY.description} Decides for slices without tumour in the strip; one mask empty counts as 0.",
        )
        self.strip = ScoreStrip(viewer)
        self.slice_line = text_line("The slice in view.")
        self.previous_button = QPushButton("◀  (Shift+G)")
        self.next_button = QPushButton("Next disagreement  (G)  ▶")
        self.show_disagreement = QCheckBox("Show disagreement  (D)")
        self.legend = text_line("Colours of the disagreement layer, and the voxels of each in the volume.")
        self.copy_table_button = QPushButton("Copy table")
        self.copy_csv_button = QPushButton("Copy CSV")
        self.save_button = QPushButton("Save...")
        self.done_line = text_line("What was done last, or what went wrong.")
        self._lay_out()
        self.show_scores(None, measuring=False)
        self.say_reason("")
        self.say_caution("")
        self.say_done("")

    def show_scores(self, scores: Scores | None, counted: int = 0, slices: int = 0, *, measuring: bool) -> None:
        """Show scores of those slices that count, or nothing; `measuring` says that distances are on their way."""
        if scores is None:
            self.headline.setText("")
            self.scope.setText("")
        else:
            figures = ", ".join(f"{figure.title} {shown(figure.name, scores)}" for figure in HEADLINE)
            self.headline.setText(figures)
            self.scope.setText(f"per volume, {scope(counted, slices)}" if slices > 1 else "of this one slice")
        for name, label in self.values.items():
            pending = measuring and name in DISTANCES
            label.setText(NOTHING if scores is None else MEASURING if pending else shown(name, scores))
        self._show_legend(scores)

    def say_reason(self, text: str) -> None:
        """Say why the masks cannot be compared; the line is there only if there is something to say."""
        self.reason.setText(text)
        self.reason.setVisible(bool(text))

    def say_caution(self, text: str) -> None:
        """Say why the scores flatter; the line is there only if they do."""
        self.caution.setText(text)
        self.caution.setVisible(bool(text))

    def say_done(self, text: str) -> None:
        """Say what was done, or what went wrong."""
        self.done_line.setText(text)
        self.done_line.setVisible(bool(text))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where it is narrow, put the masks below their titles: the ends of their names tell them apart."""
        super().resizeEvent(event)
        wrap = QFormLayout.RowWrapPolicy
        self._masks.setRowWrapPolicy(wrap.WrapAllRows if self.width() < _NARROW else wrap.DontWrapRows)

    def _show_legend(self, scores: Scores | None) -> None:
        counts = {AGREE: scores.tp, MISSED: scores.fn, TOO_MUCH: scores.fp} if scores else {}
        parts = []
        for label, (title, colour) in LEGEND.items():
            voxels = grouped(counts[label]) if label in counts else ""
            words = f"{escape(title)} {voxels}".strip().replace(" ", "\u00a0")
            parts.append(f'<span style="color:{colour}">\u25a0</span>\u00a0{words}')
        self.legend.setText(" &nbsp; ".join(parts))

    def _lay_out(self) -> None:
        masks, empty = QWidget(), QWidget()
        self._masks = put_in_rows(masks, self.prediction, self.reference)
        put_in_rows(empty, self.empty)
        self.set_parts(
            masks,
            self.reason,
            self.headline,
            self.scope,
            self.caution,
            self._table(),
            empty,
            self.strip,
            self.slice_line,
            side_by_side(self.previous_button, self.next_button, stretch=(1, 2)),
            self.show_disagreement,
            self.legend,
            side_by_side(self.copy_table_button, self.copy_csv_button, self.save_button, stretch=(1, 1, 1)),
            self.done_line,
        )

    def _table(self) -> QWidget:
        table = QWidget()
        grid = QGridLayout(table)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        grid.setHorizontalSpacing(12)
        grid.setColumnStretch(1, 1)
        for place, figure in enumerate(TABLE):
            title = QLabel(figure.title)
            title.setToolTip(figure.definition)
            grid.addWidget(title, place, 0)
            grid.addWidget(self.values[figure.name], place, 1)
        return table


def _policy(words: str) -> str:
    """What two empty masks count as, of a sentence that says more."""
    return words.removeprefix("both masks empty ").partition(",")[0]
