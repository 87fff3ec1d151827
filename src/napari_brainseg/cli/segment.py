"""``brainseg segment``: cases to masks."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.cases import RESULT_FILE, Case, find_cases
from ..core.config import PostprocessConfig, SegmentConfig
from ..core.masks import MaskFormat
from ..core.model_folders import DEFAULT_MODEL
from ..core.results import SegmentationResult, write_segmentation
from ..core.volumes import Spacing, Volume, read_volume
from ..core.words import plain
from .console import complain, name_failed, progress_shown, say
from .outputs import check_folder, refuse_data, refuse_inside
from .settings_options import settings_options


def _positive(spacing: Spacing | None) -> Spacing | None:
    if spacing and not all(0.001 <= size <= 1000 for size in spacing):
        sizes = " ".join(map(str, spacing))
        raise typer.BadParameter(f"{sizes} is not three positive numbers from 0.001 to 1000 mm: Z, Y and X")
    return spacing


@settings_options(changes=PostprocessConfig)
def segment(
    inputs: Annotated[list[Path], typer.Argument(help="Case folders, data set folders, TIFF stacks, NIfTI files.")],
    output: Annotated[Path, typer.Option(help="Folder that gets a folder for each case.")],
    config: SegmentConfig,
    changes: dict[str, Any],
    model: Annotated[str, typer.Option(help="A shipped model or a model folder.")] = DEFAULT_MODEL,
    format: Annotated[MaskFormat, typer.Option(help="How masks are written.")] = "kaggle",
    spacing: Annotated[
        Spacing | None,
        typer.Option(metavar="Z Y X", callback=_positive, help="Voxel size in mm of all cases, whatever files state."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the results of an earlier run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Segment the tumour in each case and write its mask, with a record of how it was made."""
    cases, failed = _find_all(inputs)
    _refuse_namesakes(cases)
    refuse_data(cases, output)
    refuse_inside(inputs, cases, output)
    if not overwrite:
        _refuse_existing(cases, output)
    check_folder(output)
    from ..core.models import load_model
    from ..core.segmentation import segment as segment_volume

    trained = load_model(model)
    postprocessing = trained.info.postprocess.changed(changes)
    done: list[SegmentationResult] = []
    with progress_shown() as on_progress:
        for case, volume in read_ahead(cases, spacing):
            if isinstance(volume, str):
                failed[case.name] = volume
                continue
            try:
                found = segment_volume(volume, trained, config, postprocessing, on_progress=on_progress)
                result = write_segmentation(found, volume, output / case.name, format=format, overwrite=overwrite)
            except (ValueError, OSError, RuntimeError, MemoryError) as error:
                failed[case.name] = plain(error)
                continue
            done.append(result)
            for problem in case.problems:
                complain(f"{case.name}: {problem}")
            if not as_json:
                say(_line(result))
    if as_json:
        content = {"cases": [result.model_dump(mode="json") for result in done], "failed": failed}
        say(json.dumps(content, indent=1))
    name_failed(failed)
    if failed:
        complain(f"{len(done)} segmented, {len(failed)} not")
        raise typer.Exit(1)


def _find_all(inputs: Sequence[Path]) -> tuple[list[Case], dict[str, str]]:
    """All cases of all inputs, each once, and why others hold none."""
    cases: dict[tuple[Path, tuple[str, ...]], Case] = {}
    failed: dict[str, str] = {}
    for path in inputs:
        try:
            for case in find_cases(path):
                cases.setdefault((case.folder.resolve(), tuple(file.name for file in case.images)), case)
        except (ValueError, OSError) as error:
            failed[str(path)] = plain(error)
    return list(cases.values()), failed


def _refuse_namesakes(cases: Sequence[Case]) -> None:
    places: dict[str, Path] = {}
    for case in cases:
        place = case.images[0] if case.images and case.layout != "slices" else case.folder
        if (other := places.setdefault(case.name, place)) != place:
            raise ValueError(
                f"two cases are called {case.name}, {other} and {place}: their results would be written to the same "
                "folder"
            )


def _refuse_existing(cases: Sequence[Case], output: Path) -> None:
    for case in cases:
        folder = output / case.name
        if (folder / RESULT_FILE).exists():
            raise FileExistsError(f"{folder} holds results already; choose another --output or give --overwrite")
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} holds files that are no results; choose another --output")


def read_ahead(cases: Sequence[Case], spacing: Spacing | None = None) -> Iterator[tuple[Case, Volume | str]]:
    """Each case with its volume, or why it cannot be read; the next one is read while this one is used."""
    if not cases:
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(_read, cases[0], spacing)
        for case, following in zip(cases, [*cases[1:], None], strict=True):
            volume = coming.result()
            if following:
                coming = pool.submit(_read, following, spacing)
            yield case, volume


def _read(case: Case, spacing: Spacing | None) -> Volume | str:
    try:
        volume = read_volume(case)
    except (ValueError, OSError, MemoryError) as error:
        return plain(error)
    return volume.with_spacing(spacing) if spacing else volume


def _line(result: SegmentationResult) -> str:
    size = f"{result.tumour_voxels} voxels"
    if result.tumour_millilitres is not None:
        size += f" ({result.tumour_millilitres:.1f} mL)"
    where = "" if result.largest_slice_number is None else f", largest in slice {result.largest_slice_number}"
    notes = "".join(f"; {note}" for note in result.provenance.notes)
    return (
        f"{result.case}: tumour {size}{where}, {result.provenance.seconds:.1f} s on {result.provenance.device}{notes}"
    )
