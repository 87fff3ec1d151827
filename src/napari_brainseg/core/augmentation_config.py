"""How training images are varied: its settings, and the presets."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from .settings import PositiveRange, Probability, Range, Settings

AugmentationName = Literal["none", "light", "strong"]

_STILL: Mapping[str, Any] = {
    **dict.fromkeys(("rotation", "shear", "shift", "flip", "reverse", "offset", "noise", "modality_dropout"), 0.0),
    **dict.fromkeys(("scale", "gain", "gamma", "low_resolution"), (1.0, 1.0)),
    "blur": (0.0, 0.0),
}
_LIGHT: Mapping[str, Any] = {
    **_STILL,
    **dict.fromkeys(("shift", "shear"), 0.05),
    **dict.fromkeys(("flip", "flip_up_down"), 0.5),
    "rotation": 0.1,
    "scale": (0.95, 1.05),
}
AUGMENTATIONS: Mapping[AugmentationName, Mapping[str, Any]] = {"none": _STILL, "light": _LIGHT, "strong": {}}
"""What each preset sets differently from the defaults; light is what published notebooks on these images do."""


class AugmentationConfig(Settings):
    """How training images are varied; each range is drawn from uniformly, per image.

    A preset's name may stand for all settings, or under ``preset`` for those that are not given.
    """

    rotation: float = Field(30, ge=0, le=180, title="Rotation", description="Largest turn, in degrees.")
    scale: PositiveRange = Field((0.7, 1.4), title="Scale", description="Magnification.")
    shear: float = Field(0.1, ge=0, le=1, title="Shear", description="Largest shear.")
    shift: float = Field(0.1, ge=0, le=1, title="Shift", description="Largest shift, as a share of the window.")
    flip: Probability = Field(0.5, title="Flip", description="Chance of a left-right mirror image.")
    flip_up_down: Probability = Field(0.0, title="Flip up-down", description="Chance of an up-down mirror image.")
    elastic: float = Field(
        0.0,
        ge=0,
        le=0.05,
        title="Elastic deformation",
        description="Largest displacement by an elastic deformation, as a share of the window.",
    )
    reverse: Probability = Field(0.5, title="Reverse", description="Chance that the neighbour slices swap sides.")
    gain: PositiveRange = Field((0.75, 1.3), title="Contrast", description="Factor on each channel.")
    offset: float = Field(0.3, ge=0, title="Brightness", description="Largest offset of each channel, in SD.")
    bias_field: float = Field(
        0.0,
        ge=0,
        le=0.8,
        title="Bias field",
        description="Largest share by which the brightness of each channel drifts across the image.",
    )
    gamma: PositiveRange = Field((0.7, 1.5), title="Gamma", description="Exponent on each channel.")
    noise: float = Field(0.15, ge=0, title="Noise", description="Largest SD of added noise.")
    blur: Range = Field((0.5, 1.2), title="Blur", description="SD of the Gaussian blur, in pixels.")
    low_resolution: PositiveRange = Field(
        (0.5, 1.0), title="Low resolution", description="Share of the resolution kept."
    )
    chance: Probability = Field(
        0.25,
        title="Chance",
        description="Chance of each of elastic deformation, bias field, gamma, noise, blur and low resolution.",
    )
    modality_dropout: Probability = Field(
        0.15,
        title="Modality dropout",
        description="Chance, for each contrast sequence, that FLAIR stands in for it as where a sequence is missing.",
    )

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, values: Any) -> Any:
        values = {"preset": values} if isinstance(values, str) else values
        if not isinstance(values, Mapping) or "preset" not in values:
            return values
        given = dict(values)
        name = given.pop("preset")
        if name not in list(AUGMENTATIONS):  # it may be anything, even what has no hash
            raise ValueError(f"there is no augmentation {name!r}: allowed are {', '.join(AUGMENTATIONS)}")
        return {**AUGMENTATIONS[name], **given}

    @property
    def preset(self) -> AugmentationName | None:
        """Name of the preset that these settings are, None if they are of one's own."""
        return next((name for name in AUGMENTATIONS if self == self.model_validate(name)), None)
