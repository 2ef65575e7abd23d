"""Intra-domain alignment: users who have many items of a domain in common are linked, and the links are to be seen in their
vectors (DIAGAE, equations 7 and 8).

N users of a batch, M items of theirs, D width. Source: specs of DIAGAE, 2.3, 2.4 and 2.9 (A27 to A32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.graphs import Adjacency
from crossrec.nn.alignment import diagonal
from crossrec.nn.segments import spread

LADDER = (5, 3, 2, 1)
"""Numbers of common items that a link may ask for (specs of DIAGAE, A27)."""
DENSE = 1e-3
"""Share of linked pairs that is enough to learn from (specs of DIAGAE, A27)."""
MOST_WEIGHT = 20.0
"""Weight of a linked pair at most (specs of DIAGAE, A32)."""
DRAWS, DRAWN = 20, 256
"""How often the density is looked at, and among how many users (specs of DIAGAE, A27; users: ours)."""


def common_items(row_M: Tensor, item_M: Tensor, count: int) -> Tensor:
    """Items that every two of ``count`` users have in common, (N, N), by who has what, each pair once.

    The work is that of the pairs of users that each item has, not of all items and users.
    """
    order_M = item_M.argsort(stable=True)
    row_M = row_M[order_M]
    _, count_V = item_M[order_M].unique_consecutive(return_counts=True)
    first_V = count_V.cumsum(0) - count_V
    every_M = count_V.repeat_interleave(count_V)
    left, place = spread(first_V.repeat_interleave(count_V), every_M)
    return torch.bincount(row_M[left] * count + row_M[place], minlength=count * count).view(count, count)


class Links(NamedTuple):
    """What is known of the pairs of some users in a domain."""

    linked_NN: Tensor
    counts_NN: Tensor
    """Which pairs are looked at: not those of a user and themselves."""


def links(common_NN: Tensor, least: int, ignore_band: bool = False) -> Links:
    """Who is linked: those with ``least`` items in common. ``ignore_band``: those with just one less are not looked at."""
    counts_NN = ~diagonal(common_NN)
    if ignore_band and least > 1:
        counts_NN &= common_NN != least - 1
    return Links(common_NN >= least, counts_NN)


def link_loss(h_ND: Tensor, weight_DD: Tensor, found: Links, balance: bool = False, mean: bool = True) -> Tensor:
    """Cross entropy of the links and of what H W H^T says of them, the mean (or the sum) over ordered pairs of two: ().

    ``balance``: linked pairs together weigh as much as the others, each at most ``MOST_WEIGHT``.
    """
    logit_NN = h_ND @ weight_DD @ h_ND.T
    linked, looked = found.linked_NN.to(logit_NN.dtype), found.counts_NN
    weight = None
    if balance:
        pairs = (found.linked_NN & looked).sum()
        weight = ((looked.sum() - pairs) / pairs.clamp(min=1)).clamp(min=1.0, max=MOST_WEIGHT)
    each_NN = F.binary_cross_entropy_with_logits(logit_NN, linked, pos_weight=weight, reduction="none")
    total = each_NN.masked_fill(~looked, 0.0).sum()
    return total / looked.sum().clamp(min=1) if mean else total


def densities(users: Adjacency, who: np.ndarray, steps: Sequence[int], cap: int | None = None) -> dict[int, float]:
    """Share of the pairs of some users, of those who have an item, that have K items in common, for every K of ``steps``.

    ``cap``: latest items of a user that are looked at. Drawn among all of them as often as ``DRAWS`` says, always the same.
    """
    who = who[users.degree_N[who] > 0]
    rng, found = np.random.default_rng(0), dict.fromkeys(steps, 0)
    size = min(DRAWN, len(who))
    for _ in range(DRAWS):
        chosen = rng.choice(who, size, replace=False)
        offset_N, stop_N = users.offset_N1[chosen], users.offset_N1[chosen + 1]
        start_N = offset_N if cap is None else np.maximum(offset_N, stop_N - cap)
        row_M, place_M = spread(torch.as_tensor(start_N), torch.as_tensor(stop_N - start_N))
        item_M = torch.as_tensor(np.asarray(users.column_E[place_M.numpy()]))
        common_NN = common_items(row_M, item_M, size)
        for least in steps:
            linked = links(common_NN, least)
            found[least] += int((linked.linked_NN & linked.counts_NN).sum())
    return {least: number / max(DRAWS * size * (size - 1), 1) for least, number in found.items()}


def relaxed(density: Mapping[int, float]) -> int:
    """The most items in common that enough pairs have; the fewest where no number is enough."""
    return max((least for least, share in density.items() if share >= DENSE), default=min(density))
