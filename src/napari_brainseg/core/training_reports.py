"""What came of a training as one page of HTML: curves, every validation case, settings, and where the model is from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .colours import AGREE, MANUAL, PREDICTION
from .dot_plots import plot_dice
from .durations import in_words
from .evaluation import POOR_DICE
from .files import write_text
from .line_plots import LinePlot, plot_lines
from .masks import Mask
from .model_folders import ModelInfo
from .montages import MontageRow, montage_png
from .report_pages import picture_data, render_page
from .runs import REPORT_FILE, EpochRow, read_history
from .settings import Settings
from .splits import worth_of
from .volumes import Volume, shown_flair

MOST_PICTURES = 8

_TRAINING, _VALIDATION = "training", "validation"
_COLOURS = {_TRAINING: MANUAL, _VALIDATION: PREDICTION, "Dice": PREDICTION, "IoU": AGREE, "learning rate": MANUAL}


@dataclass(frozen=True, slots=True, eq=False)
class WorstSlice:
    """The slice of a validation case with the most wrong voxels.

    Attributes
    ----------
    volume, manual : Volume, ndarray
        The case.
    index : int
        Position of the slice.
    prediction : ndarray
        The predicted mask (Y, X).
    """

    volume: Volume
    manual: Mask
    index: int
    prediction: Mask


def write_training_report(folder: Path, info: ModelInfo, worst: Mapping[str, WorstSlice]) -> None:
    """Write ``report.html`` into a run folder whose model is written."""
    rows = read_history(folder)
    dice = dict(sorted(info.validation_dice.items(), key=lambda item: item[1]))
    groups = {"this model": dice} | ({"its parent": dict(info.parent_dice)} if info.parent_dice else {})
    pictures = {name: picture_data(_picture(worst[name])) for name in list(dice)[:MOST_PICTURES] if name in worst}
    page = render_page(
        "training.html",
        info=info,
        duration=in_words(info.provenance.seconds),
        dice=dice,
        worth=worth_of(dice),
        parent_mean=_mean(info.parent_dice),
        plot=plot_dice(groups, POOR_DICE) if dice else None,
        curves=_curves(rows),
        pictures=pictures,
        settings=[*_settings(info.model), *_settings(info.training)] if info.training else _settings(info.model),
    )
    write_text(folder / REPORT_FILE, page)


def _curves(rows: Sequence[EpochRow]) -> dict[str, LinePlot]:
    def column(name: str) -> dict[int, float]:
        return {row.epoch: value for row in rows if (value := getattr(row, name)) is not None}

    figures = {
        "Loss": {_TRAINING: column("loss"), _VALIDATION: column("validation_loss")},
        "Validation": {"Dice": column("validation_dice"), "IoU": column("validation_iou")},
        "Learning rate": {"learning rate": column("learning_rate")},
    }
    return {
        title: plot_lines(lines, _COLOURS, (0, 1) if title == "Validation" else None)
        for title, lines in figures.items()
        if any(lines.values())
    }


def _picture(worst: WorstSlice) -> bytes:
    image = shown_flair(worst.volume, worst.index)
    number = worst.volume.slice_numbers[worst.index]
    return montage_png(MontageRow(f"slice {number}", image, worst.manual[worst.index], worst.prediction))


def _settings(group: Settings) -> list[tuple[str, str]]:
    """Title and value of each field; those of groups inside follow."""
    found: list[tuple[str, str]] = []
    for name, field in type(group).model_fields.items():
        value: Any = getattr(group, name)
        if isinstance(value, Settings):
            found += _settings(value)
        else:
            found.append((field.title or name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)))
    return found


def _mean(dice: Mapping[str, float]) -> float | None:
    return sum(dice.values()) / len(dice) if dice else None
