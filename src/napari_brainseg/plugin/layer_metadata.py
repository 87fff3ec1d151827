"""What this plugin notes on a layer: the case it belongs to, what of it it shows, and how that was made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core.volumes import Volume

if TYPE_CHECKING:
    from napari.layers import Layer

Role = Literal["manual", "prediction", "correction", "mask"]
ROLES: tuple[Role, ...] = ("manual", "prediction", "correction", "mask")
"""What a mask can be; the last is one that was opened by itself, of which nobody says how it was made."""

METADATA = "brainseg"
"""Key in ``layer.metadata`` of a dictionary, with those of these that apply:

``volume``: the `Volume` of the case; ``kind``: "image", "manual", "prediction", "correction", "mask", "disagreement",
"probability", "uncertainty" or "saliency"; ``channel``: an image's sequence; ``images``: the layer that was explained;
``original``: a mask before edits, or as it was saved last; ``known``: of which slices a manual mask says something;
``provenance``: how a prediction or a map was made, and of a prediction which slices are done (``slices``, positions
along Z) and whether that are all that were wanted (``finished``); ``result``: what a prediction is tuned with;
``correction``: where corrections are kept; ``spacing``: the voxel size that a person gave a plain image;
``description``: what a map shows.
"""


def notes(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What we noted in a layer's metadata; nothing in those of others."""
    found: Mapping[str, Any] = metadata.get(METADATA, {})
    return found


def note(layer: "Layer", **more: Any) -> None:
    """Note more on a layer. A duplicate shares its dictionary with the layer it was made from, so a new one is made."""
    layer.metadata[METADATA] = {**notes(layer.metadata), **more}


def volume_of(layer: "Layer") -> Volume | None:
    """Volume of the case that a layer of ours belongs to, None for others; layers of one case share theirs."""
    return notes(layer.metadata).get("volume")


def kind_of(layer: "Layer") -> str | None:
    """What a layer of ours shows, None for others."""
    return notes(layer.metadata).get("kind")


def segmented_slices(layer: "Layer") -> tuple[int, ...]:
    """Positions along Z of the slices that a prediction of ours says something of; none if that is not known."""
    found: tuple[int, ...] = notes(layer.metadata).get("provenance", {}).get("slices", ())
    return found


def learned_by(layer: "Layer") -> str:
    """Name of the model that made a prediction of a patient it had learned from; empty for all others."""
    made = notes(layer.metadata).get("provenance", {})
    return str(made["model"]) if made.get("trained_on") else ""


def role_of(layer: "Layer") -> Role | None:
    """Which kind of mask a layer of ours is, None for whatever else."""
    return next((role for role in ROLES if role == kind_of(layer)), None)


def is_edited(layer: "Layer") -> bool:
    """Whether a mask differs from what was read, predicted or saved; neither do labels count nor what was undone."""
    original = notes(layer.metadata).get("original")
    return original is not None and not np.array_equal(np.asarray(layer.data) > 0, np.asarray(original) > 0)
