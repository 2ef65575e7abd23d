"""Kinds of per-user results: the columns that each keeps of an instance, and the metrics that these give.

Shapes: N instances sorted by user, U users, of whom each starts at ``start_U``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from crossrec.errors import InputError
from crossrec.evaluation import labelled, metrics
from crossrec.evaluation.metrics import Floats, Ints

Columns = Mapping[str, Floats]


@dataclass(frozen=True)
class Kind:
    """One kind of results."""

    name: str
    columns: tuple[str, ...]
    """What an instance has, beside who and what it is."""
    users: Callable[[str, Columns, Ints], Floats]
    """The metric of every user, (U,); NaN for one that it says nothing of."""
    shown: tuple[str, ...]
    """The metrics that are reported where nobody asks for more."""
    further: tuple[str, ...] = ()
    """Columns that some results have."""
    whole: Callable[[str, Columns, Ints], float | None] = lambda metric, columns, start_U: None
    """The metric over all instances where that is no mean over users; None where it is."""

    def value(self, metric: str, columns: Columns, start_U: Ints) -> float:
        """The metric of all instances. Raises InputError for one that these results do not give."""
        found = self.whole(metric, columns, start_U)
        if found is not None:
            return found
        value_U = self.users(metric, columns, start_U)
        told_U = ~np.isnan(value_U)
        return float(value_U[told_U].mean()) if told_U.any() else float("nan")


def kind_of(columns: Collection[str]) -> Kind | None:
    """The kind that results with these columns are; None where they are none."""
    return next((kind for kind in KINDS if set(kind.columns) <= set(columns)), None)


def _ranking_users(metric: str, columns: Columns, start_U: Ints) -> Floats:
    return labelled.user_means(
        metrics.per_user(metric, columns["rank"], columns["candidates"].astype(np.int64)), start_U
    )


def _ranking_whole(metric: str, columns: Columns, start_U: Ints) -> float:
    return float(metrics.per_user(metric, columns["rank"], columns["candidates"].astype(np.int64)).mean())


def _ratings_users(metric: str, columns: Columns, start_U: Ints) -> Floats:
    if found := re.fullmatch(r"ndcg@([1-9]\d*)/rated", metric):
        return labelled.ndcg_rated(columns["rating"], columns["predicted"], start_U, int(found[1]))
    name = _error(metric, columns)
    error_N = _predicted(metric, columns) - columns["rating"]
    size_N = np.abs(error_N) if name == "mae" else error_N**2
    if not metric.endswith("/known"):
        mean_U = labelled.user_means(size_N, start_U)
    else:
        known_N = (columns["known"] > 0).astype(np.float64)
        share_U = labelled.user_means(known_N, start_U)
        sum_U = labelled.user_means(size_N * known_N, start_U)
        mean_U = np.divide(sum_U, share_U, out=np.full(len(start_U), np.nan), where=share_U > 0)
    return mean_U if name == "mae" else np.sqrt(mean_U)


def _ratings_whole(metric: str, columns: Columns, start_U: Ints) -> float | None:
    if metric.startswith("ndcg"):
        return None
    name = _error(metric, columns)
    error_N = _predicted(metric, columns) - columns["rating"]
    if metric.endswith("/known"):
        error_N = error_N[columns["known"] > 0]
    if not len(error_N):
        return float("nan")
    return float(np.abs(error_N).mean() if name == "mae" else np.sqrt((error_N**2).mean()))


def _error(metric: str, columns: Columns) -> str:
    """``mae`` or ``rmse``: of all items, of those with a training rating (``/known``), or with one prediction by every model of
    the others (``/fallback``).
    """
    name, _, which = metric.partition("/")
    needed = {"": set(), "known": {"known"}, "fallback": {"known", "fallback"}}.get(which)
    if name not in ("mae", "rmse") or needed is None or needed - columns.keys():
        known = (
            "mae, rmse, ndcg@K/rated, and where a run is evaluated mae/known, mae/fallback, rmse/known, rmse/fallback"
        )
        raise InputError(f"Predicted ratings have no metric {metric!r}. Known: {known}.")
    return name


def _predicted(metric: str, columns: Columns) -> Floats:
    if metric.endswith("/fallback"):
        return np.where(columns["known"] > 0, columns["predicted"], columns["fallback"])
    return columns["predicted"]


def _clicks_users(metric: str, columns: Columns, start_U: Ints) -> Floats:
    if metric == "acc":
        return labelled.user_means(labelled.accuracy(columns["positive"], columns["negative"]), start_U)
    if metric in ("auc", "gauc"):
        return labelled.user_auc(columns["positive"], columns["negative"], start_U)
    raise InputError(f"Clicks have no metric {metric!r}. Known: acc, auc, gauc.")


def _clicks_whole(metric: str, columns: Columns, start_U: Ints) -> float:
    value_U = _clicks_users(metric, columns, start_U)
    if metric == "auc":
        return labelled.auc(columns["positive"], columns["negative"])
    return float(np.average(value_U, weights=np.diff(start_U, append=len(columns["positive"]))))


def _liked(suffix: str) -> Callable[[str, Columns, Ints], Floats]:
    def users(metric: str, columns: Columns, start_U: Ints) -> Floats:
        found = re.fullmatch(rf"ndcg@([1-9]\d*)/{suffix}", metric)
        drawn = columns["negatives"] if found and suffix != "full" else np.empty(0)
        if found is None or (suffix != "full" and (drawn != int(found[2])).any()):
            known = (
                "ndcg@K/full" if suffix == "full" else "ndcg@K/negN, N being the number of negatives that were drawn"
            )
            raise InputError(f"These results have no metric {metric!r}. Known: {known}.")
        return labelled.ndcg_liked(columns["rank"], start_U, int(found[1]))

    return users


RANKING = Kind("ranking", ("rank", "candidates"), _ranking_users, metrics.DEFAULT, whole=_ranking_whole)
RATINGS = Kind(
    "ratings",
    ("rating", "predicted"),
    _ratings_users,
    ("mae", "rmse", "ndcg@5/rated"),
    further=("known", "fallback"),
    whole=_ratings_whole,
)
CLICKS = Kind("clicks", ("positive", "negative"), _clicks_users, ("acc", "auc", "gauc"), whole=_clicks_whole)
DRAWN = Kind("liked among drawn", ("rank", "negatives"), _liked(r"neg(\d+)"), ())
LIKED = Kind("liked among all", ("rank", "unseen"), _liked("full"), ("ndcg@5/full", "ndcg@10/full"))
KINDS = (RANKING, RATINGS, CLICKS, DRAWN, LIKED)
