"""Corrected masks of a case: kept slice by slice beside the data, with former versions, never over it."""

import glob
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .cases import Case
from .durations import now
from .files import atomic_path, remove_stale
from .ledgers import TRUE_STATES, CaseLedger, ReviewState, SliceReview, read_ledger, write_ledger
from .masks import Mask, read_slice_mask, slice_mask_name, write_slice_mask
from .volumes import Volume
from .workspaces import Workspace

VERSIONS = 10
"""Former masks of a slice that are kept."""

_VERSION_SECONDS = 60.0
"""Autosave writes after every stroke; a mask that stood for less time is no version of its own."""

_VERSIONS_FOLDER, _PREDICTIONS_FOLDER = ".versions", ".predictions"
"""Hidden, so that nobody takes them for cases."""


@dataclass(frozen=True, slots=True)
class Version:
    """A former mask of a slice.

    Attributes
    ----------
    time : datetime
        When it was replaced, UTC.
    file : Path
        Where it is.
    """

    time: datetime
    file: Path

    def read(self) -> Mask:
        """Mask (Y, X) of 0 and 1."""
        return read_slice_mask(self.file)


@dataclass(frozen=True, slots=True)
class Saved:
    """What came of saving.

    Attributes
    ----------
    ledger : CaseLedger
        What is known of the case now, by others too.
    overtaken : tuple of int
        Positions along Z of slices that somebody else had changed meanwhile: theirs is kept as a former version.
    """

    ledger: CaseLedger
    overtaken: tuple[int, ...] = ()


class Corrections:
    """The corrected masks of one case, as they are on disk.

    A slice has a file if somebody changed or accepted it; such slices are not to be segmented anew. Several windows may
    correct one case: each writes only the slices that were changed in it.

    Parameters
    ----------
    workspace : Workspace
        Where they are kept.
    volume : Volume
        The case.

    Attributes
    ----------
    ledger : CaseLedger
        What was done with each slice, as far as it was read.

    Raises
    ------
    ValueError
        If the ledger or a mask is damaged or does not fit the case, which may lie in another folder than the one that
        was corrected; the message names the file.
    """

    def __init__(self, workspace: Workspace, volume: Volume) -> None:
        self.workspace, self.volume = workspace, volume
        self._folder = workspace.corrections(volume.name)
        source = volume.source
        self._images = source.parent if source and source.is_file() else source
        self._planes: dict[int, Mask] = {}
        self.ledger = CaseLedger(case=volume.name)
        self.refresh()

    @property
    def planes(self) -> Mapping[int, Mask]:
        """Corrected masks (Y, X) by position along Z."""
        return self._planes

    def state(self, z: int) -> ReviewState:
        """State of the slice at a position along Z."""
        return self.review(z).state

    def review(self, z: int) -> SliceReview:
        """What was done with the slice at a position along Z."""
        return self.ledger.slices.get(self.volume.slice_numbers[z], SliceReview())

    def refresh(self) -> tuple[int, ...]:
        """Read what is there now, and return where other windows have changed something."""
        former = self._planes, self.ledger
        self.ledger = self._read_ledger()
        self._planes = {z: mask for z in range(len(self.volume.array)) if (mask := self._read(z)) is not None}
        return tuple(
            z
            for z, number in enumerate(self.volume.slice_numbers)
            if former[1].slices.get(number) != self._seen(number) or not _same(former[0].get(z), self._planes.get(z))
        )

    def save(
        self,
        mask: Mask,
        slices: Iterable[int],
        predicted: Mask | None = None,
        *,
        state: ReviewState | None = None,
        reviewer: str = "",
        seconds: float = 0.0,
        model_sha256: str = "",
    ) -> Saved:
        """Write some slices of a mask, and what was done with them.

        Parameters
        ----------
        mask : ndarray
            (Z, Y, X) of 0 and 1.
        slices : iterable of int
            Positions along Z.
        predicted : ndarray, optional
            (Z, Y, X): what the model said; without it, what was said when the slice was first corrected, else nothing.
        state : {"auto", "edited", "accepted", "flagged"}, optional
            The state they get. If it is not given, they are edited, or auto again where they are as predicted. With
            "auto" the correction is taken back: the prediction counts again, whatever it may be by then.
        reviewer : str
            Who did it.
        seconds : float
            Time spent since the last saving, shared out over the slices.
        model_sha256 : str
            The weights that predicted.

        Raises
        ------
        OSError
            If something cannot be written; what was there is whole.
        """
        chosen, overtaken = tuple(slices), []
        with self.workspace.locked(self.volume.name):
            hidden = (self._folder / name for name in (_VERSIONS_FOLDER, _PREDICTIONS_FOLDER))
            remove_stale((self.workspace.ledger, self._folder, *hidden))
            reviews = dict(self._read_ledger().slices)
            try:
                for z in chosen:
                    number = self.volume.slice_numbers[z]
                    on_disk, was = self._read(z), reviews.get(number, SliceReview())
                    base = self._base(z, None if predicted is None else predicted[z])
                    new, new_state, changed = _decide(mask[z], base, state)
                    is_seen = _same(on_disk, self._planes.get(z)) and reviews.get(number) == self._seen(number)
                    if not is_seen and not _same(on_disk, new):
                        overtaken.append(z)
                    always_keep = z in overtaken or new is None or was.state == "accepted"
                    self._write(z, new, on_disk, always_keep=always_keep, base=base)
                    reviews[number] = SliceReview(
                        state=new_state,
                        reviewer=reviewer or was.reviewer,
                        time=now(),
                        seconds=was.seconds + seconds / len(chosen),
                        voxels_changed=changed,
                        model_sha256=was.model_sha256 if on_disk is not None else model_sha256,
                    )
            except OSError:
                with suppress(OSError):  # what was written is told, where there is still room for it
                    self._record(reviews)
                raise
            self._record(reviews)
        return Saved(self.ledger, tuple(overtaken))

    def predicted(self, z: int) -> Mask | None:
        """What the slice at a position along Z was first corrected from; None if that is not known, or it was not."""
        return self._base(z, None)

    def forget(self, slices: Iterable[int]) -> None:
        """Take these slices as never read: saving one keeps what somebody else made of it as a former version."""
        for z in slices:
            self._planes.pop(z, None)

    def versions(self, z: int) -> list[Version]:
        """Former masks of the slice at a position along Z, the latest first."""
        return self._versions(self._file(z))

    def _read_ledger(self) -> CaseLedger:
        return read_ledger(self.workspace, self.volume.name, self._images)

    def _seen(self, number: int) -> SliceReview | None:
        return self.ledger.slices.get(number)

    def _record(self, reviews: Mapping[int, SliceReview]) -> None:
        folder = self.workspace.note_of(self._images) if self._images else self.ledger.folder
        ledger = CaseLedger(case=self.volume.name, folder=folder, slices=dict(sorted(reviews.items())))
        write_ledger(self.workspace, ledger)
        self.ledger = ledger

    def _file(self, z: int) -> Path:
        return self._folder / slice_mask_name(self.volume.name, self.volume.slice_numbers[z])

    def _read(self, z: int) -> Mask | None:
        file = self._file(z)
        if not file.is_file():
            return None
        mask = read_slice_mask(file)
        if mask.shape != self.volume.shape[1:]:
            raise ValueError(f"{file} has size {mask.shape}, but its image has {self.volume.shape[1:]}")
        return mask

    def _base(self, z: int, predicted: Mask | None) -> Mask | None:
        """What a slice is compared with: the prediction it was first corrected from, else the one at hand."""
        file = self._folder / _PREDICTIONS_FOLDER / self._file(z).name
        return read_slice_mask(file) if file.is_file() else predicted

    def _write(self, z: int, mask: Mask | None, former: Mask | None, *, always_keep: bool, base: Mask | None) -> None:
        """Put a mask in place of the former one, which becomes a version; None takes the file away."""
        file = self._file(z)
        for folder in (_VERSIONS_FOLDER, _PREDICTIONS_FOLDER):
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        predicted = self._folder / _PREDICTIONS_FOLDER / file.name
        if former is not None and not _same(former, mask):
            self._keep_version(file, always=always_keep)
        if mask is None:
            file.unlink(missing_ok=True)
            predicted.unlink(missing_ok=True)
            self._planes.pop(z, None)
            return
        if base is not None and not predicted.exists():
            with atomic_path(predicted) as temporary:
                write_slice_mask(temporary, base)
        if not _same(former, mask):
            with atomic_path(file) as temporary:
                write_slice_mask(temporary, mask)
        self._planes[z] = mask.copy()

    def _keep_version(self, file: Path, *, always: bool) -> None:
        stood = datetime.now(UTC).timestamp() - file.stat().st_mtime
        if not always and stood < _VERSION_SECONDS:
            return
        folder = self._folder / _VERSIONS_FOLDER
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        with atomic_path(folder / f"{file.stem}.{stamp}.tif") as temporary:
            shutil.copy(file, temporary)  # the file itself stays until the new one takes its place
        for old in self._versions(file)[VERSIONS:]:
            old.file.unlink(missing_ok=True)

    def _versions(self, file: Path) -> list[Version]:
        """Former masks of a slice's file, whose name may hold brackets, the latest first."""
        found = map(_version, (self._folder / _VERSIONS_FOLDER).glob(f"{glob.escape(file.stem)}.*.tif"))
        return sorted(filter(None, found), key=lambda version: version.time, reverse=True)


