"""The rank of every held-out item, by counting in blocks of users by items; nothing is sorted.

Shapes: N instances, P instances of a block, V items of the domain, C candidates. A rank is 1-based with ties at
mid-rank: 1 + #better + #equal / 2 = 1 + (others + sum of sign(score - own score)) / 2, one pass over the scores.
A NaN among the scores of an instance, or an infinite own score, gives it the last rank (a sign alone would hide it: that
of NaN is 0).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from crossrec.data.batches import Batcher
from crossrec.data.splits import Part
from crossrec.models.base import Model

Floats = npt.NDArray[np.float64]

ROWS = 1024
"""Instances whose histories are encoded together."""
BLOCK = 1 << 19
"""Scores that are counted at once where the catalogue is small enough: they stay in the cache of one core."""
FEWEST = 64
"""Rows of such a block at least: a product of fewer is slow, whatever the cache says."""


class Hidden:
    """Items of the domain that do not count: they are given the score that is worse than any."""

    def __init__(self, part: Part, key_S: npt.NDArray[np.int64], device: torch.device) -> None:
        """``key_S``: sorted keys instance * num_ids + item, a held-out item never among those of its instance."""
        row_S, item_S = np.divmod(key_S, part.events.catalogue.num_ids)
        self.offset_N1 = np.searchsorted(row_S, np.arange(len(part) + 1))
        self.row_S = torch.as_tensor(row_S, device=device)
        self.place_S = torch.as_tensor(item_S - part.events.catalogue.block(part.target).start, device=device)

    def hide(self, scores_PV: Tensor, first: int) -> None:
        """Overwrite the scores of instances from ``first`` on."""
        span = slice(self.offset_N1[first], self.offset_N1[first + len(scores_PV)])
        scores_PV[self.row_S[span] - first, self.place_S[span]] = -torch.inf


@torch.no_grad()
def full(model: Model, batcher: Batcher, part: Part, hidden: Hidden | None = None) -> Floats:
    """Rank of every held-out item among all items of the domain, or all that are not hidden: (N,).

    A rank that is the last for what is no number counts the hidden ones in.
    """
    model.eval()
    item_VD = model.item_block(part.target).contiguous() if model.product else None
    ranks, at = [], 0
    for batch in batcher.queries(part, ROWS):
        place_P = batch.positive_P - model.block(part.target).start
        if item_VD is None:
            scores_PV = model.scores(batch, part.target).clone()
            if hidden is not None:
                hidden.hide(scores_PV, at)
            ranks.append(rank_in(scores_PV, scores_PV.gather(1, place_P[:, None])))
        else:
            ranks.append(rank_product(model.queries(batch), item_VD, place_P, hidden, at))
        at += len(batch)
    return _gathered(ranks)


@torch.no_grad()
def among(model: Model, batcher: Batcher, part: Part, ids_NC: npt.NDArray[np.int64]) -> Floats:
    """Rank of every held-out item among itself and its C candidates: (N,)."""
    model.eval()
    ranks, at = [], 0
    for batch in batcher.queries(part, ROWS):
        drawn = torch.as_tensor(ids_NC[at : at + len(batch)], device=batch.positive_P.device)
        scores_PC = model.candidate_scores(batch, torch.cat([batch.positive_P[:, None], drawn], 1))
        ranks.append(rank_in(scores_PC, scores_PC[:, :1].clone()))
        at += len(batch)
    return _gathered(ranks)


@torch.no_grad()
def scored(
    model: Model,
    batcher: Batcher,
    part: Part,
    ids_NC: npt.NDArray[np.int64] | None = None,
    said: Callable[[Tensor], Tensor] = lambda scores: scores,
) -> Floats:
    """Scores of every held-out item and its candidates, or what is ``said`` of them, the item's own first: (N, 1 + C)."""
    model.eval()
    found, at = [], 0
    for batch in batcher.queries(part, ROWS):
        ids = batch.positive_P[:, None]
        if ids_NC is not None:
            ids = torch.cat([ids, torch.as_tensor(ids_NC[at : at + len(batch)], device=ids.device)], 1)
        found.append(said(model.candidate_scores(batch, ids)).double().cpu())
        at += len(batch)
    return torch.cat(found).numpy() if found else np.empty((0, 1 if ids_NC is None else 1 + ids_NC.shape[1]))


def rank_in(scores_PV: Tensor, own_P1: Tensor) -> Tensor:
    """Ranks (P,) of ``own_P1`` among the scores, in which it stands once. The scores are overwritten."""
    count = scores_PV.shape[1]
    above_PV = scores_PV.sub_(own_P1)
    broken_P = above_PV.amax(1).isnan()
    return (1 + (count - 1 + above_PV.sign_().sum(1)) / 2).masked_fill(broken_P, count)


def rank_product(
    query_PD: Tensor, item_VD: Tensor, place_P: Tensor, hidden: Hidden | None = None, first: int = 0
) -> Tensor:
    """Full ranks by blocks that fit a cache; the own score is read from the same product, so that ties are exact.

    ``first``: number of the first query among the instances that ``hidden`` tells of.
    """
    rows = max(FEWEST, BLOCK // len(item_VD))
    ranks = []
    for number, (query, place) in enumerate(zip(query_PD.split(rows), place_P.split(rows), strict=True)):
        scores = query @ item_VD.T
        if hidden is not None:
            hidden.hide(scores, first + number * rows)
        ranks.append(rank_in(scores, scores.gather(1, place[:, None])))
    return torch.cat(ranks) if ranks else query_PD.new_empty(0)


def _gathered(ranks: list[Tensor]) -> Floats:
    return torch.cat(ranks).double().cpu().numpy() if ranks else np.empty(0)
