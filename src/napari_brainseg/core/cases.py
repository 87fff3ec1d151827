"""Which files on disk make up a patient's case, and what is wrong with them. Nothing is decoded here."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from natsort import natsort_keygen, natsorted

from .config import CHANNELS, FLAIR
from .files import file_name
from .names import MASK, NIFTI, SLICE, STACK, read_sequence
from .names import patient_of as patient_of
from .names import site_of as site_of
from .progress import OnProgress, Progress, ignore_progress
from .tiffs import is_stack
from .words import few, printable

Layout = Literal["slices", "stack", "nifti"]

_LEVELS = 6

RESULT_FILE = "segmentation.json"
"""Stands in a folder of results, which is passed over when cases are looked for."""

WORKSPACE_FILE = "workspace.json"
"""Stands in a folder of corrections, which is passed over too."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a person should know of the files of a case that can be used all the same.

    Attributes
    ----------
    kind : {"missing pair", "other file"}
        What sort of thing it is.
    words : str
        All of it, beginning with an ordinary word in small letters.
    slice_number : int or None
        Where to look, if there is such a slice.
    """

    kind: Literal["missing pair", "other file"]
    words: str
    slice_number: int | None = None

    def __str__(self) -> str:
        return self.words


TAKEN_FOR_MASKS = Problem("other file", "no file is called a mask, so that all are taken for masks")
"""Of a case that `find_masks` finds."""


@dataclass(frozen=True, slots=True)
class Case:
    """The files of one examination of one patient: paths only.

    Attributes
    ----------
    name : str
        What the case is called on screen and in output files.
    folder : Path
        Where its files lie.
    layout : {"slices", "stack", "nifti"}
        One TIFF per slice, one multi-page TIFF, or NIfTI.
    images : tuple of Path
        Image files: one per slice in natural order, one stack, or one per sequence.
    masks : tuple of Path or None
        The manual mask of each slice (layout "slices"), else of the whole volume.
    numbers : tuple of int
        Slice numbers in the file names (layout "slices").
    channels : tuple of str
        Sequence of each image file (layout "nifti", one file per sequence); empty where the file holds them all.
    corrections : tuple of (int, Path or None)
        Slice numbers with the mask that a person made of them afterwards, which wins over the manual one; None where
        somebody is in doubt, so that nothing is known.
    problems : tuple of Problem
        What a person should know, though the case can be used.
    error : str or None
        Why the case cannot be used.
    """

    name: str
    folder: Path
    layout: Layout
    images: tuple[Path, ...] = ()
    masks: tuple[Path | None, ...] = ()
    numbers: tuple[int, ...] = ()
    channels: tuple[str, ...] = ()
    corrections: tuple[tuple[int, Path | None], ...] = ()
    problems: tuple[Problem, ...] = ()
    error: str | None = None

    @property
    def has_masks(self) -> bool:
        """Whether there is at least one manual mask file."""
        return any(self.masks)

    @property
    def has_truth(self) -> bool:
        """Whether it is known of at least one slice what is tumour: by a manual mask or a correction."""
        return self.has_masks or self.corrected_slices > 0

    @property
    def corrected_slices(self) -> int:
        """How many slices have a mask that a person made afterwards."""
        return sum(file is not None for _, file in self.corrections)

    @property
    def patient(self) -> str:
        """Whom the case belongs to.

        ``TCGA_CS_4941`` for ``TCGA_CS_4941_19960909``, ``sub-01`` for ``sub-01_ses-2`` (BIDS), ``BraTS-GLI-00005`` for
        ``BraTS-GLI-00005-001``. Other names do not tell the visits of a patient: there each case is taken for a patient
        of its own.
        """
        return patient_of(self.name)

    @property
    def site(self) -> str:
        """TCGA's code of the hospital (``CS`` in ``TCGA_CS_4941``), empty elsewhere."""
        return site_of(self.name)


def find_cases(path: Path | str, *, on_progress: OnProgress = ignore_progress) -> list[Case]:
    """All cases at a path, in natural order, those that cannot be used included with their reason.

    Parameters
    ----------
    path : Path or str
        A case folder, a folder of cases at any of six levels (such as one that holds ``kaggle_3m``), or one file: a
        TIFF stack or a NIfTI volume.
    on_progress : callable
        Called before each folder is looked into, with the number of folders known so far as the total; it may raise
        `Cancelled`.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    PermissionError
        If the folder may not be read.
    ValueError
        If there is no case in it.
    """
    found = _all_cases(path, results=False, on_progress=on_progress)
    if not found:
        if Path(path).is_file() and MASK.search(Path(path).stem):
            raise ValueError(f"{path} is a mask, not a case; give the folder that it lies in, {Path(path).parent}")
        raise ValueError(
            f"{path}: no case found; allowed are folders of NAME_1.tif, NAME_2.tif ... with NAME_1_mask.tif ..., "
            "multi-page TIFF stacks and NIfTI files (.nii, .nii.gz)"
        )
    return found


