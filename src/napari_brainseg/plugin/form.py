"""Forms made from the fields of the settings, so that each is defined once."""

from typing import Any, TypeVar, get_origin

from magicgui.widgets import Container, create_widget
from pydantic.fields import FieldInfo

from ..core.config import Settings

_Settings = TypeVar("_Settings", bound=Settings)

_BOUNDS = {"ge": "min", "gt": "min", "le": "max", "lt": "max"}


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
    shown = value or group()
    controls = [_control(name, group.model_fields[name], getattr(shown, name)) for name in names]
    form: Container[Any] = Container(widgets=controls, labels=True)
    form.margins = (0, 0, 0, 0)
    return form


def read_form(form: "Container[Any]", base: _Settings) -> _Settings:
    """Settings as the form shows them; fields without a control come from `base`."""
    return base.changed(form.asdict())


def _control(name: str, field: FieldInfo, value: object) -> Any:
    options: dict[str, Any] = {"tooltip": field.description}
    for constraint in field.metadata:
        for bound, option in _BOUNDS.items():
            if (limit := getattr(constraint, bound, None)) is not None:
                options[option] = limit
    if get_origin(field.annotation) is None and field.annotation is float:
        options["step"] = 0.05
    if field.annotation is int:
        options.setdefault("max", 1_000_000)
    return create_widget(value=value, annotation=field.annotation, name=name, label=field.title, options=options)
