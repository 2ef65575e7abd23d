"""DA-GCN: one graph of the users and the items of all domains; a history is the largest of what its items gathered there.

Source: specs of DDGHM, section 6.3. P queries, U users, T places of all chunks of a view, R different items of a batch,
b rows and l places of a chunk, D width of a node, F width of what is read of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.histories import History
from crossrec.data.item_graphs import holders, transitions
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import TableModel
from crossrec.nn.dropout import dropout
from crossrec.nn.items import ItemTable, table_rows
from crossrec.nn.sparse_graph import SparseGraph

SLOPE = 0.2
"""Slope of the leaky units below zero (published code: the default of its library)."""


@dataclass(frozen=True)
class DAGCNConfig:
    """Settings of DA-GCN."""

    dim: int = 32
    """Width of a node's vector (ours, for queries are 2 dim (domains + 1) wide; published code: 16)."""
    members: int = 1
    """People behind one account: every node has as many vectors, whose mean is what is read of it (published code: 1)."""
    variant: Literal["fixed", "released"] = "fixed"
    """What weighs an edge: ``fixed`` takes the softmax of the cosines of its ends over all that a node reads, ``released``
    1, as the published program leaves it."""
    refresh: int = 50
    """Training steps after which the edges between nodes are weighed anew, without gradient (ours; specs: an epoch)."""
    dropout: float = 0.1
    """Dropout of what a node gathers, and of the query (published code)."""
    max_len: int = 50
    """Latest events of every domain that are looked at (ours)."""


