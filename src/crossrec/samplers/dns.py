"""DNS: the hardest of a few candidates. Source: specs of RealHNS, section 4.5; Zhang et al. 2013.

Shapes: P queries, N candidates of each, H hard negatives of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.samplers.pools import PoolConfig, PoolSampler, hardest


@dataclass(frozen=True)
class DNSConfig(PoolConfig):
    """Settings of DNS."""

    candidates: int = 32
    """Candidates of every hard negative, of which the best is taken (M; specs of RealHNS, 4.5)."""


class DNS(PoolSampler):
    """Every hard negative is the best scored of a few uniform candidates."""

    name = "dns"
    Config = DNSConfig

    def check(self) -> None:
        super().check()
        self.at_least(1, "candidates")

    def pick(self, score_PN: Tensor, number: int, generator: torch.Generator) -> Tensor:
        return hardest(score_PN, self.config.candidates, number, generator)
