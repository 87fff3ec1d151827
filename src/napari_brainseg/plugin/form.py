"""Forms made from the fields of the settings, so that each is defined once."""

from decimal import Decimal
from typing import Any, TypeVar, get_args

from magicgui.widgets import Container, LiteralEvalLineEdit, TupleEdit, create_widget
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QAbstractSpinBox, QLabel, QWidget

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
    form: Container[Any] = Container(labels=True)
    form.extend(controls)  # given to the constructor, their labels would not be made equally wide
    form.margins = (0, 0, 0, 0)
    show_settings(form, value or group())
    _EvenLabels(form.native)
    return form


def show_settings(form: "Container[Any]", settings: Settings) -> None:
    """Show these settings, exactly, in a form made for their group; it tells of the change once."""
    with form.changed.blocked():
        for control in form:
            value = getattr(settings, control.name)
            if isinstance(value, float):
                control.native.setDecimals(max(control.native.decimals(), _digits(value)))
            control.value = value
    form.changed.emit(form)


def read_form(form: "Container[Any]", base: _Settings) -> _Settings:
    """Settings as the form shows them; fields without a control come from `base`."""
    return base.changed(form.asdict())


class _EvenLabels(QObject):
    """Makes labels equally wide in the font that they are shown in, which is not the one they were made with."""

    def __init__(self, form: QWidget) -> None:
        super().__init__(form)
        self._labels = form.findChildren(QLabel)
        form.installEventFilter(self)

    def eventFilter(self, _: QObject, event: QEvent) -> bool:
        """Look at the labels when they come into view or change their font."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.StyleChange, QEvent.Type.FontChange):
            for label in self._labels:
                label.ensurePolished()
            widest = max((label.sizeHint().width() for label in self._labels), default=0)
            for label in self._labels:
                label.setMinimumWidth(widest)
        return False


def _control(name: str, field: FieldInfo) -> Any:
    options: dict[str, Any] = {"tooltip": field.description}
    if field.annotation is int:
        options["max"] = _BIGGEST
    for constraint in field.metadata:
        for bound, option in _BOUNDS.items():
            if (limit := getattr(constraint, bound, None)) is not None:
                options[option] = limit
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
    digits = _digits(field.default)
    is_coarse = digits <= 2
    decimals = 2 if is_coarse else digits + 2
    control.native.setDecimals(decimals)
    control.step = 0.05 if is_coarse else 10.0**-digits
    for constraint in field.metadata:
        if getattr(constraint, "gt", None) is not None:
            control.min = constraint.gt + 10.0**-decimals
        if getattr(constraint, "lt", None) is not None:
            control.max = constraint.lt - 10.0**-decimals


def _digits(value: float) -> int:
    """How many digits behind the point it takes to write a number."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
