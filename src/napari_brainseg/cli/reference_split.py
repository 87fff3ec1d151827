"""``brainseg reference-split``: the split that the authors of the data report on."""

from pathlib import Path
from typing import Annotated

import typer

from ..core.cases import find_cases
from ..core.splits import REFERENCE_CASES, reference_split, write_folds
from .console import complain, say
from .outputs import check_output


def reference(
    folder: Annotated[Path, typer.Argument(help="Folder of all 110 cases of the Kaggle data set.")],
    output: Annotated[
        Path | None, typer.Option(help="JSON file of folds to write, for train --folds FILE --fold 1.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file.")] = False,
) -> None:
    """Name the ten validation cases of brain-segmentation-pytorch, to compare with it like for like."""
    check_output(output, overwrite=overwrite)
    cases = find_cases(folder)
    training, validation = reference_split(cases)
    if len(cases) != REFERENCE_CASES:
        complain(f"{folder} holds {len(cases)} cases, not {REFERENCE_CASES}: nobody else reports on this split")
    if output:
        write_folds(output, [[case.name for case in side] for side in (training, validation)])
        say(f"{output}: fold 0 has the {len(training)} training cases, fold 1 the {len(validation)} to validate on")
    for case in validation:
        say(case.name)