def with_corrections(cases: Iterable[Case], workspace: Workspace) -> list[Case]:
    """Cases with what a person made of their slices: edited and accepted ones are the truth, flagged ones unknown.

    Raises
    ------
    ValueError
        If a ledger is damaged, or is of a case of the same name in another folder.
    """
    return [_corrected(case, workspace) for case in cases]


def _corrected(case: Case, workspace: Workspace) -> Case:
    found: list[tuple[int, Path | None]] = []
    for number, review in sorted(read_ledger(workspace, case.name, case.folder).slices.items()):
        file = workspace.corrections(case.name) / slice_mask_name(case.name, number)
        if review.state in TRUE_STATES and file.is_file():
            found.append((number, file))
        elif review.state == "flagged":
            found.append((number, None))
    return replace(case, corrections=tuple(found))


def _decide(mask: Mask, base: Mask | None, state: ReviewState | None) -> tuple[Mask | None, ReviewState, int]:
    """What is kept of a slice's mask, in which state, and how many voxels of it differ from the prediction."""
    changed = 0 if state == "auto" else int(np.count_nonzero(mask != (np.uint8(0) if base is None else base)))
    state = state or ("edited" if changed else "auto")
    return mask if state == "accepted" or changed else None, state, changed


def _version(file: Path) -> Version | None:
    """A former mask by the name of its file; None for another, such as the copy that a sync tool made of one."""
    with suppress(ValueError, IndexError):
        stamp = file.suffixes[-2].removeprefix(".")
        return Version(datetime.strptime(stamp, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC), file)
    return None


def _same(one: Mask | None, other: Mask | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
