"""What a training will take, in a line that measures it while somebody looks."""

from dataclasses import replace

from qtpy.QtCore import Signal
from superqt.utils import qdebounced

from .columns import TextLine
from .sentences import as_sentence
from .task import Tasks
from .train_command import TrainingRequest
from .train_plan import TrainingCost, measure_cost


class CostLine(TextLine):
    """Says what a training will take on this machine, or why it cannot start."""

    measured = Signal()
    """What it will take is known."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("What the training will take on this machine, or why it cannot start.")
        self.cost: TrainingCost | None = None
        """What it will take, once it is measured."""
        self._wanted: TrainingRequest | None = None
        self._measured: TrainingRequest | None = None
        self._tasks = Tasks(self)
        self._measure_later = qdebounced(self._measure, timeout=1000, parent=self)

    def show_reason(self, why: str) -> None:
        """Say why there is nothing to measure."""
        self._tasks.drop("measure")
        self._wanted = self._measured = self.cost = None
        self.setText(why)

    def show_cost(self, request: TrainingRequest) -> str:
        """Say what a training will take, and measure what is not known yet.

        Returns
        -------
        str
            Why it would take too long, as a sentence; empty if nothing is known against it.
        """
        self._wanted = _measurable(request)
        if self._measured != self._wanted:
            self._tasks.drop("measure")
            self.cost = None
            self._measure_later()
        why = ""
        if self.cost:
            try:
                self.setText(self.cost.words(request))
            except ValueError as error:
                why = as_sentence(error)
                self.setText(why)
        elif self._measured != self._wanted or "measure" in self._tasks:
            self.setText("Measuring how long it will take…")
        return why

    def close_tasks(self) -> None:
        """Stop all work."""
        self._measure_later.cancel()
        self._tasks.close()

    def _measure(self) -> None:
        """Measure in a process of its own, if somebody looks at the page that this line is on."""
        request, page = self._wanted, self.parentWidget()
        if request is None or page is None or page.visibleRegion().isEmpty():
            return
        self._measured = request
        self._tasks.begin(
            "measure",
            lambda task: measure_cost(request, task),
            lambda _: None,
            returned=self._was_measured,
            failed=lambda error: self.setText(as_sentence(f"How long it will take is not known: {error}")),
        )

    def _was_measured(self, cost: TrainingCost) -> None:
        self.cost = cost
        self.measured.emit()


def _measurable(request: TrainingRequest) -> TrainingRequest:
    """What a measurement depends on: neither the name nor how long it is to take."""
    config = request.config.changed({"epochs": 10})
    return replace(request, output=request.folder / "nowhere", config=config, minutes=None)
