"""Numbers and names as a person reads them."""

import re
from collections.abc import Iterable
from struct import error as StructError


def grouped(number: int, space: str = "\u00a0") -> str:
    """Digits in groups of three, such as 41 310."""
    return f"{number:,}".replace(",", space)


def counted(number: int, noun: str, space: str = "") -> str:
    """Number, in groups of digits with some space between, and noun, with an s where it belongs."""
    return f"{grouped(number, space)} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Share in whole percent, such as 12 %."""
    return f"{share:.0%}".replace("%", " %")


def few(names: Iterable[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def printable(text: str) -> str:
    """Text that can be written as UTF-8: names of files may hold bytes that cannot."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read: what an error says, unless it is of code that did not expect such a header."""
    if isinstance(error, MemoryError):
        return "there is too little memory for it"
    stumbled = isinstance(error, (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, StructError))
    return "its header is damaged" if stumbled else first_line(error)


def plain(error: object) -> str:
    """What an error says; of one that the system raised of a file, its name and the reason, without a number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {refusal(error)}"
    return str(error)


def refusal(error: OSError) -> str:
    """Why the system refused something, in small letters, without a number or the name of a file."""
    return (error.strerror or str(error)).lower()


def first_line(error: BaseException) -> str:
    """What an error says, as far as its first line; its kind where it says nothing."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
