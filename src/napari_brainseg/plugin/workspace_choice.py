"""Where corrections are kept: beside the data unless a person wants them elsewhere."""

from glob import escape
from pathlib import Path
from urllib.parse import quote

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QWidget

from ..core.cases import find_cases
from ..core.volumes import Volume
from ..core.workspaces import Workspace, check_workspace, default_workspace
from .buttons import allow, make_button, side_by_side
from .columns import stack, text_line
from .preferences import CASES_FOLDER, preferences

_KEY = "review/workspace"
_TOOLTIP = "Choose another folder for corrections; it is remembered for this data set."


class WorkspaceChoice(QWidget):
    """Says where the corrections of a case go, and lets a person choose another folder, once for each data set."""

    changed = Signal()
    """Another workspace was chosen."""
    failed = Signal(object)
    """Why a folder cannot be chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.workspace: Workspace | None = None
        """None where a person has to choose first."""
        self._volume: Volume | None = None
        self._settings = preferences()
        self.line = text_line("Where corrected masks, and what was done with each slice, are kept.")
        self.line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.button = make_button("Choose...", self._ask, _TOOLTIP)
        stack(self, side_by_side(self.line, self.button, stretch=(1, 0)))

    def show_volume(self, volume: Volume | None) -> None:
        """Find the workspace for a case."""
        self._volume = volume
        data = self.data_folder
        self.workspace = workspace_for(data) if data else None
        self._say()

    def take_over(self, workspace: Workspace) -> None:
        """Keep corrections where those of this case are kept already, which is no choice for the data set."""
        self.workspace = workspace
        self._say()

    def choose(self, folder: Path | str) -> None:
        """Keep corrections in this folder from now on.

        Raises
        ------
        OSError, ValueError
            If it lies in the data.
        """
        folder = Path(folder).absolute()
        if self._volume is not None and self._volume.source:
            check_workspace(folder, find_cases(self._volume.source))
        if data := self.data_folder:
            self._settings.setValue(_key(data), str(folder))
        self.take_over(Workspace(folder))
        self.changed.emit()

    def allow(self, why_not: str | None) -> None:
        """Let a person choose, or say why not."""
        allow(self.button, why_not, _TOOLTIP)

    @property
    def data_folder(self) -> Path | None:
        """See `data_folder_of`."""
        return data_folder_of(self._volume)

    def _say(self) -> None:
        if self.workspace:
            self.line.setText(f"Kept in {self.workspace.folder.name}")
            self.line.setToolTip(f"Corrected masks, and what was done with each slice: {self.workspace.folder}")
        elif self._volume is not None:
            self.line.setText("These images come from no file: choose where corrections are kept.")
        else:
            self.line.clear()

    def _ask(self) -> None:
        start = str(self.workspace.folder.parent if self.workspace else Path.home())
        if folder := QFileDialog.getExistingDirectory(self, "Choose where corrections are kept", start):
            try:
                self.choose(folder)
            except (OSError, ValueError) as error:
                self.failed.emit(error)


def data_folder_of(volume: Volume | None) -> Path | None:
    """The data set that a case belongs to; None if it is no file.

    That is what the Cases tab lists, or the folder that the case lies in; but where there is a workspace for another
    folder around the case, and none for that one, or none that knows the case, it is the other folder: corrections are
    found again whichever of the folders is listed.
    """
    if volume is None or volume.source is None:
        return None
    source, listed, name = volume.source.absolute(), str(preferences().value(CASES_FOLDER, "")), volume.name
    folder = Path(listed).absolute() if listed else source.parent
    usual = folder if folder in source.parents else source.parent
    if _chosen(usual):
        return usual
    found = [data for data in source.parents[:-1] if _has_workspace(data) and (data == usual or _is_one(source, data))]
    return min(
        found, key=lambda data: (not workspace_for(data).ledger_file(name).is_file(), data != usual), default=usual
    )


def _is_one(source: Path, data: Path) -> bool:
    """Whether no other case of the same name lies as deep in a data set: its corrections would be taken for these."""
    depth = len(source.relative_to(data).parts)
    return len(list(data.glob("*/" * (depth - 1) + escape(source.name)))) == 1


def _has_workspace(data: Path) -> bool:
    return bool(_chosen(data)) or default_workspace(data).is_there


def workspace_for(data: Path) -> Workspace:
    """The workspace that a person has chosen for a data set, else the one beside it."""
    chosen = _chosen(data)
    return Workspace(Path(chosen)) if chosen else default_workspace(data)


def _chosen(data: Path) -> str:
    return str(preferences().value(_key(data), ""))


def _key(data: Path) -> str:
    return f"{_KEY}/{quote(str(data), safe='')}"
