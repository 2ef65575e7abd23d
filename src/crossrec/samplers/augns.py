"""AugNS: uniform negatives whose vectors are moved a little. Source: specs of RealHNS, section 4.3; Yu et al. 2022.

Shapes: P queries, H hard negatives of each, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives
from crossrec.samplers.hard import HardConfig, HardSampler


@dataclass(frozen=True)
class AugNSConfig(HardConfig):
    """Settings of AugNS."""

    epsilon: float = 0.1
    """Length of the noise, where an item's vector has length 1 (SimGCL's default; RealHNS does not say)."""


class AugNS(HardSampler):
    """Hard negatives are uniform items plus noise of their own orthant; the other negatives are uniform items."""

    name = "augns"
    Config = AugNSConfig

    def choose(self, batch: Batch, model: Model, number: int, generator: torch.Generator) -> Negatives:
        e_PHD = model.items(self.uniform.own(batch.user_P, number, generator))
        r_PHD = torch.rand(e_PHD.shape, generator=generator, device=self.device)
        moved_PHD = e_PHD + noise(e_PHD.detach(), r_PHD, self.config.epsilon)
        length_PH1 = e_PHD.norm(dim=-1, keepdim=True) / moved_PHD.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return Negatives(vectors=moved_PHD * length_PH1)


def noise(e: Tensor, r: Tensor, epsilon: float) -> Tensor:
    """What is added to vectors e (..., D): epsilon times their length, in the direction of sign(e) r, with r in [0, 1)."""
    length = e.norm(dim=-1, keepdim=True)
    added: Tensor = epsilon * length * e.sign() * r / r.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return added
