import errno
import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from napari_brainseg.core import files
from napari_brainseg.core.files import atomic_path, remove_stale, write_text


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "new"


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "ö\n")
    assert (tmp_path / "a.txt").read_bytes().decode() == f"ö{os.linesep}"


def test_failing_block_keeps_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.tif", ".tif"), ("a.b_mask.nii.gz", ".nii.gz"), ("model.json", ".json"), ("none", "")],
)
def test_temporary_name_ends_like_the_file_and_is_hidden(tmp_path: Path, name: str, suffix: str) -> None:
    """Writers decide by the suffix what to write, and finding cases passes over hidden files."""
    with atomic_path(tmp_path / name) as temporary:
        temporary.touch()
        assert temporary.name.endswith(suffix)
        assert temporary.name.startswith(".")


@pytest.mark.parametrize("refusals", [3, 1000])
def test_a_file_that_somebody_reads_on_windows_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    replace, left = Path.replace, [refusals]

    def refuse(self: Path, target: Path) -> Path:
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(files, "_PAUSE", 0.0)
    target = tmp_path / "a.txt"
    target.write_text("old")
    refused = pytest.raises(PermissionError, match=re.escape(f"{target} cannot be written: permission denied"))
    with refused if refusals > 3 else nullcontext(), atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == ("old" if refusals > 3 else "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_file_has_the_permissions_of_any_new_file(tmp_path: Path, umask: int) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert os.umask(umask) == umask  # unchanged


def write(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("new")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_read_only_folder_is_told_by_the_file_asked_for(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=re.escape(f"{tmp_path / 'a.txt'} cannot be written: permission denied")):
        write(tmp_path / "a.txt")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS], ids=errno.errorcode.get)
def test_refused_file_is_told_by_the_name_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """As a folder or disk that is read-only refuses it, removing what is not there included."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    message = f"{tmp_path / 'a.txt'} cannot be written: {os.strerror(code).lower()}"
    with pytest.raises(OSError, match=f"^{re.escape(message)}$") as told:
        write(tmp_path / "a.txt")
    assert isinstance(told.value, PermissionError) == (code == errno.EACCES)


def test_folder_that_is_missing_or_in_the_way_is_told_by_the_name_asked_for(tmp_path: Path) -> None:
    missing, folder = tmp_path / "nowhere" / "a.txt", tmp_path / "b.txt"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{missing} cannot be written: no such file")):
        write(missing)
    with pytest.raises(OSError, match=re.escape(f"{folder} cannot be written: ")):
        write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_full_disk_is_told_by_the_file_that_was_being_written(tmp_path: Path) -> None:
    """Where several files are moved together, it is the last that did not fit."""

    def write_two() -> None:
        with atomic_path(tmp_path / "a.txt") as first, atomic_path(tmp_path / "b.txt") as second:
            first.write_text("new")
            second.write_text("ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    message = f"{tmp_path / 'b.txt'} cannot be written: no space left on device"
    with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
        write_two()
    assert not list(tmp_path.iterdir())


def test_full_disk_is_told_where_numpy_tells_counts_alone(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_path(tmp_path / "a.tif"):
            raise OSError("65536 requested and 3888 written")

    message = f"{tmp_path / 'a.tif'} cannot be written: no space left on device"
    with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
        write_half()


def test_error_of_another_file_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text((tmp_path / "source").read_text())


def test_only_old_temporary_files_are_removed(tmp_path: Path) -> None:
    temporary = f".{'0a' * 16}"
    stale, others = [temporary, f"{temporary}.nii.gz"], [f"{temporary[:-1]}.tif", ".lock", "a.tif", f"{temporary[1:]}"]
    for name in (*stale, *others):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / f"{temporary}.json").touch()
    remove_stale((tmp_path, tmp_path / "nowhere"))
    assert {path.name for path in tmp_path.iterdir()} == {*others, f"{temporary}.json"}
