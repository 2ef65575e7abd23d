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
    """Rank the held-out events of a run."""
    from crossrec.errors import InputError, nearest
    from crossrec.evaluation.protocols import num_negatives
    from crossrec.evaluation.run import evaluate_run
    from crossrec.recommender import Recommender
    from crossrec.train import distributed

    if part not in ("test", "valid"):
        raise InputError(f"There is no part {part!r}.{nearest(part, ('test', 'valid'))}")
    names = list(dict.fromkeys(protocol or ["full"]))
    for name in names:
        num_negatives(name)
    recommender = Recommender.load(run, device=distributed.device(device))
    rankings = {}
    for name in names:
        note(f"Ranking under the protocol {name} ...")
        rankings[name] = evaluate_run(run, name, "valid" if part == "valid" else "test", recommender)
    leaks = {name: recommender.info.get("leak") or ranking.part.leak for name, ranking in rankings.items()}
    word = "LEAK" if recommender.info.get("leak") else "CAUTION"
    for text in dict.fromkeys(leak for leak in leaks.values() if leak):
        warn(f"{word}: {text}", json)
    target, model = recommender.target, recommender.model.name
    if json:
        results = {name: _figures(ranking, leaks[name]) for name, ranking in rankings.items()}
        emit({"run": str(run), "model": model, "domain": target, "part": part, "protocols": results})
        return
    say(f"{model} on {target}, {part} part of {run}")
    _print(rankings, {name: f" ({word.lower()})" if leak else "" for name, leak in leaks.items()})


def _figures(ranking: Ranking, leak: str | None) -> dict[str, Any]:
    return {**ranking.summary(), "negatives_hash": ranking.negatives_hash, "leak": leak}


def _print(rankings: dict[str, Ranking], marks: dict[str, str]) -> None:
    """Metrics down, protocols across; a mark where there is something to beware of."""
    summaries = {name: ranking.summary() for name, ranking in rankings.items()}
    metrics = [name for name in next(iter(summaries.values())) if name != "users"]
    rows = [["users", *(f"{summary['users']:,}" for summary in summaries.values())]]
    rows += [[metric, *(f"{summary[metric]:.4f}" for summary in summaries.values())] for metric in metrics]
    say(table(["", *(f"{name}{marks[name]}" for name in summaries)], rows))
