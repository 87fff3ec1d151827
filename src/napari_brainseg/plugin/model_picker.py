"""Which model is to be used: the shipped one, those used lately, or a folder to be chosen."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QFileDialog, QLabel

from ..core.model_folders import DEFAULT_MODEL, ModelInfo, read_model_info, shipped_models
from ..core.words import counted
from .image_picker import offer
from .preferences import preferences

_CHOOSE = "Choose a model folder..."
_KEY = "models"
_COUNT = 5


class ModelPicker:
    """Offers models in a box, and says how good the chosen one is.

    Parameters
    ----------
    box : ComboBox
        Offers the models.
    line : QLabel
        Says what is known of the chosen one.
    on_change : callable
        Called when a model was chosen.
    on_error : callable
        Called with the error where a folder holds none; the former model stays.
    """

    def __init__(
        self,
        box: ComboBox,
        line: QLabel,
        on_change: Callable[[], object],
        on_error: Callable[[Exception], object],
    ) -> None:
        self.name = DEFAULT_MODEL
        """The chosen shipped model or model folder."""
        self.is_by_hand = False
        """Whether a person has chosen it, so that the model in use of another data set does not replace it."""
        self.info: ModelInfo | None = None
        """What was last read of it."""
        self._box, self._line = box, line
        self._on_change, self._on_error = on_change, on_error
        self._settings = preferences()
        box.changed.connect(self._chosen)

    def choose(self, name: str, *, by_hand: bool = False) -> None:
        """Use a shipped model or a model folder from now on; `by_hand` says that a person has chosen it."""
        try:
            self.info = read_model_info(name)
        except (OSError, ValueError) as error:
            self._on_error(error)
        else:
            self.name, self.is_by_hand = name, by_hand
            self._line.setText(_describe(self.info))
            if name not in shipped_models():
                others = [folder for folder in self._recent() if folder != name]
                self._settings.setValue(_KEY, [name, *others][:_COUNT])
            self._on_change()
        self.refresh()

    def read_info(self) -> ModelInfo:
        """Read again what is known of the model: it may have been trained further.

        Raises
        ------
        OSError, ValueError
            If it is not there any more, or damaged.
        """
        self.info = read_model_info(self.name)
        return self.info

    def refresh(self) -> None:
        """Offer what is there now."""
        shipped, folders = shipped_models(), self._recent()
        if self.name not in (*shipped, *folders):
            folders = [self.name, *folders]
        choices = [*((f"{name} (shipped)", name) for name in shipped), *_labelled(folders), (_CHOOSE, _CHOOSE)]
        offer(self._box, choices, self.name)

    def _recent(self) -> list[str]:
        """Folders of the models used lately that are still there, the latest first."""
        remembered = self._settings.value(_KEY) or []
        names = [remembered] if isinstance(remembered, str) else remembered  # a list of one is read back as its item
        return [name for name in names if Path(name).is_dir()]

    def _chosen(self, name: str) -> None:
        if name == _CHOOSE:
            name = QFileDialog.getExistingDirectory(self._box.native, "Choose a model folder")
        if name:
            self.choose(name, by_hand=True)
        else:
            self.refresh()


def _labelled(folders: list[str]) -> list[tuple[str, str]]:
    """What the box shows for folders, and what it means; namesakes are told apart."""
    times = Counter(Path(folder).name for folder in folders)
    return [
        (
            Path(folder).name if times[Path(folder).name] == 1 else f"{Path(folder).name} in {Path(folder).parent}",
            folder,
        )
        for folder in folders
    ]


def _describe(info: ModelInfo) -> str:
    """One line on how good a model is and when it was made."""
    if info.validation_dice:
        count = len(info.validation_dice)
        score = f"Dice {info.mean_dice:.2f} per volume on {counted(count, 'validation case')}"
    elif info.recipe_dice:  # all cases were trained on, so models of the same recipe speak for it
        mean = fmean(info.recipe_dice.values())
        score = f"Dice {mean:.2f} per volume on {len(info.recipe_dice)} unseen cases, for the same recipe"
    else:
        score = "not validated"
    return f"{score}; trained {info.provenance.created[:10]}"
