"""``crossrec report``: runs as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec.cli import options
from crossrec.cli.compare import evaluate_missing
from crossrec.cli.terminal import emit, note, say


def report(
    runs: options.Runs,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The HTML file to write.")],
    metric: options.Metric = None,
    protocol: options.Protocol = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The page's title.")] = None,
    json: options.Json = False,
) -> None:
    """Write one HTML page of runs and their comparison."""
    from crossrec.data.dataset import Dataset
    from crossrec.data.statistics import describe
    from crossrec.experiments.compare import compare
    from crossrec.experiments.report import write_report
    from crossrec.runs import DATA

    protocol, metric = evaluate_missing(runs, metric, protocol)
    found = compare(runs, metric, protocol) if len(runs) > 1 else None
    note("Writing the page ...")
    heading = title or (f"{metric} on {found.domain}" if found else f"The run {runs[0].resolve().name}")
    write_report(out, title=heading, runs=runs, description=describe(Dataset.load(runs[0] / DATA)), comparison=found)
    if json:
        emit({"report": str(out), "runs": [str(run) for run in runs], "metric": metric, "protocol": protocol})
    else:
        say(f"Wrote {out}.")
