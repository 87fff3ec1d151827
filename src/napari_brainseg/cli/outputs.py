"""Files and folders that a command is about to write."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import uuid4

from ..core.cases import Case
from ..core.words import refusal
from ..core.workspaces import meeting


def check_output(output: Path | None, *, overwrite: bool) -> None:
    """Refuse to replace a file of an earlier run unasked, and a place where there cannot be a file."""
    if output is None:
        return
    if output.is_dir():
        raise IsADirectoryError(f"{output} is a folder; allowed is the name of a file")
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; choose another --output or give --overwrite")
    _probe(output, output.absolute().parents)


def check_folder(output: Path) -> None:
    """Refuse, before the work, a place where there cannot be a folder that can be written to."""
    if os.path.lexists(output) and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; allowed is a folder")
    _probe(output, (output.absolute(), *output.absolute().parents))


def check_report(output: Path | None, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse to replace files of an earlier report unasked, and a folder that cannot be written to."""
    if output is None:
        return
    for name in () if overwrite else names:
        if (path := output / name).exists():
            raise FileExistsError(f"{path} exists already; choose another --output or give --overwrite")
    check_folder(output)


def check_picture(output: Path, *, overwrite: bool) -> None:
    """Refuse a file that is not called PNG, and to replace one of an earlier run unasked."""
    if output.suffix.lower() != ".png":
        raise ValueError(f"{output} is no name of a PNG file: it must end in .png")
    check_output(output, overwrite=overwrite)


def refuse_data(cases: Sequence[Case], output: Path) -> None:
    """Refuse to write masks among the data, where they would pass for manual ones, or hide them."""
    case = meeting(output, [case for case in cases if case.layout == "slices"])
    case = case or next((case for case in cases if meeting(output / case.name, [case])), None)
    if case:
        raise _not_apart(output, case.folder)


def refuse_inside(given: Sequence[Path], cases: Sequence[Case], output: Path) -> None:
    """Refuse to write into a folder that was given, or into that of a case; one beside those of cases is fine."""
    place = output.resolve()
    if folder := next((folder for folder in given if folder.is_dir() and folder.resolve() == place), None):
        raise _not_apart(output, folder)
    shared = {(path if path.is_dir() else path.parent).resolve() for path in given}
    for case in cases:
        home = case.folder.resolve()
        if home in (place, *place.parents) and (case.layout == "slices" or home not in shared):
            raise _not_apart(output, case.folder)


def _not_apart(output: Path, data: Path) -> ValueError:
    return ValueError(f"{output} is not apart from the data, which lies in {data}; choose another --output")


def _probe(output: Path, folders: Iterable[Path]) -> None:
    """Write into the first of some folders that is there: permissions alone do not tell whether that can be done."""
    above = next(folder for folder in folders if os.path.lexists(folder))
    if not above.is_dir():
        raise NotADirectoryError(f"{output} cannot be written: {above} is no folder")
    probe = above / f".{uuid4().hex}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise type(error)(f"{output} cannot be written: {refusal(error)}") from error
