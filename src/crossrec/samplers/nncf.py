"""NNCF in the tables of RealHNS: half of the negatives by popularity. Source: specs of RealHNS, section 4.2."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crossrec.data.batches import Batch
from crossrec.data.splits import Split
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives
from crossrec.samplers.hard import HardConfig, HardSampler
from crossrec.samplers.popularity import Popularity


@dataclass(frozen=True)
class NNCFConfig(HardConfig):
    """Settings of NNCF."""

    gamma: float = 1.0
    """Power of an item's training count (specs of RealHNS, 4.2)."""


class NNCF(HardSampler):
    """Hard negatives by popularity among what the user has not in training; the other negatives are uniform."""

    name = "nncf"
    Config = NNCFConfig
    compares = False

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        super().prepare(split, domain, device)
        self.popularity = Popularity(gamma=self.config.gamma)
        self.popularity.prepare(split, domain, device)

    def choose(self, batch: Batch, model: Model, number: int, generator: torch.Generator) -> Negatives:
        return Negatives(self.popularity.draw(batch, torch.empty(0), model, number, generator).ids)
