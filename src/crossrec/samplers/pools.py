"""Pools of candidates, one per user of a batch, scored for every query of that user at once; and how one picks from them.

Shapes: P queries, G users of the batch, N candidates of each, S vectors of each query, H picks, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.histories import like_lengths
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives
from crossrec.samplers.hard import HardConfig, HardSampler

BLOCK = 8 * 2**20
"""Bytes of candidates' vectors that are gathered at a time: memory that the allocator keeps is not cleared anew."""


@dataclass(frozen=True)
class Groups:
    """The queries of a batch by user: those of one user stand side by side."""

    user_G: Tensor
    group_P: Tensor
    """Number of every query's user in ``user_G``."""
    count_G: Tensor

    @classmethod
    def of(cls, user_P: Tensor) -> Groups:
        """The groups of these queries."""
        user_G, group_P, count_G = torch.unique_consecutive(user_P, return_inverse=True, return_counts=True)
        return cls(user_G, group_P, count_G)

    def scores(self, left_PSD: Tensor, table_VD: Tensor, pool_GN: Tensor) -> Tensor:
        """Products (P, S, N) of each query's vectors with the candidates of its user; ``pool_GN`` are rows of the table."""
        size, width = left_PSD.shape[1], left_PSD.shape[2]
        out_PSN = left_PSD.new_empty(len(left_PSD), size, pool_GN.shape[1])
        order_G = torch.argsort(self.count_G, stable=True)
        first_G = torch.cumsum(self.count_G, 0) - self.count_G
        most = max(1, BLOCK // (4 * pool_GN.shape[1] * width))
        chunks = like_lengths(self.count_G[order_G].cpu().numpy())
        for group in [part for a, b in chunks for part in order_G[a:b].split(most)]:
            count = self.count_G[group]
            within = torch.arange(int(count[-1]), device=count.device).expand(len(group), -1)
            place = first_G[group][:, None] + torch.minimum(within, count[:, None] - 1)
            left = left_PSD[place].flatten(1, 2)
            right = table_VD.index_select(0, pool_GN[group].flatten()).view(len(group), -1, width)
            out_PSN[place] = torch.bmm(left, right.transpose(1, 2)).unflatten(1, (-1, size))
        return out_PSN


def among_top(score_PN: Tensor, top: int, number: int, generator: torch.Generator) -> Tensor:
    """Places (P, H) of candidates drawn from each query's ``top`` best, all equally likely: DNS(M, N), with M = ``top``.

    One from each H-th part of them, so that none is drawn twice where there are H. A candidate at -inf is none; where a
    query has none at all, the places point at such a one.
    """
    best_PM, left_P1 = _best(score_PN, min(top, score_PN.shape[1]))
    share_PH = torch.rand((len(score_PN), number), generator=generator, device=score_PN.device)
    part_H = torch.arange(number, device=score_PN.device)
    turn_P1 = torch.randint(number, (len(score_PN), 1), generator=generator, device=score_PN.device)
    share_PH = (share_PH + (part_H + turn_P1) % number) / number
    place_PH = torch.minimum((share_PH * left_P1).long(), (left_P1 - 1).clamp(min=0))  # a share may round to 1
    return best_PM.gather(1, place_PH)


def _best(score_PN: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Places (P, top) of the best candidates in any order, those at -inf last, and how many are above -inf, (P, 1)."""
    if score_PN.device.type == "cpu":  # four times as fast as torch's topk there
        best_PM = torch.from_numpy(np.argpartition(score_PN.numpy(), -top, axis=1)[:, -top:])
    else:
        best_PM = score_PN.topk(top, dim=1).indices
    none_PM = score_PN.gather(1, best_PM) == -torch.inf
    left_P1 = top - none_PM.sum(1, keepdim=True)
    short = (left_P1[:, 0] < top).nonzero()[:, 0]
    if len(short):
        best_PM[short] = best_PM[short].gather(1, none_PM[short].to(torch.int8).argsort(dim=1, stable=True))
    return best_PM, left_P1


def hardest(score_PN: Tensor, size: int, number: int, generator: torch.Generator) -> Tensor:
    """Places (P, H): for each the best of ``size`` candidates drawn with replacement from those not at -inf: DNS, M = ``size``.

    Where a query has none at all, the places point at one at -inf.
    """
    allowed_PN = torch.isfinite(score_PN)
    shape = (len(score_PN), number * size)
    share_PJ = torch.rand(shape, generator=generator, device=score_PN.device)
    if bool(allowed_PN.all()):
        place_PJ = (share_PJ * score_PN.shape[1]).long().clamp(max=score_PN.shape[1] - 1)
    else:
        rank_PN = torch.cumsum(allowed_PN, 1)
        wanted_PJ = torch.minimum((share_PJ * rank_PN[:, -1:]).long() + 1, rank_PN[:, -1:])
        place_PJ = torch.searchsorted(rank_PN, wanted_PJ).clamp(max=score_PN.shape[1] - 1)
    drawn_PHM = score_PN.gather(1, place_PJ).unflatten(1, (number, size))
    best_PH1 = drawn_PHM.argmax(-1, keepdim=True)
    place_PH: Tensor = place_PJ.unflatten(1, (number, size)).gather(2, best_PH1)[..., 0]
    return place_PH


def mixed(positive_PD: Tensor, negative_PHD: Tensor, share_PH: Tensor) -> Tensor:
    """Synthetic negatives (P, H, D): a share of the positive in each negative. Source: MixGCF, Huang et al. 2021."""
    vectors: Tensor = share_PH[..., None] * positive_PD[:, None] + (1 - share_PH[..., None]) * negative_PHD
    return vectors


@dataclass(frozen=True)
class PoolConfig(HardConfig):
    """Settings of the samplers that choose from a pool."""

    pool: int = 1000
    """Candidates of every user of a batch, uniform among what the user has not in training (DNS(M, N): N)."""


class PoolSampler(HardSampler):
    """Base of the samplers that score a pool with the current model: a subclass fills ``pick``."""

    def check(self) -> None:
        super().check()
        self.at_least(1, "pool")

    def choose(self, batch: Batch, model: Model, number: int, generator: torch.Generator) -> Negatives:
        with torch.no_grad():
            groups = Groups.of(batch.user_P)
            pool_GN = self.uniform.own(groups.user_G, self.config.pool, generator)
            query_P1D = model.selection_queries(batch)[:, None]
            score_PN = groups.scores(query_P1D, model.item_block(batch.domain), pool_GN - self.block.start)[:, 0]
            ids_PH = pool_GN[groups.group_P].gather(1, self.pick(score_PN, number, generator))
        return self.made(batch, model, ids_PH, generator)

    def pick(self, score_PN: Tensor, number: int, generator: torch.Generator) -> Tensor:
        """Places (P, H) of the candidates that are taken."""
        raise NotImplementedError

    def made(self, batch: Batch, model: Model, ids_PH: Tensor, generator: torch.Generator) -> Negatives:
        """What becomes of the candidates that were taken."""
        return Negatives(ids_PH)
