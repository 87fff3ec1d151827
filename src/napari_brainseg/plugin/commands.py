"""Command lines that do what a widget does."""

import shlex
from collections.abc import Mapping
from typing import Any

from ..core.config import PostprocessConfig, SegmentConfig
from ..core.volumes import Volume


def segment_command(
    volume: Volume, model: str, own: PostprocessConfig, config: SegmentConfig, postprocessing: PostprocessConfig
) -> str:
    """Return the command line that segments a case as the Segment tab does.

    Parameters
    ----------
    volume : Volume
        The images.
    model : str
        Name or folder of the model.
    own : PostprocessConfig
        What the model brings with it, and the command line takes where it is told nothing else.
    config, postprocessing : SegmentConfig, PostprocessConfig
        What is set in the tab.

    Raises
    ------
    ValueError
        If the images were not opened from a case on disk.
    """
    if volume.source is None:
        raise ValueError(f"{volume.name} was not opened from a case on disk, so there is no command for it")
    words = ["brainseg", "segment", str(volume.source.absolute()), "--output", "segmentations", "--model", model]
    if volume.spacing and volume.spacing_source == "user":
        words += ["--spacing", *map(str, volume.spacing)]
    own_settings = own.model_dump()
    words += _flags(config.model_dump(exclude_defaults=True))
    words += _flags({name: value for name, value in postprocessing.model_dump().items() if value != own_settings[name]})
    return shlex.join(words)


def _flags(values: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words
