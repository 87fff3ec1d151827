"""Files that are either whole or not there."""

import errno
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from .words import printable

_TRIES, _PAUSE = 20, 0.05
"""Windows does not replace a file while somebody reads it, which takes a moment; after a second it is not that."""

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""All that NumPy says of a full disk."""

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}(\..+)?")
_STALE_SECONDS = 3600.0
"""Nobody takes so long to write a file."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Path to write to instead, moved to `path` when the block ends well and removed when it does not.

    Raises
    ------
    OSError
        If the file cannot be written; the message names `path`, for nobody asked for the other.
    """
    suffixes = "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix
    temporary = path.with_name(f".{uuid4().hex}{suffixes}")
    try:
        yield temporary
        _move(temporary, path)
    except OSError as error:
        is_ours = error.filename in (None, temporary, str(temporary))  # a full disk has no file name
        reason = os.strerror(errno.ENOSPC) if _SHORT_WRITE.fullmatch(str(error)) else error.strerror
        if reason is None or not is_ours:
            raise
        raise type(error)(f"{path} cannot be written: {reason.lower()}") from error
    finally:
        with suppress(OSError):  # what went wrong before is what matters
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to a file that is whole or not there."""
    with atomic_path(path) as temporary:
        temporary.write_text(printable(text), "utf-8")


def remove_stale(folders: Iterable[Path]) -> None:
    """Remove what processes that were killed left half written; the caller holds the lock of these folders."""
    for path in (path for folder in folders for path in folder.glob(".*")):
        with suppress(OSError):
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()


def refuse_existing(folder: Path | str, names: Iterable[str]) -> None:
    """Refuse a folder that holds one of some files or folders.

    Raises
    ------
    FileExistsError
        The message names it.
    """
    for name in names:
        if (path := Path(folder) / name).exists():
            raise FileExistsError(f"{path} exists already; choose another folder or allow overwriting")


def _move(temporary: Path, path: Path) -> None:
    for _ in range(_TRIES):
        with suppress(PermissionError):
            temporary.replace(path)
            return
        time.sleep(_PAUSE)
    temporary.replace(path)


def file_name(name: str) -> str:
    """Name of a case as that of a file: a layer may be called anything, a file may not."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)
