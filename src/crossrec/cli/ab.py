"""``crossrec ab``: which arm of an experiment is better, by how much, and whether the test itself is sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, facts, say, table, tell, warn

if TYPE_CHECKING:
    from crossrec.serve.ab import Analysis, NullTest
    from crossrec.serve.ab_rows import Rows


def ab(
    source: Annotated[
        str | None, typer.Argument(metavar="STORE|FILE", help="A store's URL, or a table of user, arm, day and counts.")
    ] = None,
    experiment: Annotated[str | None, typer.Option(metavar="NAME", help="The experiment (of a store: needed).")] = None,
    control: Annotated[
        str | None, typer.Option(metavar="ARM", help="The arm to compare with (default: the one named control).")
    ] = None,
    treatment: Annotated[
        str | None, typer.Option(metavar="ARM", help="Compare this arm alone (default: every other).")
    ] = None,
    domain: Annotated[str | None, typer.Option(metavar="NAME", help="Exposures in this domain (of a store).")] = None,
    page: Annotated[str | None, typer.Option(metavar="NAME", help="Exposures on this page (of a store).")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="The first day that counts.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day that counts.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weight", metavar="ARM=W", help="Weight of an arm (repeat; default: all the same)."),
    ] = None,
    assigned: Annotated[
        list[str] | None,
        typer.Option("--assigned", metavar="ARM=N", help="Users assigned to an arm (repeat; default: those seen)."),
    ] = None,
    null: Annotated[
        str | None, typer.Option("--aa", metavar="ARM", help="An A/A test: split this arm in two by hash, many times.")
    ] = None,
    splits: Annotated[int, typer.Option(metavar="N", help="Splits of the A/A test.")] = 200,
    size: Annotated[
        bool, typer.Option("--sample-size", help="Say how many users per arm show --lift over --base.")
    ] = False,
    base: Annotated[float | None, typer.Option(metavar="X", help="The control's figure, such as 0.05.")] = None,
    lift: Annotated[float | None, typer.Option(metavar="X", help="The relative lift to find, such as 0.02.")] = None,
    power: Annotated[float, typer.Option(metavar="X", help="Chance to find it.")] = 0.8,
    deviation: Annotated[
        float | None, typer.Option(metavar="X", help="Standard deviation per user (default: that of a share).")
    ] = None,
    level: Annotated[float, typer.Option(metavar="X", help="Level of the intervals.")] = 0.95,
    json: options.Json = False,
) -> None:
    """Compare the arms of an A/B test.

    Reads the log of a store or a table; or says how many users a test needs.
    """
    from crossrec.errors import InputError
    from crossrec.serve.ab import analyse, null_test

    if size:
        _say_size(source, base, lift, power, level, deviation, json)
        return
    if (base, lift, deviation) != (None, None, None):
        raise InputError("--base, --lift and --deviation belong to --sample-size.")
    if source is None:
        raise InputError("Name a store (sqlite:PATH, redis://HOST:PORT/DB) or a table, or ask for --sample-size.")
    rows = _rows(source, experiment, (domain, page), (first, last))
    if null is not None:
        tested = null_test(rows, null, splits=splits, level=level)
        if json:
            emit(tested.to_dict())
        else:
            _print_null(tested)
        return
    shares, counts = _pairs(weights, "--weight"), _pairs(assigned, "--assigned")
    whole = counts and {arm: int(count) if count.is_integer() else count for arm, count in counts.items()}
    found = analyse(rows, control, treatment, weights=shares, assigned=whole, level=level)  # type: ignore[arg-type]  # analyse refuses a broken count
    for text in found.warnings:
        warn(text, json)
    if json:
        emit({"experiment": experiment, **found.to_dict()})
    else:
        _print(found, experiment or source)


def _say_size(
    source: str | None,
    base: float | None,
    lift: float | None,
    power: float,
    level: float,
    deviation: float | None,
    json: bool,
) -> None:
    from crossrec.errors import InputError
    from crossrec.serve.ratios import sample_size

    if source is not None or base is None or lift is None:
        raise InputError("--sample-size needs --base and --lift, and no store or file.")
    users = sample_size(base, lift, power=power, level=level, deviation=deviation)
    if json:
        emit({"base": base, "lift": lift, "power": power, "level": level, "users": users})
    else:
        tell(f"{users:,} users per arm show a lift of {lift:+.2%} over {base:g} with a chance of {power:.0%}.")


def _rows(
    source: str, experiment: str | None, part: tuple[str | None, str | None], days: tuple[str | None, str | None]
) -> Rows:
    from crossrec.errors import InputError
    from crossrec.serve.ab_rows import rows_of, table_of
    from crossrec.serve.store import open_store

    path = Path(source)
    if path.is_file() or ":" not in source:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file.")
        if any(part):
            raise InputError("--domain and --page choose from a store's log; a table is already summed.")
        return rows_of(path, *days, experiment)
    if experiment is None:
        raise InputError("A store may hold several experiments: name one with --experiment.")
    if source.startswith("sqlite:") and not Path(source.removeprefix("sqlite:")).is_file():
        raise InputError(f"{source}: there is no such file.")
    store = open_store(source)
    try:
        return rows_of(table_of(store, experiment, domain=part[0], page=part[1]), *days)
    finally:
        store.close()


def _pairs(given: list[str] | None, option: str) -> dict[str, float] | None:
    """Arms and their numbers, written ``ARM=X``."""
    from crossrec.errors import InputError

    found = {}
    for text in given or []:
        arm, _, number = text.rpartition("=")
        try:
            found[arm] = float(number)
        except ValueError:
            found[arm] = float("nan")
        if not arm or not found[arm] >= 0:
            raise InputError(f"{option} {text}: give the name of an arm and a number, such as control=1.")
    return found or None


def _print(found: Analysis, name: str) -> None:
    from crossrec.experiments.wording import p_text
    from crossrec.serve.ab import METRICS

    say(f"{name}: {len(found.days):,} days, {found.days[0]} to {found.days[-1]}; intervals of {found.level:.0%}\n")
    metrics = list(found.arms[0].metrics)
    rows = [
        [arm.name, arm.users, arm.impressions, arm.clicks, *(f"{arm.metrics[each].value:.5f}" for each in metrics)]
        for arm in found.arms
    ]
    say(table(["arm", "users", "impressions", "clicks", *metrics], rows))
    for arm in found.arms[1:]:
        say(f"\n{arm.name} against {found.control}")
        lifts = [each for each in found.lifts if each.arm == arm.name]
        cells = [
            [each.metric, "–", "–", "–"]
            if each.lift != each.lift
            else [each.metric, f"{each.lift:+.2%}", f"{each.low:+.2%} to {each.high:+.2%}", p_text(each.p)]
            for each in lifts
        ]
        say(table(["metric", "lift", "interval", "p"], cells))
    say()
    say(
        facts([["sample ratio", f"p {p_text(found.sample_ratio_p, inline=True)}"], *((m, METRICS[m]) for m in metrics)])
    )


def _print_null(found: NullTest) -> None:
    from crossrec.experiments.wording import p_text
    from crossrec.serve.ab import SUSPECT

    say(f"{found.arm}: {found.users:,} users split in two {found.splits:,} times; intervals of {found.level:.0%}\n")
    rows = [
        [name, f"{share:.1%}", p_text(found.p[name]), "too many" if found.p[name] < SUSPECT else "as expected"]
        for name, share in found.alarms.items()
    ]
    say(table(["metric", "false alarms", "p", f"{1 - found.level:.0%} expected"], rows))
