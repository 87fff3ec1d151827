"""Ctrl-C while a training runs."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..core.progress import OnProgress, Progress, is_leading
from ..core.runs import UNDER_WAY, ask_to_stop, read_state
from .console import complain


class Interrupts:
    """Whether someone pressed Ctrl-C, or the system asked the process to end."""

    asked = False


@contextmanager
def gentle_interrupts(folder: Path) -> Iterator[Interrupts]:
    """While the block runs, the first interrupt asks the run in a folder to stop, and the second ends it at once."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(_: int, __: FrameType | None) -> None:
        if not is_leading():
            return  # the leading process, which is asked as well, stops all of them together
        if "WORLD_SIZE" not in os.environ:  # the one who started several passes on what the terminal sent them already
            restore()
        interrupts.asked = True
        if not _has_begun(folder):
            raise KeyboardInterrupt
        ask_to_stop(folder)

    for number in before:
        signal.signal(number, ask)
    try:
        yield interrupts
    finally:
        restore()


def _has_begun(folder: Path) -> bool:
    """Whether the run in a folder is that of this process: a wish to stop from before it begins is forgotten."""
    state = read_state(folder)
    return state is not None and state.pid == os.getpid() and state.status in UNDER_WAY


def saying_so(interrupts: Interrupts, on_progress: OnProgress) -> OnProgress:
    """Progress that tells once that the run is about to stop."""
    said = False

    def report(progress: Progress) -> None:
        nonlocal said
        if interrupts.asked and not said:
            said = True
            complain("stopping: this step is finished and saved; press Ctrl-C again to stop at once")
        on_progress(progress)

    return report
