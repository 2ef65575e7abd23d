"""Ranking metrics of one held-out item, as pure functions of its rank."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from crossrec.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEFAULT = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr", "auc")
"""What is reported where nobody asks for more."""
LOWER_IS_BETTER = ("mae", "rmse")


def direction(metric: str) -> int:
    """-1 for an error, of which less is better; 1 for every other metric."""
    return -1 if metric.partition("/")[0] in LOWER_IS_BETTER else 1


def per_user(metric: str, rank: npt.NDArray[np.float64], candidates: npt.NDArray[np.int64]) -> Floats:
    """The metric of every held-out item, (N,).

    ``rank`` is 1-based, ties at mid-rank; ``candidates`` counts the ranked items, the held-out one included. ``hr@k`` is
    1[r <= k], ``ndcg@k`` 1[r <= k] / log2(r + 1), ``mrr@k`` 1[r <= k] / r, ``mrr`` 1 / r, ``auc`` the share of the other
    candidates below. Raises InputError for another name.
    """
    found = re.fullmatch(r"(hr|ndcg|mrr)@([1-9]\d*)", metric)
    if found:
        kind, k = found[1], int(found[2])
        gain = {"hr": np.ones_like(rank), "ndcg": 1 / np.log2(rank + 1), "mrr": 1 / rank}[kind]
        return np.where(rank <= k, gain, 0.0)
    if metric == "mrr":
        return np.asarray(1 / rank, dtype=np.float64)
    if metric == "auc":
        return np.asarray((candidates - rank) / np.maximum(candidates - 1, 1), dtype=np.float64)
    raise InputError(f"There is no metric {metric!r}. Known: hr@K, ndcg@K, mrr@K (K = 1, 2, ...), mrr, auc.")


def summary(
    rank: npt.NDArray[np.float64], candidates: npt.NDArray[np.int64], metrics: Sequence[str] = DEFAULT
) -> Mapping[str, float]:
    """Means over the held-out items, and ``users``, how many there are."""
    return {**{name: float(per_user(name, rank, candidates).mean()) for name in metrics}, "users": len(rank)}
