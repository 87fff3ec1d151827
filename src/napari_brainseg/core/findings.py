"""What is odd about the files of a case, its images and its mask, in sentences."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .cases import Case
from .config import CHANNELS, FLAIR, CheckConfig
from .masks import Mask, NotBinary, read_slice_mask
from .tiffs import read_slice
from .volumes import Array, Volume
from .words import counted, percent

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    "unreadable",
    "not binary",
    "duplicate across patients",
    "duplicate",
    "missing pair",
    "other file",
    "constant image",
    "bright air",
    "no tumour",
    "gap",
    "outside head",
    "size",
    "island",
    "abrupt end",
    "cut off",
]

SEVERITIES: Mapping[Kind, Severity] = {
    **dict.fromkeys(("unreadable", "not binary", "duplicate across patients"), "error"),
    **dict.fromkeys(
        ("duplicate", "missing pair", "constant image", "bright air", "no tumour", "gap", "outside head", "size"),
        "warning",
    ),
    **dict.fromkeys(("other file", "island", "abrupt end", "cut off"), "note"),
}
"""How bad each kind is: an error spoils scores or cannot be used, a warning wants a look, a note may well be right."""

_AROUND = ndimage.generate_binary_structure(3, 3)

Fingerprints = Mapping[tuple[str, int], int]
"""A number for the pixels of each slice, by case and slice number; the same pixels have the same."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a data set that a person should look at.

    Attributes
    ----------
    kind : str
        One of `SEVERITIES`.
    case : str
        Name of the case; empty if it is about the whole data set.
    slice_number : int or None
        Where to look; None if it is about the whole case.
    sentence : str
        What it is, for a person.
    """

    kind: Kind
    case: str
    slice_number: int | None
    sentence: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return SEVERITIES[self.kind]


def check_files(case: Case) -> Iterator[Finding]:
    """Files without a partner and such, as far as their names tell."""
    for problem in case.problems:
        sentence = f"{problem.words[0].upper()}{problem.words[1:]}."
        yield Finding(problem.kind, case.name, problem.slice_number, sentence)


def unusable(case: Case, error: Exception) -> list[Finding]:
    """Findings for a case whose images or mask could not be read: one for each file that is to blame, if any is."""
    kind: Kind = "not binary" if isinstance(error, NotBinary) else "unreadable"
    found: list[Finding] = []
    if case.layout == "slices" and not case.error:
        masks = case.masks or (None,) * len(case.images)
        for number, image, mask in zip(case.numbers, case.images, masks, strict=True):
            found += _unusable_file(case, number, image, read_slice)
            found += _unusable_file(case, number, mask, read_slice_mask)
    return found or [Finding(kind, case.name, None, _closed(error))]


def _unusable_file(case: Case, number: int, file: Path | None, read: Callable[[Path], Array]) -> Iterator[Finding]:
    try:
        if file:
            read(file)
    except ValueError as error:
        kind: Kind = "not binary" if isinstance(error, NotBinary) else "unreadable"
        yield Finding(kind, case.name, number, _closed(error))


def check_images(volume: Volume, blank: Sequence[int]) -> Iterator[Finding]:
    """Slices that show nothing, whose indices are given."""
    for first, last in _runs(blank):
        where = _from_to(volume.slice_numbers, first, last)
        number = volume.slice_numbers[first]
        yield Finding("constant image", volume.name, number, f"The image of {where} has the same value everywhere.")


def check_histograms(
    name: str, histograms: npt.NDArray[np.intp], missing: Sequence[str], config: CheckConfig
) -> Iterator[Finding]:
    """Channels (C, values) in which one value that is not dark is so frequent that it must be filling."""
    for channel, counts in zip(CHANNELS, histograms, strict=True):
        shares = counts / counts.sum()
        start = round(config.foreground * len(shares))
        value = start + int(shares[start:].argmax())
        if shares[value] > config.one_value and channel not in missing:
            share = percent(shares[value])
            sentence = (
                f"{share} of the voxels of {channel} have one value, {value} of 255, which is too bright for air."
            )
            yield Finding("bright air", name, None, sentence)


def check_mask(
    volume: Volume, mask: Mask, areas: Sequence[int], end_of_air: float, head_voxels: int, config: CheckConfig
) -> Iterator[Finding]:
    """What is odd about a manual mask.

    Parameters
    ----------
    volume : Volume
        The images.
    mask : ndarray
        (Z, Y, X) of 0 and 1.
    areas : sequence of int
        Voxels of tumour in each slice.
    end_of_air : float
        Intensity of FLAIR up to which a voxel is not head.
    head_voxels : int
        How large the head is, roughly.
    config : CheckConfig
        What counts as odd.
    """
    name, numbers = volume.name, volume.slice_numbers
    filled = np.flatnonzero(areas)
    if not len(filled):
        yield Finding("no tumour", name, None, "The manual mask is empty in every slice.")
        return
    first, last = int(filled[0]), int(filled[-1])
    total, most = sum(areas), max(areas)
    if total < config.smallest:
        yield Finding("size", name, numbers[int(np.argmax(areas))], f"The whole tumour has only {_voxels(total)}.")
    if total > config.largest * head_voxels:
        share = percent(total / max(head_voxels, 1))
        yield Finding("size", name, numbers[int(np.argmax(areas))], f"The tumour takes {share} of the head.")
    for start, end in _runs([z for z in range(first, last) if not areas[z]]):
        where = _from_to(numbers, start, end)
        yield Finding("gap", name, numbers[start], f"No tumour in {where}, but in those on both sides.")
    for z, beyond, word in ((first, -1, "begins"), (last, 1, "ends")):
        if not 0 <= z + beyond < len(areas):
            yield Finding(
                "cut off", name, numbers[z], f"The tumour reaches the {'last' if beyond > 0 else 'first'} slice."
            )
        elif areas[z] > config.abrupt * most and len(filled) > 2:
            share = percent(areas[z] / most)
            yield Finding(
                "abrupt end",
                name,
                numbers[z],
                f"The tumour {word} abruptly: slice {numbers[z]} has {_voxels(areas[z])}, {share} of the largest area, "
                f"and slice {numbers[z + beyond]} none.",
            )
    yield from _outside(volume, mask, areas, end_of_air, config)
    yield from _islands(volume, mask[first : last + 1], first, config)


def _outside(
    volume: Volume, mask: Mask, areas: Sequence[int], end_of_air: float, config: CheckConfig
) -> Iterator[Finding]:
    for z in map(int, np.flatnonzero(areas)):
        area, tumour = areas[z], mask[z] > 0
        flair = volume.array[z, ..., CHANNELS.index(FLAIR)]  # the only one whose air is always dark
        dark = int(np.count_nonzero(flair[tumour] <= end_of_air))
        if dark > config.outside * area:  # it may be fluid, which the head encloses
            head = ndimage.binary_fill_holes(flair > end_of_air)
            out = int(np.count_nonzero(tumour & ~head))
            if out > config.outside * area:
                number = volume.slice_numbers[z]
                sentence = f"{out} of the {_voxels(area)} of tumour in slice {number} lie outside the head."
                yield Finding("outside head", volume.name, number, sentence)


def _islands(volume: Volume, mask: Mask, first: int, config: CheckConfig) -> Iterator[Finding]:
    """Small pieces that touch the rest nowhere, not even at a corner; those of one slice are told together."""
    rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    pieces, count = ndimage.label(mask[box], _AROUND)
    if count < 2:
        return
    sizes = np.bincount(pieces.ravel())[1:]
    small: dict[int, list[int]] = defaultdict(list)
    for piece, where in enumerate(ndimage.find_objects(pieces)):
        if sizes[piece] <= config.island_voxels and piece != sizes.argmax():
            small[first + where[0].start].append(int(sizes[piece]))
    for z, found in sorted(small.items()):
        number = volume.slice_numbers[z]
        one = len(found) == 1
        what = f"A piece of {_voxels(found[0])}" if one else f"{len(found)} pieces of at most {_voxels(max(found))}"
        sentence = f"{what} in slice {number} lie{'s' * one} apart from the rest of the tumour."
        yield Finding("island", volume.name, number, sentence)


def check_duplicates(fingerprints: Fingerprints, patients: Mapping[str, str]) -> Iterator[Finding]:
    """Slices that are there more than once, within a case and between cases.

    Parameters
    ----------
    fingerprints : mapping
        Of all slices that show something.
    patients : mapping
        Patient of each case.
    """
    same: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for place, fingerprint in fingerprints.items():
        same[fingerprint].append(place)
    between: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for (case, number), *others in same.values():
        within = [other for name, other in others if name == case]
        if within:
            shown = ", ".join(map(str, within))
            yield Finding("duplicate", case, within[0], f"Slice {number} is there again as slice {shown}.")
        for name, other in others:
            if name != case:
                between[case, name].append((number, other))
    for (case, twin), pairs in between.items():
        number, its = pairs[0]
        also = f", and {len(pairs) - 1} more slices of the two are alike" if len(pairs) > 1 else ""
        kind: Kind = "duplicate" if patients[case] == patients[twin] else "duplicate across patients"
        yield Finding(kind, twin, its, f"Slice {its} shows the same pixels as slice {number} of {case}{also}.")


def check_sizes(shapes: Mapping[str, tuple[int, int, int]]) -> Iterator[Finding]:
    """Cases whose slices have another size than those of most."""
    sizes = Counter(shape[1:] for shape in shapes.values())
    if len(sizes) < 2:
        return
    usual, times = sizes.most_common(1)[0]
    for name, shape in shapes.items():
        if shape[1:] != usual and times > 1:
            sentence = f"Its slices have {_size(shape[1:])} pixels, those of most cases {_size(usual)}."
            yield Finding("size", name, None, sentence)


def sorted_findings(findings: Iterable[Finding], names: Sequence[str]) -> tuple[Finding, ...]:
    """Worst kinds first, then by case in their order, and by slice."""
    kinds, order = list(SEVERITIES), {name: place for place, name in enumerate(("", *names))}
    return tuple(sorted(findings, key=lambda item: (kinds.index(item.kind), order[item.case], item.slice_number or 0)))


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of successive indices."""
    if len(indices):
        ends: npt.NDArray[np.intp] = np.flatnonzero(np.diff(indices) > 1)
        for start, end in zip([0, *(ends + 1)], [*ends, len(indices) - 1], strict=True):
            yield indices[start], indices[end]


def _from_to(numbers: Sequence[int], first: int, last: int) -> str:
    return f"slice {numbers[first]}" if first == last else f"slices {numbers[first]} to {numbers[last]}"


def _voxels(count: int) -> str:
    return counted(count, "voxel", " ")


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _closed(error: Exception) -> str:
    """As it is but for a full stop: it may begin with a file or a case."""
    return str(error).rstrip(".") + "."
