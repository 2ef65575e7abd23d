"""AutoRec: a row of the interaction matrix is squeezed into a code and drawn again from it (Sedhain et al. 2015).

R rows, M items that rows hold, D width of a code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.vocabulary import Catalogue
from crossrec.nn.items import ItemTable
from crossrec.nn.untraced import untraced


class AutoRec(nn.Module):
    """One domain's: code x = sigmoid(W_1 r + b_1) of a binary row r, logits W_2 x + b_2.

    A row is touched at its ones alone, and an output layer at the items that are asked for. The output's rows are
    [W_2, b_2], to be compared with [x, 1].
    """

    def __init__(self, catalogue: Catalogue, domain: str, dim: int) -> None:
        super().__init__()
        self.inward = ItemTable(catalogue, [domain], dim)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.outward = ItemTable(catalogue, [domain], dim + 1)
        self.outward.clear(bias=True)

    @untraced
    def forward(self, row_M: Tensor, item_M: Tensor, rows: int) -> Tensor:
        """Codes (R, D) of rows that hold these items, given row by row; each item once."""
        first_R = torch.searchsorted(row_M, torch.arange(rows, device=row_M.device))
        place_M = self.inward.row_V[item_M]
        sum_RD = F.embedding_bag(place_M, self.inward.weight, first_R, mode="sum", sparse=True)
        return (sum_RD + self.bias).sigmoid()
