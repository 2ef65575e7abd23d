"""``crossrec simulate``: a planted world with known transfer between its domains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, note, say, table


def simulate(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write; a new one, or an empty one.")],
    domains: Annotated[
        str, typer.Option(metavar="N|NAMES", help="Number of domains, or their names: toys,games.")
    ] = "2",
    users: Annotated[int, typer.Option(metavar="N", help="Users in all.")] = 2000,
    items: Annotated[int, typer.Option(metavar="N", help="Items of each domain.")] = 1000,
    events: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEAN",
            help="Mean history length of a user in a domain, 3 or more (default 10); or toys=12 (repeat, one per domain).",
        ),
    ] = None,
    overlap: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of users who are also in each domain that is not their home.")
    ] = 0.6,
    transfer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="R",
            help="Correlation of a user's interests between domains, 0 to 1 (default 0.9); or toys:games=0.8 (repeat "
            "for more; pairs not named have 0).",
        ),
    ] = None,
    interests: Annotated[int, typer.Option(metavar="N", help="Kinds of items.")] = 20,
    drift: Annotated[float, typer.Option(metavar="SHARE", help="Share of the interests that passes with time.")] = 0.7,
    sequence: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of events that follow from the item before.")
    ] = 0.2,
    outliers: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of users whose interests do not transfer.")
    ] = 0.0,
    tail: Annotated[float, typer.Option(metavar="X", help="Exponent of the popularity of items.")] = 1.0,
    opinions: Annotated[
        float,
        typer.Option(metavar="STARS", help="How far users differ in what they think of an interest: moves ratings."),
    ] = 0.0,
    days: Annotated[int, typer.Option(metavar="N", help="Time that the logs cover.")] = 365,
    resolution: Annotated[
        str, typer.Option(metavar="UNIT", help="How exactly time is published: second or day.")
    ] = "second",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything that is drawn.")] = 0,
    json: options.Json = False,
) -> None:
    """Write simulated logs, and the truth behind them."""
    from crossrec.data.simulate import NOTE
    from crossrec.data.simulate import simulate as draw
    from crossrec.data.worlds import World

    world = World(
        domains=int(domains) if domains.lstrip("-").isdigit() else options.listed([domains]) or [],
        users=users,
        items=items,
        events=10.0 if not events else _numbers("--events", events, "one per domain (toys=12)"),
        overlap=overlap,
        transfer=0.9 if not transfer else _numbers("--transfer", transfer, "one per pair (toys:games=0.8)"),
        interests=interests,
        tail=tail,
        drift=drift,
        outliers=outliers,
        sequence=sequence,
        opinions=opinions,
        days=days,
        resolution="day" if resolution == "day" else resolution,  # type: ignore[arg-type]  # World checks it
        seed=seed,
    )
    note("Simulating ...")
    made = draw(world)
    made.write(out)
    counts = {name: log.num_rows for name, log in made.tables.items()}
    if json:
        facts: dict[str, Any] = {"out": str(out), "simulated": True, "note": NOTE, "interactions": counts}
        emit({**facts, "world": world.parameters()})
        return
    say(f"Wrote {out}: {NOTE}")
    say(
        table(["domain", "items", "interactions"], [[name, world.sizes[name], count] for name, count in counts.items()])
    )
    say(f"Next: crossrec describe {out}")


def _numbers(option: str, asked: list[str], named: str) -> Any:
    """One number for all, or one per name."""
    from crossrec.errors import InputError

    try:
        if len(asked) == 1 and "=" not in asked[0]:
            return float(asked[0])
        return {name: float(number) for name, number in (text.split("=", 1) for text in asked)}
    except ValueError as error:
        raise InputError(f"{option} {' '.join(asked)}: give one number for all, or {named}.") from error
