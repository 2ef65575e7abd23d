"""BiTGCF: a graph per domain, between whose layers the vectors of common users are mixed (Liu et al. 2020).

Source: specs of DIAGAE, section 9. P queries, U users, X domains, N nodes (users once per domain, and items), D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.graphs import Adjacency, adjacency, build
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.graph_users import OneGraphModel
from crossrec.models.users import TRAINING, UNIFORM
from crossrec.nn.dropout import dropout
from crossrec.nn.graph_users import unit_rows
from crossrec.nn.propagation import normalised


@dataclass(frozen=True)
class BiTGCFConfig:
    """Settings of BiTGCF."""

    dim: int = 64
    """Width of user and item vectors (published code)."""
    layers: int = 3
    """Times that nodes read their neighbours (published code)."""
    own: float = 0.8
    """λ: share of a user's vector of the domain itself in what is specific to it (published code)."""
    dropout: float = 0.1
    """Dropout of what a layer makes (published code)."""
    l2: float = 1e-5
    """Weight of the squared norm of final vectors (published code)."""


class BiTGCF(OneGraphModel):
    """In every domain g = L E, E <- g + E * g with L = D^(-1) (A + I); then users who are in several domains are mixed.

    u_d <- (common + specific_d) / 2: common is the mean of the user's vectors weighted by training edges n_d, specific_d is
    λ u_d + (1 - λ) u_other. A node's vector is E^0 and, of every layer, E^k with rows of length 1, side by side; the score is
    a product. Items, and users of one domain, are not mixed.

    For any number of domains (ours; published: two): both means are over the domains in which the user has a training edge,
    u_other the plain mean of those that are not d. Of a domain in which a user has none the vector is the common one, layer
    by layer (ours). Everybody without an edge anywhere: see :class:`~crossrec.models.graph_users.GraphUserModel`.

    Every event of every domain is a positive in every epoch. Published, each of 4 negatives counts as much as a positive; here
    the four together do.
    """

    name = "bitgcf"
    Config = BiTGCFConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "lr": 5e-3, "batch": 256}, "sampler": UNIFORM},
        "paper": {
            "train": {**TRAINING, "betas": (0.9, 0.999), "epochs": 100, "eval_every": 1, "patience": 10},
            "sampler": UNIFORM,
        },
    }
    degree_XU: Tensor
    """Training edges of every user in every domain."""

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        self.register_buffer("degree_XU", torch.zeros(self.copies, catalogue.num_users, dtype=torch.int64))

    @property
    def copies(self) -> int:
        return len(self.reads)

    def learn(self, split: Split) -> None:
        graphs = [build(split, [name]).users for name in self.reads]
        self.degree_XU.copy_(torch.as_tensor(np.stack([users.degree_N for users in graphs])))
        self.trained_U.copy_(self.degree_XU.sum(0) > 0)
        degree_N = np.concatenate([users.degree_N for users in graphs])
        arrays = {
            "offset": np.concatenate([[0], np.cumsum(degree_N)]),
            "column": np.concatenate([users.column_E for users in graphs]),
        }
        self.fill(adjacency(graphs[0].columns, arrays))

    def fill(self, users: Adjacency) -> None:
        self.graph.fill(normalised(self.nodes.square(users), "row", loops=True))

    def propagated(self) -> tuple[Tensor, Tensor]:
        mixing, showing = self._mixing()
        x_ND: Tensor = self.weight
        layers = [self._through(showing, x_ND)]
        for _ in range(self.config.layers):
            read_ND = self.graph(x_ND)
            x_ND = self._through(mixing, read_ND + x_ND * read_ND)
            x_ND = dropout(x_ND, self.config.dropout, self.training)
            layers.append(unit_rows(self._through(showing, x_ND)))
        return self.nodes.parted(torch.cat(layers, 1))

    def auxiliary(self, batch: Batch) -> Tensor | None:
        return self.penalty(self.people(batch, self.vectors()), self.items(batch.positive_P))

    def _mixing(self) -> tuple[Tensor | None, Tensor | None]:
        """What every user's vector of a domain x takes of those of domains y, (U, X, X): between layers, and when asked.

        When asked, users have the common vector where they have no edge; nobody is asked so in training.
        """
        if self.copies == 1:
            return None, None
        n_UX = self.degree_XU.T.to(self.weight.dtype)
        common_UXX = (n_UX / n_UX.sum(1, keepdim=True).clamp(min=1))[:, None].expand(-1, self.copies, -1)
        there_UX = n_UX > 0
        self_XX = torch.eye(self.copies, dtype=n_UX.dtype, device=n_UX.device)
        number_U11 = there_UX.sum(1)[:, None, None]
        others_UXX = there_UX[:, None] * (1 - self_XX) / (number_U11 - 1).clamp(min=1)
        specific_UXX = float(self.config.own) * self_XX + (1 - float(self.config.own)) * others_UXX
        several_UX1 = there_UX[:, :, None] & (number_U11 > 1)
        mixing_UXX = torch.where(several_UX1, (common_UXX + specific_UXX) / 2, self_XX)
        lacks_UX1 = ~there_UX[:, :, None] & (number_U11 > 0)
        return mixing_UXX, None if self.training else torch.where(lacks_UX1, common_UXX, self_XX)

    def _through(self, taken_UXX: Tensor | None, x_ND: Tensor) -> Tensor:
        """Vectors of all nodes, where users take of each other's domains; None: nobody does."""
        if taken_UXX is None:
            return x_ND
        user_ND, item_RD = self.nodes.parted(x_ND)
        mixed_XUD = torch.einsum("uxy,yud->xud", taken_UXX, user_ND.unflatten(0, (self.copies, -1)))
        return torch.cat([mixed_XUD.flatten(0, 1), item_RD])