def find_masks(path: Path | str) -> list[Case]:
    """All cases at a path that have a mask, in natural order, with images or without.

    Folders of results are looked into where there is nothing else. Files that are not called masks are taken for masks
    where the case has no others.

    Parameters
    ----------
    path : Path or str
        As for `find_cases`, or a folder that `write_mask` or `write_segmentation` wrote.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    PermissionError
        If the folder may not be read.
    ValueError
        If there is no mask in it.
    """
    found = _all_cases(path, results=False) or _all_cases(path, results=True)
    if not found:
        raise ValueError(
            f"{path}: no mask found; allowed are NAME_1_mask.tif, NAME_2_mask.tif ..., multi-page TIFF stacks and "
            "NIfTI files (.nii, .nii.gz)"
        )
    return [_as_masks(case) for case in found]


def _as_masks(case: Case) -> Case:
    if case.has_masks and not case.images:
        return replace(case, error=None)
    if case.images and not case.has_masks and not case.channels:
        return replace(case, images=(), masks=case.images, problems=(TAKEN_FOR_MASKS,))
    return case


def _all_cases(path: Path | str, *, results: bool, on_progress: OnProgress = ignore_progress) -> list[Case]:
    path = Path(os.path.abspath(path))  # the case takes its folder's name, which "." does not tell
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.is_file():
        near = _cases_of_files(path.parent, filter(os.path.isfile, _entries(path.parent)))
        near = [case for case in near if path in case.images + case.masks] or _nifti_cases(path.parent, [path])
        found = [case for case in near if path in case.images or case.error or results]
    else:
        folders = _folders(path, results, on_progress)
        found = [case for folder in folders for case in _cases_in(folder, is_root=folder == path)]
    return sorted(_with_distinct_names(found), key=natsort_keygen(key=lambda case: case.name))


def _folders(root: Path, results: bool, on_progress: OnProgress) -> Iterator[Path]:
    """Walk folders level by level; each is visited once, so a loop of links ends."""
    seen: set[Path] = set()
    level, known = [root], 1
    for _ in range(_LEVELS):
        below: list[Path] = []
        for folder in sorted(level, key=Path.is_symlink):  # a folder rather than a link to it
            is_result = folder != root and not {RESULT_FILE, WORKSPACE_FILE}.isdisjoint(_names(folder))
            if (results or not is_result) and (real := folder.resolve()) not in seen:
                seen.add(real)
                on_progress(Progress("looking for cases", len(seen), known + len(below)))
                yield folder
                below += [entry for entry in _entries(folder) if os.path.isdir(entry)]  # False where nobody may look
        level, known = below, known + len(below)


def _entries(folder: Path) -> list[Path]:
    """Visible entries in natural order."""
    names = sorted(name for name in _names(folder) if not name.startswith("."))
    return [folder / name for name in natsorted(names)]  # 1 and 01 are alike to it, so that sorting before tells them


def _names(folder: Path) -> list[str]:
    """What is in a folder, nothing where it may not be read."""
    try:
        return os.listdir(folder)
    except PermissionError:
        return []


def _cases_in(folder: Path, *, is_root: bool) -> list[Case]:
    try:
        os.listdir(folder)
        os.stat(os.path.join(folder, "."))  # names may be read while files may not
    except PermissionError as error:
        reason = f"{folder} may not be read: permission denied"
        if is_root:
            raise PermissionError(reason) from error
        return [Case(folder.name, folder, "slices", error=reason)]
    return _cases_of_files(folder, filter(os.path.isfile, _entries(folder)))


def _cases_of_files(folder: Path, files: Iterable[Path]) -> list[Case]:
    slices: dict[str, list[tuple[int, bool, Path]]] = defaultdict(list)
    stacks: dict[str, list[tuple[bool, Path]]] = defaultdict(list)
    nifti: list[Path] = []
    strays: list[Path] = []
    for file in files:
        if match := SLICE.fullmatch(file.name):
            slices[match["case"]].append((int(match["number"]), bool(match["mask"]), file))
        elif match := STACK.fullmatch(file.name):
            stacks[match["case"]].append((bool(match["mask"]), file))
        elif NIFTI.fullmatch(file.name):
            nifti.append(file)
        else:
            strays.append(file)
    for name in [name for name, members in slices.items() if is_stack(members[0][2])]:
        for _, is_mask, file in slices.pop(name):
            stacks[MASK.sub("", file.stem)].append((is_mask, file))
    if slices:  # a single picture beside the slices is not a case of its own
        for name in [name for name, members in stacks.items() if not any(is_stack(file) for _, file in members)]:
            strays += [file for _, file in stacks.pop(name)]
    cases = [_slices_case(stem or folder.name, folder, members) for stem, members in slices.items()]
    cases += [_stack_case(stem, folder, members) for stem, members in stacks.items()]
    cases += _nifti_cases(folder, nifti)
    if len(cases) == 1 and cases[0].layout == "slices":
        remarks = tuple(Problem("other file", f"not part of the case: {file.name}") for file in strays)
        return [replace(cases[0], name=folder.name, problems=cases[0].problems + remarks)]
    return cases


