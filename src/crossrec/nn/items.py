"""The table of item vectors: one row per item of the domains that a model looks at, and row 0 for padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.vocabulary import Catalogue


class ItemTable(nn.Module):
    """Vectors e_D of the items of some domains, by global id; ids of other domains read as padding.

    Only the rows of those domains exist: the optimiser never carries a table of items that nobody looks up.
    """

    row_V: Tensor

    def __init__(self, catalogue: Catalogue, domains: Sequence[str], dim: int, *, padding: str = "zero") -> None:
        """``padding``: ``zero``, or ``random`` as published code leaves it (drawn like the others, never trained).

        Drawn Xavier-normal with the whole catalogue's fan (sqrt(2 / (ids + dim))), as the published encoders do.
        """
        super().__init__()
        self.domains = tuple(name for name in catalogue.domains if name in set(domains))
        row_V, self.first = table_rows(catalogue, self.domains)
        self.sizes = dict(catalogue.sizes)
        self.register_buffer("row_V", row_V, persistent=False)
        self.weight = nn.Parameter(torch.empty(1 + int(row_V.max()), dim))
        nn.init.normal_(self.weight, std=(2.0 / (catalogue.num_ids + dim)) ** 0.5)
        if padding == "zero":
            self.clear()

    @torch.no_grad()
    def clear(self, *, bias: bool = False) -> None:
        """Set the padding's vector to zero; with ``bias`` also the last column, which then is the items' bias."""
        self.weight[0] = 0
        if bias:
            self.weight[:, -1] = 0

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., D) of global ids (...). The padding row gets no gradient; the others get a sparse one."""
        return F.embedding(self.row_V[ids], self.weight, padding_idx=0, sparse=True)

    def block(self, domain: str) -> Tensor:
        """The vectors of a domain's items in the order of their ids: e_VD."""
        first = self.first[domain]
        return self.weight[first : first + self.sizes[domain]]


def table_rows(catalogue: Catalogue, domains: Sequence[str]) -> tuple[Tensor, dict[str, int]]:
    """Row of every id in a table of some domains' items alone, (ids,), 0 for the others; and each domain's first row."""
    row_V = torch.zeros(catalogue.num_ids, dtype=torch.int64)
    first: dict[str, int] = {}
    rows = 1
    for name in domains:
        block = catalogue.block(name)
        row_V[block.start : block.stop] = torch.arange(rows, rows + len(block))
        first[name] = rows
        rows += len(block)
    return row_V, first
