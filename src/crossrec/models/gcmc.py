"""GC-MC: a graph with an edge type per rating level, and a softmax over levels of bilinear products (van den Berg et al. 2018).

Source: specs of DIAGAE, section 4. P queries, V items, N nodes, L levels, H width of the hidden layer, B bases, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.graphs import Adjacency, adjacency
from crossrec.data.vocabulary import Catalogue
from crossrec.errors import InputError
from crossrec.models.graph_users import GraphUserModel
from crossrec.models.users import TRAINING, UNIFORM
from crossrec.nn.dropout import dropout
from crossrec.nn.pair_perceptron import in_blocks
from crossrec.nn.propagation import Propagation, normalised


@dataclass(frozen=True)
class GCMCConfig:
    """Settings of GC-MC."""

    dim: int = 64
    """Width of user and item vectors (ours; published code: 75)."""
    hidden: int = 64
    """Width of what nodes read (ours; published code: 500)."""
    bases: int = 2
    """Bilinear products of which the levels are combinations (published code)."""
    dropout: float = 0.3
    """Share of the nodes that nobody reads, and dropout of what was read (ours; published code: 0.7, for the largest log 0.3)."""
    levels: tuple[float, ...] = ()
    """The ratings there may be, ascending, from one end of the scale to the other; none: an event happened, or not."""
    domains: Literal["target", "merged"] = "target"
    """The graph: of the target domain alone, or of all domains over the union of their users (specs of DIAGAE, 3)."""


class GCMC(GraphUserModel):
    """h_i = ReLU(sum over levels r and neighbours j of W_r x_j / sqrt(n_i n_j)), z = W h; x is who a node is, and nothing else.

    Degrees n count all levels; a level's weights are its own and those of all levels below it, W_r = T_1 + ... + T_r. Users and
    items share weights. Logit of level r: sum over bases b of a_br z_u' Q_b z_v.

    With ``levels`` it is trained by the cross entropy of the level, and predicts the mean of the levels under the softmax (the
    score is its share of the scale). Without, the graph has one kind of edge and the softmax two classes: the score is their
    difference, a product, to be trained like any other.

    The rating that is predicted is an edge as well, as published: against that stands the dropout. Published, weights are also
    averaged over the steps. Everybody without an edge: see :class:`~crossrec.models.graph_users.GraphUserModel`.
    """

    name = "gcmc"
    Config = GCMCConfig
    own_tasks = ("ratings",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "lr": 5e-3, "batch": 256}, "sampler": UNIFORM},
        "paper": {
            "model": {"dim": 75, "hidden": 500, "dropout": 0.7},
            "train": {
                **TRAINING,
                "negatives": 1,
                "lr": 1e-2,
                "betas": (0.9, 0.999),
                "batch": 10**9,
                "epochs": 3500,
                "eval_every": 10,
                "patience": 30,
            },
            "sampler": UNIFORM,
        },
    }
    by_task: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "ratings": {"model": {"levels": (1.0, 2.0, 3.0, 4.0, 5.0)}, "train": {"loss": "own"}}
    }
    level_L: Tensor

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        levels = self.config.levels
        if levels and (len(levels) < 2 or list(levels) != sorted(set(levels))):
            raise InputError(f"levels={list(levels)}: name at least two ratings, ascending, or none.")
        self.own_loss = bool(levels)  # type: ignore[misc]  # levels have a loss of their own, events have not
        self.product = not levels  # type: ignore[misc]  # likewise

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        config: GCMCConfig = self.config
        kinds, classes = max(1, len(config.levels)), max(2, len(config.levels))
        self.weight = self.nodes.empty(kinds, config.hidden)
        for table in self.weight:
            nn.init.xavier_uniform_(table)
        self.nodes.clear(self.weight)
        self.dense = nn.Parameter(nn.init.xavier_uniform_(torch.empty(config.hidden, config.dim)))
        self.bases = nn.Parameter(torch.empty(config.bases, config.dim, config.dim))
        for basis in self.bases:
            nn.init.orthogonal_(basis, gain=1.1)
        self.mixture = nn.Parameter(nn.init.xavier_uniform_(torch.empty(config.bases, classes)))
        self.graph = Propagation(self.nodes.count, kinds * self.nodes.count)
        self.register_buffer("level_L", torch.tensor(config.levels, dtype=torch.float32), persistent=False)

    def edges(self, users: Adjacency) -> Adjacency:
        """Only those with a rating, where there are levels."""
        if not self.config.levels:
            return users
        rating_E = np.full(len(users.column_E), np.nan) if users.rating_E is None else users.rating_E
        kept_E = ~np.isnan(rating_E)
        odd_E = np.abs(rating_E[kept_E, None] - np.array(self.config.levels)).min(1, initial=np.inf) > 1e-4
        if odd_E.any():
            found = ", ".join(f"{rating:g}" for rating in np.unique(rating_E[kept_E][odd_E])[:5])
            raise InputError(
                f"Some ratings are none of the levels {list(self.config.levels)}: {found}. Name all levels."
            )
        offset_U1 = np.concatenate([[0], np.cumsum(kept_E)])[users.offset_N1]
        arrays = {"offset": offset_U1, "column": users.column_E[kept_E], "rating": rating_E[kept_E]}
        return adjacency(users.columns, arrays)

    def fill(self, users: Adjacency) -> None:
        level_E = np.zeros(len(users.column_E))
        if self.config.levels and users.rating_E is not None:
            level_E = np.abs(users.rating_E[:, None] - np.array(self.config.levels)).argmin(1)
        matrix, level = normalised(self.nodes.square(users)), self.nodes.square(users, level_E + 1.0)
        column_E = (level.data.astype(np.int64) - 1) * self.nodes.count + matrix.indices
        leveled = sparse.csr_array((matrix.data, column_E, matrix.indptr), shape=self.graph.shape)
        leveled.sort_indices()
        self.graph.fill(leveled)

    def readers(self, x_UD: Tensor) -> Tensor:
        x_ND = self.nodes.of_users(x_UD).repeat(len(self.weight), 1)
        return self.nodes.parted(self.graph(x_ND))[1]

    def propagated(self) -> tuple[Tensor, Tensor]:
        seen_N1 = dropout(self.weight.new_ones(self.nodes.count, 1), self.config.dropout, self.training)
        x_LNH = self.weight.cumsum(0) * seen_N1
        h_NH = dropout(F.relu(self.graph(x_LNH.flatten(0, 1))), self.config.dropout, self.training)
        return self.nodes.parted(h_NH @ self.dense)

    def queries(self, batch: Batch) -> Tensor:
        """z_u' Q_b of every basis side by side, or without levels that of the difference of the two classes."""
        z_PD = super().queries(batch)
        if self.config.levels:
            return torch.einsum("pd,bde->pbe", z_PD, self.bases).flatten(1)
        return z_PD @ torch.einsum("b,bde->de", self.mixture[:, 1] - self.mixture[:, 0], self.bases)

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        """With levels, the share of the scale that the mean level has."""
        if not self.config.levels:
            return super().logits(query_PD, vectors, domain)
        return in_blocks(self._mean, query_PD, vectors, len(self.bases) + len(self.level_L))

    def rating(self, logits: Tensor, offset: float) -> Tensor:
        """Scores are shares already where there are levels."""
        return logits if self.config.levels else super().rating(logits, offset)

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy of the level that every query's positive was rated with: (P,)."""
        assert batch.rating_P is not None, "checked before training"
        q_PBD = self.queries(batch).unflatten(1, (len(self.bases), -1))
        logit_PL = (q_PBD * self.items(batch.positive_P)[:, None]).sum(-1) @ self.mixture
        level_P = (batch.rating_P[:, None] - self.level_L).abs().argmin(1)
        return F.cross_entropy(logit_PL, level_P, reduction="none")

    def _mean(self, query: Tensor, item: Tensor) -> Tensor:
        """Shares (p, v) from queries (p, 1, B D) and items (1 or p, v, D)."""
        q_PBD = query[:, 0].unflatten(1, (len(self.bases), -1))
        if len(item) == 1:
            product_PVB = torch.einsum("pbd,vd->pvb", q_PBD, item[0])
        else:
            product_PVB = torch.einsum("pbd,pvd->pvb", q_PBD, item)
        low, high = self.level_L[0], self.level_L[-1]
        return (product_PVB @ self.mixture).softmax(-1) @ ((self.level_L - low) / (high - low))
