"""`evaluate`: a fitted recommender on held-out events, and the per-user results of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from crossrec.data.splits import Part
from crossrec.evaluation.files import results_file
from crossrec.evaluation.protocols import Protocol, Ranking
from crossrec.recommender import Recommender


def evaluate(recommender: Recommender, part: Part, protocol: str = "full", seed: int = 0) -> Ranking:
    """Rank the held-out items of a part: ``print`` shows the metrics, ``summary()`` gives them, ``table()`` every user.

    ``protocol`` is ``full`` (every item of the domain), ``sampled:N`` (N negatives drawn once per data, split and
    ``seed``) or ``authors``. Raises InputError for an unknown one.
    """
    return Protocol(protocol, part, seed).rank(recommender.model, recommender.batcher(part.events))


def save_results(ranking: Ranking, recommender: Recommender, run: str | Path) -> Path:
    """Write a ranking's per-user results into a run folder: see :func:`~crossrec.evaluation.files.results_file`."""
    info, recipe = recommender.info, recommender.recipe
    about: dict[str, Any] = {
        "domain": ranking.part.target,
        "protocol": ranking.protocol,
        "part": ranking.part.name,
        "negatives_hash": ranking.negatives_hash,
        "run": Path(run).name,
        "leak": info.get("leak") or ranking.part.leak,
        **{key: recipe.get(key) for key in ("model", "preset", "sources", "seed")},
        **{key: info.get(key) for key in ("data_hash", "split_hash", "commit")},
    }
    further = None if ranking.part.target == recommender.target else ranking.part.target
    path = results_file(run, ranking.protocol, further)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = ranking.table()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"crossrec": json.dumps(about).encode()})
    fresh = path.with_suffix(".new")
    pq.write_table(table, fresh, compression="zstd")
    fresh.replace(path)
    return path
