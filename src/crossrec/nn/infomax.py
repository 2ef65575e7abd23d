"""What ties two views of the same rows together: one must tell the other's true rows from corrupted ones.

C queries of some rows, P of all, R rows, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.histories import History


class Infomax(nn.Module):
    """A bilinear critic x^T W y + b of two views. Source: specs of DDGHM, 8.5."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.critic = nn.Bilinear(dim, dim, 1)
        nn.init.xavier_uniform_(self.critic.weight)
        nn.init.zeros_(self.critic.bias)

    def forward(self, view_CD: Tensor, row_C: Tensor, true_OD: Tensor, false_OD: Tensor, row_O: Tensor) -> Tensor:
        """How badly the mean of a row's true places is taken for true, and of its false ones for false, given that of its view:
        the mean over the rows that have both, 0 without any, (). ``row``: the rows that the places stand in.
        """
        view_R, other_R = row_C.unique(), row_O.unique()
        both_R = view_R[torch.isin(view_R, other_R)]
        if not len(both_R):
            return view_CD.new_zeros(())
        view_RD = _means(view_CD, row_C, both_R)
        true_R, false_R = (self.critic(_means(h_OD, row_O, both_R), view_RD) for h_OD in (true_OD, false_OD))
        return F.softplus(-true_R).mean() + F.softplus(false_R).mean()


def _means(h_CD: Tensor, row_C: Tensor, row_R: Tensor) -> Tensor:
    """The means of the places of some rows, each of which has one: (R, D). ``row_R``: ascending."""
    at_C = torch.searchsorted(row_R, row_C).clamp(max=len(row_R) - 1)
    kept_C = row_R[at_C] == row_C
    sum_RD = h_CD.new_zeros(len(row_R), h_CD.shape[1]).index_add(0, at_C[kept_C], h_CD[kept_C])
    return sum_RD / torch.bincount(at_C[kept_C], minlength=len(row_R))[:, None]


def corrupted(history: History, block: range) -> History:
    """The history with every event of a domain exchanged for a random one of that domain. ``block``: its ids."""
    chunks = []
    for chunk in history.chunks:
        random = torch.randint(block.start, block.stop, chunk.shape, device=chunk.device)
        chunks.append(torch.where((chunk >= block.start) & (chunk < block.stop), random, chunk))
    return History(tuple(chunks), history.lengths, history.rows, history.at_P, history.total)


def joined(histories: Sequence[History]) -> History:
    """Versions of one history, of the same lengths, as one of as many rows: the queries of the first, then of the next."""
    first, count = histories[0], len(histories)
    total = count * first.total
    places = [torch.where(first.at_P < first.total, first.at_P + n * first.total, total) for n in range(count)]
    chunks = tuple(chunk for history in histories for chunk in history.chunks)
    rows = tuple(row for history in histories for row in history.rows)
    return History(chunks, first.lengths * count, rows, torch.cat(places), total)


def row_of(history: History) -> Tensor:
    """The row, as its chunks hold them, that every query stands in; -1 where it knows no event: (P,)."""
    if not history.chunks:
        return torch.full_like(history.at_P, -1)
    width_R = torch.cat([chunk.new_full(chunk.shape[:1], chunk.shape[1]) for chunk in history.chunks])
    row_P = torch.searchsorted(width_R.cumsum(0), history.at_P, right=True)
    return torch.where(history.at_P < history.total, row_P, -1)
