"""``brainseg demo``: the main job from end to end, offline."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.cases import find_cases
from ..core.config import ScoreConfig, SegmentConfig
from ..core.files import write_text
from ..core.masks import Mask, Truth, read_truth
from ..core.metrics import score_mask
from ..core.model_folders import DEFAULT_MODEL
from ..core.phantom import SAMPLE_CASES, write_phantom_cases
from ..core.results import write_segmentation
from ..core.volumes import read_volume
from ..core.words import counted, plain
from .console import complain, progress_shown, say
from .outputs import check_folder, check_output, refuse_data, refuse_inside
from .settings_options import settings_options

_MOST_ROWS = 12
_PHANTOMS = "phantoms"


@settings_options()
def demo(
    config: SegmentConfig,
    folder: Annotated[Path | None, typer.Argument(help="Your own cases; a made-up data set if not given.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for masks, picture and summary.")] = Path("brainseg-demo"),
    overwrite: Annotated[bool, typer.Option(help="Replace the results of an earlier run.")] = False,
) -> None:
    """Segment a data set with the shipped model, compare with its manual masks, and draw a picture."""
    check_folder(output)
    _refuse_data_of_others(output)
    summary, montage, masks = output / "summary.json", output / "montage.png", output / "masks"
    for path in (summary, montage):
        check_output(path, overwrite=overwrite)
    if masks.exists() and not overwrite:  # of a demo that was interrupted
        raise FileExistsError(f"{masks} exists already; choose another --output or give --overwrite")
    if folder is None:
        folder = output / _PHANTOMS
        say(f"making a data set of made-up patients in {folder}")
        write_phantom_cases(folder)
    cases = find_cases(folder)
    refuse_inside([folder], cases, output)
    refuse_data(cases, masks)
    from ..core.models import load_model
    from ..core.montages import MontageRow, montage_row, write_montage
    from ..core.segmentation import segment as segment_volume

    trained = load_model(DEFAULT_MODEL)
    rows: list[MontageRow] = []
    lines: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    with progress_shown() as on_progress:
        for case in cases:
            try:
                volume = read_volume(case)
                truth = read_truth(case, volume)
                found = segment_volume(volume, trained, config, on_progress=on_progress)
                result = write_segmentation(found, volume, masks / case.name, overwrite=overwrite)
            except (ValueError, OSError, RuntimeError, MemoryError) as error:
                failed[case.name] = plain(error)
                continue
            dice, agreement = _agreement(found.mask, truth)
            seconds = result.provenance.seconds
            say(f"{case.name}: tumour {result.tumour_voxels} voxels, {agreement}, {seconds:.1f} s")
            lines.append({"case": case.name, "tumour_voxels": result.tumour_voxels, "dice": dice, "seconds": seconds})
            if len(rows) < _MOST_ROWS:
                rows.append(montage_row(volume, found.mask, truth, case.name))
    if rows:
        write_montage(rows, montage)
    summary.parent.mkdir(parents=True, exist_ok=True)
    content = {"model": trained.info.name, "cases": lines, "failed": failed}
    write_text(summary, json.dumps(content, indent=1) + "\n")
    say(f"masks, montage.png and summary.json are in {output}" if rows else f"summary.json is in {output}")
    for name, reason in failed.items():
        complain(f"{name}: {reason}")
    if failed:
        raise typer.Exit(1)


def _refuse_data_of_others(output: Path) -> None:
    """Refuse a folder with cases that no demo wrote: made-up patients would be found among them from then on."""
    ours = [Path(os.path.abspath(output / _PHANTOMS / case.name)) for case in SAMPLE_CASES]
    with suppress(FileNotFoundError, ValueError):  # no folder, or no case in it
        for case in find_cases(output):
            if case.folder not in ours:
                raise FileExistsError(
                    f"{output} is not apart from the data, which lies in {case.folder}; choose another --output"
                )


def _agreement(mask: Mask, truth: Truth) -> tuple[float | None, str]:
    """Dice on the slices that have a manual mask, and what to say of it."""
    known = truth.known
    if not known.any():
        return None, "no manual mask"
    dice = score_mask(mask[known], truth.mask[known], config=ScoreConfig(distances=False)).dice
    words = "none in the manual mask"  # where Dice is 0 for a single voxel too many
    if truth.mask.any():
        words = f"Dice {dice:.2f}"
    if left_out := int((~known).sum()):
        words += f" ({counted(left_out, 'slice', ' ')} without a mask left out)"
    return dice, words
