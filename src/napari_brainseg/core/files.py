"""Files that are either whole or not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Path to write to instead, moved to `path` when the block ends well and removed when it does not."""
    suffixes = "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix
    temporary = path.with_name(f".{uuid4().hex}{suffixes}")
    temporary.touch()
    mode = temporary.stat().st_mode
    try:
        yield temporary
        temporary.chmod(mode)  # that of any new file, whatever a library has made of it
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