class DAGCN(TableModel):
    """A graph of the users and the items of all domains, made of the training rows alone.

    An item reads itself, the users who have it and the items that come next to it in its domain; a user reads itself and
    the user's items. One layer gathers what is read. A domain's history is the largest value of each column over its
    events; the query is the histories of all domains and the user's vector, [q, 1], and an item of domain X is its row
    of [W_X, c_X]. The published query has the user's vector once per domain, which is the same function.

    For any number of domains (ours; published: two). It is trained on every next item (ours; published: the last of
    each domain), so a user reads what a query knows, in training as when asked, and not the training row as a whole, which
    holds the positive. For strangers and users without a training row the user's own vector is zero; they still read
    their items. Padding enters no maximum. Cosines are taken without gradient.
    """

    name = "dagcn"
    Config = DAGCNConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {"loss": "softmax", "lr": 2e-3}},
        "paper": {
            "model": {"dim": 16},
            "train": {"loss": "softmax", "lr": 1e-3, "betas": (0.9, 0.999), "batch": 256, "epochs": 50, "clip": 5.0},
        },
    }
    """``paper`` is what the published code has (specs, 6.3); its gradients are clipped by element, ours by their norm."""
    row_V: Tensor
    trained_U: Tensor
    step: Tensor

    def make(self, catalogue: Catalogue) -> None:
        config: DAGCNConfig = self.config
        row_V, _ = table_rows(catalogue, self.reads)
        self.first_user = 1 + int(row_V.max())
        nodes, width = self.first_user + catalogue.num_users, config.dim * config.members
        self.register_buffer("row_V", row_V, persistent=False)
        self.register_buffer("trained_U", torch.zeros(catalogue.num_users, dtype=torch.bool))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.graph = SparseGraph(nodes)
        self.nodes = nn.Parameter(torch.empty(nodes, width))
        self.gathered, self.shared = nn.Linear(width, width), nn.Linear(width, width)
        self.table = ItemTable(catalogue, self.reads, 2 * config.dim * (len(self.reads) + 1) + 1)
        for weight in (self.nodes, self.gathered.weight, self.shared.weight):
            nn.init.xavier_uniform_(weight)
        with torch.no_grad():
            for zero in (self.nodes[0], self.gathered.bias, self.shared.bias):
                zero.zero_()
        self.table.clear(bias=True)

    def views(self) -> Views:
        return Views({name: (name,) for name in self.reads}, self.config.max_len)

    def learn(self, split: Split) -> None:
        row_V = self.row_V.cpu().numpy()
        reader, read = [np.arange(1, self.first_user)], [np.arange(1, self.first_user)]
        for name in self.reads:
            user_E, item_E = holders(split, name)
            before_E, after_E = transitions(split, name)
            self.trained_U[torch.as_tensor(user_E, device=self.device)] = True
            reader += [row_V[item_E], row_V[before_E]]
            read += [self.first_user + user_E, row_V[after_E]]
        self.graph.fill(np.concatenate(reader), np.concatenate(read))
        self._weigh()

    def queries(self, batch: Batch) -> Tensor:
        if self.training:
            if int(self.step) % self.config.refresh == 0:
                self._weigh()
            self.step += 1
        views = [batch.histories[name] for name in self.reads]
        row_R, number_T = torch.unique(self.row_V[_places(views)], return_inverse=True)
        e_RD = F.embedding(row_R, self.nodes, padding_idx=0, sparse=True)
        f_RF = self._read(e_RD, self.graph(self.nodes, row_R))
        user_PD = self._users(batch.user_P)
        known_PD1 = F.pad(user_PD, (0, 1), value=1.0)
        if self.config.variant == "fixed":  # a vector's cosine with itself is 1, but for the stranger's, which is zero
            known_PD1 = known_PD1 * torch.where(user_PD.any(1), math.e, 1.0)[:, None]
        largest = []
        for view, number in zip(views, number_T.split([view.total for view in views]), strict=True):
            e_TD = e_RD[number]
            weight_T = self._weights(view, e_TD.detach(), user_PD.detach())
            known_PD1 = known_PD1 + _running(
                view, weight_T[:, None] * F.pad(e_TD, (0, 1), value=1.0), lambda x: x.cumsum(1)
            )
            largest.append(_running(view, f_RF[number], lambda x: x.cummax(1).values))
        sum_PD, mass_P1 = known_PD1[:, :-1], known_PD1[:, -1:]
        if self.config.variant == "fixed":
            sum_PD = sum_PD / mass_P1
        query_PF = torch.cat([*largest, self._read(user_PD, sum_PD)], -1)
        return F.pad(dropout(query_PF, self.config.dropout, self.training), (0, 1), value=1.0)

    def _weigh(self) -> None:
        if self.config.variant == "fixed":
            self.graph.attend(self.nodes)

    def _users(self, user_P: Tensor) -> Tensor:
        """The users' own vectors, (P, D): zero for strangers and who has no training row."""
        known_P = (user_P >= 0) & self.trained_U[user_P.clamp(min=0)]
        return F.embedding(torch.where(known_P, self.first_user + user_P, 0), self.nodes, padding_idx=0, sparse=True)

    def _read(self, e_ND: Tensor, sum_ND: Tensor) -> Tensor:
        """What is read of nodes with these vectors, which read this: (N, F)."""
        new_ND = F.leaky_relu(self.gathered(sum_ND), SLOPE) + F.leaky_relu(self.shared(e_ND * sum_ND), SLOPE)
        new_ND = F.normalize(dropout(new_ND, self.config.dropout, self.training), dim=-1)
        both = [x_ND.unflatten(-1, (self.config.members, -1)).mean(-2) for x_ND in (e_ND, new_ND)]
        return torch.cat(both, -1)

    def _weights(self, view: History, e_TD: Tensor, user_PD: Tensor) -> Tensor:
        """How much a user reads of every event's item before the weights are made to sum to 1, (T,): an item counts once."""
        fresh_T = torch.cat([_fresh(chunk).flatten() for chunk in view.chunks] or [e_TD.new_zeros(0)])
        if self.config.variant == "released" or not len(e_TD):
            return fresh_T.to(e_TD.dtype)
        pairs = zip(view.chunks, view.rows, strict=True)
        row_T = torch.cat([rows.repeat_interleave(chunk.shape[1]) for chunk, rows in pairs])
        asked_P = view.at_P < view.total
        user_BD = user_PD.new_zeros(int(row_T.max()) + 1, user_PD.shape[1])
        user_BD[row_T[view.at_P[asked_P]]] = user_PD[asked_P]
        cosine_T = (F.normalize(user_BD, dim=-1)[row_T] * F.normalize(e_TD, dim=-1)).sum(-1)
        return cosine_T.exp() * fresh_T


def _places(views: list[History]) -> Tensor:
    """Items at all places of all views, end to end."""
    none = views[0].at_P.new_zeros(0)
    return torch.cat([none, *(chunk.flatten() for view in views for chunk in view.chunks)])


def _fresh(item_bl: Tensor) -> Tensor:
    """Whether an item is at its first place in its row: (b, l)."""
    first_bl = (item_bl[:, :, None] == item_bl[:, None, :]).int().argmax(2)
    return first_bl == torch.arange(item_bl.shape[1], device=item_bl.device)


def _running(view: History, x_TF: Tensor, along: Callable[[Tensor], Tensor]) -> Tensor:
    """What a running operation along the rows has come to at the last event that a query knows, (P, F); 0 if it knows none."""
    parts = zip(x_TF.split([chunk.numel() for chunk in view.chunks]), view.chunks, strict=True)
    run = [along(x.view(*chunk.shape, -1)).flatten(0, 1) for x, chunk in parts]
    return torch.cat([*run, x_TF.new_zeros(1, x_TF.shape[1])])[view.at_P]
