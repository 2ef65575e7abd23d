"""What models of users and items that look at no order share: the tables, and how they are trained and asked.

P queries, N items, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from crossrec.data.batches import Batch, Views
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import EveryDomain
from crossrec.nn.by_domain import by_domain, numbers
from crossrec.nn.items import ItemTable
from crossrec.nn.users import UserTable

LONGEST = 10_000
"""Latest events of a history that are looked at: more than anybody has, for a set of items is not cut (ours)."""

TRAINING: Mapping[str, Any] = {"loss": "bce", "negatives": 4, "first": "all", "lr": 1e-3, "batch": 64}
"""How models of pairs are trained: every event of every domain is a positive, with 4 negatives (specs of DDGHM, 5.1; rows of
users, not pairs, make a batch: ours)."""

UNIFORM: Mapping[str, Any] = {"name": "uniform", "shared": False}
"""Negatives among what the user has not in training, drawn for each positive (specs of DDGHM, 5.1)."""


class UserModel(EveryDomain):
    """Base of the models that know a user by a trained vector, the same in all domains, and compare it by a network.

    All events of all domains are positives at once, and all domains can be recommended in. The network is the subclass's:
    it knows no loss, and no task.
    """

    product = False

    def make(self, catalogue: Catalogue) -> None:
        self.table = ItemTable(catalogue, self.reads, self.config.dim)
        self.users = UserTable(catalogue, self.reads, self.config.dim)
        self.table.weight.data[1:].normal_(std=0.01)

    def views(self) -> Views:
        return Views({"history": self.reads}, LONGEST)

    def learn(self, split: Split) -> None:
        self.users.learn(split)

    def people(self, batch: Batch) -> Tensor:
        """Vector of every query's user: (P, D)."""
        p_PD: Tensor = self.users(batch.user_P, batch.histories.values())
        return p_PD

    def shares(self, ids: Tensor, make: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Items' shares (..., H) by global ids (...): ``make(x, q_ND)`` makes those of domain x's items."""
        q_ND = self.table(ids.flatten())
        share_NH = by_domain(numbers(ids.flatten(), self.blocks), lambda x, chosen: make(x, q_ND[chosen]))
        share: Tensor = share_NH.unflatten(0, ids.shape)
        return share
