"""Files that a command is about to write."""

from pathlib import Path


def check_output(output: Path | None, *, overwrite: bool) -> None:
    """Refuse to replace a file of an earlier run unasked."""
    if output and output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; choose another --output or give --overwrite")


def check_picture(output: Path, *, overwrite: bool) -> None:
    """Refuse a file that is not called PNG, and to replace one of an earlier run unasked."""
    if output.suffix.lower() != ".png":
        raise ValueError(f"{output} is no name of a PNG file: it must end in .png")
    check_output(output, overwrite=overwrite)
