"""``brainseg augment``: what augmentation makes of a slice."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.cases import find_cases
from ..core.config import AugmentationConfig, AugmentationName, TrainConfig
from .console import progress_shown, say
from .outputs import check_picture
from .settings_options import checked, settings_options


@settings_options(changes=AugmentationConfig)
def augment(
    folder: Annotated[Path, typer.Argument(help="A case with a manual mask, or a folder of cases.")],
    output: Annotated[Path, typer.Option(help="Picture to write (PNG).")],
    changes: dict[str, Any],
    augmentation: Annotated[AugmentationName, typer.Option(help="Preset to start from.")] = "strong",
    window: Annotated[int, typer.Option(help="Edge of the square cut out, in pixels.")] = TrainConfig().window,
    seed: Annotated[int, typer.Option(help="Start of every random draw.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace a picture of that name.")] = False,
) -> None:
    """Draw a slice as it is and eleven times as training would get it, to judge the augmentation by eye."""
    check_picture(output, overwrite=overwrite)
    checked(TrainConfig, {"window": window, "seed": seed})
    config = AugmentationConfig.model_validate({"preset": augmentation, **changes})
    with progress_shown() as on_progress:
        found = find_cases(folder, on_progress=on_progress)
    from ..core.augmentation_sheets import draw_augmentation, read_with_tumour
    from ..core.montages import write_figure

    volume, mask = read_with_tumour(found)
    write_figure(draw_augmentation(volume, mask, config, window=window, seed=seed), output)
    say(f"{output}: {volume.name}, augmentation {config.preset or 'of your own'}, seed {seed}")
