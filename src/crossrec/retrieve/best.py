"""The k best of rows of scores, ties by the lower place. Q rows, N columns, K kept, L pairs of row and column."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[Any]
"""Vectors or scores: floating numbers."""
WIDE = 4
"""Scores in each of the parts of a row, at least, for their maxima to be worth looking at."""
MANY = 8
"""Scores per one that is wanted up to which those that reach the edge are sorted; more are there where many are equal."""


def best(score_QN: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns and values (Q, k) of the k largest scores, best first, ties by the lower column; ``k`` is at most N.

    Of a long row only what reaches the k-th largest of the maxima of its parts is sorted: k scores or more do.
    """
    parts = max(4 * k, 256)
    if score_QN.shape[1] < WIDE * parts or not len(score_QN):
        return _best(score_QN, k)
    even_QN = score_QN[:, : score_QN.shape[1] // parts * parts]
    most_QG = even_QN.view(len(score_QN), -1, parts).amax(1)
    edge_Q1 = most_QG.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)
    at_F = np.flatnonzero((score_QN >= edge_Q1).numpy())
    if len(at_F) > MANY * k * len(score_QN):
        return _best(score_QN, k)
    row_F, column_F = np.divmod(at_F, score_QN.shape[1])
    value_F = score_QN.numpy()[row_F, column_F]
    order = np.lexsort((-value_F, row_F))
    first_Q = np.searchsorted(row_F, np.arange(len(score_QN)))
    order_QK = order[first_Q[:, None] + np.arange(k)]
    return torch.as_tensor(column_F[order_QK]), torch.as_tensor(value_F[order_QK])


def _best(score_QN: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As ``best``; only rows where the last that is in ties with the first that is out are looked at again as a whole."""
    value_QK, place_QK = score_QN.topk(min(k + 1, score_QN.shape[1]), dim=1)
    if value_QK.shape[1] > k:
        edge_Q = value_QK[:, k - 1]
        tied = ((edge_Q == value_QK[:, k]) & torch.isfinite(edge_Q)).nonzero()[:, 0]
        value_QK, place_QK = value_QK[:, :k].contiguous(), place_QK[:, :k].contiguous()
        if len(tied):
            rows_RN, edge_R1 = score_QN[tied], edge_Q[tied, None]
            above_RN, equal_RN = rows_RN > edge_R1, rows_RN == edge_R1
            room_R1 = k - above_RN.sum(1, keepdim=True)
            chosen_RN = above_RN | (equal_RN & (equal_RN.cumsum(1) <= room_R1))
            place_QK[tied] = chosen_RN.nonzero()[:, 1].view(len(tied), k)
            value_QK[tied] = rows_RN.gather(1, place_QK[tied])
    place_QK, order = place_QK.sort(dim=1)
    value_QK, order = value_QK.gather(1, order).sort(dim=1, descending=True, stable=True)
    return place_QK.gather(1, order), value_QK


def merged(place_QK: Tensor, score_QK: Tensor, score_QB: Tensor, first: int, k: int) -> tuple[Tensor, Tensor]:
    """The k best of what was found so far and of a block of further columns, which begin at ``first``; all, where fewer are."""
    column_QK, value_QK = best(score_QB, min(k, score_QB.shape[1]))
    if not first:
        return column_QK, value_QK
    place = torch.cat([place_QK, column_QK + first], 1)
    score, order = torch.cat([score_QK, value_QK], 1).sort(dim=1, descending=True, stable=True)
    return place.gather(1, order)[:, :k], score[:, :k]


def exclude(score_QN: Tensor, row_L: Tensor, column_L: Tensor) -> None:
    """Take some pairs of row and column out, in place; columns that are not there are passed over."""
    here_L = (column_L >= 0) & (column_L < score_QN.shape[1])
    score_QN[row_L[here_L], column_L[here_L]] = -torch.inf


def among(value: npt.NDArray[np.int64], key_L: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of many values are among a few keys, as ``np.isin`` says, at a fraction of its cost."""
    if not len(key_L):
        return np.zeros(value.shape, dtype=bool)
    keys = np.sort(key_L)
    return np.asarray(keys[np.searchsorted(keys, value).clip(max=len(keys) - 1)] == value)
