"""ItemKNN: items that occur together in training histories. Source: specs of DDGHM, section 3.3.

P queries, V items of the target domain, W items of the history's domains, K neighbours kept of each, N training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from crossrec.data.batches import Batch, Views
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Model, Phase
from crossrec.nn.items import table_rows

ROWS = 2048
"""Items whose co-occurrences are counted at once."""


@dataclass(frozen=True)
class ItemKNNConfig:
    """Settings of ItemKNN."""

    domains: Literal["target", "merged"] = "target"
    """Items of the history that count: the target domain's alone, or those of all domains (ours)."""
    neighbours: int = 100
    """Target items kept per item of the history (published code)."""
    shrink: float = 20.0
    """Added to the support of both items in the denominator (published code)."""
    alpha: float = 0.5
    """Power of the history item's support; the target item's has 1 - alpha (published code; .5 is the cosine)."""
    agg: Literal["sum", "last"] = "sum"
    """Similarity to all events of the history summed, or to the last one alone (DDGHM, section 4.2: all)."""
    max_len: int = 200
    """Latest events that are looked at (ours)."""


class ItemKNN(Model):
    """Items that occur together with those of the history in the histories of others.

    Score of item i: sum over the events j of the history of n_ij / ((n_j + s)^a (n_i + s)^(1 - a)).
    n_ij counts the training rows with both, n_i those with i. An item that occurs twice in the history counts twice.
    """

    name = "itemknn"
    Config = ItemKNNConfig
    product = False
    row_V: Tensor
    place_WK: Tensor
    similarity_WK: Tensor

    def make(self, catalogue: Catalogue) -> None:
        row_V, _ = table_rows(catalogue, self.reads)
        rows = 1 + int(row_V.max())
        kept = min(self.config.neighbours, len(catalogue.block(self.target)))
        self.register_buffer("row_V", row_V, persistent=False)
        self.register_buffer("place_WK", torch.zeros(rows, kept, dtype=torch.int32))
        self.register_buffer("similarity_WK", torch.zeros(rows, kept))

    @property
    def reads(self) -> tuple[str, ...]:
        """The domains whose events are in the history, the target first."""
        return (self.target, *self.sources) if self.config.domains == "merged" else (self.target,)

    def views(self) -> Views:
        return Views({"history": self.reads}, self.config.max_len)

    def phases(self) -> tuple[Phase, ...]:
        return ()

    def learn(self, split: Split) -> None:
        incidence_NW = self._incidence(split)
        count_W = np.asarray(incidence_NW.sum(0)).ravel()
        size = len(self.block(self.target))
        support_W = count_W + self.config.shrink
        target_NV = incidence_NW[:, 1 : 1 + size].tocsc()
        scale_V = _inverse(support_W[1 : 1 + size] ** (1 - self.config.alpha))
        scale_W = _inverse(support_W**self.config.alpha)
        transposed_WN = incidence_NW.T.tocsr()
        for first in range(0, len(count_W), ROWS):
            block_BV = (transposed_WN[first : first + ROWS] @ target_NV).tocsr()
            self._keep(first, block_BV, scale_W[first : first + ROWS], scale_V)

    def _incidence(self, split: Split) -> sparse.csr_matrix:
        """Which training rows hold which items: 0 or 1, (N, W); column 0 is the padding's, the target's come next."""
        pairs = [split.events.within(split.train, name) for name in self.reads]
        row = np.concatenate([row for row, _ in pairs])
        item = split.events.item_E[np.concatenate([at for _, at in pairs])]
        column = self.row_V.cpu().numpy()[item]
        shape = len(split.train), len(self.place_WK)
        found = sparse.csr_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=shape)
        found.data[:] = 1
        return found

    def _keep(self, first: int, block_BV: sparse.csr_matrix, scale_B: np.ndarray, scale_V: np.ndarray) -> None:
        """Keep the most similar target items of some items, none of them the item itself."""
        row = np.repeat(np.arange(block_BV.shape[0]), np.diff(block_BV.indptr))
        place = block_BV.indices
        value = block_BV.data * scale_B[row] * scale_V[place]
        other = first + row != 1 + place
        row, place, value = row[other], place[other], value[other]
        order = np.lexsort((place, -value, row))
        row, place, value = row[order], place[order], value[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        kept = rank < self.place_WK.shape[1]
        at = torch.as_tensor(first + row[kept]), torch.as_tensor(rank[kept])
        device = self.place_WK.device
        self.place_WK[at] = torch.as_tensor(place[kept], dtype=torch.int32, device=device)
        self.similarity_WK[at] = torch.as_tensor(value[kept], dtype=torch.float32, device=device)

    def scores(self, batch: Batch, domain: str) -> Tensor:
        query_M, item_M = batch.histories["history"].events()
        if self.config.agg == "last":
            last_M = torch.ones_like(query_M, dtype=torch.bool)
            last_M[:-1] = query_M[1:] != query_M[:-1]
            query_M, item_M = query_M[last_M], item_M[last_M]
        row_M = self.row_V[item_M]
        size = len(self.block(domain))
        score = self.similarity_WK.new_zeros(len(batch) * size)
        index_MK = query_M[:, None] * size + self.place_WK[row_M]
        score.index_add_(0, index_MK.flatten(), self.similarity_WK[row_M].flatten())
        return score.view(len(batch), size)


def _inverse(value: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(1.0, value, out=np.zeros_like(value, dtype=np.float64), where=value > 0))
