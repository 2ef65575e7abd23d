"""A gated recurrent unit over histories, without a step on padding.

T places of all chunks end to end, N of them events, R rows, P queries, D width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from crossrec.data.histories import History
from crossrec.nn.dropout import dropout


class Recurrence(nn.Module):
    """One GRU layer from a learned first state: histories to states.

    With ``padding`` every row starts as published code has it: from the state that ``max_len`` minus its length steps on
    the padding vector lead to. That state depends on the number of steps alone, so the orbit of the first state is
    computed once for all rows, with its gradients (specs of PDRec, section 2.2).
    """

    def __init__(self, dim: int, dropout: float, max_len: int, *, padding: bool = False) -> None:
        super().__init__()
        self.dropout, self.max_len, self.padding = dropout, max_len, padding
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.first = nn.Parameter(torch.empty(1, 1, dim))
        for weight in (*self.gru.parameters(), self.first):
            if weight.ndim > 1:
                nn.init.xavier_normal_(weight)

    def forward(self, history: History, table: Callable[[Tensor], Tensor]) -> Tensor:
        """States h_PD of the queries; where no event precedes, the state of an empty row. ``table``: ids to vectors."""
        device = history.at_P.device
        lengths = torch.cat([*history.lengths, torch.zeros(0, dtype=torch.int64, device=device)])
        start_SD = self._starts(lengths, table)
        if not history.chunks:
            return start_SD[-1].expand(len(history.at_P), -1)
        items_T = torch.cat([chunk.flatten() for chunk in history.chunks])
        packed_T, sizes = _packing(history, lengths)
        inside_T = packed_T >= 0
        e_TD = dropout(table(items_T), self.dropout, self.training)
        e_ND = torch.zeros_like(e_TD[inside_T]).index_copy(0, packed_T[inside_T], e_TD[inside_T])
        order_R = torch.argsort(lengths, descending=True, stable=True)
        steps_R = self.max_len - lengths[order_R] if self.padding else torch.zeros_like(order_R)
        states = self.gru(PackedSequence(e_ND, sizes), start_SD[steps_R][None])[0].data
        place_P = torch.cat([packed_T, packed_T.new_tensor([len(states)])])[history.at_P]
        return torch.cat([states, start_SD[-1:]])[place_P]

    def _starts(self, lengths: Tensor, table: Callable[[Tensor], Tensor]) -> Tensor:
        """State after 0, 1, ... steps on padding, the last one that of an empty row: (S, D)."""
        if not self.padding:
            return self.first[0]
        padding = table(torch.zeros(1, self.max_len, dtype=torch.int64, device=lengths.device))
        return torch.cat([self.first[0], self.gru(padding, self.first)[0][0]])


def _packing(history: History, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Where each place of the chunks stands in a packed sequence, (T,), -1 behind the end of its row; and the number of
    rows at every step, on the CPU.
    """
    rank_R = torch.empty_like(lengths)
    rank_R[torch.argsort(lengths, descending=True, stable=True)] = torch.arange(len(lengths), device=lengths.device)
    longest = int(lengths.max())
    ended = torch.bincount(lengths, minlength=longest + 1)[:longest]
    sizes = len(lengths) - torch.cumsum(ended, 0)
    before = torch.cumsum(sizes, 0) - sizes
    places, row = [], 0
    for chunk, length in zip(history.chunks, history.lengths, strict=True):
        rows, width = chunk.shape
        step = torch.arange(width, device=lengths.device)
        place = before[step] + rank_R[row : row + rows, None]
        places.append(torch.where(step < length[:, None], place, -1).flatten())
        row += rows
    return torch.cat(places), sizes.cpu()
