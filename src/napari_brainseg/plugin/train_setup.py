"""What the Train tab does before a run: whom to train on, what to start from, how to train, and where to."""

from datetime import date
from os.path import normpath
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_info
from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog
from superqt.utils import qdebounced

from ..core.config import AIMS, AugmentationConfig, ModelConfig, TrainConfig
from ..core.model_folders import DEFAULT_MODEL
from ..core.rounds import model_in_use, next_run
from .buttons import allow, copy_text
from .form import read_form
from .model_picker import ModelPicker
from .sentences import as_sentence
from .task import Tasks
from .train_augmentation import OWN, SHEET_TOOLTIP, draw_sheet, show_sheet
from .train_command import TrainingRequest, command_line, default_output, why_not_there
from .train_form import COMMAND_TOOLTIP, FROM_MODEL, START_TOOLTIP, TrainForm
from .workspace_choice import workspace_for


class TrainSetup(TrainForm):
    """Puts together what a person wants trained, and says why that cannot be started."""

    start_wanted = Signal(object)
    """A `TrainingRequest`."""
    run_chosen = Signal(object)
    """Folder of a run to look at."""

    def __init__(self) -> None:
        super().__init__()
        self._is_own_name = False
        self.models_folder: Path | None = None
        """Where the new model's folder goes."""
        self._tasks = Tasks(self)
        self._split_later = qdebounced(self._split_now, timeout=200, parent=self)
        self.models = ModelPicker(self.model, self.model_line, self._model_chosen, self._model_failed)
        self.models.choose(DEFAULT_MODEL)
        self._connect()
        self.show_source()
        self._changed()

    @property
    def is_busy(self) -> bool:
        """Whether the cases are being counted or split."""
        return self.patients.is_busy

    @property
    def parent_model(self) -> str | None:
        """Model to start from, None for a new network."""
        return self.models.name if self.source.value == FROM_MODEL else None

    @property
    def output(self) -> Path | None:
        """Where the new model goes."""
        name = self.name.text().strip()
        # Without dots: `models/../x` is not there, and so looks free, as long as there is no folder `models`.
        return Path(normpath(self.models_folder / name)) if self.models_folder and name else None

    def request(self) -> TrainingRequest:
        """Return what is to be trained, as the form says.

        Raises
        ------
        ValueError
            If something is missing or out of bounds; the message says what.
        """
        folder, corrections = self.patients.folder, self.patients.corrections
        if folder is None or self.output is None:
            raise ValueError(self.why_not_start())
        try:
            config = self._config().changed({"augmentation": self.augmentation.config()})
            model = read_form(self.network, ModelConfig())
        except ValidationError as error:
            raise ValueError(_first_problem(error)) from error
        share, minutes = self.share.value() / 100, self.length.minutes
        workspace = corrections.folder if corrections else None
        return TrainingRequest(folder, self.output, self.parent_model, model, config, share, minutes, workspace)

    def why_not_start(self) -> str:
        """Why a training cannot be started, as a sentence; empty if it can."""
        patients = self.patients
        if patients.why_not or patients.data is None:
            return patients.why_not
        if self.output is None:
            return "Give the new model a name."
        if why := why_not_there(self.output, [item.case for item in patients.data.cases]):
            return why
        try:
            self.request()
        except ValueError as error:
            return as_sentence(error)
        return ""

    def retrain(self, folder: Path, model: str | None = None) -> None:
        """Set up the training of a model, else of the one in use, on what is corrected of a folder's cases."""
        self.source.value = FROM_MODEL
        self.models.choose(model or model_in_use(workspace_for(folder)))
        self.patients.retrain(folder)

    def refresh(self) -> None:
        """Look again at what may have changed while another page was shown."""
        self.patients.follow_cases()
        if not self._is_own_name and self.patients.folder:
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
        self._tasks.close()
        self.patients.close_tasks()
        self.cost_line.close_tasks()

    def _connect(self) -> None:
        self.patients.opened.connect(self._folder_opened)
        self.patients.counted.connect(self._split_now)
        self.patients.changed.connect(self._changed)
        self.cost_line.measured.connect(self._changed)
        self.place_button.clicked.connect(lambda: self._choose_place())
        self.run_button.clicked.connect(lambda: self._choose_run())
        self.start_button.clicked.connect(lambda: self._start())
        self.copy_button.clicked.connect(lambda: self._copy_command())
        self.source.changed.connect(self._source_chosen)
        self.name.textEdited.connect(self._name_edited)
        for form in (self.short, self.advanced, self.network, self.length):
            form.changed.connect(self._changed)
        self.aim.changed.connect(self._aim_chosen)
        self.advanced["seed"].changed.connect(lambda _: self._split_later())
        self.share.valueChanged.connect(lambda _: self._split_later())
        self.augmentation.changed.connect(self._changed)
        self.augmentation.sheet_wanted.connect(self._draw_sheet)

    # what the controls do

    def _folder_opened(self, is_new: bool) -> None:
        self._is_own_name = self._is_own_name and not is_new
        if not self._is_own_name:
            self._suggest_output()

    def _split_now(self) -> None:
        parent = self.models.info if self.parent_model else None
        self.patients.split_by(self.share.value() / 100, int(self.advanced["seed"].value), parent)

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
        allow(self.copy_button, why, COMMAND_TOOLTIP)
        drawing = "The sheet is being drawn." if "sheet" in self._tasks else ""
        no_cases = "" if self.patients.data and self.patients.data.cases else "There is no case to draw yet."
        allow(self.augmentation.sheet_button, drawing or no_cases, SHEET_TOOLTIP)
        if why:
            self.cost_line.show_reason(why)
        else:
            why = self.cost_line.show_cost(self.request())
        allow(self.start_button, why, START_TOOLTIP)

    # folders and buttons

    def _suggest_output(self) -> None:
        folder, corrections = self.patients.folder, self.patients.corrections
        assert folder
        output = next_run(corrections) if corrections else default_output(folder, date.today())
        self.models_folder = output.parent
        self.name.setText(output.name)
        self._is_own_name = False

    def _name_edited(self, _: str) -> None:
        self._is_own_name = True
        self._changed()

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
        data, split, folder = self.patients.data, self.patients.split, self.patients.folder
        assert data
        assert folder
        try:
            request = self.request()
        except ValueError as error:
            self.say(as_sentence(error))
            return
        model = self.models.info.model if self.models.info and request.parent else request.model
        cases = [item.case for item in (split.training if split else data.cases) if item.tumour_slices]
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


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    fields = AugmentationConfig.model_fields | ModelConfig.model_fields | TrainConfig.model_fields
    title = fields[str(first["loc"][0])].title
    return f"{title} is {first['input']}: {first['msg'].removeprefix('Value error, ')}"
