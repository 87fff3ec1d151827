"""What the Train tab shows before a run: controls and lines of text, no behaviour."""

from typing import Any

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from ..core.config import AIMS, FINE_TUNING, ModelConfig, TrainConfig
from ..core.settings import Settings
from ..core.splits import VALIDATION_SHARE
from .buttons import make_button, side_by_side
from .columns import folded, make_primary, stack, text_line
from .form import settings_form
from .train_augmentation import OWN, TrainAugmentation
from .train_cost import CostLine
from .train_length import TrainLength
from .train_patients import VALIDATE_ON, TrainPatients

START = "Start training"
FROM_MODEL, FROM_NOTHING = "A trained model", "Nothing"
START_TOOLTIP = "Train in a process of its own: napari can be used, or closed, meanwhile."
COMMAND_TOOLTIP = "Copy the command line that does the same in a terminal, here or on a server."


class TrainForm(QWidget):
    """One column of groups in the order of work, with the big button below them."""

    def __init__(self) -> None:
        super().__init__()
        self.patients = TrainPatients()
        self.source = ComboBox(
            choices=(FROM_MODEL, FROM_NOTHING),
            tooltip="Fine-tune a model that has learned already, or begin with a new network that knows nothing.",
        )
        self.model = ComboBox(tooltip="The trained model to start from; it stays as it is.", choices=())
        self.model_line = text_line("What is known of the model.")
        self.short = settings_form(TrainConfig, "epochs")
        self.epochs: Any = self.short["epochs"]
        self.length = TrainLength(self.epochs)
        self.aim = ComboBox(
            choices=(*AIMS, OWN),
            tooltip="What the training minds most: that the masks agree, that no tumour is missed, or that none is "
            "seen where there is none. The loss under Advanced is what it means.",
        )
        self.name = QLineEdit()
        self.name.setToolTip("Name of the new model's folder; nothing that exists is overwritten.")
        self.place_button = make_button("…", tooltip="Choose the folder that the new model's folder goes into.")
        self.place_button.setMaximumWidth(30)
        self.place_line = text_line("Where the new model's folder will be.")
        self.share = QSpinBox()
        self.share.setRange(0, 90)
        self.share.setValue(round(VALIDATION_SHARE * 100))
        self.share.setSuffix(" % of patients")
        self.share.setToolTip("Share of patients that only tell how good the model is; with 0 nobody does.")
        self.augmentation = TrainAugmentation()
        self.advanced = settings_form(TrainConfig, *_plain_fields(TrainConfig, "epochs"))
        self._typed: set[str] = set()
        for name in FINE_TUNING:
            self._control(name).changed.connect(lambda _, name=name: self._typed.add(name))
        self.network = settings_form(ModelConfig, *_plain_fields(ModelConfig))
        self.network_part = folded("Network", self.network.native)
        self.cost_line = CostLine()
        self.start_button = make_button(START, tooltip=START_TOOLTIP)
        make_primary(self.start_button)
        self.copy_button = make_button("Copy as command", tooltip=COMMAND_TOOLTIP)
        self.run_button = make_button(
            "Open a run…", tooltip="Look at a run that was begun before, here or in a terminal."
        )
        stack(
            self,
            _title("Data"),
            self.patients,
            _title("Model"),
            self._model_rows(),
            self.place_line,
            folded("Advanced", self.advanced.native),
            self.network_part,
            self.augmentation,
            self.cost_line,
            self.start_button,
            side_by_side(self.copy_button, self.run_button, stretch=(1, 1)),
        )

    def show_source(self) -> None:
        """Show only what has a say in what the training starts from, and what suits it where nothing was typed."""
        fine_tunes = self.source.value == FROM_MODEL
        for part in (self.model.native, self.model_line):
            self._rows.setRowVisible(part, fine_tunes)
        self.network_part.setVisible(not fine_tunes)
        default = TrainConfig.default(fine_tunes=fine_tunes)
        for name in FINE_TUNING.keys() - self._typed:
            control = self._control(name)
            with control.changed.blocked():
                control.value = getattr(default, name)

    def _control(self, name: str) -> Any:
        return next(control for form in (self.short, self.advanced) for control in form if control.name == name)

    def _model_rows(self) -> QWidget:
        rows = QWidget()
        self._rows = QFormLayout(rows)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)  # else the narrowest column is cut off
        for title, part in (
            ("Start from", self.source.native),
            ("Model", self.model.native),
            ("", self.model_line),
            ("Train for", self.length),
            ("Optimise for", self.aim.native),
            (VALIDATE_ON, self.share),
            ("New model", side_by_side(self.name, self.place_button, stretch=(1, 0))),
        ):
            if isinstance(part, QComboBox):
                part.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
                part.setMinimumContentsLength(8)
            self._rows.addRow(title, part) if title else self._rows.addRow(part)
        return rows


def _plain_fields(group: type[Settings], *without: str) -> list[str]:
    """Fields that have a control of their own; groups inside a group have none."""
    fields = group.model_fields.items()
    is_group = {
        name for name, field in fields if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    }
    return [name for name, _ in fields if name not in is_group and name not in without]


def _title(text: str) -> QLabel:
    title = QLabel(text)
    font = title.font()
    font.setBold(True)
    title.setFont(font)
    return title
