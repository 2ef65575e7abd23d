"""The two-encoder cross-domain base of RealHNS, for any number of source domains.

One Transformer per domain reads its own domain's history; the states that precede a positive are concatenated, sources
first, and fused by a two-layer perceptron. Source: specs of RealHNS, section 2.3. P queries, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.models.towers import Towers, TowersConfig


@dataclass(frozen=True)
class TwoTowerConfig(TowersConfig):
    """Settings of the towers and of their training one by one."""


class TwoTower(Towers):
    """Fuses the last state of every domain's tower."""

    name = "twotower"
    Config = TwoTowerConfig

    def domain_states(self, batch: Batch) -> dict[str, Tensor]:
        return {name: self.tower_states(batch, name) for name in self.place}
