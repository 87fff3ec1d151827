"""What is in a case, and what is in a data set: sizes, tumour, missing sequences, intensities, and oddities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cases import Case
from .config import CHANNELS, FLAIR, CheckConfig
from .findings import (
    Finding,
    check_duplicates,
    check_files,
    check_histograms,
    check_images,
    check_mask,
    check_sizes,
    sorted_findings,
    unusable,
)
from .masks import Mask, read_mask, slice_areas
from .patient_tables import PatientTable, find_patient_table
from .progress import OnProgress, Progress, ignore_progress
from .volumes import Array, Spacing, Volume, read_volume, tissue_range

THUMBNAIL = 256
"""Longest edge of a thumbnail in pixels."""

GRID = 64
"""Rows and columns of the map of where tumours are."""

BINS = 256
"""Of the histograms: one for each value of an 8-bit image; other images are scaled to that range, case by case."""

_STEP = 4
"""Intensities are counted in every fourth row and column, which tells the same as all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class CaseSummary:
    """What a person wants to know of a case before opening it.

    Attributes
    ----------
    shape : tuple of int
        Slices, rows and columns.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm; None while nobody knows it.
    missing : tuple of str
        Sequences that the case does not have.
    tumour_slices, tumour_voxels : int or None
        Extent of the manual mask; None without one.
    millilitres : float or None
        Its volume, if the spacing is known.
    largest : int
        Index of the slice with the most tumour; the middle one where there is none.
    thumbnail : ndarray
        That slice of FLAIR as uint8, of at most `THUMBNAIL` pixels an edge.
    thumbnail_mask : ndarray
        Where the manual mask is in the thumbnail, as bool.
    """

    shape: tuple[int, int, int]
    spacing: Spacing | None
    missing: tuple[str, ...]
    tumour_slices: int | None
    tumour_voxels: int | None
    millilitres: float | None
    largest: int
    thumbnail: npt.NDArray[np.uint8]
    thumbnail_mask: npt.NDArray[np.bool_]


