"""Rows of several domains' events: the merged walk, each domain's own walk on its own clock, and how the two meet.

As in :mod:`crossrec.nn.walks`, whole numbers on the host. Source: specs of DDGHM, section 10.
b rows, l events, n nodes of a domain's walk, m of the merged one; X domains; p of whatever is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.histories import History
from crossrec.nn.walks import Walk, again


@dataclass(frozen=True)
class Sight:
    """What of the merged graph a refresh of a domain's nodes looks at, p times: places among the merged snapshots."""

    own_pn: Tensor
    """Of the domain's nodes themselves."""
    near: Tensor
    """Of their neighbours: (2, p, n) before and behind in a path; else (p, m) of all nodes."""
    joined: Tensor
    """Whether they are: (2, p, n), else (p, n, m)."""
    visits_pn: Tensor | None
    """How often the domain's nodes have been visited; None: each once."""
    last_p: Tensor | None
    """The one visited last; None: the last one."""

    @property
    def path(self) -> bool:
        """Whether neighbours are those before and behind in a path."""
        return self.near.ndim == 3


@dataclass(frozen=True)
class Part:
    """One domain's events of the rows that have any."""

    walk: Walk
    row_b: Tensor
    """The merged walk's row of every row here."""
    place_b: Tensor
    """The row here of every row of the merged walk; -1 for none."""
    time_bl: Tensor
    """Events of all domains before the next one of this domain (all of them, if none follows), after each of its own."""
    node_bn: Tensor
    """The merged walk's node of every node here; 0 where a row has fewer."""
    merged: Walk
    joined_bnm: Tensor | None
    """After how many events of all domains nodes are neighbours; None where walks are paths."""

    def sights(self) -> Iterator[Sight]:
        """What is looked at after 1, 2, ... own events, by all rows that have as many, when the next one is due."""
        for known, (rows, nodes) in enumerate(zip(self.walk.rows, self.walk.nodes, strict=True), 1):
            row_p, known_p = torch.arange(rows), torch.full((rows,), known)
            sight = self.sight(row_p, known_p, self.time_bl[:rows, known - 1], nodes)
            yield sight if self.walk.repeats else replace(sight, visits_pn=None, last_p=None)

    def sight(self, row_p: Tensor, known_p: Tensor, time_p: Tensor, nodes: int) -> Sight:
        """What these rows look at after so many own events and so many of all domains; ``nodes``: of how many nodes."""
        from_p, time_p1 = self.row_b[row_p], time_p[:, None]
        there_pn = torch.arange(nodes) < self.walk.count_bl[row_p, known_p - 1][:, None]
        slot_pn = torch.where(there_pn, self.node_bn[row_p, :nodes], 0)
        own_pn = self.merged.first_places(from_p, time_p)[:, None] + slot_pn
        visits_pn = self.walk.visits(row_p, known_p, nodes)
        last_p = self.walk.slot_bl[row_p, known_p - 1]
        if self.joined_bnm is None:
            joined_2pn = torch.stack([slot_pn > 0, slot_pn + 1 < time_p1])
            near_2pn = own_pn + joined_2pn * torch.tensor([-1, 1])[:, None, None]
            return Sight(own_pn, near_2pn, joined_2pn, visits_pn, last_p)
        most = int(self.merged.count_bl[from_p, time_p - 1].max())
        joined_pnm = self.joined_bnm[row_p, :nodes, :most] <= time_p1[..., None]
        return Sight(own_pn, self.merged.places(from_p, time_p, most), joined_pnm, visits_pn, last_p)


@dataclass(frozen=True)
class Journey:
    """Rows of a batch that are run together, longest first."""

    row_b: Tensor
    """Their numbers."""
    merged: Walk
    parts: tuple[Part | None, ...]
    """Per domain; None where no row has an event of it."""
    known_Xbl: Tensor
    """Own events of every domain among the first 0, 1, ... events of all."""


