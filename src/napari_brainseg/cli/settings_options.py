"""Command-line flags made from the fields of the settings, so that each is defined once."""

import functools
import inspect
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..core.settings import Settings

Command = Callable[..., None]
_Group = TypeVar("_Group", bound=Settings)


def settings_options(
    changes: type[Settings] | None = None, typed: Sequence[type[Settings]] = (), without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Return a decorator that replaces a command's parameters that are groups of settings by one flag per field.

    Groups inside a group get no flags. Two groups that share a field share its flag.

    Parameters
    ----------
    changes : type of Settings, optional
        One more group, whose flags have no defaults: the command gets those that were given as a dictionary in its
        parameter ``changes``.
    typed : sequence of type of Settings
        More groups, whose settings a file or a model may give as well: the command, which must take the context as
        ``call``, gets those that were typed as a dictionary in its parameter ``typed``.
    without : collection of str
        Fields that change nothing for this command: they get no flags.
    """

    def decorate(command: Command) -> Command:
        hints = typing.get_type_hints(command, include_extras=True)
        groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Settings)}
        fields = _flat_fields(*groups.values(), *typed)
        options = {name: field for name, field in fields.items() if name not in without}
        optional = _flat_fields(changes) if changes else {}
        handled = {*groups, *(["changes"] if changes else []), *(["typed"] if typed else [])}
        plain = [item for name, item in inspect.signature(command).parameters.items() if name not in handled]

        @functools.wraps(command)
        def with_flags(**values: Any) -> None:
            given = {name: values.pop(name) for name in options}
            if typed:
                values["typed"] = {name: value for name, value in given.items() if is_typed(values["call"], name)}
            for name, group in groups.items():
                values[name] = checked(group, {field: given[field] for field in group.model_fields if field in given})
            if changes:
                chosen = {name: value for name in optional if (value := values.pop(name)) is not None}
                checked(changes, chosen)
                values["changes"] = chosen
            command(**values)

        parameters = [item.replace(annotation=hints[item.name]) for item in plain]
        parameters += [_option(name, field) for name, field in options.items()]
        parameters += [_option(name, field, optional=True) for name, field in optional.items()]
        with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_flags.__annotations__ = {item.name: item.annotation for item in parameters} | {"return": None}
        del with_flags.__wrapped__
        return with_flags

    return decorate


def _flat_fields(*groups: type[Settings]) -> dict[str, FieldInfo]:
    fields = {name: field for group in groups for name, field in group.model_fields.items()}
    return {name: field for name, field in fields.items() if not _is_group(field)}


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def is_typed(call: typer.Context, name: str) -> bool:
    """Whether somebody typed a flag, be it with the value that it has anyway."""
    source = call.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def checked(group: type[_Group], values: Mapping[str, Any]) -> _Group:
    """Make a group of settings; a value out of bounds is a usage error that names its flag."""
    try:
        return group.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        flag = str(first["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"--{flag} is {first['input']}: {first['msg']}") from error


def _option(name: str, field: FieldInfo, *, optional: bool = False) -> inspect.Parameter:
    kind: Any = field.annotation
    default = field.default
    is_range = False
    if typing.get_origin(kind) is tuple:
        is_range = typing.get_args(kind)[-1] is not Ellipsis
        kind, default = (tuple[float, float], default) if is_range else (list[int], list(default))
    if optional:
        kind, default = kind | None, None
    # what typer would show of two numbers looks like one word with a comma
    annotation = Annotated[kind, typer.Option(help=field.description, metavar="FROM TO" if is_range else None)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
