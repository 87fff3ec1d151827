import numpy as np
import pytest

from napari_brainseg.core.words import counted, few, grouped, percent, plain, refusal


def test_digits_stand_in_groups_that_no_line_ends_in() -> None:
    assert grouped(41310) == "41\u00a0310"
    assert grouped(np.int64(1234567), " ") == "1 234 567"


@pytest.mark.parametrize(("number", "words"), [(0, "0 slices"), (1, "1 slice"), (2, "2 slices"), (1234, "1234 slices")])
def test_only_one_has_no_s(number: int, words: str) -> None:
    assert counted(number, "slice") == words


def test_a_count_may_have_groups_of_digits() -> None:
    assert counted(41310, "voxel", " ") == "41 310 voxels"


def test_share_is_given_in_whole_percent() -> None:
    assert percent(0.123) == "12 %"


def test_many_names_are_cut_short() -> None:
    assert few("abc") == "a, b, c"
    assert few("abcdefgh") == "a, b, c, d, e and 3 more"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotADirectoryError(20, "Not a directory", "afile/masks"), "afile/masks: not a directory"),
        (OSError("anna.tif cannot be written: no space left on device"),) * 2,
        (ValueError("three"), "three"),
    ],
)
def test_what_the_system_says_of_a_file_is_told_without_a_number(error: Exception, words: object) -> None:
    assert plain(error) == str(words)


def test_why_the_system_refused_something_is_told_in_small_letters() -> None:
    assert refusal(OSError(13, "Permission denied", "a.tif")) == "permission denied"
    assert refusal(OSError("It does not end")) == "it does not end"
