"""All commands, and how they end."""

import shlex
import sys
from collections.abc import Sequence

import typer

from ..core.words import first_line, plain
from . import INTERRUPTED
from .augment import augment
from .cases import cases
from .compare import compare
from .console import complain, errors
from .demo import demo
from .explain import explain
from .explore import explore
from .label_errors import label_errors
from .queue import queue
from .reference_split import reference
from .review import review
from .score import score
from .segment import segment
from .train import train

app = typer.Typer(
    name="brainseg",
    help="Segment low-grade glioma on brain MRI. Not for diagnosis.",
    epilog="Add --debug to any command to see the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (cases, explore, segment, score, compare, train, explain, queue, label_errors, augment, review, demo):
    app.command()(command)
app.command("reference-split")(reference)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run a command; an error is one line on standard error and exit code 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        given = [argument for argument in given if argument != "--debug"]
        app(given, prog_name="brainseg", obj=shlex.join(["brainseg", *given]))
    except KeyboardInterrupt:
        complain("stopped")
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer took the interrupt for itself
            complain("stopped")
        raise
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if debug:
            raise
        errors.print(f"brainseg: {_told(error)}", markup=False)  # of every process: only this one may have met it
        sys.exit(1)


def _told(error: BaseException) -> str:
    """What an error says, in one line: below it PyTorch lists functions of C++."""
    if not isinstance(error, RuntimeError):
        return plain(error)
    from ..core.devices import is_out_of_memory  # it loads torch, which such an error comes from

    short = "not enough memory here: smaller images, windows, batches, blurs and networks take less"
    return short if is_out_of_memory(error) else first_line(error)
