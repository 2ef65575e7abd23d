"""A domain's users and items, and how the users read the items.

N users, M edges of theirs, P examples or queries, D width; ``row_M`` is the place of every edge's user. Source: specs of
DIAGAE, 2.2 to 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.histories import History
from crossrec.data.vocabulary import Catalogue
from crossrec.nn.dot_head import DotHead
from crossrec.nn.graph_attention import GraphAttention
from crossrec.nn.items import ItemTable
from crossrec.nn.pair_perceptron import PairPerceptron


class GraphEncoder(nn.Module):
    """Tables of a domain's users and items, and z of a user (:class:`~crossrec.nn.graph_attention.GraphAttention`).

    Somebody without a vector of their own (a stranger, or a user who is not ``known``) reads items from the zero vector (ours).
    """

    known_U: Tensor
    """Whose vectors are trained."""

    def __init__(self, catalogue: Catalogue, domain: str, attention: GraphAttention, std: float | None = 0.1) -> None:
        """``std``: deviation of the normal distribution that both tables are drawn from; None: Xavier-uniform."""
        super().__init__()
        self.num_ids = catalogue.num_ids
        self.table = ItemTable(catalogue, (domain,), attention.dim)
        self.users = nn.Parameter(torch.empty(catalogue.num_users, attention.dim))
        self.attention = attention
        self.register_buffer("known_U", torch.zeros(catalogue.num_users, dtype=torch.bool))
        for weight in (self.users, self.table.weight):
            nn.init.xavier_uniform_(weight) if std is None else nn.init.normal_(weight, std=std)
        self.table.clear()

    def forward(self, user_N: Tensor, row_M: Tensor, item_M: Tensor) -> Tensor:
        """Vectors z_ND of users by number (negative: a stranger), who have these items."""
        z_ND: Tensor = self.attention(self.own(user_N), self.table(item_M), row_M)
        return z_ND

    def without(
        self, user_N: Tensor, row_M: Tensor, item_M: Tensor, place_P: Tensor, item_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Vectors z_ND, and z_PD of the users at ``place_P``, each as if without this one item."""
        edge_P = edges_of(row_M, item_M, place_P, item_P, self.num_ids)
        return self.attention.without(self.own(user_N), self.table(item_M), row_M, place_P, edge_P)

    def asked(self, user_P: Tensor, history: History, most: int | None) -> tuple[Tensor, Tensor]:
        """Vectors z_PD of queries by the latest ``most`` items that each knows; and whether it knows any, (P,)."""
        query_M, item_M = latest_distinct(*history.events(), self.num_ids, most)
        return self(user_P, query_M, item_M), torch.bincount(query_M, minlength=len(user_P)) > 0

    def knows(self, user_N: Tensor) -> Tensor:
        """Who has a trained vector: (N,)."""
        return (user_N >= 0) & self.known_U[user_N.clamp(min=0)]

    def own(self, user_N: Tensor) -> Tensor:
        """The users' own vectors h_ND."""
        return F.embedding(user_N.clamp(min=0), self.users, sparse=True) * self.knows(user_N)[:, None]


class Side(nn.Module):
    """A domain's encoder, and the predictor of its interactions: a perceptron, or a product of vectors."""

    def __init__(self, encoder: GraphEncoder, hidden: Sequence[int] | None) -> None:
        """``hidden``: widths of the perceptron; None: a product."""
        super().__init__()
        self.encoder = encoder
        dim = encoder.attention.dim
        self.predictor = DotHead(dim) if hidden is None else PairPerceptron(dim, hidden)


def edges_of(row_M: Tensor, item_M: Tensor, row_P: Tensor, item_P: Tensor, num_ids: int) -> Tensor:
    """Place of the edge of every pair of a row and an item, (P,); -1 where there is none. No edge is there twice."""
    if not len(row_M):
        return torch.full_like(row_P, -1)
    sorted_M, order_M = (row_M * num_ids + item_M).sort()
    key_P = row_P * num_ids + item_P
    place_P = torch.searchsorted(sorted_M, key_P).clamp(max=len(sorted_M) - 1)
    return torch.where(sorted_M[place_P] == key_P, order_M[place_P], -1)


def latest_distinct(query_M: Tensor, item_M: Tensor, num_ids: int, most: int | None) -> tuple[Tensor, Tensor]:
    """Of what every query knows, oldest first and query by query, each item once, the latest ``most`` of them; latest first
    within a query.
    """
    query_M, item_M = query_M.flip(0), item_M.flip(0)
    _, order_M = (query_M * num_ids + item_M).sort(stable=True)
    sorted_M = (query_M * num_ids + item_M)[order_M]
    newest_M = torch.ones_like(sorted_M, dtype=torch.bool)
    newest_M[1:] = sorted_M[1:] != sorted_M[:-1]
    kept_M = torch.zeros_like(newest_M).index_copy(0, order_M, newest_M)
    query_M, item_M = query_M[kept_M], item_M[kept_M]
    if most is None or not len(query_M):
        return query_M, item_M
    count_Q = torch.bincount(query_M)
    before_Q = (count_Q.flip(0).cumsum(0) - count_Q.flip(0)).flip(0)
    near_M = torch.arange(len(query_M), device=query_M.device) - before_Q[query_M] < most
    return query_M[near_M], item_M[near_M]
