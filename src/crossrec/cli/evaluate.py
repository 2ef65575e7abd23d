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
            help="full, sampled:99, authors, ratings, clicks, liked or liked:100 (repeat for more; default: what the run was "
            "trained for, full where that is to rank).",
        ),
    ] = None,
    part: Annotated[str, typer.Option(metavar="test|valid", help="Results on valid are not saved.")] = "test",
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
        figures = {target: {"protocols": _figures(found[target], leaks[target])} for target in found}
        own, *further = found
        told = {"run": str(run), "model": recommender.model.name, "domain": own, "part": part, **figures[own]}
        emit(told | ({"further": {target: figures[target] for target in further}} if further else {}))
        return
    for place, (target, rankings) in enumerate(found.items()):
        say(f"{chr(10) if place else ''}{recommender.model.name} on {target}, {part} part of {run}")
        _print(rankings, {name: f" ({word.lower()})" if leak else "" for name, leak in leaks[target].items()})


def _figures(outcomes: dict[str, Outcome], leaks: dict[str, str | None]) -> dict[str, Any]:
    return {
        name: {
            **outcome.summary(),
            **_baselines(outcome),
            "negatives_hash": outcome.negatives_hash,
            "leak": leaks[name],
        }
        for name, outcome in outcomes.items()
    }


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
