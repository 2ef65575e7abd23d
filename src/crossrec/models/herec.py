"""HERec: vectors from walks along meta-paths are fused, and extend a matrix factorisation (Shi et al. 2019).

Source: specs of DIAGAE, section 5. P queries, U users, V items of the target, R rows of items, L meta-paths, D width of a walk's
vectors, F of the factors, G of what is fused of users, H of items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.graphs import Adjacency
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Phase
from crossrec.models.graph_users import GraphUserModel
from crossrec.models.users import TRAINING, UNIFORM
from crossrec.nn.metapaths import skip_gram, walks
from crossrec.nn.propagation import Propagation


@dataclass(frozen=True)
class HERecConfig:
    """Settings of HERec."""

    dim: int = 64
    """Width of the vectors that walks give (paper)."""
    factors: int = 32
    """Factors of users and items (ours; paper: 10)."""
    fused: tuple[int, int] = (30, 10)
    """Widths of what is fused of users and of items (published code)."""
    alpha: float = 1.0
    """Weight of what is fused of users (paper)."""
    beta: float = 1.0
    """Weight of what is fused of items (paper)."""
    walks: int = 5
    """Walks from every node (ours; published code: 10)."""
    length: int = 10
    """Nodes of the first kind in a walk (ours; paper: 40 nodes of all kinds)."""
    window: int = 3
    """Places between two nodes of a pair, at most (published code)."""
    negatives: int = 5
    """Nodes that every pair is compared with (ours)."""
    passes: int = 1
    """Times that all pairs are gone through (ours)."""
    l2: float = 1e-4
    """Weight of the squared norm of the vectors that are trained (ours; published code: 0.1, of ratings)."""


class Fusion(nn.Module):
    """g = σ(sum over l of w_l σ(M_l e_l + b_l)), with weights w of every node's own."""

    def __init__(self, nodes: int, paths: int, dim: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((nodes, paths), 1 / paths))
        self.turn = nn.ModuleList(nn.Linear(dim, width) for _ in range(paths))

    def forward(self, e_LND: Tensor) -> Tensor:
        """What is fused of all nodes: (N, G)."""
        turned_LNG = torch.stack([turn(e_ND).sigmoid() for turn, e_ND in zip(self.turn, e_LND, strict=True)])
        return torch.einsum("nl,lng->ng", self.weight, turned_LNG).sigmoid()


class HERec(GraphUserModel):
    """Score x_u y_i + α g(e_u) γ_i + β γ'_u g(e_i), which is a product: x, y, γ, γ' and the fusions g are trained.

    The e are made before, of walks on the training rows' graph of which nodes of one kind are kept, by skip-gram. Meta-paths
    of users are user-item-user, one by each domain; of the target's items item-user-item, and one by each source domain:
    item-user-other item-user-item. That is how any number of domains is used (ours; with one there is one path each).

    The target alone is predicted. A user with training events in sources alone has x = γ' = 0, and a node without a walk
    e = 0. Strangers, and users without any edge: see :class:`~crossrec.models.graph_users.GraphUserModel`.

    Ratings are regressed as they are: the score is the deviation of the share of the scale from the mean (published code sets
    the mean to 0). Its walks ran on projected edges; here they are the paper's. Steps are those of the run, not plain ones.
    """

    name = "herec"
    Config = HERecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "lr": 5e-3}, "sampler": UNIFORM},
        "paper": {
            "model": {"factors": 10, "walks": 10, "length": 20},
            "train": {
                **TRAINING,
                "negatives": 1,
                "decay": 0.93,
                "lr": 2e-2,
                "epochs": 100,
                "eval_every": 1,
                "patience": 10,
            },
            "sampler": UNIFORM,
        },
    }
    seed: Tensor
    """Of the walks: drawn with the weights."""
    mine_U: Tensor
    """Who has a training event in the target."""
    user_LUD: Tensor
    item_LVD: Tensor

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        config: HERecConfig = self.config
        users, items, paths = catalogue.num_users, catalogue.sizes[self.target], len(self.reads)
        self.users = nn.Parameter(torch.empty(users, config.factors + config.fused[1]).normal_(std=0.1))
        self.table = nn.Parameter(torch.empty(items, config.factors + config.fused[0]).normal_(std=0.1))
        self.user_fusion = Fusion(users, paths, config.dim, config.fused[0])
        self.item_fusion = Fusion(items, paths, config.dim, config.fused[1])
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("mine_U", torch.zeros(users, dtype=torch.bool))
        self.register_buffer("user_LUD", torch.zeros(paths, users, config.dim))
        self.register_buffer("item_LVD", torch.zeros(paths, items, config.dim))
        self.graph = Propagation(self.nodes.rows, users)

    @property
    def reads(self) -> tuple[str, ...]:
        """All domains, the target first."""
        return (self.target, *self.sources)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train", self.target),)

    def serves(self) -> tuple[str, ...]:
        return (self.target,)

    def fill(self, users: Adjacency) -> None:
        matrix = users.matrix()
        by_domain = [matrix[:, self.block(name).start : self.block(name).stop] for name in self.reads]
        own = by_domain[0]
        self.mine_U.copy_(torch.as_tensor(np.diff(own.indptr) > 0))
        columns = self.nodes.row_V.cpu().numpy()[users.column_E]
        by_row = sparse.csr_array((matrix.data, columns, users.offset_N1), shape=(len(users), self.nodes.rows))
        self.graph.fill(by_row.T.tocsr())
        of_users = [[other, other.T.tocsr()] for other in by_domain]
        of_items = [[own.T.tocsr(), *others, own] for others in ([], *of_users[1:])]
        for number, (kept, paths) in enumerate(((self.user_LUD, of_users), (self.item_LVD, of_items))):
            for place, steps in enumerate(paths):
                kept[place] = self._walked(steps, 2 * place + number)

    def readers(self, x_UD: Tensor) -> Tensor:
        read_RD: Tensor = self.graph(x_UD)
        return read_RD

    def propagated(self) -> tuple[Tensor, Tensor]:
        """[x, α g(e_u), γ'] of users; [y, γ, β g(e_i)] of the target's items, zeros for all others."""
        factors, width_H = self.config.factors, self.config.fused[1]
        x_UF, beside_UH = (self.users * self.mine_U[:, None]).split([factors, width_H], 1)
        user_UG = float(self.config.alpha) * self.user_fusion(self.user_LUD)
        item_VH = float(self.config.beta) * self.item_fusion(self.item_LVD)
        item_VD = torch.cat([self.table, item_VH], 1)
        blank_R = self.nodes.rows - 1 - len(item_VD)
        return torch.cat([x_UF, user_UG, beside_UH], 1), F.pad(item_VD, (0, 0, 1, blank_R))

    def rating(self, logits: Tensor, offset: float) -> Tensor:
        """The mean share and what the score adds to it."""
        return logits + 1 / (1 + math.exp(-offset))

    def auxiliary(self, batch: Batch) -> Tensor | None:
        place_P = batch.positive_P - self.block(self.target).start
        return self.penalty(F.embedding(batch.user_P, self.users), F.embedding(place_P, self.table))

    def _walked(self, steps: Sequence[sparse.csr_array], number: int) -> Tensor:
        """Vectors of the nodes of one meta-path."""
        config: HERecConfig = self.config
        seed = int(self.seed) + number
        found = walks(steps, config.walks, config.length, np.random.default_rng(seed))
        return skip_gram(found, steps[0].shape[0], config.dim, config.window, config.negatives, config.passes, seed)
