"""The Metrics tab: how well a prediction agrees with a reference, as both are now, and where it does not."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QFileDialog
from superqt.utils import qdebounced

from ..core.config import ScoreConfig
from ..core.metrics import Scores, score_mask
from ..core.words import grouped, plain
from .buttons import allow, copy_text
from .disagreement import DisagreementLayer
from .layer_metadata import learned_by, segmented_slices, volume_of
from .mask_comparison import MaskComparison
from .mask_picker import MaskPicker, Pair, lay_on_each_other, spacing_of, why_not
from .metrics_form import NEXT_KEY, NOTABLE, PREVIOUS_KEY, SHOW_KEY, MetricsForm
from .metrics_report import PairReport, caution, shown, to_csv, to_markdown, write_report
from .result_layer import ResultLayer, result_of
from .sentences import as_sentence
from .slice_view import go_to_slice, slice_in_view
from .tabs import is_closing, without_proxy
from .task import Task, Tasks
from .viewer_keys import ViewerKeys

_EVERY = 150
"""Milliseconds between two looks at the masks."""
_REST = 20
"""Times as long as a look takes, the window is left alone before the next."""

_SAVE_FILTERS = "Table of all slices (*.csv);;Scores of the volume (*.md)"


class MetricsWidget(MetricsForm):
    """Compare two masks, and follow every edit of them.

    Neither undo in a hidden layer nor writing into a layer's array tells anybody, so the masks themselves are looked at
    several times a second: to compare those of a case with copies takes less than a millisecond.

    Parameters
    ----------
    viewer : Viewer
        Where the masks are.
    """

    def __init__(self, viewer: Viewer) -> None:
        viewer = without_proxy(viewer)
        super().__init__(viewer)
        self.viewer = viewer
        self.comparison: MaskComparison | None = None
        """Of the masks that are chosen, if they can be compared."""
        self.overlay: DisagreementLayer | None = None
        self._pair: Pair = (None, None)
        self._distances: Scores | None = None
        """Scores of the volume with distances, once they are measured."""
        self._tasks = Tasks(self)
        self._timer = QTimer(self)
        self._doubted: ResultLayer | None = None
        """The result whose doubts the strip shows, or will."""
        # It takes longer, so it waits for the end of a stroke, within which every look finds an edit.
        self._measure = qdebounced(self._measure_now, timeout=3 * _EVERY, parent=self)
        self.picker = MaskPicker(viewer, self.prediction, self.reference, self._layers_changed)
        self._connect()
        self.picker.follow()
        self._timer.start(_EVERY)

    @property
    def is_measuring(self) -> bool:
        """Whether the distances are still on their way."""
        return self.comparison is not None and self._distances is None

    def report(self) -> PairReport:
        """Return the scores as they are shown."""
        prediction, reference = self._pair
        assert self.comparison
        assert self._distances
        assert prediction
        assert reference
        slices = tuple(self.comparison.slices)
        numbers = self._slice_numbers()
        names = (str(prediction.name), str(reference.name))
        return PairReport(
            *names, self._distances, slices, numbers, self.comparison.counted, caution(learned_by(prediction))
        )

    def look(self) -> None:
        """Find out what was edited since the last look, and show it."""
        pair = self.picker.pair
        lay_on_each_other(pair)
        reason = why_not(pair)
        try:
            touched = [] if reason else self._compare(pair)
        except ValueError as error:
            reason, touched = as_sentence(error), []
        if reason:
            self._refuse(reason)
            return
        if self.overlay and not self.overlay.lies_on(pair[1]):
            self._drop_overlay()
        if touched:
            self._show(touched)
        elif self._doubted is not (result := self._result()):  # a run has ended that changed no mask any more
            self._doubted = result
            self._draw_strip()
        self._show_overlay()

    def go_to(self, z: int) -> None:
        """Show a slice in the viewer."""
        go_to_slice(self.viewer, self._pair[1], z)

    def step(self, direction: int) -> None:
        """Go to the next slice where the masks disagree (1) or the one before (-1), and from the last to the first."""
        notable = self.comparison.notable if self.comparison else ()
        here = slice_in_view(self.viewer, self._pair[1])
        ahead = [z for z in notable if (z - here) * direction > 0]
        if notable:
            self.go_to(min(ahead or notable) if direction > 0 else max(ahead or notable))

    def event(self, event: QEvent) -> bool:
        """Let go of the viewer when the tab is closed."""
        if is_closing(self, event):
            self._shut_down()
        return bool(super().event(event))

    # what is compared

    def _compare(self, pair: Pair) -> list[int]:
        """Slices whose scores are new."""
        prediction, reference = pair
        assert prediction is not None
        assert reference is not None
        ours, theirs = np.asarray(prediction.data), np.asarray(reference.data)
        spacing, segmented = spacing_of(prediction, reference), segmented_slices(prediction)
        known = self.comparison
        if known and pair == self._pair and known.fits(ours, theirs, spacing):
            return known.update(ours, theirs, segmented)
        self.comparison = MaskComparison(ours, theirs, spacing, self.empty.value, segmented)
        self._pair = pair
        self.say_reason("")
        return list(range(len(self.comparison.slices)))

    def _show(self, touched: list[int]) -> None:
        assert self.comparison
        self._distances = None
        self._tasks.drop("distances")  # which would be those of masks that are no more
        self._show_volume()
        if self.overlay:
            self.overlay.write(touched, self.comparison.disagreement(touched))
        self._show_slice()
        self._enable()
        self._draw_strip()
        self._measure()

    def _refuse(self, reason: str) -> None:
        if self.comparison is None and self.reason.text() == reason:
            return
        self.comparison = self._distances = None
        self._pair = (None, None)
        self._tasks.drop("distances")
        self._drop_overlay()
        self.show_scores(None, measuring=False)
        self.say_caution("")
        self.say_reason(reason)
        self._show_slice()
        self._enable()
        self._draw_strip()

    def _measure_now(self) -> None:
        """Measure the distances between the surfaces in the background, of copies that nobody edits."""
        if not self.is_measuring:
            return
        assert self.comparison
        ours, theirs = self.comparison.masks()
        work = partial(_measure, ours, theirs, self.comparison.spacing, ScoreConfig(empty=self.empty.value))
        self._tasks.begin("distances", work, lambda _: None, returned=self._measured, failed=self._fail)

    def _measured(self, scores: Scores) -> None:
        assert self.comparison
        self._distances = replace(self.comparison.volume, hd95=scores.hd95, assd=scores.assd)
        self._show_volume()
        self._enable()

    def _show_volume(self) -> None:
        assert self.comparison
        scores = self._distances or self.comparison.volume
        slices, counted = len(self.comparison.slices), len(self.comparison.counted)
        self.show_scores(scores, counted, slices, measuring=self._distances is None)
        prediction = self._pair[0]
        assert prediction
        self.say_caution(caution(learned_by(prediction)))

    def _policy_chosen(self, empty: Any) -> None:
        if self.comparison:
            self.comparison.set_empty(empty)
            self._distances = self._distances and replace(self._distances, empty=empty)
            self._show_volume()
            self._show_slice()
            self._draw_strip()

    # the slices

    def _draw_strip(self) -> None:
        self.strip.show_scores(self.comparison, self._result())

    def _result(self) -> ResultLayer | None:
        """What the prediction was made from, once it is complete."""
        prediction = self._pair[0]
        result = None if prediction is None else result_of(prediction)
        if prediction is None or result is None or result.is_filling:
            return None
        return result if len(result.probability) == len(prediction.data) else None

    def _slice_numbers(self) -> tuple[int, ...]:
        """Numbers of the slices as in the files' names, else counted from 1."""
        assert self.comparison
        count = len(self.comparison.slices)
        volumes = [volume_of(mask) for mask in self._pair if mask is not None]
        known = [volume.slice_numbers for volume in volumes if volume and len(volume.slice_numbers) == count]
        return known[0] if known else tuple(range(1, count + 1))

    def _show_slice(self, _: Any = None) -> None:
        """Say how the slice in view scores, and mark it in the strip."""
        comparison, z = self.comparison, slice_in_view(self.viewer, self._pair[1])
        self.strip.mark(z if comparison else None)
        if comparison is None or len(comparison.slices) == 1:
            self.slice_line.setText("")
            return
        scores = comparison.slices[z]
        words = "no tumour in either mask"
        if not scores.both_empty:
            words = f"{grouped(scores.fn)} voxels missed, {grouped(scores.fp)} too much"
        number = self._slice_numbers()[z]
        if z not in comparison.counted:
            self.slice_line.setText(f"Slice {number} (z\u00a0=\u00a0{z}) was not segmented.")
            return
        self.slice_line.setText(f"Slice {number} (z\u00a0=\u00a0{z}): Dice {shown('dice', scores)}\n{words}")

    # the disagreement layer

    def _show_overlay(self, _: Any = None) -> None:
        if not self.show_disagreement.isChecked():
            self._drop_overlay()
        elif self.comparison and not self.overlay and self._pair[1] is not None:
            labels = self.comparison.disagreement(list(range(len(self.comparison.slices))))
            self.overlay = DisagreementLayer(self.viewer, self._pair[1], labels)

    def _drop_overlay(self) -> None:
        overlay, self.overlay = self.overlay, None
        if overlay:
            overlay.remove()

    # what the controls do

    def _connect(self) -> None:
        self._timer.timeout.connect(self._look_and_rest)
        self.empty.changed.connect(self._policy_chosen)
        self.previous_button.clicked.connect(lambda: self.step(-1))
        self.next_button.clicked.connect(lambda: self.step(1))
        self.show_disagreement.toggled.connect(self._show_overlay)
        self.copy_table_button.clicked.connect(lambda: self._copy(to_markdown(self.report()), "the table"))
        self.copy_csv_button.clicked.connect(lambda: self._copy(to_csv(self.report()), "all slices as CSV"))
        self.save_button.clicked.connect(self._save)
        self.viewer.dims.events.current_step.connect(self._show_slice)
        self.strip.clicked.connect(self.go_to)
        self.strip.failed.connect(self._fail)
        actions = {
            NEXT_KEY: lambda: self.step(1),
            PREVIOUS_KEY: lambda: self.step(-1),
            SHOW_KEY: self.show_disagreement.click,
        }
        self._keys = ViewerKeys(self.viewer, actions)

    def _look_and_rest(self) -> None:
        started = perf_counter()
        self.look()
        self._timer.setInterval(max(_EVERY, round((perf_counter() - started) * 1000 * _REST)))

    def _layers_changed(self) -> None:
        if self.overlay and not self.overlay.is_shown:  # a person took it away
            self.overlay = None
            self.show_disagreement.setChecked(False)
        self._timer.start(0)  # once the viewer is done with what it is doing

    def _enable(self) -> None:
        why = None if self.comparison else "Choose two masks that can be compared first."
        tooltip = "Colour where both masks agree, what was missed and what is too much, in a layer of its own."
        allow(self.show_disagreement, why, tooltip)
        self._enable_steps(why)
        if self.is_measuring:
            why = "The distances are still being measured."
        for button, tooltip in (
            (self.copy_table_button, "Copy the scores of the volume as a Markdown table."),
            (self.copy_csv_button, "Copy the scores of the volume and of each slice as CSV."),
            (self.save_button, "Write the scores of the volume and of each slice as CSV, or the table as Markdown."),
        ):
            allow(button, why, tooltip)

    def _enable_steps(self, why: str | None) -> None:
        count = len(self.comparison.notable) if self.comparison else 0
        nowhere = why or (None if count else f"There is no slice where {NOTABLE}.")
        for button, word in ((self.previous_button, "before"), (self.next_button, "after")):
            allow(button, nowhere, f"Go to the slice {word} this one where {NOTABLE}; there are {count}.")

    def _copy(self, text: str, what: str) -> None:
        copy_text(text)
        self._tell(f"Copied {what}.")

    def _save(self) -> None:
        """Write the scores as they are now; the dialog asks before it replaces a file."""
        report = self.report()
        name, _ = QFileDialog.getSaveFileName(self, "Save scores", f"{report.prediction} scores.csv", _SAVE_FILTERS)
        if not name:
            return
        try:
            write_report(report, Path(name))
        except (OSError, ValueError) as error:
            self._fail(error)
        else:
            self._tell(f"Saved {name}.")

    def _tell(self, words: str) -> None:
        self.say_done(words)
        show_info(words)

    def _fail(self, error: Exception) -> None:
        self.say_done(plain(error))
        show_error(plain(error))

    def _shut_down(self) -> None:
        """Let go of the viewer, which outlives the tab; a disagreement that nobody keeps in step must not stay."""
        self._timer.stop()
        self._measure.cancel()
        self._tasks.close()
        self.strip.let_go()
        self.picker.let_go()
        self._drop_overlay()
        self.viewer.dims.events.current_step.disconnect(self._show_slice)
        self._keys.let_go()


def _measure(ours: Any, theirs: Any, spacing: Any, config: ScoreConfig, _: Task) -> Scores:
    return score_mask(ours, theirs, spacing, config)
