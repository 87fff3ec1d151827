"""Command lines that do what a widget does."""

import shlex
from typing import get_args

from ..core.config import PostprocessConfig, SegmentConfig
from ..core.settings import Settings
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
    return shlex.join(words + flags(config, SegmentConfig()) + flags(postprocessing, own))


def flags(settings: Settings, default: Settings) -> list[str]:
    """Flags of the settings that are not left at their defaults; groups inside the group are not looked at."""
    words: list[str] = []
    for name, field in type(settings).model_fields.items():
        value, flag = getattr(settings, name), name.replace("_", "-")
        if value == getattr(default, name) or isinstance(value, Settings):
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif not isinstance(value, tuple):
            words += [f"--{flag}", str(value)]
        elif get_args(field.annotation)[-1] is Ellipsis:
            words += [word for item in value for word in (f"--{flag}", str(item))]
        else:
            words += [f"--{flag}", *map(str, value)]
    return words
