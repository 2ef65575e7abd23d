"""`evaluate`: a fitted recommender on held-out events, and the per-user results of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, overload

import pyarrow.parquet as pq

from crossrec.data.splits import Part
from crossrec.errors import InputError
from crossrec.evaluation.files import results_file
from crossrec.evaluation.outcome import Outcome
from crossrec.evaluation.protocols import Ranking, open_protocol
from crossrec.evaluation.ratings import NAME as RATINGS
from crossrec.evaluation.tasks import offset_of, scale_of, task_of
from crossrec.recommender import Recommender


@overload
def evaluate(recommender: Recommender, part: Part, protocol: Literal["full"] = ..., seed: int = 0) -> Ranking:
    """Full ranking gives ranks."""


@overload
def evaluate(recommender: Recommender, part: Part, protocol: str, seed: int = 0) -> Outcome:
    """What another protocol gives depends on its name."""


def evaluate(recommender: Recommender, part: Part, protocol: str = "full", seed: int = 0) -> Outcome:
    """Measure the held-out items of a part: ``print`` shows the metrics, ``summary()`` gives them, ``table()`` every user.

    ``protocol`` ranks each item: ``full`` (among every item of the domain), ``unseen`` (among those that the input does not
    hold), ``sampled:N`` (N negatives drawn once per data, split and ``seed``) or ``authors``; ``liked`` and ``liked:N`` rank
    all liked ones of a user together; ``ratings`` predicts ratings, ``clicks`` tells events from what never happened. Raises
    InputError for an unknown one, and for ratings that the model was not trained for.
    """
    if protocol == RATINGS and task_of(recommender.recipe) != "ratings":
        raise InputError(
            f"This {recommender.model.name} was trained to rank, and its scores are no ratings: train one with "
            "--set task=ratings, or take another protocol."
        )
    recipe = recommender.recipe
    chosen = open_protocol(protocol, part, seed, scale_of(recipe), offset_of(recipe))
    return chosen.measure(recommender.model, recommender.batcher(part.events))


def save_results(outcome: Outcome, recommender: Recommender, run: str | Path) -> Path:
    """Write per-user results into a run folder: see :func:`~crossrec.evaluation.files.results_file`."""
    info, recipe = recommender.info, recommender.recipe
    about: dict[str, Any] = {
        "domain": outcome.part.target,
        "protocol": outcome.protocol,
        "part": outcome.part.name,
        "negatives_hash": outcome.negatives_hash,
        "run": Path(run).name,
        "leak": info.get("leak") or outcome.part.leak,
        **{key: recipe.get(key) for key in ("model", "preset", "sources", "seed")},
        **{key: info.get(key) for key in ("data_hash", "split_hash", "commit")},
    }
    further = None if outcome.part.target == recommender.target else outcome.part.target
    path = results_file(run, outcome.protocol, further)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = outcome.table()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"crossrec": json.dumps(about).encode()})
    fresh = path.with_suffix(".new")
    pq.write_table(table, fresh, compression="zstd")
    fresh.replace(path)
    return path
