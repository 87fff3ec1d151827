"""How training images are varied: a preset or settings of one's own, and a sheet that shows what they do."""

import io
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QDialog, QFormLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from ..core.cases import Case
from ..core.config import AUGMENTATIONS, AugmentationConfig, ModelConfig, TrainConfig
from .buttons import make_button
from .columns import folded, stack
from .form import read_form, settings_form, show_settings

_WIDTH = 1200

OWN = "of your own"
SHEET_TOOLTIP = "Draw a slice of the data as it is, and eleven times as the network would get it."


class TrainAugmentation(QWidget):
    """A box of presets, and all settings folded away below it."""

    changed = Signal()
    sheet_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        default = TrainConfig().augmentation
        self.preset = ComboBox(
            choices=(*AUGMENTATIONS, OWN),
            value=default.preset or OWN,
            tooltip="How strongly training images are varied; light is what published notebooks do.",
        )
        self.form = settings_form(AugmentationConfig, *AugmentationConfig.model_fields, value=default)
        self.sheet_button = make_button("Show augmented slices", self.sheet_wanted.emit, SHEET_TOOLTIP)
        row = QWidget()
        rows = QFormLayout(row)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow(str(TrainConfig.model_fields["augmentation"].title), self.preset.native)
        stack(self, row, folded("Augmentation settings", self.form.native), self.sheet_button)
        self.preset.changed.connect(self._preset_chosen)
        self.form.changed.connect(self._form_changed)

    def config(self) -> AugmentationConfig:
        """Return the settings as they are shown.

        Raises
        ------
        ValueError
            If one is out of bounds.
        """
        return read_form(self.form, AugmentationConfig())

    def _preset_chosen(self, name: str) -> None:
        if name != OWN:
            show_settings(self.form, AugmentationConfig.model_validate(name))

    def _form_changed(self, _: Any = None) -> None:
        try:
            name = self.config().preset or OWN
        except ValueError:
            name = OWN
        with self.preset.changed.blocked():
            self.preset.value = name
        self.changed.emit()


def draw_sheet(cases: list[Case], config: AugmentationConfig, model: ModelConfig, window: int) -> bytes:
    """Sheet of the first case with tumour as PNG; it loads torch, so for a thread.

    Raises
    ------
    OSError, ValueError
        If no case has tumour, or one is damaged.
    """
    from ..core.augmentation_sheets import draw_augmentation, read_with_tumour
    from ..core.montages import save_png

    volume, mask = read_with_tumour(cases)
    picture = io.BytesIO()
    save_png(draw_augmentation(volume, mask, config, model, window=window), picture)
    return picture.getvalue()


def show_sheet(parent: QWidget | None, folder: Path, picture: bytes) -> QDialog:
    """Show a sheet in a window of its own, which holds nothing up."""
    pixmap = QPixmap()
    pixmap.loadFromData(picture)
    pixmap = pixmap.scaledToWidth(min(pixmap.width(), _WIDTH), Qt.TransformationMode.SmoothTransformation)
    label = QLabel()
    label.setPixmap(pixmap)
    area = QScrollArea()
    area.setWidget(label)
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(f"Augmented slices of {folder.name}")
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(area)
    dialog.resize(pixmap.width() + 4, min(pixmap.height() + 4, 760))
    dialog.show()
    return dialog
