"""Tables of plain text."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.evaluation import Summary
from ..core.score_tables import shown, shown_interval


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of every case, and what they say together; differences have a sign."""

    title: str
    key: str
    values: Sequence[float | None]
    summary: Summary
    sign: bool = False


def score_table(names: Sequence[str], columns: Sequence[Column], last: Sequence[Sequence[str]]) -> str:
    """Table with a row for each case, then mean, median, interval, and some more rows."""

    def row(name: str, values: Sequence[float | None]) -> list[str]:
        return [name, *(shown(item.key, value, sign=item.sign) for item, value in zip(columns, values, strict=True))]

    rows = [["case", *(item.title for item in columns)]]
    rows += [row(name, [item.values[index] for item in columns]) for index, name in enumerate(names)]
    rows.append([""] * len(rows[0]))
    rows.append(row("mean", [item.summary.mean for item in columns]))
    intervals = [shown_interval(item.key, item.summary, sign=item.sign).split(" to ") for item in columns]
    rows.append(["  95 % interval, from", *(ends[0] for ends in intervals)])
    rows.append(["  to", *(ends[-1] for ends in intervals)])
    rows.append(row("median", [item.summary.median for item in columns]))
    return _aligned([*rows, *last])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines, the first column to the left and the others to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        [row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))] for row in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)
