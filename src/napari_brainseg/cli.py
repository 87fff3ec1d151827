"""The command line: ``brainseg``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from .core.cases import find_cases, split_cases
from .core.config import TrainConfig
from .core.progress import Progress

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def brainseg() -> None:
    """Segment low-grade glioma on brain MRI."""


@app.command()
def train(
    folder: Path,
    output: Annotated[Path, typer.Option()],
    folds: Annotated[Optional[Path], typer.Option()] = None,
    fold: Annotated[int, typer.Option()] = 0,
    validation_share: float = 0.2,
    epochs: int = 30,
    threads: int = 0,
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Train."""
    from .core.training import train as run

    cases = [case for case in find_cases(folder) if not case.error]
    if folds:
        held = set(json.loads(folds.read_text())["folds"][fold])
        t, v = [c for c in cases if c.name not in held], [c for c in cases if c.name in held]
    elif validation_share:
        t, v = split_cases(cases, validation_share, seed)
    else:
        t, v = cases, []

    def report(p: Progress) -> None:
        if p.stage == "training" or p.done % 20 == 0:
            print(p.stage, p.done, p.total, dict(p.metrics), flush=True)

    model = run(
        t,
        v,
        output,
        config=TrainConfig(epochs=epochs, threads=threads, seed=seed),
        resume=resume,
        on_progress=report,
        command="brainseg " + " ".join(sys.argv[1:]),
    )
    print(model.info.validation_dice, model.info.mean_dice)


def main() -> None:
    """Run the command line."""
    app()
