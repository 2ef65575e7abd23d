"""The graphs of SR-GNN: every beginning of a row that is asked for is a graph of its own, started from its items' vectors.

Only what differs is computed. After one step a node's state depends on its own edges alone, so the graphs of a row share
it until the node gets another edge: a row of l events has 2 l states instead of l² / 2. (After more steps they share none.)
b rows, l places, n places that stand for nodes, q asked beginnings of a chunk; U beginnings, N states, M visits, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.histories import History
from crossrec.nn.gated_graph import GatedGraph, Readout
from crossrec.nn.untraced import untraced


class Bags(NamedTuple):
    """Places of states, of one owner after the other."""

    place_M: Tensor
    count_O: Tensor
    """Number of places of every owner."""

    @property
    def start_O(self) -> Tensor:
        """Where the places of every owner begin."""
        return self.count_O.cumsum(0) - self.count_O


@dataclass(frozen=True)
class Sessions:
    """Graphs of beginnings of rows, an edge from each visited item to the next one, as heavy as it is often taken.

    They are the edges of a :class:`~crossrec.nn.gated_graph.GatedGraph` over all states: (1, N, W) to (1, N, W).
    """

    item_N: Tensor
    """Item of every state."""
    before: Bags
    """Of every state, those from which edges come in: once for every time that the edge is taken."""
    behind: Bags
    """Of every state, those to which edges go out, likewise."""
    visits: Bags
    """Of every beginning, the states at its events, oldest first."""
    session_P: Tensor
    """Beginning that every query knows; their number where it knows nothing."""
    many = False

    @classmethod
    @untraced
    def of(cls, history: History, steps: int) -> Sessions:
        """The beginnings that the queries of a history know. ``steps``: how far states will look along the edges."""
        place_U, session_P = torch.unique(history.at_P, return_inverse=True)
        none = Bags(place_U.new_zeros(0), place_U.new_zeros(0))
        parts, base, states = [_Part(none.place_M, none, none, none)], 0, 0
        for item_bl in history.chunks:
            inside_U = (place_U >= base) & (place_U < base + item_bl.numel())
            place_C = place_U[inside_U] - base
            if len(place_C):
                parts.append(_part(item_bl, place_C, steps, states))
                states += len(parts[-1].item_N)
            base += item_bl.numel()
        items, before, behind, visits = zip(*parts, strict=True)
        return cls(torch.cat(items), _joined(before), _joined(behind), _joined(visits), session_P)

    def incoming(self, x_1NW: Tensor) -> Tensor:
        return _means(x_1NW, self.before)

    def outgoing(self, x_1NW: Tensor) -> Tensor:
        return _means(x_1NW, self.behind)


class SessionGraphs(nn.Module):
    """Beginnings to vectors: a gated graph network, and a soft attention over every event, asked by the last one.

    Source: specs of DDGHM, 4.6 to 4.10.
    """

    def __init__(self, dim: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.cell, self.readout = GatedGraph(dim, steps), Readout(dim)

    def forward(self, sessions: Sessions, e_ND: Tensor) -> Tensor:
        """Vectors (U, D). ``e_ND``: vectors of the states' items."""
        x_ND = self.cell(e_ND[None], sessions)[0]
        layer, (place_M, count_U) = self.readout, sessions.visits
        last_UD = F.embedding(place_M[count_U.cumsum(0) - 1], x_ND)
        query_UD = F.linear(last_UD, layer.last, layer.bias)
        query_MD = query_UD.repeat_interleave(count_U, 0, output_size=len(place_M))
        share_M = torch.sigmoid(F.embedding(place_M, F.linear(x_ND, layer.each)) + query_MD) @ layer.weight
        pooled_UD = F.embedding_bag(
            place_M, x_ND, sessions.visits.start_O, mode="sum", per_sample_weights=share_M.to(x_ND.dtype)
        )
        return F.linear(torch.cat([pooled_UD, last_UD], -1), layer.out)


class _Part(NamedTuple):
    """The states of one chunk, as in :class:`Sessions`."""

    item_N: Tensor
    before: Bags
    behind: Bags
    visits: Bags


def _part(item_bl: Tensor, place_U: Tensor, steps: int, base: int) -> _Part:
    """``place``: of the last event of every beginning, ascending; ``base``: number of the first state."""
    b, longest = item_bl.shape
    place_l = torch.arange(longest, device=item_bl.device)
    row_U, known_U = place_U // longest, place_U % longest + 1
    seat_U = torch.arange(len(row_U), device=row_U.device) - torch.searchsorted(row_U, row_U)
    known_bq = row_U.new_zeros(b, int(seat_U.max()) + 1)
    known_bq[row_U, seat_U] = known_U
    known_bq = known_bq.cummax(1).values
    node_bl = (item_bl[:, :, None] == item_bl[:, None, :]).int().argmax(2)
    new_bnq = _edges_so_far(node_bl, known_bq, steps).diff(dim=2, prepend=known_bq.new_zeros(b, longest, 1)) > 0
    number_bnq = base - 1 + new_bnq.flatten().cumsum(0).view(new_bnq.shape)
    row_N, node_N, seat_N = new_bnq.nonzero(as_tuple=True)
    from_Nl, to_Nl = node_bl[row_N, :-1], node_bl[row_N, 1:]
    taken_Nl = place_l[1:] < known_bq[row_N, seat_N][:, None]
    bags = []
    for here_Nl, there_Nl in ((to_Nl, from_Nl), (from_Nl, to_Nl)):
        edge_Nl = taken_Nl & (here_Nl == node_N[:, None])
        state_E, event_E = edge_Nl.nonzero(as_tuple=True)
        other_E = number_bnq[row_N[state_E], there_Nl[state_E, event_E], seat_N[state_E]]
        bags.append(Bags(other_E, edge_Nl.sum(1)))
    session_M, event_M = (place_l < known_U[:, None]).nonzero(as_tuple=True)
    row_M, seat_M = row_U[session_M], seat_U[session_M]
    visits = Bags(number_bnq[row_M, node_bl[row_M, event_M], seat_M], known_U)
    return _Part(item_bl[row_N, node_N], bags[0], bags[1], visits)


def _edges_so_far(node_bl: Tensor, known_bq: Tensor, steps: int) -> Tensor:
    """A number that grows with a node's first visit and then with every change of its state: (b, n, q); 0 before.

    After one step that is a change of its own edges: a visit gives it one, and so does the visit of another node just after.
    """
    place_n = torch.arange(node_bl.shape[1], device=node_bl.device)
    if steps > 1:
        is_node_bn = node_bl == place_n
        return (known_bq[:, None] - place_n[:, None]).clamp(min=0) * is_node_bn[..., None]
    visited_bnl = (node_bl[:, None] == place_n[:, None]).long()
    edges_bn1 = F.pad(2 * visited_bnl.cumsum(2) - visited_bnl, (1, 0))
    return edges_bn1.gather(2, known_bq[:, None].expand(-1, len(place_n), -1))


def _joined(bags: Sequence[Bags]) -> Bags:
    return Bags(torch.cat([bag.place_M for bag in bags]), torch.cat([bag.count_O for bag in bags]))


def _means(x_1NW: Tensor, bags: Bags) -> Tensor:
    """Of every owner the mean over its places, 0 where it has none."""
    return F.embedding_bag(bags.place_M, x_1NW[0], bags.start_O, mode="mean")[None]
