import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_brainseg.core.files import atomic_path


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


def test_file_has_the_permissions_of_any_new_file(tmp_path: Path, umask: int) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert os.umask(umask) == umask  # unchanged
