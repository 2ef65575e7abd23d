"""LightGCN: users and items read each other on a normalised graph, and nothing else happens to them (He et al. 2020).

N nodes, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.models.graph_users import TRAINING, OneGraphModel
from crossrec.models.users import UNIFORM


@dataclass(frozen=True)
class LightGCNConfig:
    """Settings of LightGCN."""

    dim: int = 64
    """Width of user and item vectors (paper, 4.1.2)."""
    layers: int = 3
    """Times that nodes read their neighbours (paper, 4.2)."""
    domains: Literal["target", "merged"] = "target"
    """The graph: of the target domain alone, or of all domains over the union of their users (specs of DIAGAE, 3)."""
    l2: float = 1e-4
    """Weight of the squared norm of the vectors that are trained (paper, 4.1.2)."""


class LightGCN(OneGraphModel):
    """E^k = L E^(k-1) with L = D^(-1/2) A D^(-1/2); a node's vector is the mean of E^0 to E^K, the score a product.

    E^0 alone is trained; the penalty is on its rows. Everybody without an edge: see
    :class:`~crossrec.models.graph_users.GraphUserModel`.
    """

    name = "lightgcn"
    Config = LightGCNConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {
            "train": {**TRAINING, "lr": 5e-3},
            "sampler": UNIFORM,
        },
        "paper": {
            "train": {
                **TRAINING,
                "negatives": 1,
                "lr": 1e-3,
                "betas": (0.9, 0.999),
                "batch": 64,
                "epochs": 1000,
                "eval_every": 10,
                "patience": 5,
            },
            "sampler": UNIFORM,
        },
    }

    def draw(self, weight: Tensor) -> None:
        nn.init.normal_(weight, std=0.1)

    def propagated(self) -> tuple[Tensor, Tensor]:
        x_ND: Tensor = self.weight
        sum_ND = x_ND
        for _ in range(self.config.layers):
            x_ND = self.graph(x_ND)
            sum_ND = sum_ND + x_ND
        return self.nodes.parted(sum_ND / (self.config.layers + 1))

    def auxiliary(self, batch: Batch) -> Tensor | None:
        user_UD, item_RD = self.nodes.parted(self.weight)
        row_P = self.nodes.row_V[batch.positive_P]
        return self.penalty(F.embedding(batch.user_P, user_UD), F.embedding(row_P, item_RD))
