"""``crossrec prepare``: a folder of logs to a prepared folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, note, say, table

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset


def prepare(
    folder: options.Logs,
    out: Annotated[Path, typer.Option(metavar="PREPARED", help="The prepared folder to write.")],
    domain: options.Domains = None,
    user_column: options.UserColumn = "user_id",
    item_column: options.ItemColumn = "item_id",
    time_column: options.TimeColumn = "timestamp",
    rating_column: options.RatingColumn = "rating",
    position_column: options.PositionColumn = "position",
    duplicates: options.Duplicates = "keep",
    order: options.Order = "time",
    rating_scale: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Refuse logs with a rating outside of this scale: 1,5.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Keep interactions from this moment on (or unix seconds).")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Keep interactions before this moment.")] = None,
    binarise: Annotated[
        float | None, typer.Option(metavar="RATING", help="Keep interactions rated at least so, then without ratings.")
    ] = None,
    earliest_of_repeats: Annotated[
        bool, typer.Option("--earliest-of-repeats", help="Of a repeated (user, item) keep the earliest.")
    ] = False,
    overlap_only: Annotated[bool, typer.Option("--overlap-only", help="Keep users of every domain.")] = False,
    min_domains: Annotated[
        int | None, typer.Option(metavar="N", help="Keep users of at least so many domains.")
    ] = None,
    min_per_domain: Annotated[
        int, typer.Option(metavar="N", help="Keep users with so many interactions in every domain (of --min-domains).")
    ] = 0,
    user_core: Annotated[int, typer.Option(metavar="N", help="Keep users with at least so many interactions.")] = 0,
    user_count: Annotated[str, typer.Option(metavar="per_domain|total", help="How --user-core counts.")] = "per_domain",
    item_core: Annotated[int, typer.Option(metavar="N", help="Keep items with at least so many interactions.")] = 0,
    core: Annotated[str, typer.Option(metavar="fixed-point|one-pass", help="How often cores count.")] = "fixed-point",
    json: options.Json = False,
) -> None:
    """Read logs, filter them, and write a prepared folder."""
    from crossrec.data.filters import Filters

    names = options.columns(user_column, item_column, time_column, rating_column, position_column)
    filters = Filters(
        since=_moment(since),
        until=_moment(until),
        binarise=binarise,
        earliest_of_repeats=earliest_of_repeats,
        overlap_only=overlap_only if min_domains is None else min_domains,
        min_per_domain=min_per_domain,
        user_core=user_core,
        user_count=user_count,
        item_core=item_core,
        core=core,
    )
    note(f"Reading {folder} ...")
    data = options.open_data(folder, names, options.listed(domain), duplicates, order, rating_scale)
    read = data.num_interactions
    if filters.chosen():
        data = filters.apply(data)
    data.save(out)
    told = _told(data, out)
    if json:
        emit(told)
        return
    _print_read(told, read)
    _print_dropped(told["filters"])
    _print_left(told)


def _moment(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


def _told(data: Dataset, out: Path) -> dict[str, Any]:
    """What the card says, and what is left."""
    counts = data.counts()
    left = {
        name: {
            "users": int((counts[name] > 0).sum()),
            "items": len(items),
            "interactions": int(counts[name].sum()),
        }
        for name, items in data.items.items()
    }
    return {
        "prepared": str(out),
        "hash": data.hash,
        "users": data.num_users,
        "interactions": data.num_interactions,
        "order": data.card.get("order"),
        "read": data.card.get("domains", {}),
        "duplicates": data.card.get("duplicates"),
        "filters": data.card.get("filters", []),
        "domains": left,
        "notes": data.card.get("notes", []),
    }


def _print_read(told: dict[str, Any], interactions: int) -> None:
    say("Read:")
    rows = [
        [name, Path(facts["from"]).name, facts["rows"], facts["duplicates"], ", ".join(facts["columns"])]
        for name, facts in told["read"].items()
    ]
    say(table(["domain", "from", "rows", "duplicates", "found"], rows))
    repeats = sum(facts["duplicates"] for facts in told["read"].values())
    if repeats:
        say(f"Duplicates (same user, item and time) were {'dropped' if told['duplicates'] == 'drop' else 'kept'}.")
    for text in told["notes"]:
        say(f"Note: {text}.")


def _print_dropped(filters: list[dict[str, Any]]) -> None:
    for entry in filters:
        chosen = ", ".join(f"{name}={value}" for name, value in entry["set"].items())
        say(f"\nDropped by the filters ({chosen}):")
        rows = [
            [name, domain, count["users"], count["items"], count["interactions"]]
            for name, domains in entry["dropped"].items()
            for domain, count in domains.items()
        ]
        say(table(["filter", "domain", "users", "items", "interactions"], rows))


def _print_left(told: dict[str, Any]) -> None:
    say(f"\nPrepared {told['prepared']} (hash {told['hash']}): {told['users']:,} users, in order of {told['order']}")
    rows = [[name, *counts.values()] for name, counts in told["domains"].items()]
    say(table(["domain", "users", "items", "interactions"], rows))
