"""Negatives drawn uniformly from the domain's catalogue (UNS in the tables of RealHNS)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives, Sampler


@dataclass(frozen=True)
class UniformConfig:
    """Settings of the uniform sampler."""

    shared: bool = False
    """One draw for all queries of a batch: many more negatives for the same work; nothing is excluded but the positive."""


class Uniform(Sampler):
    """Every item of the domain that the user has not in training is equally likely; with replacement."""

    name = "uniform"
    Config = UniformConfig

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        log_q = torch.tensor(-math.log(self.block.stop - self.block.start), device=self.device)
        ids = self.drawn((count,), generator) if self.config.shared else self.own(batch.user_P, count, generator)
        return Negatives(ids, log_q=log_q)

    def own(self, user_P: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """``count`` items for each user, (P, count), among those that the user has not in training."""
        return self.unseen(user_P, lambda shape: self.drawn(shape, generator), count)

    def drawn(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Any items of the domain, in this shape."""
        return torch.randint(self.block.start, self.block.stop, shape, generator=generator, device=self.device)
