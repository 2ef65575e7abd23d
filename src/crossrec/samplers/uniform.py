"""Negatives drawn uniformly from the domain's catalogue (UNS in the tables of RealHNS)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.models.base import Model
from crossrec.samplers.base import ATTEMPTS, Negatives, Sampler


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
        low, high = self.block.start, self.block.stop
        log_q = torch.tensor(-math.log(high - low), device=self.device)
        if self.config.shared:
            return Negatives(torch.randint(low, high, (count,), generator=generator, device=self.device), log_q=log_q)
        ids_PK = torch.randint(low, high, (len(batch), count), generator=generator, device=self.device)
        for _ in range(ATTEMPTS):
            taken_PK = self.seen.contains(batch.user_P, ids_PK)
            num_taken = int(taken_PK.sum())
            if not num_taken:
                break
            ids_PK[taken_PK] = torch.randint(low, high, (num_taken,), generator=generator, device=self.device)
        return Negatives(ids_PK, log_q=log_q)
