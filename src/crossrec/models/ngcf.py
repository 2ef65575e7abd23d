"""NGCF: layers over the graph of users and items, with products of neighbours, all of them compared (Wang et al. 2019).

Source: specs of DIAGAE, section 6. P queries, N nodes, D width of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.graph_users import TRAINING, OneGraphModel
from crossrec.models.users import UNIFORM
from crossrec.nn.dropout import dropout
from crossrec.nn.graph_users import unit_rows

SLOPE = 0.2
"""Of the LeakyReLU below zero (specs of DIAGAE, 6.3)."""


@dataclass(frozen=True)
class NGCFConfig:
    """Settings of NGCF."""

    dim: int = 64
    """Width of the vectors that nodes start with (published code)."""
    layers: tuple[int, ...] = (64, 64, 64)
    """Widths of the layers (published code)."""
    dropout: float = 0.1
    """Dropout of what a layer makes (published code)."""
    domains: Literal["target", "merged"] = "target"
    """The graph: of the target domain alone, or of all domains over the union of their users (specs of DIAGAE, 3)."""
    l2: float = 1e-5
    """Weight of the squared norm of final vectors (published code)."""


class NGCF(OneGraphModel):
    """E^k = LeakyReLU((L + I) E^(k-1) W1 + (L E^(k-1) * E^(k-1)) W2) with L = D^(-1/2) A D^(-1/2).

    A node's vector is E^0 and, of every layer, E^k with rows of length 1, side by side; the score is a product. The next layer
    reads E^k as it is. The equation is the paper's; the published program departs from it (rows of A + I divided by their
    sums for both terms, a LeakyReLU for each, biases). Its dropout of whole nodes is off, as published.

    Everybody without an edge: see :class:`~crossrec.models.graph_users.GraphUserModel`.
    """

    name = "ngcf"
    Config = NGCFConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {
            "train": {**TRAINING, "lr": 2e-3},
            "sampler": UNIFORM,
        },
        "paper": {
            "train": {
                **TRAINING,
                "negatives": 1,
                "lr": 5e-4,
                "betas": (0.9, 0.999),
                "batch": 32,
                "epochs": 400,
                "eval_every": 10,
                "patience": 5,
            },
            "sampler": UNIFORM,
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        config: NGCFConfig = self.config
        shapes = list(pairwise((config.dim, *config.layers)))
        self.sums = nn.ParameterList(nn.init.xavier_uniform_(torch.empty(shape)) for shape in shapes)
        self.products = nn.ParameterList(nn.init.xavier_uniform_(torch.empty(shape)) for shape in shapes)

    def propagated(self) -> tuple[Tensor, Tensor]:
        x_ND: Tensor = self.weight
        layers = [x_ND]
        for w_sum, w_product in zip(self.sums, self.products, strict=True):
            read_ND = self.graph(x_ND)
            x_ND = F.leaky_relu((read_ND + x_ND) @ w_sum + (read_ND * x_ND) @ w_product, SLOPE)
            x_ND = dropout(x_ND, self.config.dropout, self.training)
            layers.append(unit_rows(x_ND))
        return self.nodes.parted(torch.cat(layers, 1))

    def auxiliary(self, batch: Batch) -> Tensor | None:
        return self.penalty(self.people(batch, self.vectors()), self.items(batch.positive_P))
