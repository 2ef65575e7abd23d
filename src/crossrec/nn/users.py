"""A table of users: one vector each, and of people without one what the users of their items have.

P queries, U users, R rows of items, S pairs of a user and an item in training, M events that queries know, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.histories import History
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.nn.items import table_rows


class UserTable(nn.Module):
    """Vectors p_D of users by number, those of all domains in one table.

    Strangers, and users without a training event, are placed among the trained users (ours): each item stands for the mean
    vector of the users who have it in training, and such a person is the mean over the items of the history; an item that
    nobody has, and a history of none, stand for the mean of all trained users.
    """

    trained_U: Tensor
    """Who has a training event."""
    met_RD: Tensor
    """What each item stands for, as of when the table last stopped training; row 0: the mean of all trained users."""
    row_V: Tensor
    user_S: Tensor | None
    first_R: Tensor | None

    def __init__(self, catalogue: Catalogue, domains: Sequence[str], dim: int, std: float = 0.01) -> None:
        """``domains``: those whose items tell where somebody without a vector belongs. Drawn from N(0, std²)."""
        super().__init__()
        self.domains = tuple(domains)
        row_V, _ = table_rows(catalogue, self.domains)
        self.weight = nn.Parameter(torch.empty(catalogue.num_users, dim).normal_(std=std))
        self.register_buffer("trained_U", torch.zeros(catalogue.num_users, dtype=torch.bool))
        self.register_buffer("met_RD", torch.zeros(1 + int(row_V.max()), dim))
        self.register_buffer("row_V", row_V, persistent=False)
        self.register_buffer("user_S", None, persistent=False)
        self.register_buffer("first_R", None, persistent=False)

    def learn(self, split: Split) -> None:
        """Take who has which items in the training rows."""
        keys = [np.empty(0, dtype=np.int64)]
        row_V = self.row_V.cpu().numpy()
        for name in self.domains:
            row, at = split.events.within(split.train, name)
            keys.append(row_V[split.events.item_E[at]] * len(self.weight) + split.train.user_N[row])
        row_S, user_S = np.divmod(np.unique(np.concatenate(keys)), len(self.weight))
        device = self.weight.device
        self.user_S = torch.as_tensor(user_S, device=device)
        self.first_R = torch.as_tensor(np.searchsorted(row_S, np.arange(len(self.met_RD))), device=device)
        self.trained_U.fill_(False)[self.user_S] = True

    def train(self, mode: bool = True) -> Self:
        """As always; where training stops, what items stand for is computed anew."""
        if self.training and not mode:
            self._meet()
        return super().train(mode)

    def forward(self, user_P: Tensor, histories: Iterable[History]) -> Tensor:
        """Vectors (P, D). In training everybody has a vector of their own; ``histories``: of what else one may be known."""
        if self.training:
            return F.embedding(user_P, self.weight, sparse=True)
        known_P = (user_P >= 0) & self.trained_U[user_P.clamp(min=0)]
        p_PD = self.weight[user_P.clamp(min=0)]
        if bool(known_P.all()):
            return p_PD
        strange = (~known_P).nonzero()[:, 0]
        return p_PD.index_copy(0, strange, self._placed(strange, histories).to(p_PD.dtype))

    def _placed(self, strange: Tensor, histories: Iterable[History]) -> Tensor:
        """Vectors of the queries at these places by their histories alone: (N, D)."""
        sum_ND = self.met_RD.new_zeros(len(strange), self.met_RD.shape[1])
        count_N = torch.zeros(len(strange), dtype=torch.int64, device=strange.device)
        for history in histories:
            query_M, item_M = replace(history, at_P=history.at_P[strange]).events()
            sum_ND = sum_ND.index_add(0, query_M, self.met_RD[self.row_V[item_M]])
            count_N += torch.bincount(query_M, minlength=len(strange))
        mean_ND = sum_ND / count_N.clamp(min=1)[:, None]
        return torch.where(count_N[:, None] > 0, mean_ND, self.met_RD[0])

    @torch.no_grad()
    def _meet(self) -> None:
        if self.user_S is None or self.first_R is None or not len(self.user_S):
            return
        met_RD = F.embedding_bag(self.user_S, self.weight, self.first_R, mode="mean")
        count_R = torch.diff(self.first_R, append=self.first_R.new_tensor([len(self.user_S)]))
        everybody_D = self.weight[self.trained_U].mean(0)
        self.met_RD.copy_(torch.where(count_R[:, None] > 0, met_RD, everybody_D))