def summarise_case(case: Case) -> CaseSummary:
    """Read a case and return what is in it.

    Raises
    ------
    ValueError
        If the case cannot be used, or a file of it is damaged; the message names the file.
    """
    volume = read_volume(case)
    mask = read_mask(case, volume)
    areas = None if mask is None else slice_areas(mask)
    voxels = None if areas is None else int(areas.sum())
    largest = int(areas.argmax()) if areas is not None and voxels else volume.shape[0] // 2
    step = -(-max(volume.shape[1:]) // THUMBNAIL)
    flair = volume.array[..., CHANNELS.index(FLAIR)]
    plane = flair[largest, ::step, ::step].astype(np.float32)
    low, high = tissue_range(flair)
    shown = np.zeros(plane.shape, np.bool_) if mask is None else mask[largest, ::step, ::step] > 0
    return CaseSummary(
        shape=volume.shape,
        spacing=volume.spacing,
        missing=volume.missing,
        tumour_slices=None if areas is None else int(np.count_nonzero(areas)),
        tumour_voxels=voxels,
        millilitres=None if voxels is None else volume.millilitres(voxels),
        largest=largest,
        thumbnail=(np.clip((plane - low) / (high - low), 0, 1) * 255).astype(np.uint8),
        thumbnail_mask=shown,
    )


@dataclass(frozen=True, slots=True, eq=False)
class ExploredCase:
    """What is in a case that could be read.

    Attributes
    ----------
    case : Case
        Its files.
    shape : tuple of int
        Slices, rows and columns.
    numbers : tuple of int
        Slice numbers.
    spacing : tuple of float or None
        Voxel size along Z, Y and X in mm; None while nobody knows it.
    missing : tuple of str
        Sequences that it does not have.
    areas : tuple of int or None
        Voxels of tumour in each slice; None where there is no usable mask.
    millilitres : float or None
        The tumour's volume, if the spacing is known.
    histograms : ndarray
        (3, `BINS`): how often each intensity occurs in each channel, counted in every fourth row and column.
    is_scaled : bool
        Whether the histograms are not of the values as stored.
    positions : ndarray
        (`GRID`, `GRID`): in how many slices there is tumour at a place.
    head : ndarray
        (`GRID`, `GRID`): where there is head in the middle slice.
    """

    case: Case
    shape: tuple[int, int, int]
    numbers: tuple[int, ...]
    spacing: Spacing | None
    missing: tuple[str, ...]
    areas: tuple[int | None, ...]
    millilitres: float | None
    histograms: npt.NDArray[np.intp]
    is_scaled: bool
    positions: npt.NDArray[np.float64]
    head: npt.NDArray[np.bool_]

    @property
    def known_areas(self) -> list[int]:
        """Voxels of tumour in each slice that has a mask."""
        return [area for area in self.areas if area is not None]

    @property
    def tumour_voxels(self) -> int | None:
        """Voxels of the whole tumour; None without a mask."""
        return sum(self.known_areas) if self.known_areas else None


@dataclass(frozen=True, slots=True)
class Exploration:
    """What is in a data set.

    Attributes
    ----------
    cases : tuple of ExploredCase
        Those that could be read.
    listed : tuple of Case
        All that were looked into.
    findings : tuple of Finding
        What is odd, worst first.
    table : PatientTable
        What ``data.csv`` says of the patients.
    config : CheckConfig
        What counted as odd.
    """

    cases: tuple[ExploredCase, ...]
    listed: tuple[Case, ...]
    findings: tuple[Finding, ...]
    table: PatientTable
    config: CheckConfig

    @property
    def totals(self) -> dict[str, int]:
        """The numbers that sum it up."""
        areas = [area for found in self.cases for area in found.known_areas]
        tumour = sum(area > 0 for area in areas)
        return {
            "patients": len({found.case.patient for found in self.cases}),
            "cases": len(self.cases),
            "unreadable cases": len(self.listed) - len(self.cases),
            "slices": sum(found.shape[0] for found in self.cases),
            "tumour slices": tumour,
            "tumour-free slices": len(areas) - tumour,
            "slices without mask": sum(area is None for found in self.cases for area in found.areas),
            "tumour voxels": sum(areas),
            "cases without tumour": sum(found.tumour_voxels == 0 for found in self.cases),
            "cases without mask": sum(found.tumour_voxels is None for found in self.cases),
            "cases with missing sequences": sum(bool(found.missing) for found in self.cases),
            "findings": len(self.findings),
        }

    @property
    def sites(self) -> dict[str, list[ExploredCase]]:
        """Cases by TCGA site; of those that have none the site is empty."""
        names = sorted({found.case.site for found in self.cases})
        return {name: [found for found in self.cases if found.case.site == name] for name in names}

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """(`GRID`, `GRID`): share of the slices with a mask that have tumour at a place."""
        slices = sum(len(found.known_areas) for found in self.cases)
        mean: npt.NDArray[np.float64] = np.sum([found.positions for found in self.cases], axis=0) / max(slices, 1)
        return mean


def explore_cases(
    cases: Sequence[Case], config: CheckConfig | None = None, *, on_progress: OnProgress = ignore_progress
) -> Exploration:
    """Look into all cases, each read once, and say what is in them and what is odd.

    Parameters
    ----------
    cases : sequence of Case
        From `find_cases`. One that cannot be read becomes a finding, and the others go on.
    config : CheckConfig
        What counts as odd.
    on_progress : callable
        Called after each case; it may raise `Cancelled`.
    """
    config = config or CheckConfig()
    explored: list[ExploredCase] = []
    findings: list[Finding] = []
    fingerprints: dict[tuple[str, int], int] = {}
    for done, (case, volume, mask, problem) in enumerate(map(_read, cases), 1):
        findings += check_files(case)
        if problem:
            findings += unusable(case, problem)
        if volume is not None:
            sample = _sample(volume.array)
            blank = _blank(volume.array, sample)
            findings += check_images(volume, blank)
            found, odd = _explore(case, volume, mask, sample, config)
            explored.append(found)
            findings += odd
            for z in sorted(set(range(len(volume.array))) - set(blank)):
                # noise tells two slices apart in the sample already, unless that has none
                telling = sample[:, z] if np.ptp(sample[:, z]) else volume.array[z]
                fingerprint = hash((volume.shape[1:], telling.tobytes()))
                fingerprints[case.name, volume.slice_numbers[z]] = fingerprint
        on_progress(Progress("exploring", done, len(cases)))
    findings += check_duplicates(fingerprints, {case.name: case.patient for case in cases})
    findings += check_sizes({found.case.name: found.shape for found in explored})
    table = find_patient_table(cases)
    if table.problem:
        findings.append(Finding("other file", "", None, table.problem))
    names = [case.name for case in cases]
    return Exploration(tuple(explored), tuple(cases), sorted_findings(findings, names), table, config)


def check_cases(
    cases: Sequence[Case], config: CheckConfig | None = None, *, on_progress: OnProgress = ignore_progress
) -> tuple[Finding, ...]:
    """Say what is odd about cases, worst first; see `explore_cases`."""
    return explore_cases(cases, config, on_progress=on_progress).findings


def _read(case: Case) -> tuple[Case, Volume | None, Mask | None, Exception | None]:
    volume = None
    try:
        volume = read_volume(case)
        return case, volume, read_mask(case, volume), None
    except (ValueError, OSError) as error:
        return case, volume, None, error


def _sample(array: Array) -> Array:
    """(C, Z, Y, X): channel by channel is eight times as fast, as each copy then has long rows."""
    return np.stack([array[:, ::_STEP, ::_STEP, channel] for channel in range(len(CHANNELS))])


def _blank(array: Array, sample: Array) -> list[int]:
    """Indices of the slices that have the same value everywhere; the sample tells nearly always."""
    candidates = np.flatnonzero(sample.min(axis=(0, 2, 3)) == sample.max(axis=(0, 2, 3)))
    return [int(z) for z in candidates if (array[z] == array[z].flat[0]).all()]


def _explore(
    case: Case, volume: Volume, mask: Mask | None, sample: Array, config: CheckConfig
) -> tuple[ExploredCase, list[Finding]]:
    odd: list[Finding] = []
    flair = CHANNELS.index(FLAIR)
    seen = sample[flair]
    low = float(seen.min())
    end_of_air = low + config.foreground * (float(np.percentile(seen[:, ::2, ::2], 99.9)) - low)
    areas: tuple[int | None, ...] = (None,) * len(volume.array)
    positions = np.zeros((GRID, GRID))
    if mask is not None:
        whole = slice_areas(mask).tolist()
        head_voxels = round(np.count_nonzero(seen > end_of_air) / seen.size * mask.size)
        odd += check_mask(volume, mask, whole, end_of_air, head_voxels, config)
        has_mask = [file is not None for file in case.masks] if case.layout == "slices" else [True] * len(whole)
        areas = tuple(area if known else None for area, known in zip(whole, has_mask, strict=True))
        positions = _on_grid(mask[np.flatnonzero(whole)].sum(axis=0, dtype=np.uint16).astype(np.float64))
    rows, columns = (np.linspace(0, size - 1, GRID).astype(int) for size in volume.shape[1:])
    middle = volume.array[volume.shape[0] // 2, ..., flair][np.ix_(rows, columns)]
    voxels = sum(area or 0 for area in areas)
    histograms = _histograms(sample)
    odd += check_histograms(case.name, histograms, volume.missing, config)
    return ExploredCase(
        case=case,
        shape=volume.shape,
        numbers=volume.slice_numbers,
        spacing=volume.spacing,
        missing=volume.missing,
        areas=areas,
        millilitres=None if mask is None else volume.millilitres(voxels),
        histograms=histograms,
        is_scaled=sample.dtype != np.uint8,
        positions=positions,
        head=middle > end_of_air,
    ), odd


def _histograms(sample: Array) -> npt.NDArray[np.intp]:
    if sample.dtype != np.uint8:
        low, high = float(sample.min()), float(sample.max())
        sample = ((sample.astype(np.float32) - low) * ((BINS - 1) / ((high - low) or 1.0))).astype(np.uint8)
    return np.stack([np.bincount(channel.ravel(), minlength=BINS) for channel in sample])


def _on_grid(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means of (Y, X) over the cells of the grid; where it has more cells than there are pixels, the nearest pixel."""
    for axis, size in enumerate(plane.shape):
        starts = np.arange(GRID) * size // GRID
        cells = np.maximum(np.diff(starts, append=size), 1)
        plane = np.add.reduceat(plane, starts, axis=axis) / np.expand_dims(cells, 1 - axis)
    return plane
