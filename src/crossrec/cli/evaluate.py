"""``crossrec evaluate``: the metrics of a run on its held-out events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, note, say, table, warn

if TYPE_CHECKING:
    from crossrec.evaluation.outcome import Outcome


def evaluate(
    run: options.Run,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="full, unseen, sampled:99, authors, ratings, clicks, liked or liked:100 (repeat for more; default: what the "
            "run was trained for, full where that is to rank).",
        ),
    ] = None,
    part: Annotated[str, typer.Option(metavar="test|valid", help="Results on valid are not saved.")] = "test",
    by: Annotated[
        str | None,
        typer.Option(
            metavar="target-interactions", help="Also for users of whom 0, 1-2, 3-5, ... target events are known."
        ),
    ] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Measure a run on its held-out events, in each target."""
    from crossrec.errors import InputError, nearest
    from crossrec.evaluation.protocols import kind_of
    from crossrec.evaluation.run import evaluate_run, targets
    from crossrec.evaluation.tasks import task_of, usual
    from crossrec.recommender import Recommender
    from crossrec.train import distributed

    if part not in ("test", "valid"):
        raise InputError(f"There is no part {part!r}.{nearest(part, ('test', 'valid'))}")
    if by not in (None, "target-interactions"):
        raise InputError(f"Users are not grouped by {by!r}.{nearest(str(by), ('target-interactions',))}")
    for name in protocol or []:
        kind_of(name)
    recommender = Recommender.load(run, device=distributed.device(device))
    names = list(dict.fromkeys(protocol or [usual(task_of(recommender.recipe))[0]]))
    found: dict[str, dict[str, Outcome]] = {target: {} for target in targets(recommender)}
    for target, rankings in found.items():
        for name in names:
            note(f"Measuring{f' {target}' if len(found) > 1 else ''} under the protocol {name} ...")
            rankings[name] = evaluate_run(run, name, "valid" if part == "valid" else "test", recommender, target)
    leaks = {
        target: {name: recommender.info.get("leak") or ranking.part.leak for name, ranking in rankings.items()}
        for target, rankings in found.items()
    }
    word = "LEAK" if recommender.info.get("leak") else "CAUTION"
    for text in dict.fromkeys(leak for told in leaks.values() for leak in told.values() if leak):
        warn(f"{word}: {text}", json)
    if "clicks" in names and task_of(recommender.recipe) != "clicks":
        warn("The run was not trained on clicks: its scores are no probabilities, so read AUC and not ACC.", json)
    if json:
        figures = {target: {"protocols": _figures(found[target], leaks[target], by is not None)} for target in found}
        own, *further = found
        told = {"run": str(run), "model": recommender.model.name, "domain": own, "part": part, **figures[own]}
        emit(told | ({"further": {target: figures[target] for target in further}} if further else {}))
        return
    for place, (target, rankings) in enumerate(found.items()):
        say(f"{chr(10) if place else ''}{recommender.model.name} on {target}, {part} part of {run}")
        _print(rankings, {name: f" ({word.lower()})" if leak else "" for name, leak in leaks[target].items()})
        for name, ranking in rankings.items() if by else ():
            _print_shares(name, ranking)


def _figures(outcomes: dict[str, Outcome], leaks: dict[str, str | None], shares: bool) -> dict[str, Any]:
    return {
        name: {
            **outcome.summary(),
            **_baselines(outcome),
            "negatives_hash": outcome.negatives_hash,
            "leak": leaks[name],
            **({"by_target_interactions": _shares(outcome)} if shares else {}),
        }
        for name, outcome in outcomes.items()
    }


def _shares(outcome: Outcome) -> list[dict[str, Any]]:
    from math import isfinite

    return [
        {
            "events": share.bucket.label,
            "users": share.users,
            **{name: value if isfinite(value) else None for name, value in share.figures.items()},
        }
        for share in outcome.by_target_interactions()
    ]


def _print_shares(protocol: str, outcome: Outcome) -> None:
    """What is known of users down, metrics across."""
    from crossrec.experiments.wording import figure

    shares = _shares(outcome)
    head = [name for name in shares[0] if name != "events"]
    say(f"\n{protocol}, by the events of {outcome.part.target} that are known of users")
    say(
        table(
            [f"{outcome.part.target} events", *head], [[s["events"], *(figure(s[key]) for key in head)] for s in shares]
        )
    )


def _baselines(outcome: Outcome) -> dict[str, Any]:
    baselines = getattr(outcome, "baselines", None)
    return {"baselines": baselines} if baselines else {}


def _print(outcomes: dict[str, Outcome], marks: dict[str, str]) -> None:
    """Metrics down, protocols across, constant baselines beside ratings; a mark where there is something to beware of."""
    from crossrec.evaluation.outcome import said

    columns: dict[str, Mapping[str, float]] = {}
    for name, outcome in outcomes.items():
        columns[f"{name}{marks[name]}"] = outcome.summary()
        columns |= _baselines(outcome).get("baselines", {})
    metrics = dict.fromkeys(metric for figures in columns.values() for metric in figures if metric != "users")
    rows = [
        [metric, *(said(figures[metric]) if metric in figures else "" for figures in columns.values())]
        for metric in ("users", *metrics)
    ]
    say(table(["", *columns], rows))
