"""``brainseg explore``: what is in a data set, and what is odd about it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..core.cases import find_cases
from ..core.config import CheckConfig
from ..core.exploration import Exploration, explore_cases
from ..core.findings import Finding
from ..core.settings import MOST_SEED
from ..core.words import grouped
from .console import complain, progress_shown, say
from .outputs import check_report, refuse_inside
from .settings_options import settings_options


@settings_options()
def explore(
    call: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A case folder, a folder of cases, a TIFF stack or a NIfTI file.")],
    config: CheckConfig,
    output: Annotated[Path | None, typer.Option(help="Folder for tables, figures and report.html.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the output of an earlier run.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Start of the random draw of slices to show.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a data set and what is odd about it, and draw it."""
    from ..core.exploration_reports import EXPLORATION_FILES, exploration_json, write_exploration

    check_report(output, EXPLORATION_FILES, overwrite=overwrite)
    with progress_shown() as on_progress:
        cases = find_cases(folder, on_progress=on_progress)
        if output:
            refuse_inside([folder], cases, output)
        found = explore_cases(cases, config, on_progress=on_progress)
        if output and found.cases:
            write_exploration(
                found,
                output,
                source=str(folder),
                command=call.obj,
                seed=seed,
                overwrite=overwrite,
                on_progress=on_progress,
            )
    if as_json:
        say(exploration_json(found))
    else:
        say(_in_words(found))
        say(_table(found.findings))
    if not found.cases:
        complain(f"none of the {len(found.listed)} cases could be read")
        raise typer.Exit(1)
    if output and not as_json:
        say(f"slices.csv, cases.csv, findings.csv, figures and report.html are in {output}")


def _in_words(found: Exploration) -> str:
    lines = [f"{name}: {grouped(count, ' ')}" for name, count in found.totals.items() if count]
    sites = {site: len(cases) for site, cases in found.sites.items() if site}
    if sites:
        lines.append("cases by site: " + ", ".join(f"{site} {count}" for site, count in sites.items()))
    return "\n".join(lines)


def _table(findings: Sequence[Finding]) -> str:
    if not findings:
        return "nothing odd was found"
    width = max(len(item.case) for item in findings)
    return "\n".join(
        f"{item.severity:7}  {item.case:{width}}  "
        f"{'' if item.slice_number is None else item.slice_number:>4}  {item.sentence}"
        for item in findings
    )
