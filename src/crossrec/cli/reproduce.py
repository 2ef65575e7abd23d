"""``crossrec reproduce``: the tables of a paper, made again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec.cli import options
from crossrec.cli.progress import Watch
from crossrec.cli.terminal import emit, note, say, table, tell, warn

if TYPE_CHECKING:
    from crossrec.reproduction.measure import Measured
    from crossrec.reproduction.reproduce import Reproduction


def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="A folder below papers/, or the path of one.")],
    table_: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="N", help="A table of the recipe (repeat for more; default: all)."),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Rows with commas between: 'DNS*,MixGCF' or dns-star,mixgcf."),
    ] = None,
    targets: Annotated[list[str] | None, typer.Option(metavar="DOMAINS", help="Targets with commas between.")] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="K", help="Seeds 1 to K for every row (default: as many as the row says).")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few epochs, one seed, in folders of their own: to see that all runs.")
    ] = False,
    collect: Annotated[
        bool, typer.Option("--collect", help="Train nothing: measure the runs that are finished, and name the others.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="honest|authors|all",
            help="Without a leak, as the paper's own code does it, or both (default: honest, or what the table is made by).",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The logs, or the folder of all logs (default: CROSSREC_DATA)."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the run folders are (default: runs/PAPER).")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The CSV file to write (default: results.csv of the paper).")
    ] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Make the tables of a paper again, cell by cell.

    What is trained already is not trained again: stop at any time, and the same command goes on.
    """
    from crossrec.reproduction.reproduce import reproduce as make
    from crossrec.train import distributed

    distributed.device(device)
    try:
        found = make(
            paper,
            tables=options.listed(table_),
            rows=options.listed(rows),
            targets=options.listed(targets),
            seeds=seeds,
            quick=quick,
            collect=collect,
            protocol=protocol,
            data=data,
            runs=runs,
            results=results,
            device=device,
            tell=note,
            watch=Watch,
        )
    except KeyboardInterrupt:
        note("Interrupted. The same command goes on from here.")
        raise
    for leak in dict.fromkeys(one.leak for one in found.cells if one.leak):
        warn(f"LEAK: {leak}", json)
    if json:
        emit(found.to_dict())
    else:
        _print(found)


def _print(found: Reproduction) -> None:
    order = list(found.recipe.tables)
    protocols = [name for variant in found.recipe.variants for name in variant.protocols]
    shown = sorted(
        (one for one in found.cells if one.line.metric == found.recipe.shown(one.line.protocol)),
        key=lambda one: (order.index(one.line.table), one.line.target, protocols.index(one.line.protocol)),
    )
    say(found.recipe.title)
    for (name, target, protocol), group in groupby(
        shown, lambda one: (one.line.table, one.line.target, one.line.protocol)
    ):
        cells = list(group)
        leaky = " (LEAK)" if any(one.leak for one in cells) else ""
        say(f"\nTable {name}: {found.recipe.tables[name]}")
        metric, items = cells[0].line.metric, cells[0].line.users
        say(f"{target}, {protocol}{leaky}, {metric}, {items:,} held-out items\n")
        _print_cells(cells)
    compared = [one for one in shown if one.line.paper is not None]
    reasons = list(dict.fromkeys(f"{one.line.row} for {one.line.target}: {one.why}" for one in compared if one.why))
    if compared and (found.recipe.beware or reasons):
        say("\nWhy there are gaps:")
        tell(found.recipe.beware)
        for text in reasons:
            tell(f"- {text}")
    say()
    if found.quick:
        warn("QUICK: a few epochs of one seed. These figures say that everything runs, and nothing else.", json=False)
    metrics = list(dict.fromkeys(one.line.metric for one in found.cells))
    tell(f"Wrote {found.results} (all metrics: {', '.join(metrics)}).")


def _print_cells(cells: Sequence[Measured]) -> None:
    from crossrec.evaluation.metrics import direction
    from crossrec.experiments.wording import p_text

    printed, tested = any(one.line.paper is not None for one in cells), any(one.tests for one in cells)
    rows = []
    for one in cells:
        line = one.line
        spread = "" if line.std is None else f" ± {line.std:.4f}"
        own = [line.row, f"{line.mean:.4f}{spread} ({line.seeds})"]
        if printed:
            own += ["–", "–"] if line.paper is None else [f"{line.paper:.4f}", f"{line.mean - line.paper:+.4f}"]
        tests = [[test.against, f"{test.gain:+.4f}", p_text(test.p)] for test in one.tests] or [["–", "–", "–"]]
        rows.append([*own, *tests[0]])
        rows += [["", "", *(["", ""] if printed else []), *test] for test in tests[1:]]
    head = [
        "row",
        "ours (seeds)",
        *(["paper", "gap"] if printed else []),
        *(
            ["against", "gain" if direction(cells[0].line.metric) > 0 else "change (less is better)", "p"]
            if tested
            else []
        ),
    ]
    say(table(head, [row[: len(head)] for row in rows], gives="row"))