@dataclass(frozen=True)
class Rows:
    """The rows of a history in one array, on the host, and where its queries stand."""

    item_bl: Tensor
    """Items of every row that has any, 0 behind its end."""
    length_b: Tensor
    row_P: Tensor
    """Row of every query; -1 where it knows nothing."""
    time_P: Tensor
    """Number of events that it knows."""

    @classmethod
    def of(cls, history: History) -> Rows:
        """The one look at a batch."""
        longest = max((chunk.shape[1] for chunk in history.chunks), default=0)
        none = torch.zeros(0, dtype=torch.int64)
        items = [F.pad(chunk, (0, longest - chunk.shape[1])) for chunk in history.chunks]
        item_bl = torch.cat(items).cpu() if items else none.view(0, 0)
        length_b = torch.cat([*history.lengths, none.to(history.at_P.device)]).cpu()
        rows, times, count = [], [], 0
        for chunk in history.chunks:
            many, wide = chunk.shape
            rows.append(torch.arange(count, count + many).repeat_interleave(wide))
            times.append(torch.arange(1, wide + 1).repeat(many))
            count += many
        row_T1, time_T1 = torch.cat([*rows, none.new_tensor([-1])]), torch.cat([*times, none.new_zeros(1)])
        at_P = history.at_P.cpu()
        return cls(item_bl, length_b, row_T1[at_P], time_T1[at_P])

    def followed(self, next_P: Tensor) -> Rows:
        """With the item that comes after the last event of every row, where a query asks for it."""
        asked_P = ((self.row_P >= 0) & (next_P > 0)).nonzero()[:, 0]
        end_P = asked_P[self.time_P[asked_P] == self.length_b[self.row_P[asked_P]]]
        row_P, item_bl, length_b = self.row_P[end_P], F.pad(self.item_bl, (0, 1)), self.length_b.clone()
        item_bl[row_P, length_b[row_P]] = next_P[end_P]
        length_b[row_P] += 1
        return Rows(item_bl, length_b, self.row_P, self.time_P)

    def twice(self) -> Rows:
        """Every row and then, with the numbers that follow, every row again."""
        return Rows(self.item_bl.repeat(2, 1), self.length_b.repeat(2), self.row_P, self.time_P)

    def journeys(self, blocks: Sequence[range], most: int) -> list[Journey]:
        """Rows that visit no item again and those that do, each cut into journeys of at most ``most`` states (or a row).

        ``blocks``: the items of every domain; each must have been looked at by one of them.
        """
        again_b, found = again(self.item_bl), []
        for repeats in (False, True):
            row_b = (again_b == repeats).nonzero()[:, 0]
            row_b = row_b[self.length_b[row_b].argsort(descending=True, stable=True)]
            states_b = (self.length_b[row_b] * (self.length_b[row_b] + 1) // 2).cumsum(0)
            sizes = torch.unique_consecutive((states_b - 1) // most, return_counts=True)[1].tolist()
            found += [self._journey(row_p, blocks, repeats) for row_p in row_b.split(sizes) if len(row_p)]
        return found

    def _journey(self, row_b: Tensor, blocks: Sequence[range], repeats: bool) -> Journey:
        length_b = self.length_b[row_b]
        item_bl = self.item_bl[row_b, : int(length_b[0])]
        merged = Walk.of(item_bl, length_b, repeats)
        joined_bnm = merged.joined() if repeats else None
        own_Xbl = torch.stack([(item_bl >= block.start) & (item_bl < block.stop) for block in blocks])
        known_Xbl = F.pad(own_Xbl.cumsum(2), (1, 0))
        parts = tuple(_part(item_bl, own_bl, merged, joined_bnm) for own_bl in own_Xbl)
        return Journey(row_b, merged, parts, known_Xbl)


def _part(item_bl: Tensor, own_bl: Tensor, merged: Walk, joined_bnm: Tensor | None) -> Part | None:
    """One domain's part of rows; ``own``: which events are the domain's."""
    count_b = own_bl.sum(1)
    row_b = count_b.argsort(descending=True, stable=True)[: int((count_b > 0).sum())]
    if not len(row_b):
        return None
    place_b = torch.full((len(count_b),), -1).scatter_(0, row_b, torch.arange(len(row_b)))
    longest = int(count_b.max())
    event_bl = (~own_bl[row_b]).int().argsort(dim=1, stable=True)[:, :longest]
    inside_bl = torch.arange(longest) < count_b[row_b][:, None]
    length_b1 = merged.length_b[row_b][:, None]
    next_bl = torch.cat([torch.where(inside_bl, event_bl, length_b1)[:, 1:], length_b1], 1)
    own_item_bl = torch.where(inside_bl, item_bl[row_b].gather(1, event_bl), 0)
    walk = Walk.of(own_item_bl, count_b[row_b], merged.repeats)
    first_bn = torch.where(walk.item_bn > 0, walk.born_bn.clamp(max=longest) - 1, 0)
    node_bn = merged.slot_bl[row_b].gather(1, event_bl.gather(1, first_bn))
    node_bn = torch.where(walk.item_bn > 0, node_bn, 0)
    if joined_bnm is not None:
        joined_bnm = joined_bnm[row_b].gather(1, node_bn[:, :, None].expand(-1, -1, joined_bnm.shape[2]))
    return Part(walk, row_b, place_b, next_bl, node_bn, merged, joined_bnm)
