"""What every group of settings is made of, and how a file of them is read that tells its version."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, ValidationError

from .words import printable


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the range {limits} has its ends the wrong way round")
    return limits


Range = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(_ascending)]
PositiveRange = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ascending)]
Probability = Annotated[float, Field(ge=0, le=1)]

MOST_SEED = 2**32 - 1
"""The largest that every generator of random numbers takes."""

Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Threads = Annotated[int, Field(ge=0, le=512)]
"""Far more end the process."""

Shown = Annotated[str, AfterValidator(printable)]
"""Words that may hold the path of a file, whatever its name is made of."""


class Settings(BaseModel):
    """A frozen group of settings that refuses names it does not know, and numbers that are none or infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return the same settings with some fields changed, all of them checked.

        Raises
        ------
        ValueError
            If a name is unknown or a value is out of bounds.
        """
        return self.model_validate(self.model_dump() | dict(changes))


_Content = TypeVar("_Content", bound=Settings)


def read_versioned(path: Path, kind: type[_Content], what: str) -> _Content:
    """Content of a JSON file that says its ``schema_version``: up to the one that `kind` has.

    Parameters
    ----------
    path : Path
        The file.
    kind : type
        What it holds.
    what : str
        The same in words, such as "the ledger of a case".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or was written by a newer version.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: it is not {what}") from error
    newest = kind.model_fields["schema_version"].default
    if not isinstance(version, int) or version > newest:  # first, since what is new in it is unknown here
        raise ValueError(
            f"{path} has schema version {version}, but up to {newest} can be read here: update napari-brainseg"
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is damaged: {where}: {first['msg']}") from error
