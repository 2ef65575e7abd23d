"""Negatives drawn by popularity (NNCF in the tables of RealHNS). Source: specs of RealHNS, section 4.2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.splits import Split
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives, Sampler


@dataclass(frozen=True)
class PopularityConfig:
    """Settings of the popularity sampler."""

    gamma: float = 1.0
    """Power of an item's training count (specs of RealHNS, 4.2)."""
    shared: bool = False
    """One draw for all queries of a batch; nothing is excluded but the positive."""


class Popularity(Sampler):
    """P(i) proportional to the training count of i to the power gamma, with replacement, without the user's own items.

    An item that training never saw is never drawn. ``log_q`` is that of the draw before anything is excluded.
    """

    name = "popularity"
    Config = PopularityConfig

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        super().prepare(split, domain, device)
        at = np.unique(split.events.within(split.train, domain)[1])
        count_V = np.bincount(split.events.item_E[at] - self.block.start, minlength=len(self.block))
        weight_V = np.where(count_V > 0, count_V.astype(np.float64) ** self.config.gamma, 0.0)
        share_V = weight_V / max(weight_V.sum(), 1e-300)
        drawn = np.flatnonzero(share_V)
        self.item_S = torch.as_tensor(self.block.start + drawn, device=device)
        self.cumulated_S = torch.as_tensor(np.cumsum(share_V[drawn]), device=device)
        with np.errstate(divide="ignore"):
            self.log_q_V = torch.as_tensor(np.log(share_V), dtype=torch.float32, device=device)

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        def drawn(shape: tuple[int, ...]) -> Tensor:
            share = torch.rand(shape, generator=generator, dtype=torch.float64, device=self.device)
            place = torch.searchsorted(self.cumulated_S, share, right=True)
            return self.item_S[place.clamp(max=len(self.item_S) - 1)]

        ids = drawn((count,)) if self.config.shared else self.unseen(batch.user_P, drawn, count)
        return Negatives(ids, log_q=self.log_q_V[ids - self.block.start])
