"""``crossrec recommend``: the best items of a domain for known users or for strangers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, note, say, table

if TYPE_CHECKING:
    import pyarrow as pa

    from crossrec.recommender import Recommender


def recommend(
    run: options.Run,
    domain: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where to recommend (default: the run's target).")
    ] = None,
    users: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Known users: one id per line, or a log with a user column.")
    ] = None,
    user: Annotated[list[str] | None, typer.Option(metavar="ID", help="A known user (repeat for more).")] = None,
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Strangers: JSON lines such as {"games": ["g7", "g9"]}, oldest item first.'),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Items per user.")] = 10,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write .parquet, .csv or .jsonl.")] = None,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Recommend what the user has already, too.")] = False,
    allow: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only these items: one id per line, or an item column.")
    ] = None,
    deny: Annotated[Path | None, typer.Option(metavar="FILE", help="None of these items.")] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Recommend items to known users or to strangers."""
    from crossrec.cli.files import check_suffix, read_histories, read_ids, write_table
    from crossrec.errors import InputError
    from crossrec.recommender import Recommender
    from crossrec.train import distributed

    if sum(given is not None for given in (users, user, history)) != 1:
        raise InputError("Say for whom: one of --users FILE, --user ID and --history FILE.")
    if out is not None:
        check_suffix(out)
    labels = read_ids(users, "user") if users is not None else user
    strangers = read_histories(history) if history is not None else None
    allowed, denied = (None if file is None else read_ids(file, "item") for file in (allow, deny))
    recommender = Recommender.load(run, device=distributed.device(device))
    if strangers is not None:
        _say_unknown(recommender, strangers)
    found = recommender.recommend(
        labels, strangers, domain=domain, k=k, filter_seen=not keep_seen, allow=allowed, deny=denied
    )
    count = len(strangers if strangers is not None else labels or [])
    about = {"run": str(run), "domain": domain or recommender.target, "k": k, "users": count, "rows": found.num_rows}
    if out is not None:
        write_table(found, out)
        note(f"Wrote {found.num_rows:,} recommendations for {count:,} users to {out}.")
    if json:
        emit({**about, "out": str(out)} if out is not None else {**about, "recommendations": _by_user(found)})
    elif out is None:
        _print(found)


def _say_unknown(recommender: Recommender, histories: list[dict[str, list[Any]]]) -> None:
    known = recommender.data.items
    missing = sum(int((known[d].index(ids) < 0).sum()) for row in histories for d, ids in row.items() if d in known)
    if missing:
        note(f"Items of these histories that are unknown to the run were passed over: {missing:,}.")


def _by_user(found: pa.Table) -> list[dict[str, Any]]:
    people: list[dict[str, Any]] = []
    for row in found.to_pylist():
        name = row.pop("user")
        if not people or people[-1]["user"] != name:
            people.append({"user": name, "items": []})
        people[-1]["items"].append(row)
    return people


def _print(found: pa.Table) -> None:
    names = found.column_names
    rows = [[f"{value:.4f}" if name == "score" else value for name, value in row.items()] for row in found.to_pylist()]
    rows = [
        [str(value) if name in ("user", "item") else value for name, value in zip(names, row, strict=True)]
        for row in rows
    ]
    say(table(names, rows, gives="title" if "title" in names else None))
