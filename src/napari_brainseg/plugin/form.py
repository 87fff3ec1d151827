"""Forms made from the fields of the settings, so that each is defined once."""

from decimal import Decimal
from typing import Any, TypeVar, get_args

from magicgui.widgets import Container, LiteralEvalLineEdit, TupleEdit, create_widget
from magicgui.widgets.bases import ButtonWidget
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFormLayout, QLabel, QWidget

from ..core.settings import Settings

_Settings = TypeVar("_Settings", bound=Settings)

_BOUNDS = {"ge": "min", "gt": "min", "le": "max", "lt": "max"}
_BIGGEST = 2**31 - 1
"""The highest number that Qt can count to."""


def settings_form(group: type[Settings], *names: str, value: Settings | None = None) -> "Container[Any]":
    """Form with one control per field: title, tooltip, bounds and default come from the field.

    Parameters
    ----------
    group : type of Settings
        Whose fields.
    *names : str
        Which of them, in this order.
    value : Settings, optional
        What to show; the defaults if not given.
    """
    controls = [_control(name, group.model_fields[name]) for name in names]
    form: Container[Any] = Container(widgets=controls, labels=False)
    form.margins = (0, 0, 0, 0)
    rows = QWidget()
    put_in_rows(rows, *controls)
    form.native.layout().addWidget(rows)
    show_settings(form, value or group())
    return form


def put_in_rows(inside: QWidget, *parts: Any) -> QFormLayout:
    """Put controls beside their titles, all in line; magicgui measures the titles in another font than napari's.

    Parameters
    ----------
    inside : QWidget
        Where to.
    *parts : magicgui widget or QWidget
        Buttons, and widgets of Qt, take a whole row.
    """
    rows = QFormLayout(inside)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)  # else the narrowest column is cut off
    for part in parts:
        native: QWidget = getattr(part, "native", part)
        if native is part or isinstance(part, ButtonWidget):
            rows.addRow(native)
            continue
        if isinstance(native, QComboBox):  # long names do not widen the column
            native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            native.setMinimumContentsLength(8)
        title = QLabel(part.label)
        title.setToolTip(part.tooltip)
        rows.addRow(title, native)
    return rows


def show_settings(form: "Container[Any]", settings: Settings) -> None:
    """Show these settings, exactly, in a form made for their group; it tells of the change once."""
    with form.changed.blocked():
        for control in form:
            value = getattr(settings, control.name)
            if isinstance(value, float):
                control.native.setDecimals(max(control.native.decimals(), count_digits(value)))
            control.value = value
    form.changed.emit(form)


def read_form(form: "Container[Any]", base: _Settings) -> _Settings:
    """Settings as the form shows them; fields without a control come from `base`."""
    return base.changed(form.asdict())


def _control(name: str, field: FieldInfo) -> Any:
    options: dict[str, Any] = {"tooltip": field.description}
    if field.annotation is int:
        options["max"] = _BIGGEST
    for constraint in field.metadata:
        for bound, option in _BOUNDS.items():
            if (limit := getattr(constraint, bound, None)) is not None:
                options[option] = min(limit, _BIGGEST)
    if get_args(field.annotation)[1:] == (...,):  # as many numbers as one likes: no row of boxes, but (24, 48, 96)
        options["widget_type"] = LiteralEvalLineEdit
    control: Any = create_widget(annotation=field.annotation, name=name, label=field.title, options=options)
    if field.annotation is float:
        _set_precision(control, field)
    elif isinstance(control, TupleEdit):
        for number in control:  # two beside each other have no room for buttons
            number.native.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            number.native.setStyleSheet("min-width: 30px")  # napari asks for more
    return control


def _set_precision(control: Any, field: FieldInfo) -> None:
    """Small numbers get small steps, and a bound that is not allowed itself is kept away from."""
    digits = count_digits(field.default)
    is_coarse = digits <= 2
    decimals = 2 if is_coarse else digits + 2
    control.native.setDecimals(decimals)
    control.step = 0.05 if is_coarse else 10.0**-digits
    for constraint in field.metadata:
        if getattr(constraint, "gt", None) is not None:
            control.min = constraint.gt + 10.0**-decimals
        if getattr(constraint, "lt", None) is not None:
            control.max = constraint.lt - 10.0**-decimals


def count_digits(value: float) -> int:
    """How many digits behind the point it takes to write a number."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
