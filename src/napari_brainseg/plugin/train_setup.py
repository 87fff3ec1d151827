"""What the Train tab does before a run: data and split, what to start from, how to train, and what it will take."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_info
from pydantic import ValidationError
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFileDialog
from superqt.utils import qdebounced

from ..core.config import AIMS, AugmentationConfig, ModelConfig, TrainConfig
from ..core.model_folders import DEFAULT_MODEL
from ..core.progress import Progress
from ..core.rounds import model_in_use, next_run
from ..core.workspaces import Workspace
from .buttons import allow, copy_text
from .form import read_form
from .model_picker import ModelPicker
from .preferences import CASES_FOLDER, preferences
from .sentences import as_sentence
from .task import Tasks
from .train_augmentation import OWN, SHEET_TOOLTIP, draw_sheet, show_sheet
from .train_command import TrainingRequest, command_line, default_output, why_not_there
from .train_data import Split, TrainingData, describe_corrections, read_training_data, split_data
from .train_form import COMMAND_TOOLTIP, FROM_MODEL, START_TOOLTIP, TrainForm
from .train_plan import TrainingCost, measure_cost
from .workspace_choice import workspace_for


class TrainSetup(TrainForm):
    """Counts and splits the data, measures what the training would take, and says what is to be trained."""

    start_wanted = Signal(object)
    """A `TrainingRequest`."""
    run_chosen = Signal(object)
    """Folder of a run to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self.data: TrainingData | None = None
        """What the folder holds, once it is counted."""
        self.split: Split | None = None
        self.workspace: Workspace | None = None
        """Where the folder's cases are corrected; None as long as nobody has corrected any."""
        self._counted_at = 0
        self._why_no_split = ""
        self._is_own_folder = False
        self._is_own_name = False
        self.models_folder: Path | None = None
        """Where the new model's folder goes."""
        self._why_no_data = "Choose a folder of patients with manual masks, or open one in the Cases tab."
        self._settings = preferences()
        self._tasks = Tasks(self)
        self._measure_later = qdebounced(self._measure, timeout=1000, parent=self)
        self._split_later = qdebounced(self._split_now, timeout=200, parent=self)
        self.cost: TrainingCost | None = None
        """What the training will take, once it is measured."""
        self._measured: TrainingRequest | None = None
        self.models = ModelPicker(self.model, self.model_line, self._model_chosen, self._model_failed)
        self.models.choose(DEFAULT_MODEL)
        self._connect()
        self.show_source()
        self._changed()

    @property
    def is_busy(self) -> bool:
        """Whether the cases are being counted or split."""
        return bool(self._tasks)

    @property
    def parent_model(self) -> str | None:
        """Model to start from, None for a new network."""
        return self.models.name if self.source.value == FROM_MODEL else None

    @property
    def output(self) -> Path | None:
        """Where the new model goes."""
        name = self.name.text().strip()
        return self.models_folder / name if self.models_folder and name else None

    def request(self) -> TrainingRequest:
        """Return what is to be trained, as the form says.

        Raises
        ------
        ValueError
            If something is missing or out of bounds; the message says what.
        """
        if self.folder is None or self.output is None:
            raise ValueError(self.why_not_start())
        try:
            config = self._config().changed({"augmentation": self.augmentation.config()})
            model = read_form(self.network, ModelConfig())
        except ValidationError as error:
            raise ValueError(_first_problem(error)) from error
        share, minutes = self.share.value() / 100, self.length.minutes
        corrections = self._corrections.folder if self._corrections else None
        return TrainingRequest(self.folder, self.output, self.parent_model, model, config, share, minutes, corrections)

    def why_not_start(self) -> str:
        """Why a training cannot be started, as a sentence; empty if it can."""
        if self.data is None:
            return self._why_no_data
        if self.data.why_not:
            return self.data.why_not
        if self.output is None:
            return "Give the new model a name."
        if why := why_not_there(self.output, [item.case for item in self.data.cases]):
            return why
        try:
            self.request()
        except ValueError as error:
            return as_sentence(error)
        if self._why_no_split:
            return as_sentence(self._why_no_split)
        return "" if self.split else "The cases are being split."

    def follow_cases(self) -> None:
        """Take the folder that the Cases tab lists, unless a person chose another one here."""
        folder = self._settings.value(CASES_FOLDER, "")
        if folder and not self._is_own_folder and Path(folder) != self.folder and Path(folder).exists():
            self.open_folder(Path(folder))
        elif self.folder and self._ledger_time() != self._counted_at:
            self._count_again()

    def open_folder(self, folder: Path) -> None:
        """Count the cases of a folder, without holding up the window."""
        is_new = folder != self.folder
        self.folder, self.data, self.split = folder, None, None
        workspace = workspace_for(folder)
        self.workspace = workspace if workspace.ledger.is_dir() else None
        corrections, self._counted_at = self._corrections, self._ledger_time()
        self._why_no_data = "The cases are being counted."
        self._is_own_name = self._is_own_name and not is_new
        self.folder_label.setText(folder.name)
        self.folder_label.setToolTip(str(folder))
        if not self._is_own_name:
            self._suggest_output()
        self.split_view.show_split(self.data, self.split)
        self.bar.setRange(0, 0)
        self.bar.show()
        self._tasks.begin(
            "count",
            lambda task: read_training_data(folder, corrections, task.report),
            lambda _: self.bar.hide(),
            progressed=self._show_progress,
            returned=self._counted,
            failed=self._not_counted,
        )
        self._changed()

    def retrain(self, folder: Path) -> None:
        """Set up the training of the model in use on what is corrected of a folder's cases."""
        self._is_own_folder = True
        self.source.value = FROM_MODEL
        self.models.choose(model_in_use(workspace_for(folder)))
        with QSignalBlocker(self.corrections):
            self.corrections.setChecked(True)
        self.open_folder(folder)

    def refresh(self) -> None:
        """Look again at what may have changed while another page was shown."""
        self.follow_cases()
        if not self._is_own_name and self.folder:
            self._suggest_output()
        self.models.refresh()
        self._changed()

    def say(self, words: str) -> None:
        """Say what went wrong, above the button."""
        self.cost_line.setText(words)
        self.cost_line.show()

    def close_tasks(self) -> None:
        """Stop all work."""
        self._split_later.cancel()
        self._measure_later.cancel()
        self._tasks.close()

    def _connect(self) -> None:
        self.folder_button.clicked.connect(lambda: self._choose_folder())
        self.place_button.clicked.connect(lambda: self._choose_place())
        self.run_button.clicked.connect(lambda: self._choose_run())
        self.start_button.clicked.connect(lambda: self._start())
        self.copy_button.clicked.connect(lambda: self._copy_command())
        self.source.changed.connect(self._source_chosen)
        self.corrections.toggled.connect(lambda _: self._count_again())
        self.name.textEdited.connect(self._name_edited)
        for form in (self.short, self.advanced, self.network, self.length):
            form.changed.connect(self._changed)
        self.aim.changed.connect(self._aim_chosen)
        self.advanced["seed"].changed.connect(lambda _: self._split_later())
        self.share.valueChanged.connect(lambda _: self._split_later())
        self.augmentation.changed.connect(self._changed)
        self.augmentation.sheet_wanted.connect(self._draw_sheet)

    # data

    @property
    def _corrections(self) -> Workspace | None:
        """Whose corrections are to be learned from."""
        return self.workspace if self.corrections.isChecked() else None

    def _ledger_time(self) -> int:
        """When a correction of this folder's cases was last written down; 0 if there is none."""
        ledger = workspace_for(self.folder).ledger if self.folder else None
        return ledger.stat().st_mtime_ns if ledger and ledger.is_dir() else 0

    def _count_again(self) -> None:
        if self.folder:
            self.open_folder(self.folder)

    def _show_corrections(self) -> None:
        parent = self.models.info if self.parent_model else None
        words = describe_corrections(self.data, self.split, parent) if self.data and self._corrections else ""
        self.corrections.setVisible(self.workspace is not None)
        self.corrections_line.setText(words)
        self.corrections_line.setVisible(bool(words))

    def _show_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.bar.setFormat("%v of %m cases" if progress.stage == "counting slices" else "Looking for cases…")

    def _counted(self, data: TrainingData) -> None:
        self.data = data
        self._split_now()

    def _not_counted(self, error: Exception) -> None:
        self._why_no_data = as_sentence(error)
        self._changed()

    def _split_now(self) -> None:
        data, seed, share = self.data, int(self.advanced["seed"].value), self.share.value() / 100
        parent = self.models.info if self.parent_model else None
        self.split, self._why_no_split = None, ""
        if data is None or data.why_not:
            self.split_view.show_split(self.data, self.split)
            self._changed()
            return
        self._tasks.begin(
            "split",
            lambda _: split_data(data, share, seed, parent),
            lambda _: self._changed(),
            returned=self._was_split,
            failed=self._not_split,
        )
        self._changed()

    def _was_split(self, split: Split) -> None:
        self.split = split
        self.split_view.show_split(self.data, self.split)

    def _not_split(self, error: Exception) -> None:
        self._why_no_split = str(error)
        self.split_view.show_split(self.data, self.split)

    # what the controls do

    def _source_chosen(self, _: Any = None) -> None:
        self.show_source()
        self._model_chosen()

    def _model_chosen(self) -> None:
        self._changed()
        self._split_later()

    def _aim_chosen(self, name: str) -> None:
        with self.advanced.changed.blocked():
            for field, value in AIMS.get(name, {}).items():
                self.advanced[field].value = value
        self._changed()

    def _config(self) -> TrainConfig:
        return read_form(self.advanced, read_form(self.short, TrainConfig()))

    def _model_failed(self, error: Exception) -> None:
        self.say(as_sentence(error))
        show_error(as_sentence(error))

    def _changed(self, _: Any = None) -> None:
        """Say and allow what the form now means."""
        why = self.why_not_start()
        with self.aim.changed.blocked():
            self.aim.value = self._config().aim or OWN
        self.place_line.setText(f"in {self.models_folder}" if self.models_folder else "")
        self._show_corrections()
        allow(self.start_button, why, START_TOOLTIP)
        allow(self.copy_button, why, COMMAND_TOOLTIP)
        drawing = "The sheet is being drawn." if "sheet" in self._tasks else ""
        no_cases = "" if self.data and self.data.cases else "There is no case to draw yet."
        allow(self.augmentation.sheet_button, drawing or no_cases, SHEET_TOOLTIP)
        if why:
            self._tasks.drop("measure")
            self._measured = self.cost = None
            self.say(why)
        else:
            self._show_cost()

    # what it will take

    def _show_cost(self) -> None:
        request = self.request()
        if self._measured != _measurable(request):
            self._tasks.drop("measure")
            self.cost = None
            self._measure_later()
        if self.cost:
            try:
                self.say(self.cost.words(request))
            except ValueError as error:
                self.say(as_sentence(error))
                allow(self.start_button, as_sentence(error), START_TOOLTIP)
        elif self._measured != _measurable(request) or "measure" in self._tasks:
            self.say("Measuring how long it will take…")

    def _measure(self) -> None:
        """Measure in a process of its own, if somebody looks."""
        if self.visibleRegion().isEmpty() or self.why_not_start():
            return
        request = self._measured = _measurable(self.request())
        self._tasks.begin(
            "measure",
            lambda task: measure_cost(request, task),
            lambda _: None,
            returned=self._was_measured,
            failed=lambda error: self.say(as_sentence(f"How long it will take is not known: {error}")),
        )

    def _was_measured(self, cost: TrainingCost) -> None:
        self.cost = cost
        self._changed()

    # folders and buttons

    def _suggest_output(self) -> None:
        assert self.folder
        output = next_run(self._corrections) if self._corrections else default_output(self.folder, date.today())
        self.models_folder = output.parent
        self.name.setText(output.name)
        self._is_own_name = False

    def _name_edited(self, _: str) -> None:
        self._is_own_name = True
        self._changed()

    def _choose_folder(self) -> None:
        start = str(self.folder or self._settings.value(CASES_FOLDER, ""))
        if folder := QFileDialog.getExistingDirectory(self, "Choose a folder of patients", start):
            self._is_own_folder = True
            self.open_folder(Path(folder))

    def _choose_place(self) -> None:
        start = str(self.models_folder or "")
        if folder := QFileDialog.getExistingDirectory(self, "Choose where the new model's folder goes", start):
            self.models_folder, self._is_own_name = Path(folder), True
            self._changed()

    def _choose_run(self) -> None:
        start = str(self.models_folder or "")
        if folder := QFileDialog.getExistingDirectory(self, "Open the folder of a run", start):
            self.run_chosen.emit(Path(folder))

    def _start(self) -> None:
        why = self.why_not_start()  # the disk may have changed since
        if why:
            self._changed()
        else:
            self.start_wanted.emit(self.request())

    def _draw_sheet(self) -> None:
        data, folder = self.data, self.folder
        assert data
        assert folder
        try:
            request = self.request()
        except ValueError as error:
            self.say(as_sentence(error))
            return
        model = self.models.info.model if self.models.info and request.parent else request.model
        cases = [item.case for item in data.cases if item.tumour_slices]
        config = request.config
        self._tasks.begin(
            "sheet",
            lambda _: draw_sheet(cases, config.augmentation, model, config.window),
            lambda _: self._changed(),
            returned=lambda picture: show_sheet(self.window(), folder, picture),
            failed=lambda error: show_error(as_sentence(error)),
        )
        self._changed()

    def _copy_command(self) -> None:
        command = command_line(self.request().arguments())
        copy_text(command)
        show_info(f"Copied: {command}")


def _measurable(request: TrainingRequest) -> TrainingRequest:
    """What a measurement depends on: neither the name nor how long it is to take."""
    config = request.config.changed({"epochs": 10})
    return replace(request, output=request.folder / "nowhere", config=config, minutes=None)


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    fields = AugmentationConfig.model_fields | ModelConfig.model_fields | TrainConfig.model_fields
    title = fields[str(first["loc"][0])].title
    return f"{title} is {first['input']}: {first['msg'].removeprefix('Value error, ')}"
