"""``crossrec update``: a run goes on with new events, and is served if it has not become worse."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.progress import Watch
from crossrec.cli.terminal import emit, note, say, table, warn

if TYPE_CHECKING:
    from crossrec.serve.update_report import Report

Kept = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Remove the oldest versions once the new one is served, so that N stay; the current one and the one before it "
        "always do (default: all stay).",
    ),
]


def update(
    run: options.Run,
    events: Annotated[
        str | None,
        typer.Option(
            metavar="URL|LOG",
            help="A store (sqlite:PATH, redis://...), read from where the last update stopped, or a log: a folder with one per "
            "domain, or a file with a column 'domain' or named after one (default: sqlite:RUN/events.db).",
        ),
    ] = None,
    items: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table with titles or categories of new items.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="NEWRUN", help="Write a run folder here; publish nothing.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="epochs, lr, replay, held, least, drop, drift, kept or sample (repeat for more).",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Publish what the guards refuse.")] = False,
    keep: Kept = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Serve the version before the current one again; train nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Every random stream comes from it.")] = 0,
    device: options.Device = "cpu",
    user_column: options.UserColumn = "user_id",
    item_column: options.ItemColumn = "item_id",
    time_column: options.TimeColumn = "timestamp",
    rating_column: options.RatingColumn = "rating",
    position_column: options.PositionColumn = "position",
    json: options.Json = False,
) -> None:
    """Train a run further on new events; serve it if it is good."""
    from crossrec.config import from_settings, parse_assignments
    from crossrec.errors import InputError
    from crossrec.serve.update import update as go_on
    from crossrec.serve.update_report import UpdateConfig, UpdateRefused

    if rollback:
        if events is not None or out is not None or items is not None or keep is not None or set_ or force:
            raise InputError("--rollback goes back to the version before, and takes no other option but --json.")
        _rollback(run, json)
        return
    config = from_settings(UpdateConfig, parse_assignments(set_ or []))
    asked: dict[str, Any] = {
        "items": items,
        "out": out,
        "force": force,
        "keep_versions": keep,
        "seed": seed,
        "device": device,
    }
    asked["columns"] = options.columns(user_column, item_column, time_column, rating_column, position_column)
    command = shlex.join(["crossrec", *sys.argv[1:]])
    try:
        with Watch(_metric(run)) as watch:
            named = events or f"sqlite:{run / 'events.db'}"
            report = go_on(run, named, config=config, log=watch, command=command, **asked)
    except UpdateRefused as refused:
        if json:
            emit(refused.report.plain())
        else:
            _print(refused.report)
        note(f"Refused: {refused} What was served is served on. --force publishes all the same.")
        raise typer.Exit(1) from None
    if json:
        emit(report.plain())
    else:
        _print(report)
        _print_kept(report, run)


def _metric(run: Path) -> str:
    """The metric that the run was validated by."""
    from crossrec.runs import CONFIG, read_json

    return str((read_json(run, CONFIG).get("train") or {}).get("metric", "ndcg@10"))


def _rollback(run: Path, json: bool) -> None:
    from crossrec.serve import versions

    left, name = versions.pointed(run), versions.rollback(run)
    if json:
        emit({"run": str(run), "from": left, "to": name})
    else:
        say(f"{run} serves {_named(name)} again, instead of {_named(left)}.")


def _named(version: str) -> str:
    return f"version {version}" if version else "the run itself"


def _print(report: Report) -> None:
    told = ", ".join(f"{count:,} {what}" for what, count in report.events.items() if count or what == "new")
    say(f"Events since {_named(report.base)}: {told}.")
    if not report.users:
        return
    say(f"Users: {', '.join(f'{count:,} {what}' for what, count in report.users.items())}.")
    say(f"New items: {', '.join(f'{count:,} in {name}' for name, count in report.items.items())}.")
    held = [
        [each.domain, each.events, each.metric, each.users, each.before, each.after, each.error] for each in report.held
    ]
    say("\nBefore and after, on the newest events (held out of both) and on the last known ones of known users:")
    say(table(["domain", "events", "metric", "users", "before", "after", "error"], held))
    moved = [[each.domain, each.vectors, each.kept, each.users] for each in report.drift]
    say("\nDrift of what was known:")
    say(table(["domain", "vectors", "top 10 kept", "users"], moved))


def _print_kept(report: Report, run: Path) -> None:
    if report.folder is None:
        say("There is nothing to train on: nothing was changed.")
        return
    for reason in report.refused:
        warn(f"Kept by force: {reason}", json=False)
    if report.switched:
        say(f"\nPublished {report.folder}; it is served from now on.")
        if report.removed:
            say(f"Removed the oldest: {', '.join(report.removed)}.")
        say(f"Back to the version before: crossrec update {shlex.quote(str(run))} --rollback")
    else:
        say(f"\nWrote {report.folder}. Next: crossrec evaluate {shlex.quote(report.folder)}")
