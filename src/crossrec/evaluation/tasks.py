"""What a run is evaluated by where nobody says it: that follows from its task, and a metric names its protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crossrec.data.scale import Scale

DEFAULTS = {"ranking": ("full", "ndcg@10"), "ratings": ("ratings", "mae"), "clicks": ("clicks", "auc")}
"""Protocol and metric of every task."""


def task_of(recipe: Mapping[str, Any]) -> str:
    """The task that a run was trained for, by its ``config.json``."""
    return str((recipe.get("train") or {}).get("task", "ranking"))


def scale_of(recipe: Mapping[str, Any]) -> Scale:
    """The scale of a run's ratings, by its ``config.json``."""
    return Scale.of((recipe.get("train") or {}).get("rating_scale", (1.0, 5.0)))


def offset_of(recipe: Mapping[str, Any]) -> float:
    """What a run adds to scores before they become ratings, by its ``config.json``."""
    return float((recipe.get("train") or {}).get("rating_offset", 0.0))


def usual(task: str, metric: str | None = None, protocol: str | None = None) -> tuple[str, str]:
    """Protocol and metric: those that are given, and what goes with them for runs of a task."""
    if protocol is None:
        protocol = _protocol_of(metric) or DEFAULTS[task][0]
    if metric is None:
        kind, _, drawn = protocol.partition(":")
        known = {"ratings": "mae", "clicks": "auc", "liked": f"ndcg@5/neg{drawn}" if drawn else "ndcg@5/full"}
        metric = known.get(kind, "ndcg@10")
    return protocol, metric


def _protocol_of(metric: str | None) -> str | None:
    """The one protocol that gives a metric; None where several do."""
    if metric is None:
        return None
    if re.fullmatch(r"(mae|rmse)(/known|/fallback)?|ndcg@\d+/rated", metric):
        return "ratings"
    if metric in ("acc", "gauc"):
        return "clicks"
    drawn = re.fullmatch(r"ndcg@\d+/(?:neg(\d+)|full)", metric)
    if drawn is None:
        return None
    return f"liked:{drawn[1]}" if drawn[1] else "liked"
