"""Files and folders that a command is about to write."""

from collections.abc import Sequence
from pathlib import Path

from ..core.cases import Case
from ..core.workspaces import meeting


def check_output(output: Path | None, *, overwrite: bool) -> None:
    """Refuse to replace a file of an earlier run unasked, and a place where there cannot be a file."""
    if output is None:
        return
    if output.is_dir():
        raise IsADirectoryError(f"{output} is a folder; allowed is the name of a file")
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; choose another --output or give --overwrite")
    above = next(folder for folder in output.absolute().parents if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"{output} cannot be written: {above} is no folder")


def check_picture(output: Path, *, overwrite: bool) -> None:
    """Refuse a file that is not called PNG, and to replace one of an earlier run unasked."""
    if output.suffix.lower() != ".png":
        raise ValueError(f"{output} is no name of a PNG file: it must end in .png")
    check_output(output, overwrite=overwrite)


def refuse_data(cases: Sequence[Case], output: Path) -> None:
    """Refuse to write among the data, where results would pass for manual masks, or hide them."""
    case = meeting(output, [case for case in cases if case.layout == "slices"])
    case = case or next((case for case in cases if meeting(output / case.name, [case])), None)
    if case:
        raise ValueError(f"{output} is not apart from the data, which lies in {case.folder}; choose another --output")
