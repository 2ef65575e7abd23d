"""``crossrec evaluate``: the metrics of a run on its held-out events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, note, say, table, warn

if TYPE_CHECKING:
    from crossrec.evaluation.protocols import Ranking


def evaluate(
    run: options.Run,
    protocol: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="full (default), sampled:99 or authors (repeat for more)."),
    ] = None,
    part: Annotated[str, typer.Option(metavar="test|valid", help="Results on valid are not saved.")] = "test",
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Rank the held-out events of a run, in each of its targets."""
    from crossrec.errors import InputError, nearest
    from crossrec.evaluation.protocols import num_negatives
    from crossrec.evaluation.run import evaluate_run, targets
    from crossrec.recommender import Recommender
    from crossrec.train import distributed

    if part not in ("test", "valid"):
        raise InputError(f"There is no part {part!r}.{nearest(part, ('test', 'valid'))}")
    names = list(dict.fromkeys(protocol or ["full"]))
    for name in names:
        num_negatives(name)
    recommender = Recommender.load(run, device=distributed.device(device))
    found: dict[str, dict[str, Ranking]] = {target: {} for target in targets(recommender)}
    for target, rankings in found.items():
        for name in names:
            note(f"Ranking{f' {target}' if len(found) > 1 else ''} under the protocol {name} ...")
            rankings[name] = evaluate_run(run, name, "valid" if part == "valid" else "test", recommender, target)
    leaks = {
        target: {name: recommender.info.get("leak") or ranking.part.leak for name, ranking in rankings.items()}
        for target, rankings in found.items()
    }
    word = "LEAK" if recommender.info.get("leak") else "CAUTION"
    for text in dict.fromkeys(leak for told in leaks.values() for leak in told.values() if leak):
        warn(f"{word}: {text}", json)
    if json:
        figures = {target: {"protocols": _figures(found[target], leaks[target])} for target in found}
        own, *further = found
        told = {"run": str(run), "model": recommender.model.name, "domain": own, "part": part, **figures[own]}
        emit(told | ({"further": {target: figures[target] for target in further}} if further else {}))
        return
    for place, (target, rankings) in enumerate(found.items()):
        say(f"{chr(10) if place else ''}{recommender.model.name} on {target}, {part} part of {run}")
        _print(rankings, {name: f" ({word.lower()})" if leak else "" for name, leak in leaks[target].items()})


def _figures(rankings: dict[str, Ranking], leaks: dict[str, str | None]) -> dict[str, Any]:
    return {
        name: {**ranking.summary(), "negatives_hash": ranking.negatives_hash, "leak": leaks[name]}
        for name, ranking in rankings.items()
    }


def _print(rankings: dict[str, Ranking], marks: dict[str, str]) -> None:
    """Metrics down, protocols across; a mark where there is something to beware of."""
    summaries = {name: ranking.summary() for name, ranking in rankings.items()}
    metrics = [name for name in next(iter(summaries.values())) if name != "users"]
    rows = [["users", *(f"{summary['users']:,}" for summary in summaries.values())]]
    rows += [[metric, *(f"{summary[metric]:.4f}" for summary in summaries.values())] for metric in metrics]
    say(table(["", *(f"{name}{marks[name]}" for name in summaries)], rows))