def _slices_case(name: str, folder: Path, members: list[tuple[int, bool, Path]]) -> Case:
    images = {number: file for number, is_mask, file in members if not is_mask}
    masks = {number: file for number, is_mask, file in members if is_mask}
    numbers = tuple(sorted(images))
    all_images, all_masks = (tuple(file for _, is_mask, file in members if is_mask == kind) for kind in (False, True))
    case = Case(name, folder, "slices", all_images, all_masks, numbers)
    if len(images) + len(masks) < len(members):
        count = Counter((number, is_mask) for number, is_mask, _ in members)
        number = min(number for (number, _), times in count.items() if times > 1)
        return replace(case, error=f"slice {number} of {name} is there twice")
    if not images:
        return replace(case, numbers=tuple(sorted(masks)), error=f"{folder} holds masks of {name} but no images")
    problems = []
    if gaps := sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)):
        problems.append(Problem("missing pair", f"no image of {_slices(gaps)}, missing in the numbering"))
    if masks and (without := sorted(set(images) - set(masks))):
        problems.append(Problem("missing pair", f"no mask of {_slices(without)}", without[0]))
    if orphans := sorted(set(masks) - set(images)):
        problems.append(Problem("missing pair", f"no image for the mask of {_slices(orphans)}"))
    return replace(
        case,
        images=tuple(images[number] for number in numbers),
        masks=tuple(masks.get(number) for number in numbers),
        problems=tuple(problems),
    )


def _slices(numbers: Sequence[int]) -> str:
    return f"slice{'s' * (len(numbers) > 1)} {few(map(str, numbers))}"


def _stack_case(name: str, folder: Path, members: list[tuple[bool, Path]]) -> Case:
    images = [file for is_mask, file in members if not is_mask]
    masks = [file for is_mask, file in members if is_mask]
    case = Case(name, folder, "stack", images=tuple(images), masks=tuple(masks) or (None,))
    if not images:
        return replace(case, error=f"{masks[0]} is a mask without an image {name}.tif")
    if len(images) > 1 or len(masks) > 1:
        return replace(case, error=f"{name} is there twice: {', '.join(file.name for file in images + masks)}")
    return case


def _nifti_cases(folder: Path, files: Iterable[Path]) -> list[Case]:
    """Cases of those files that are NIfTI.

    Beside files that name their sequences, others of the patient that name none are not used: they may be anything.
    """
    groups: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for file in files:
        if match := NIFTI.fullmatch(file.name):
            stem, kind = read_sequence(match["case"])
            groups[stem].append((kind, file))
    named = [stem for stem, members in groups.items() if any(kind in CHANNELS for kind, _ in members)]
    for stem in [stem for stem in groups if stem not in named]:
        if beside := [other for other in named if _continues(stem, other)]:
            groups[max(beside, key=len)] += [("other", file) for _, file in groups.pop(stem)]
    return [_nifti_case(stem or folder.name, folder, members) for stem, members in groups.items()]


def _continues(stem: str, other: str) -> bool:
    """Whether the name of a case begins with that of another, and goes on with another word."""
    return stem.startswith(other) and not (other and stem[len(other)].isalnum())


def _nifti_case(name: str, folder: Path, members: list[tuple[str, Path]]) -> Case:
    used = [(kind, file) for kind, file in members if kind not in ("other", "mask")]
    masks = tuple(file for kind, file in members if kind == "mask")
    case = Case(name, folder, "nifti", tuple(file for _, file in used), masks or (None,))
    kinds = [kind for kind, _ in used]
    if twice := [kind for kind, times in Counter(kinds + ["mask"] * len(masks)).items() if times > 1]:
        names = ", ".join(file.name for kind, file in members if kind == twice[0])
        return replace(case, error=f"{name} has more than one {twice[0] or 'image'}: {names}")
    others = [file for kind, file in members if kind == "other"]
    if not used and not others:
        return replace(case, error=f"{masks[0]} has no image beside it")
    if not used:
        return replace(case, error=f"{others[0]} is, by its name, of a sequence that is not used; a FLAIR is needed")
    if "" not in kinds and FLAIR not in kinds:
        return replace(case, error=f"{name} has no FLAIR: its files are {', '.join(file.name for _, file in members)}")
    if "" in kinds and len(kinds) > 1:
        unclear = next(file.name for kind, file in used if not kind)
        return replace(case, error=f"{unclear}: the name does not say which sequence it is (flair, t1 or t1ce)")
    ordered = [(kind, file) for kind in ("", *CHANNELS) for known, file in used if known == kind]
    return replace(
        case,
        images=tuple(file for _, file in ordered),
        channels=tuple(kind for kind, _ in ordered if kind),
        problems=tuple(Problem("other file", f"not used: {file.name}") for file in others),
    )


def _with_distinct_names(cases: Iterable[Case]) -> Iterator[Case]:
    """Tell namesakes apart, also where a disk would not: its files are called after them."""
    taken: set[str] = set()
    last: Counter[str] = Counter()
    for case in cases:
        name = distinct = printable(case.name)
        while (key := file_name(distinct).casefold()) in taken:
            last[name] += 1
            distinct = f"{name} ({last[name] + 1})"
        taken.add(key)
        remark = Problem("other file", f"another case is called {name} too")
        yield replace(case, name=distinct, problems=case.problems + (remark,) * (distinct != name))
