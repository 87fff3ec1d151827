"""The models a person used lately, as the model picker offers them."""

from collections import Counter
from pathlib import Path
from statistics import fmean

from qtpy.QtCore import QSettings

from ..core.model_folders import DEFAULT_MODEL, ModelInfo

_KEY = "models"
_COUNT = 5


def recent_models(settings: QSettings) -> list[str]:
    """Folders of the models used lately that are still there, the latest first."""
    remembered = settings.value(_KEY) or []
    names = [remembered] if isinstance(remembered, str) else remembered  # a list of one is read back as its item
    return [name for name in names if Path(name).is_dir()]


def remember_model(settings: QSettings, folder: str) -> None:
    """Put a model folder in front of those used lately."""
    others = [name for name in recent_models(settings) if name != folder]
    settings.setValue(_KEY, [folder, *others][:_COUNT])


def model_choices(folders: list[str]) -> list[tuple[str, str]]:
    """What the picker shows and what it means: the shipped model, and folders, told apart where they are namesakes."""
    times = Counter(Path(folder).name for folder in folders)
    labels = [
        Path(folder).name if times[Path(folder).name] == 1 else f"{Path(folder).name} in {Path(folder).parent}"
        for folder in folders
    ]
    return [(f"{DEFAULT_MODEL} (shipped)", DEFAULT_MODEL), *zip(labels, folders, strict=True)]


def describe_model(info: ModelInfo) -> str:
    """One line on how good a model is and when it was made."""
    if info.validation_dice:
        score = f"Dice {info.mean_dice:.2f} per volume on {len(info.validation_dice)} validation cases"
    elif info.recipe_dice:  # all cases were trained on, so models of the same recipe speak for it
        mean = fmean(info.recipe_dice.values())
        score = f"Dice {mean:.2f} per volume on {len(info.recipe_dice)} unseen cases, for the same recipe"
    else:
        score = "not validated"
    return f"{score}; trained {info.provenance.created[:10]}"
