"""What every group of settings is made of."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the range {limits} has its ends the wrong way round")
    return limits


Range = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(_ascending)]
PositiveRange = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ascending)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """A frozen group of settings that refuses names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return the same settings with some fields changed, all of them checked.

        Raises
        ------
        ValueError
            If a name is unknown or a value is out of bounds.
        """
        return self.model_validate(self.model_dump() | dict(changes))
