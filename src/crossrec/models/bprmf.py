"""BPR-MF: a vector per user and per item, trained so that an observed item outscores others (Rendle et al. 2009).

Source: specs of DDGHM, section 3.2. P queries, M events that queries know, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import TableModel
from crossrec.models.published import REALHNS_TRAINING
from crossrec.nn.items import ItemTable


@dataclass(frozen=True)
class BPRMFConfig:
    """Settings of BPR-MF."""

    dim: int = 64
    """Width of user and item vectors (specs: as the other models)."""
    row: Literal["session", "user"] = "session"
    """Who is asking: the mean of the history's item vectors (published code), or the trained user where there is one."""
    domains: Literal["target", "merged"] = "target"
    """Items: those of the target domain alone, or of all domains, whose events are then positives as well (ours)."""
    l2: float = 1e-3
    """Weight of the squared norms of user and positive item (ours; specs of RealHNS, 2.4: 1e-4)."""
    max_len: int = 200
    """Latest events of the history that the mean is taken of (ours)."""


class BPRMF(TableModel):
    """Matrix factorisation: a vector per user and per item, trained so that an observed item outscores others.

    Score p_u q_i + b_i. The bias is one more column, with a one in the query, so that the score is a product.

    Training knows each row by its user's vector. When asked, strangers and users without a training event are the mean
    of their history's item vectors; so is everyone with ``row="session"``.
    """

    name = "bprmf"
    Config = BPRMFConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {
            "train": {"loss": "bpr", "negatives": 16, "first": "all", "lr": 5e-3, "batch": 256},
            "sampler": {"name": "uniform", "shared": False},
        },
        "authors": {
            "model": {"row": "user", "l2": 1e-4},
            "train": {**REALHNS_TRAINING, "loss": "bpr", "first": "all", "lr": 1e-3, "batch": 256},
            "sampler": {"name": "uniform", "shared": False},
        },
    }
    by_task: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        task: {"model": {"row": "user"}} for task in ("ratings", "clicks")
    }
    trained_U: Tensor

    def make(self, catalogue: Catalogue) -> None:
        self.table = ItemTable(catalogue, self.reads, self.config.dim + 1)
        self.users = nn.Parameter(torch.empty(catalogue.num_users, self.config.dim))
        self.register_buffer("trained_U", torch.zeros(catalogue.num_users, dtype=torch.bool))
        for weight in (self.table.weight, self.users):
            nn.init.uniform_(weight, -0.05, 0.05)
        self.table.clear(bias=True)

    def learn(self, split: Split) -> None:
        for name in self.reads:
            row, _ = split.events.within(split.train, name)
            self.trained_U[torch.as_tensor(split.train.user_N[row], device=self.trained_U.device)] = True

    def queries(self, batch: Batch) -> Tensor:
        if self.training:
            return F.pad(self._users(batch.user_P), (0, 1), value=1.0)
        p_PD = self._means(batch)
        if self.config.row == "user":
            user_P = batch.user_P.clamp(min=0)
            known_P = (batch.user_P >= 0) & self.trained_U[user_P]
            p_PD = torch.where(known_P[:, None], self.users[user_P], p_PD)
        return F.pad(p_PD, (0, 1), value=1.0)

    def selection_queries(self, batch: Batch) -> Tensor:
        """The trained users, as the loss compares them, whoever is asking when served."""
        return F.pad(self._users(batch.user_P), (0, 1), value=1.0).detach()

    def auxiliary(self, batch: Batch) -> Tensor | None:
        if not self.config.l2:
            return None
        p_PD, q_PD = self._users(batch.user_P), self.items(batch.positive_P)[:, :-1]
        norm_P = p_PD.square().sum(-1) + q_PD.square().sum(-1)
        return norm_P.mean() * float(self.config.l2)

    def _users(self, user_P: Tensor) -> Tensor:
        return F.embedding(user_P, self.users, sparse=True)

    def _means(self, batch: Batch) -> Tensor:
        """Mean vector of the items that each query knows, (P, D); zero where it knows none."""
        query_M, item_M = batch.histories["history"].events()
        q_MD = self.items(item_M)[:, :-1]
        sum_PD = q_MD.new_zeros(len(batch), q_MD.shape[1]).index_add(0, query_M, q_MD)
        count_P = torch.bincount(query_M, minlength=len(batch)).clamp(min=1)
        return sum_PD / count_P[:, None]
