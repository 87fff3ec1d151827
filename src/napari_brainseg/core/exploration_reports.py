"""What is in a data set as files: tables, figures, and a page that needs nothing but a browser."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Case
from .exploration import Exploration, ExploredCase
from .exploration_figures import DARK, FIGURES, LIGHT, figure_names, figure_png
from .files import atomic_path, refuse_existing, write_text
from .findings import Finding
from .masks import Mask, read_mask
from .montages import sheet_png
from .progress import OnProgress, Progress, ignore_progress
from .report_pages import picture_data, render_page
from .score_tables import Row, write_csv
from .volumes import Array, read_volume, shown_flair

PICTURES = tuple(f"{name}.png" for name in (*FIGURES, "sheet"))
EXPLORATION_FILES = ("slices.csv", "cases.csv", "findings.csv", "report.html", *PICTURES)
SHEET_SLICES = 8


def write_exploration(
    exploration: Exploration,
    folder: Path | str,
    *,
    source: str = "",
    command: str = "",
    seed: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Path:
    """Write `EXPLORATION_FILES`, as far as there is something to show, and return the path of the page.

    Parameters
    ----------
    exploration : Exploration
        What was found.
    folder : Path or str
        Made if needed.
    source, command : str
        What was explored, and how; both stand on the page.
    seed : int
        Decides which slices are on the sheet.
    overwrite : bool
        Whether files of an earlier run may be replaced.
    on_progress : callable
        Called after each figure.

    Raises
    ------
    FileExistsError
        If one of them is there already and `overwrite` is not set; nothing is written then.
    ValueError
        If no case could be read.
    """
    if not exploration.cases:
        raise ValueError(f"there is nothing to report: none of the {len(exploration.listed)} cases could be read")
    folder = Path(folder)
    if not overwrite:
        refuse_existing(folder, EXPLORATION_FILES)
    names = figure_names(exploration)
    pictures: dict[str, tuple[bytes, bytes]] = {}
    for done, name in enumerate(names, 1):
        pictures[name] = figure_png(name, exploration, LIGHT), figure_png(name, exploration, DARK)
        on_progress(Progress("drawing", done, len(names) + 1))
    chosen = choose_slices(exploration, seed)
    sheet = sheet_png([_slice(found.case, number) for found, number in chosen])
    page = render_page(
        "exploration.html",
        source=source,
        command=command,
        version=version("napari-brainseg"),
        exploration=exploration,
        totals=exploration.totals,
        figures={names[name]: tuple(map(picture_data, pair)) for name, pair in pictures.items()},
        sheet=picture_data(sheet),
        with_tumour=any(found.tumour_voxels for found, _ in chosen),
        seed=seed,
        rows=case_rows(exploration),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(slice_rows(exploration), folder / "slices.csv")
    write_csv(case_rows(exploration), folder / "cases.csv")
    write_csv([_finding(item) for item in exploration.findings], folder / "findings.csv", columns=_FINDING)
    written = {f"{name}.png": pair[0] for name, pair in pictures.items()} | {"sheet.png": sheet}
    for name in PICTURES:
        if name in written:
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(written[name])
        else:  # of an earlier run, about other data
            (folder / name).unlink(missing_ok=True)
    write_text(folder / "report.html", page)
    on_progress(Progress("drawing", len(names) + 1, len(names) + 1))
    return folder / "report.html"


def slice_rows(exploration: Exploration) -> list[Row]:
    """All slices: files, whether there is tumour, and how much."""
    rows: list[Row] = []
    for found in exploration.cases:
        case, count = found.case, len(found.numbers)
        by_slice = case.layout == "slices"
        images = case.images if by_slice else case.images[:1] * count
        masks = (case.masks or (None,) * count) if by_slice else (case.masks or (None,))[:1] * count
        for number, image, mask, area in zip(found.numbers, images, masks, found.areas, strict=True):
            rows.append(
                {
                    "case": case.name,
                    "patient": case.patient,
                    "site": case.site,
                    "slice": number,
                    "image": str(image),
                    "mask": str(mask) if mask else None,
                    "tumour": None if area is None else "yes" if area else "no",
                    "area": area,
                }
            )
    return rows


def case_rows(exploration: Exploration) -> list[Row]:
    """All cases that could be read, with what ``data.csv`` says of their patients."""
    columns = list(dict.fromkeys(name for found in exploration.cases for name in exploration.table.row(found.case)))
    odd = [item.case for item in exploration.findings]
    rows = []
    for found in exploration.cases:
        own, row = _case(found, odd), exploration.table.row(found.case)
        rows.append(own | {f"{name} (data.csv)" if name in own else name: row.get(name) for name in columns})
    return rows


def _case(found: ExploredCase, odd: Sequence[str]) -> Row:
    slices, rows, columns = found.shape
    z, y, x = found.spacing or (None, None, None)
    known = found.known_areas
    return {
        "case": found.case.name,
        "patient": found.case.patient,
        "site": found.case.site,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "spacing_z_mm": z,
        "spacing_y_mm": y,
        "spacing_x_mm": x,
        "missing_sequences": " ".join(found.missing) or "none",
        "tumour_slices": sum(area > 0 for area in known) if known else None,
        "tumour_voxels": found.tumour_voxels,
        "tumour_ml": found.millilitres,
        "findings": odd.count(found.case.name),
    }


_FINDING = ("severity", "kind", "case", "slice", "sentence")


def _finding(item: Finding) -> Row:
    return dict(zip(_FINDING, (item.severity, item.kind, item.case, item.slice_number, item.sentence), strict=True))


def exploration_json(exploration: Exploration) -> str:
    """Summary, cases and findings as JSON."""
    content: dict[str, Any] = {
        "summary": exploration.totals,
        "cases": case_rows(exploration),
        "findings": [_finding(item) for item in exploration.findings],
    }
    return json.dumps(content, indent=1)


def choose_slices(exploration: Exploration, seed: int) -> list[tuple[ExploredCase, int]]:
    """Slices drawn at random, with tumour where there is some, each of another case as far as they go round."""
    rng = np.random.default_rng(seed)
    with_tumour = [found for found in exploration.cases if found.tumour_voxels]
    cases = with_tumour or list(exploration.cases)
    order = [cases[place] for place in rng.permutation(len(cases))][:SHEET_SLICES]
    return [(found, int(rng.choice(_candidates(found)))) for found in order]


def _candidates(found: ExploredCase) -> list[int]:
    tumour = [number for number, area in zip(found.numbers, found.areas, strict=True) if area]
    return tumour or list(found.numbers)


def _slice(case: Case, number: int) -> tuple[str, Array, Mask]:
    """Title, FLAIR and mask of a slice; where each has a file of its own, the others are not read."""
    if case.layout == "slices":
        at = case.numbers.index(number)
        case = replace(
            case, images=case.images[at : at + 1], masks=case.masks[at : at + 1], numbers=case.numbers[at : at + 1]
        )
    volume = read_volume(case)
    z = volume.slice_numbers.index(number)
    try:
        mask = read_mask(case, volume)
    except ValueError:  # which is a finding already
        mask = None
    image = shown_flair(volume, z)
    return f"{case.name}\nslice {number}", image, np.zeros(image.shape, np.uint8) if mask is None else mask[z]
