"""``crossrec check-table``: rows of a results table that no ranking can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, say, table, tell

if TYPE_CHECKING:
    from crossrec.evaluation.check import Break
    from crossrec.evaluation.tables import Row, Table


def check_table(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file: a column or a line per metric.")],
    value: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the figures, where a line has one metric.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option(metavar="NAMES", help="Columns that name a row, with commas.")] = None,
    decimals: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Decimals of the figures (default: as many as there are).")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Items ranked per case, the relevant one too: checks AUC.")
    ] = None,
    mid_ranks: Annotated[
        bool, typer.Option("--mid-ranks", help="Ties count at mid-rank, so that a rank may be a half.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every broken bound, not one per row.")] = False,
    json: options.Json = False,
) -> None:
    """Find rows of a results table that no ranking can have.

    Each case must have one relevant item. A figure may be a mean over anything: users, seeds, repetitions.
    """
    from crossrec.evaluation.bounds import Ranks
    from crossrec.evaluation.check import broken
    from crossrec.evaluation.tables import read_table

    found = read_table(file, value, options.listed(by), decimals)
    ranks = Ranks(candidates, mid_ranks)
    breaks = [(row, broken(row.values, found.rounding, ranks, found.whole)) for row in found.rows]
    wrong = [(row, each) for row, each in breaks if each]
    if json:
        emit(_as_json(file, found, wrong))
    else:
        _print(file, found, wrong, every)


Wrong = Sequence[tuple["Row", Sequence["Break"]]]


def _as_json(file: Path, found: Table, wrong: Wrong) -> Mapping[str, object]:
    return {
        "file": str(file),
        "rows": len(found.rows),
        "broken": len(wrong),
        "percent": found.percent,
        "decimals": found.decimals,
        "unchecked": list(found.unchecked),
        "found": [
            {
                "row": row.name,
                "line": row.line,
                "breaks": [
                    {
                        "law": one.law,
                        "bound": one.bound,
                        "figure": one.figure,
                        "limit": one.limit,
                        "by": one.by,
                        "rounding": one.slack,
                    }
                    for one in each
                ],
            }
            for row, each in wrong
        ],
    }


def _print(file: Path, found: Table, wrong: Wrong, every: bool) -> None:
    counts = sorted(set(found.decimals.values()))
    digits = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    unit = ", in per cent (figures above 1, none above 100)" if found.percent else ""
    tell(f"{file}: {len(found.rows):,} rows of {', '.join(found.decimals)}; {digits} decimals{unit}.")
    if found.unchecked:
        tell(f"Not checked: {', '.join(found.unchecked)}.")
    say()
    rows = [
        ["" if at else name, "" if at else len(each), one.bound, *_figures(one, counts[-1])]
        for name, (_, each) in zip(_names(found, wrong), wrong, strict=True)
        for at, one in enumerate(each if every else each[:1])
    ]
    if rows:
        say(table(["row", "broken", "a bound" if not every else "bound", "figure", "limit", "by"], rows, gives="row"))
        say()
    tell(f"{len(wrong):,} of {len(found.rows):,} rows break a bound{': no ranking has such figures' if wrong else ''}.")


def _names(found: Table, wrong: Wrong) -> list[str]:
    """What tells the rows apart: the columns in which not all are the same."""
    columns = [name for name in found.rows[0].name if len({row.name[name] for row in found.rows}) > 1]
    cells = [[row.name[column] for column in columns] for row, _ in wrong]
    return [", ".join(filter(None, each)) or f"line {row.line}" for each, (row, _) in zip(cells, wrong, strict=True)]


def _figures(one: Break, digits: int) -> list[str]:
    return [f"{number:.{max(digits, 1)}f}" for number in (one.figure, one.limit, one.by)]
