"""What the command line prints: results on standard output, progress and problems on standard error."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import rich.console
import rich.progress

from ..core.progress import OnProgress, Progress, is_leading

errors = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)

_LINE_SECONDS = 10.0
"""In a log, a line for each step would be too many."""


def say(text: str = "") -> None:
    """Print a result; of several processes only the leading one does."""
    if is_leading():
        print(text, flush=True)  # noqa: T201 - a command line prints


def complain(text: str) -> None:
    """Print a problem; of several processes only the leading one does."""
    if is_leading():
        errors.print(text, markup=False)


def name_failed(failed: Mapping[str, str]) -> None:
    """Print why each of some cases failed, with its name where the reason does not begin with it."""
    for name, reason in failed.items():
        complain(reason if reason.startswith(name) else f"{name}: {reason}")


@contextmanager
def progress_shown() -> Iterator[OnProgress]:
    """Show progress while the block runs: a bar on a terminal, now and then a line in a log."""
    if not errors.is_terminal or not is_leading():
        yield _LineProgress()
        return
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.fields[metrics]}"),
    )
    on_screen = sys.stdout.isatty()  # results that go to a file must not be drawn around the bar
    with rich.progress.Progress(*columns, console=errors, transient=True, redirect_stdout=on_screen) as bars:
        tasks: dict[str, rich.progress.TaskID] = {}

        def report(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage, total=progress.total, metrics="")
            task = tasks[progress.stage]
            bars.update(task, completed=progress.done, total=progress.total, metrics=_figures(progress))
            if progress.done == progress.total:
                bars.remove_task(tasks.pop(progress.stage))
            if progress.note:
                complain(_line(progress))

        yield report


class _LineProgress:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.note or time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            complain(_line(progress))
            sys.stderr.flush()


def _line(progress: Progress) -> str:
    parts = (f"{progress.stage} {progress.done}/{progress.total}", _figures(progress), progress.note)
    return "  ".join(part for part in parts if part)


def _figures(progress: Progress) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in progress.metrics.items())
