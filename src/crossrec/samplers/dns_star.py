"""DNS(M, N): any of the harder candidates. Source: specs of RealHNS, section 4.6; Shi et al. 2023.

Shapes: P queries, N candidates of each, H hard negatives of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.samplers.pools import PoolConfig, PoolSampler, among_top


@dataclass(frozen=True)
class DNSStarConfig(PoolConfig):
    """Settings of DNS(M, N)."""

    top: int = 100
    """Best candidates of the pool that hard negatives are drawn from (M; RealHNS, settings)."""


class DNSStar(PoolSampler):
    """Hard negatives are drawn uniformly from the best scored of many uniform candidates: DNS(M, N)."""

    name = "dns_star"
    Config = DNSStarConfig

    def check(self) -> None:
        super().check()
        self.at_least(1, "top")

    def pick(self, score_PN: Tensor, number: int, generator: torch.Generator) -> Tensor:
        return among_top(score_PN, self.config.top, number, generator)
