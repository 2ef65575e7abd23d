"""``crossrec describe``: what is in a folder of logs, or in a prepared one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.alignment import show
from crossrec.cli.terminal import emit, note, say, shown, table

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset

PAIRS, DOMAINS = 21, 7
"""Pairs of domains, and domains under every filter, that are still printed one by one."""


def describe(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A folder with one log per domain, named after it; or a prepared one; with --alignment also a run.",
        ),
    ],
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="Hold out in this domain alone (default: each in turn).")
    ] = None,
    domain: options.Domains = None,
    user_column: options.UserColumn = "user_id",
    item_column: options.ItemColumn = "item_id",
    time_column: options.TimeColumn = "timestamp",
    rating_column: options.RatingColumn = "rating",
    position_column: options.PositionColumn = "position",
    duplicates: options.Duplicates = "keep",
    order: options.Order = "time",
    alignment: Annotated[
        bool,
        typer.Option("--alignment", help="Say instead whether users who are alike in one domain are alike in others."),
    ] = False,
    by: Annotated[
        str, typer.Option(metavar="auto|categories|items|vectors", help="What users are compared by, with --alignment.")
    ] = "auto",
    vectors: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="A run whose user vectors are compared (one for each domain)."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the alignment as .svg, .png or .pdf.")] = None,
    json: options.Json = False,
) -> None:
    """Say what is in a folder of logs."""
    from crossrec.data.statistics import describe as find
    from crossrec.errors import InputError

    names = options.columns(user_column, item_column, time_column, rating_column, position_column)
    if not alignment and (by != "auto" or vectors or plot is not None):
        raise InputError("--by, --vectors and --plot are of the alignment: say --alignment as well.")
    note(f"Reading {folder} ...")

    def opened() -> Dataset:
        return options.open_data(folder, names, options.listed(domain), duplicates, order)

    if alignment:
        show(folder, opened, target, "vectors" if vectors and by == "auto" else by, vectors or [], plot, json)
        return
    data = opened()
    facts = find(data, target)
    if json:
        emit({"folder": str(folder), **facts})
        return
    say(f"{folder}: {facts['users']:,} users, {facts['interactions']:,} interactions, in order of {facts['order']}")
    say(f"content hash {facts['hash']}\n")
    say(_domains(facts["domains"], facts["held_out"]))
    say("\nUsers that domains share")
    say(_overlap(facts["overlap"], len(facts["domains"])))
    say("\nWhat filters would drop")
    say(table(["filter", "domain", "users", "items", "interactions", "left"], list(_dropped(facts["filters"]))))
    if facts["shared_items"]["items"]:
        say(f"\n{facts['shared_items']['items']:,} item ids occur in several domains: they are different items there.")
    for text in facts["notes"]:
        say(f"Note: {text}.")


def _domains(domains: Mapping[str, Any], held_out: Mapping[str, Any]) -> str:
    """Figures down, domains across."""
    rows: dict[str, list[str]] = {}
    for name, facts in domains.items():
        lines = {
            "users": facts["users"],
            "items": facts["items"],
            "interactions": facts["interactions"],
            "density": _share(facts["density"]),
            **{f"history, {key}": value for key, value in facts["history"].items()},
            "from": (facts["time"] or {}).get("from"),
            "to": (facts["time"] or {}).get("to"),
            "same time as before": _share(facts["ties"]),
            "repeated (user, item)": facts["repeated"],
            "duplicate rows": facts["duplicates"],
            "test users": held_out.get(name, {}).get("users"),
            "test items never trained": _share(held_out.get(name, {}).get("unseen")),
        }
        for label, value in lines.items():
            rows.setdefault(label, []).append(shown(round(value, 1) if isinstance(value, float) else value))
    return table(["", *domains], [[label, *cells] for label, cells in rows.items()], right=True)


def _overlap(overlap: Mapping[str, Any], domains: int) -> str:
    lines: list[list[Any]] = []
    pairs = (
        sorted(overlap["pairs"], key=lambda pair: -pair["users"]) if len(overlap["pairs"]) > PAIRS else overlap["pairs"]
    )
    for pair in pairs[:PAIRS]:
        shares = ", ".join(f"{_share(share)} of {name}" for name, share in pair["share"].items())
        lines.append([" + ".join(pair["domains"]), pair["users"], shares])
    if len(pairs) > PAIRS:
        lines.append([f"{len(pairs) - PAIRS} more pairs", "", f"fewer than {lines[-1][1]:,} each (--json has all)"])
    if domains > 2:
        lines.append(["every domain", overlap["every"], ""])
        lines.append(["several domains", overlap["several"], ""])
    lines.append(["one domain alone", overlap["one"], ""])
    return table(["", "users", "share"], lines)


def _dropped(filters: list[dict[str, Any]]) -> Iterator[list[Any]]:
    """A line per filter and domain; of many domains, one per filter."""
    for entry in filters:
        if len(entry["dropped"]) > DOMAINS:
            drops = [
                sum(count[what] for count in entry["dropped"].values()) for what in ("users", "items", "interactions")
            ]
            left = sum(count["interactions"] for count in entry["left"].values())
            yield [entry["name"], "all", *drops, left]
            continue
        for domain, count in entry["dropped"].items():
            left = entry["left"][domain]["interactions"]
            yield [entry["name"], domain, count["users"], count["items"], count["interactions"], left]


def _share(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.3g} %"
