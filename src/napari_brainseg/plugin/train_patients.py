"""The patients to train on: a folder, what is corrected of it, and who trains and who validates."""

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QProgressBar, QWidget

from ..core.model_folders import ModelInfo
from ..core.progress import Progress
from ..core.workspaces import Workspace
from .buttons import make_button, side_by_side
from .columns import stack, text_line
from .preferences import CASES_FOLDER, preferences
from .sentences import as_sentence
from .task import Tasks
from .train_data import Split, TrainingData, describe_corrections, read_training_data, split_data
from .train_split import TrainSplit
from .workspace_choice import workspace_for

VALIDATE_ON = "Validate on"
"""What the control is called that says how many of them validate."""


class TrainPatients(QWidget):
    """Counts the cases of a folder and splits them, without holding up the window."""

    opened = Signal(bool)
    """A folder is looked into; whether it is another one than before."""
    counted = Signal()
    """The cases can be split."""
    changed = Signal()
    """More is known of the cases than before, or less."""

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self.data: TrainingData | None = None
        """What the folder holds, once it is counted."""
        self.split: Split | None = None
        self.workspace: Workspace | None = None
        """Where the folder's cases are corrected; None as long as nobody has corrected any."""
        self.why_not = "Choose a folder of patients with manual masks, or open one in the Cases tab."
        """Why they cannot be trained on, as a sentence; empty if they can."""
        self._parent_model: ModelInfo | None = None
        self._counted_at = 0
        self._is_own_folder = False
        self._settings = preferences()
        self._tasks = Tasks(self)
        self.folder_label = text_line("The data folder.")
        self.folder_button = make_button("Choose…", self._choose, "Choose a folder of patients with manual masks.")
        self.use_corrections = QCheckBox("Learn from corrections")
        self.use_corrections.setToolTip("What was corrected in the Review tab wins over the masks in the folder.")
        self.use_corrections.setChecked(True)
        self.use_corrections.toggled.connect(lambda _: self._count_again())
        self.corrections_line = text_line("What is corrected, and what keeps the model from forgetting.")
        self.bar = QProgressBar()
        self.bar.setToolTip("Cases whose slices have been counted.")
        self.bar.hide()
        self.split_view = TrainSplit()
        stack(
            self,
            side_by_side(self.folder_label, self.folder_button, stretch=(1, 0)),
            self.use_corrections,
            self.corrections_line,
            self.bar,
            self.split_view,
        )
        self._tell()

    @property
    def is_busy(self) -> bool:
        """Whether the cases are being counted or split."""
        return bool(self._tasks)

    @property
    def corrections(self) -> Workspace | None:
        """Whose corrections are to be learned from."""
        return self.workspace if self.use_corrections.isChecked() else None

    def follow_cases(self) -> None:
        """Take the folder that the Cases tab lists, unless a person chose another one here."""
        folder = self._settings.value(CASES_FOLDER, "")
        if folder and not self._is_own_folder and Path(folder) != self.folder and Path(folder).exists():
            self.open_folder(Path(folder))
        elif self.folder and self._ledger_time() != self._counted_at:
            self._count_again()

    def retrain(self, folder: Path) -> None:
        """Take a folder with what is corrected of it."""
        with QSignalBlocker(self.use_corrections):
            self.use_corrections.setChecked(True)
        self._is_own_folder = True
        self.open_folder(folder)

    def open_folder(self, folder: Path) -> None:
        """Count the cases of a folder."""
        is_new = folder != self.folder
        self.folder, self.data, self.split = folder, None, None
        workspace = workspace_for(folder)
        self.workspace = workspace if workspace.ledger.is_dir() else None
        corrections, self._counted_at = self.corrections, self._ledger_time()
        self.why_not = "The cases are being counted."
        self.folder_label.setText(folder.name)
        self.folder_label.setToolTip(str(folder))
        self._tasks.drop("split")
        self.opened.emit(is_new)
        self.split_view.show_split(None, None)
        self.bar.setRange(0, 0)
        self.bar.show()
        self._tasks.begin(
            "count",
            lambda task: read_training_data(folder, corrections, task.report),
            lambda _: self.bar.hide(),
            progressed=self._show_progress,
            returned=self._counted,
            failed=self._refuse,
        )
        self._tell()

    def split_by(self, share: float, seed: int, parent: ModelInfo | None) -> None:
        """Split the cases, once they are counted, as `split_data` says."""
        data, self._parent_model = self.data, parent
        if data is None:
            return
        self.split, self.why_not = None, data.why_not or "The cases are being split."
        if data.why_not:
            self.split_view.show_split(data, None)
        else:
            self._tasks.begin(
                "split",
                lambda _: split_data(data, share, seed, parent),
                lambda _: None,
                returned=self._was_split,
                failed=self._cannot_split,
            )
        self._tell()

    def close_tasks(self) -> None:
        """Stop all work."""
        self._tasks.close()

    def _choose(self) -> None:
        start = str(self.folder or self._settings.value(CASES_FOLDER, ""))
        if folder := QFileDialog.getExistingDirectory(self, "Choose a folder of patients", start):
            self._is_own_folder = True
            self.open_folder(Path(folder))

    def _ledger_time(self) -> int:
        """When a correction of this folder's cases was last written down; 0 if there is none."""
        ledger = workspace_for(self.folder).ledger if self.folder else None
        return ledger.stat().st_mtime_ns if ledger and ledger.is_dir() else 0

    def _count_again(self) -> None:
        if self.folder:
            self.open_folder(self.folder)

    def _show_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.bar.setFormat("%v of %m cases" if progress.stage == "counting slices" else "Looking for cases…")

    def _counted(self, data: TrainingData) -> None:
        self.data = data
        self.counted.emit()

    def _was_split(self, split: Split) -> None:
        self.split, self.why_not = split, ""
        self.split_view.show_split(self.data, split)
        self._tell()

    def _refuse(self, error: Exception, advice: str = "") -> None:
        self.why_not = f"{as_sentence(error)} {advice}".rstrip()
        self.split_view.show_split(self.data, None)
        self._tell()

    def _cannot_split(self, error: Exception) -> None:
        self._refuse(error, f"“{VALIDATE_ON}” at 0 % trains on all of them.")

    def _tell(self) -> None:
        words = ""
        if self.data and self.corrections:
            words = describe_corrections(self.data, self.split, self._parent_model)
        self.use_corrections.setVisible(self.workspace is not None)
        self.corrections_line.setText(words)
        self.corrections_line.setVisible(bool(words))
        self.changed.emit()
