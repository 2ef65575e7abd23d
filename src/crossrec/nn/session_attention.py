"""Attention over the graph of a session's items, and over the items that are near them in the sessions of others.

S sessions laid end to end: M events, N nodes (an item of a session each), E edges; D width. Source: specs of DDGHM, 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from crossrec.data.histories import History
from crossrec.nn.segments import segment_softmax, segment_sum, spread

SLOPE = 0.2
"""Slope of the leaky units below zero (published code of the session graphs)."""
NEIGHBOURS = 1 << 17
"""Neighbours that are read at once: a bound of the memory."""
SELF, OUT, IN, BOTH = range(4)
"""Kinds of edges: to itself; to an item that came next; to one that came before; to one that did both."""


@dataclass(frozen=True)
class Sessions:
    """The different stretches of a view that queries know something of."""

    number_P: Tensor
    """Session of every query; -1 where it knows nothing."""
    count_S: Tensor
    """Number of events."""
    segment_M: Tensor
    """Session of every event, oldest first."""
    place_M: Tensor
    """Its place among those of all chunks."""
    node_M: Tensor
    segment_N: Tensor
    item_N: Tensor

    @classmethod
    def of(cls, history: History) -> Sessions:
        """Queries that know the same of a row share a session."""
        known_P = history.at_P < history.total
        last_S, number_K = torch.unique(history.at_P[known_P], return_inverse=True)
        number_P = torch.full_like(history.at_P, -1)
        number_P[known_P] = number_K
        segment_M, item_M = replace(history, at_P=last_S).events()
        count_S = torch.bincount(segment_M, minlength=len(last_S))
        _, place_M = spread(last_S + 1 - count_S, count_S)
        wide = 1 + int(item_M.max()) if len(item_M) else 1
        key_N, node_M = torch.unique(segment_M * wide + item_M, return_inverse=True)
        return cls(number_P, count_S, segment_M, place_M, node_M, key_N // wide, key_N % wide)

    @property
    def first_S(self) -> Tensor:
        """The place of every session's first event among the M."""
        return self.count_S.cumsum(0) - self.count_S

    def edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """The node that reads, the one that is read, and the kind, (E,) each: every node itself, and its neighbours once."""
        nodes = len(self.item_N)
        one_M, other_M = self.node_M[:-1], self.node_M[1:]
        step_M = (self.segment_M[:-1] == self.segment_M[1:]) & (one_M != other_M)
        one_M, other_M = one_M[step_M], other_M[step_M]
        key_E, found_M = torch.unique(
            torch.cat([one_M * nodes + other_M, other_M * nodes + one_M]), return_inverse=True
        )
        out_M, in_M = found_M.chunk(2)
        out_E, in_E = (torch.zeros_like(key_E).index_fill(0, at_M, 1) for at_M in (out_M, in_M))
        own_N = torch.arange(nodes, device=key_E.device)
        kind_E = torch.cat([torch.full_like(own_N, SELF), out_E * OUT + in_E * IN])
        return torch.cat([own_N, key_E // max(nodes, 1)]), torch.cat([own_N, key_E % max(nodes, 1)]), kind_E


class SessionAttention(nn.Module):
    """h_i = sum_j a_ij h_j over the neighbours in the session, a = softmax of LeakyReLU(w_kind^T (h_i * h_j)): equation 6.13."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, dim))
        nn.init.uniform_(self.weight, -(dim**-0.5), dim**-0.5)

    def forward(self, h_ND: Tensor, sessions: Sessions) -> Tensor:
        """New vectors of the nodes, (N, D)."""
        reader_E, read_E, kind_E = sessions.edges()
        read_ED = h_ND.index_select(0, read_E)
        logit_E = F.leaky_relu(
            (h_ND.index_select(0, reader_E) * read_ED * self.weight.index_select(0, kind_E)).sum(-1), SLOPE
        )
        share_E = segment_softmax(logit_E, reader_E, len(h_ND))
        return segment_sum(share_E[:, None] * read_ED, reader_E, len(h_ND))


class NeighbourAttention(nn.Module):
    """ReLU(W_3 [h_i; sum_j a_ij h_j]) over an item's neighbours, a = softmax of w_2^T LeakyReLU(W_1 [s * h_j; weight_ij]).

    s is the session's mean, so what counts among the neighbours depends on the session.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.key, self.weighed = nn.Linear(dim, dim, bias=False), nn.Parameter(torch.empty(dim))
        self.logit, self.out = nn.Parameter(torch.empty(dim)), nn.Linear(2 * dim, dim, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)

    def forward(
        self, h_ND: Tensor, mean_ND: Tensor, owner_E: Tensor, near_E: Tensor, weight_E: Tensor, item_RD: Tensor
    ) -> Tensor:
        """What the nodes' neighbours add, (N, D), in blocks that are computed again for their gradients where there are many.

        ``mean``: of a node's session; ``owner``: whose neighbour each is, ascending; ``near``: its place among the items.
        """
        ends_N = torch.bincount(owner_E, minlength=len(h_ND)).cumsum(0)
        block_N = (ends_N - 1).clamp(min=0) // NEIGHBOURS
        sizes = torch.unique_consecutive(block_N, return_counts=True)[1].tolist()
        if len(sizes) < 2:
            added: Tensor = self._block(h_ND, mean_ND, owner_E, near_E, weight_E, item_RD)
            return added
        blocks, node, edge = [], 0, 0
        for size in sizes:
            nodes, stop = slice(node, node + size), int(ends_N[node + size - 1])
            given = (
                h_ND[nodes],
                mean_ND[nodes],
                owner_E[edge:stop] - node,
                near_E[edge:stop],
                weight_E[edge:stop],
                item_RD,
            )
            blocks.append(checkpoint(self._block, *given, use_reentrant=False, preserve_rng_state=False))
            node, edge = nodes.stop, stop
        return torch.cat(blocks)

    def _block(
        self, h_ND: Tensor, mean_ND: Tensor, owner_E: Tensor, near_E: Tensor, weight_E: Tensor, item_RD: Tensor
    ) -> Tensor:
        near_ED = item_RD.index_select(0, near_E)
        inner_ED = self.key(mean_ND.index_select(0, owner_E) * near_ED) + weight_E[:, None] * self.weighed
        logit_E = (F.leaky_relu(inner_ED, SLOPE) @ self.logit).to(h_ND.dtype)
        share_E = segment_softmax(logit_E, owner_E, len(h_ND))
        near_ND = segment_sum(share_E[:, None] * near_ED, owner_E, len(h_ND))
        return F.relu(self.out(torch.cat([h_ND, near_ND], -1))).to(h_ND.dtype)
