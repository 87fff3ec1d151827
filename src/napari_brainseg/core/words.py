"""Numbers and names as a person reads them."""

from collections.abc import Iterable


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
