"""Item vectors smoothed over a graph of what comes next, made for the items alone that are looked up.

V ids of the catalogue, E edges of the graph, N items, M edges that leave them, D width.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from crossrec.data.splits import Split
from crossrec.nn.dropout import dropout
from crossrec.nn.items import ItemTable
from crossrec.nn.saved_sizes import SavedSizes
from crossrec.nn.segments import spread


class NextItems(SavedSizes):
    """Of every item the items that came next, and the share of each: a graph by global ids, saved as it was counted.

    Before anything is counted nothing comes next.
    """

    counted = ("next_E", "share_E")
    first_V1: Tensor
    next_E: Tensor
    share_E: Tensor

    def __init__(self, ids: int) -> None:
        super().__init__()
        self.register_buffer("first_V1", torch.zeros(ids + 1, dtype=torch.int64))
        self.register_buffer("next_E", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("share_E", torch.zeros(0))

    def count(self, split: Split, domains: tuple[str, ...]) -> None:
        """Count over the training rows, among the events of some domains: others in between are passed over."""
        pairs = [split.events.within(split.train, name) for name in domains]
        row_Q, at_Q = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
        order = np.argsort(at_Q, kind="stable")
        row_Q, item_Q = row_Q[order], split.events.item_E[at_Q[order]]
        follows_Q = row_Q[1:] == row_Q[:-1]
        one, other = item_Q[:-1][follows_Q], item_Q[1:][follows_Q]
        size = len(self.first_V1) - 1
        count_VV = sparse.csr_matrix((np.ones(len(one)), (one, other)), shape=(size, size))
        total_E = np.repeat(np.asarray(count_VV.sum(1)).ravel(), np.diff(count_VV.indptr))
        share_E = count_VV.data / total_E
        self.first_V1 = torch.as_tensor(count_VV.indptr, dtype=torch.int64, device=self.first_V1.device)
        self.next_E = torch.as_tensor(count_VV.indices, dtype=torch.int64, device=self.first_V1.device)
        self.share_E = torch.as_tensor(share_E, dtype=self.share_E.dtype, device=self.first_V1.device)

    def edges(self, item_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The edges that leave some items, end to end: first edge of each (N,), items they lead to (M,), shares (M,)."""
        first_N = self.first_V1[item_N]
        count_N = self.first_V1[item_N + 1] - first_N
        _, edge_M = spread(first_N, count_N)
        return torch.cumsum(count_N, 0) - count_N, self.next_E[edge_M], self.share_E[edge_M]


class SmoothedItems(nn.Module):
    """Vectors F + E of items: E from a table, F the mean of E and of what the items that come next say, and those after them.

    F = (G_0 + ... + G_n) / (n + 1) of depth n, G_0 = E, G_k = A dropout(G_k-1) + bias, A the shares of what came next.
    Source: specs of DDGHM, 8.1 and 8.2. G_k is made for the items alone that are at most n - k steps from one that is looked
    up; dropout takes the same of an item wherever it comes next.
    """

    def __init__(self, table: ItemTable, ids: int, depth: int, dropout: float) -> None:
        """``ids``: of the catalogue, padding included."""
        super().__init__()
        self.table, self.dropout = table, dropout
        self.graph = NextItems(ids)
        self.biases = nn.Parameter(torch.zeros(depth, table.weight.shape[1]))

    def count(self, split: Split) -> None:
        """Count what comes next among the events of the table's domains."""
        self.graph.count(split, self.table.domains)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., D) of global ids (...)."""
        found_N, which = torch.unique(ids, return_inverse=True)
        reached, edges = [found_N], []
        for _ in self.biases:
            edges.append(self.graph.edges(reached[-1]))
            reached.append(torch.unique(torch.cat([reached[-1], edges[-1][1]])))
        at_N = reached.pop()
        g_ND = self.table(at_N)
        e_ND = sum_ND = g_ND[torch.searchsorted(at_N, found_N)]
        for bias_D in self.biases:
            offset_N, next_M, share_M = edges.pop()
            kept_ND, place_M = dropout(g_ND, self.dropout, self.training), torch.searchsorted(at_N, next_M)
            said_ND = F.embedding_bag(place_M, kept_ND, offset_N, mode="sum", per_sample_weights=share_M)
            g_ND, at_N = said_ND + bias_D, reached.pop()
            sum_ND = sum_ND + g_ND[torch.searchsorted(at_N, found_N)]
        smoothed_ND: Tensor = sum_ND / (1 + len(self.biases)) + e_ND
        return smoothed_ND[which]
