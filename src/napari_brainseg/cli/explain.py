"""``brainseg explain``: what a prediction on a slice rests on."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..core.cases import find_cases
from ..core.config import ExplainConfig, SegmentConfig
from ..core.masks import largest_slice, read_truth
from ..core.model_folders import DEFAULT_MODEL
from ..core.volumes import Volume, read_volume
from .console import progress_shown, say
from .outputs import check_picture, refuse_inside
from .settings_options import settings_options


@settings_options()
def explain(
    case: Annotated[Path, typer.Argument(help="A case folder, a TIFF stack or a NIfTI file.")],
    output: Annotated[Path, typer.Option(help="Picture to write (PNG).")],
    config: ExplainConfig,
    segmenting: SegmentConfig,
    number: Annotated[
        int | None,
        typer.Option("--slice", help="Slice, as in its file's name; that with the largest tumour if not given."),
    ] = None,
    model: Annotated[str, typer.Option(help="A shipped model or a model folder.")] = DEFAULT_MODEL,
    overwrite: Annotated[bool, typer.Option(help="Replace a picture of that name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw where a prediction on a slice comes from, and what it is without each sequence and without neighbours."""
    check_picture(output, overwrite=overwrite)
    cases = find_cases(case)
    refuse_inside([case], cases, output.parent)
    if len(cases) > 1:
        raise ValueError(f"{case} holds {len(cases)} cases; allowed is one, such as {cases[0].folder}")
    volume = read_volume(cases[0])
    truth = read_truth(cases[0], volume)
    z = None if number is None else _position(volume, number)
    from ..core.contributions import which_neighbours, which_sequences
    from ..core.explanation_figures import draw_explanation
    from ..core.models import load_model
    from ..core.montages import write_figure
    from ..core.saliency import explain as explain_slice
    from ..core.segmentation import segment

    trained = load_model(model)
    with progress_shown() as on_progress:
        if z is None:  # the model's tumour: the manual mask may have none, or there may be no mask
            z = largest_slice(segment(volume, trained, segmenting, on_progress=on_progress).mask)
        found = explain_slice(volume, z, trained, config, segmenting, on_progress=on_progress)
    manual = truth.mask if truth.known[z] else None
    sequences, near = (which(volume, z, trained, manual, segmenting) for which in (which_sequences, which_neighbours))
    write_figure(draw_explanation(volume, found, (*sequences, *near), manual), output)
    if as_json:
        content = {"z": z, "sentence": found.sentence, "provenance": found.provenance.model_dump()}
        content |= {"sequences": [asdict(one) for one in sequences], "neighbours": [asdict(one) for one in near]}
        say(json.dumps(content, indent=1))
        return
    say(f"{output}: {volume.name}, slice {volume.slice_numbers[z]}, {found.method}")
    say("\n".join([found.sentence, *(one.sentence for one in (*sequences, *near))]))


def _position(volume: Volume, number: int) -> int:
    if number not in volume.slice_numbers:
        first, last = min(volume.slice_numbers), max(volume.slice_numbers)
        raise ValueError(f"{volume.name} has no slice {number}: its slices go from {first} to {last}")
    return volume.slice_numbers.index(number)
