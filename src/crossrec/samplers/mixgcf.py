"""MixGCF: the hardest of a few candidates, with a share of the positive. Source: specs of RealHNS, 4.7; Huang et al. 2021.

Shapes: P queries, H hard negatives of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives
from crossrec.samplers.dns import DNS, DNSConfig
from crossrec.samplers.pools import mixed


@dataclass(frozen=True)
class MixGCFConfig(DNSConfig):
    """Settings of MixGCF."""


class MixGCF(DNS):
    """Every hard negative is the best of a few candidates with a random share of the positive mixed in.

    The share is one for all candidates of a hard negative, so the best of them is the best of the mixtures. A sequence
    encoder has no graph, hence one hop: the layer of item vectors. Gradients reach both items.
    """

    name = "mixgcf"
    Config = MixGCFConfig

    def made(self, batch: Batch, model: Model, ids_PH: Tensor, generator: torch.Generator) -> Negatives:
        share_PH = torch.rand(ids_PH.shape, generator=generator, device=ids_PH.device)
        return Negatives(vectors=mixed(model.items(batch.positive_P), model.items(ids_PH), share_PH))
