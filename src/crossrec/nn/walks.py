"""Histories as walks over the items that they visit: how the graphs that grow along them are laid out.

All of it is whole numbers, worked out on the host from one look at a batch, so that the recurrence over the graphs waits
for none. Source: specs of DDGHM, section 10. b rows, l events, n and m nodes; p of whatever is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = torch.iinfo(torch.int32).max


@dataclass(frozen=True)
class Walk:
    """Rows of events, longest first, and a graph along each: a node per distinct item, numbered by first visits."""

    length_b: Tensor
    """Number of events."""
    slot_bl: Tensor
    """Node of every event."""
    item_bn: Tensor
    """Item of every node; 0 where a row has fewer."""
    born_bn: Tensor
    """After how many events a node is there; ``NEVER`` where a row has fewer."""
    count_bl: Tensor
    """Number of nodes after every event."""
    rows: tuple[int, ...]
    """Rows of at least 1, 2, ... events."""
    nodes: tuple[int, ...]
    """The most nodes that any row has by then: how wide that snapshot is."""
    repeats: bool
    """Whether a row may visit an item again; if not, every graph is a path whose nodes are its events in order."""

    @classmethod
    def of(cls, item_bl: Tensor, length_b: Tensor, repeats: bool) -> Walk:
        """Lay out rows of items, longest first, 0 behind the end of a row."""
        place_l = torch.arange(item_bl.shape[1])
        inside_bl = place_l < length_b[:, None]
        rows = tuple(inside_bl.sum(0).tolist())
        if not repeats:
            slot_bl = place_l.expand(item_bl.shape)
            born_bl = torch.where(inside_bl, slot_bl + 1, NEVER)
            nodes = tuple(range(1, len(rows) + 1))
            return cls(length_b, slot_bl, item_bl, born_bl, slot_bl + 1, rows, nodes, repeats)
        first_bl = (item_bl[:, :, None] == item_bl[:, None, :]).int().argmax(2)
        new_bl = (first_bl == place_l) & inside_bl
        count_bl = new_bl.cumsum(1)
        nodes = tuple(count_bl.amax(0).tolist())
        visit_bn = (~new_bl).int().argsort(dim=1, stable=True)[:, : max(nodes)]
        there_bn = new_bl.gather(1, visit_bn)
        item_bn = torch.where(there_bn, item_bl.gather(1, visit_bn), 0)
        born_bn = torch.where(there_bn, visit_bn + 1, NEVER)
        slot_bl = torch.where(inside_bl, (count_bl - 1).gather(1, first_bl), 0)
        return cls(length_b, slot_bl, item_bn, born_bn, count_bl, rows, nodes, repeats)

    def places(self, row_p: Tensor, time_p: Tensor, nodes: int) -> Tensor:
        """Where the states of the first nodes after so many events are among all snapshots laid end to end: (p, nodes).

        A node that is not there yet is looked up as the first one.
        """
        slot_n = torch.arange(nodes)
        slot_pn = torch.where(slot_n < self.count_bl[row_p, time_p - 1][:, None], slot_n, 0)
        return self.first_places(row_p, time_p)[:, None] + slot_pn

    def first_places(self, row_p: Tensor, time_p: Tensor) -> Tensor:
        """Where the state of the first node after so many events is among all snapshots laid end to end: (p,)."""
        width_l = torch.tensor(self.nodes)
        size_l = torch.tensor(self.rows) * width_l
        return (size_l.cumsum(0) - size_l)[time_p - 1] + row_p * width_l[time_p - 1]

    def numbers(self, row_p: Tensor, time_p: Tensor) -> Tensor:
        """Where a row is after so many events among all rows of all snapshots: (p,)."""
        rows_l = torch.tensor(self.rows)
        return (rows_l.cumsum(0) - rows_l)[time_p - 1] + row_p

    def visits(self, row_p: Tensor, time_p: Tensor, nodes: int) -> Tensor:
        """How often each of the first nodes has been visited after so many events: (p, nodes)."""
        known_pl = torch.arange(self.slot_bl.shape[1]) < time_p[:, None]
        slot_pl = self.slot_bl[row_p].clamp(max=nodes - 1)
        return torch.zeros(len(row_p), nodes, dtype=torch.int64).scatter_add_(1, slot_pl, known_pl.long())

    def joined(self) -> Tensor:
        """After how many events two different nodes become neighbours, in either direction: (b, n, n)."""
        nodes, longest = self.item_bn.shape[1], self.slot_bl.shape[1]
        time_l = torch.arange(2, longest + 1, dtype=torch.int32)
        time_bl = torch.where(time_l <= self.length_b[:, None], time_l, NEVER)
        joined_bm = torch.full((len(self.slot_bl), nodes * nodes), NEVER, dtype=torch.int32)
        one_bl, other_bl = self.slot_bl[:, :-1], self.slot_bl[:, 1:]
        for from_bl, to_bl in ((one_bl, other_bl), (other_bl, one_bl)):
            joined_bm.scatter_reduce_(1, from_bl * nodes + to_bl, time_bl, "amin")
        joined_bnn = joined_bm.view(-1, nodes, nodes)
        joined_bnn.diagonal(dim1=1, dim2=2).fill_(NEVER)
        return joined_bnn


def again(item_bl: Tensor) -> Tensor:
    """Whether each row visits an item again: (b,)."""
    sorted_bl = item_bl.sort(1).values
    again_bl = (sorted_bl[:, 1:] == sorted_bl[:, :-1]) & (sorted_bl[:, 1:] > 0)
    return again_bl.any(1)
