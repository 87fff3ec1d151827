"""The command line: ``brainseg``."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error is one line on standard error and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that a terminal cannot show stops nothing
            stream.reconfigure(errors="backslashreplace")
    try:
        from .commands import run  # loading takes a second, in which somebody may press Ctrl-C
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(INTERRUPTED)
    run(arguments)
