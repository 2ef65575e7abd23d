"""HBR: how much each of a user's positives weighs, by what a frozen model thinks of it.

Source: PDRec, equations 1 and 2, as its published code has them (specs of PDRec, 4.2). Shapes: N rows, S positives of all
rows, those of a row side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor


def weights(
    preference_S: Tensor,
    row_S: Tensor,
    floor_N: Tensor,
    *,
    rank_weight: float,
    truncate: float,
    rescale: float,
) -> tuple[Tensor, Tensor]:
    """Weights of the positives (S,), and which of them were clipped (S,).

    The share of a positive in its row's preferences above the floor, and its rank among them (1 the best, 1 / k the worst
    of k; ties at their mean), mixed, clipped from above and rescaled. Where all of a row's preferences are at its floor its
    positives share evenly.
    """
    o_S, floor_N = preference_S.double(), floor_N.double()
    count_N = torch.bincount(row_S, minlength=len(floor_N))
    above_S = o_S - floor_N[row_S]
    sum_N = torch.zeros_like(floor_N).index_add(0, row_S, above_S)
    share_S = torch.where((sum_N > 0)[row_S], above_S * (count_N / sum_N)[row_S], 1)
    rank_S = mean_ranks(o_S, row_S) / count_N[row_S]
    mixed_S = (1 - rank_weight) * share_S + rank_weight * rank_S
    return (rescale * mixed_S.clamp(max=truncate)).to(preference_S.dtype), mixed_S > truncate


def floors(preference_S: Tensor, row_S: Tensor, padding_N: Tensor, padded_N: Tensor) -> Tensor:
    """What preferences of a row are counted from, (N,): its least, or where the row is padded a value below that.

    m is the least of the row's preferences and that for the padding, ``padding_N``: 0.5 m where m is positive, else 1.5 m
    (published code).
    """
    least_N = torch.full_like(padding_N, torch.inf).scatter_reduce(0, row_S, preference_S, "amin")
    m_N = torch.minimum(least_N, padding_N)
    return torch.where(padded_N, torch.where(m_N > 0, 0.5 * m_N, 1.5 * m_N), least_N)


def mean_ranks(value_S: Tensor, row_S: Tensor) -> Tensor:
    """Rank of every value within its row, 1 the least; equal values share the mean of theirs."""
    order_S = torch.argsort(value_S, stable=True)
    order_S = order_S[torch.argsort(row_S[order_S], stable=True)]
    sorted_S, owner_S = value_S[order_S], row_S[order_S]
    new_S = torch.ones_like(order_S, dtype=torch.bool)
    new_S[1:] = (sorted_S[1:] != sorted_S[:-1]) | (owner_S[1:] != owner_S[:-1])
    first_G = new_S.nonzero()[:, 0]
    group_S = torch.cumsum(new_S, 0) - 1
    count_G = torch.bincount(group_S)
    start_S = torch.searchsorted(owner_S, owner_S)
    rank_S = (first_G + (count_G + 1) / 2)[group_S] - start_S
    return torch.empty_like(rank_S).index_copy(0, order_S, rank_S)
