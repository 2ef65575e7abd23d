"""DAT-MDI: items seen in session graph, neighbourhood and sequence, and slots that carry a session to other domains.

A reconstruction. Source: specs of DDGHM, section 6.4. P queries, C of them that ask for one domain, S sessions, M events,
N nodes, E neighbours of nodes, K slots, V items, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.histories import History
from crossrec.data.item_graphs import frequent_neighbours
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import TableModel
from crossrec.nn.dropout import dropout
from crossrec.nn.gru import Recurrence
from crossrec.nn.items import ItemTable
from crossrec.nn.segments import segment_sum, spread
from crossrec.nn.session_attention import NeighbourAttention, SessionAttention, Sessions
from crossrec.nn.slots import EventReadout, SlotAttention, SlotTransfer


@dataclass(frozen=True)
class DATMDIConfig:
    """Settings of DAT-MDI."""

    dim: int = 64
    """Width of states and item vectors (ours; specs: 100)."""
    slots: int = 4
    """Slots of a session (specs: 4)."""
    steps: int = 3
    """Steps of the slot attention (specs: 3)."""
    hops: int = 3
    """Events between an item and its neighbours in the training rows, at most (specs: 3)."""
    neighbours: int = 12
    """Neighbours that are kept of every item, the most frequent (specs: 12)."""
    dropout: float = 0.5
    """Dropout of what neighbours add (specs: .5)."""
    max_len: int = 50
    """Latest events of every domain that are looked at (ours)."""


class DomainPart(nn.Module):
    """What one domain has of its own."""

    def __init__(self, config: DATMDIConfig) -> None:
        super().__init__()
        self.session, self.near = SessionAttention(config.dim), NeighbourAttention(config.dim)
        self.sequence = Recurrence(config.dim, 0.0, config.max_len)
        self.slots = SlotAttention(config.dim, config.slots, config.steps)
        self.transfer, self.readout = SlotTransfer(config.dim), EventReadout(config.dim)


class DATMDI(TableModel):
    """A reconstruction of DAT-MDI: of the publication only the abstract was at hand, and no program was found.

    It rests on public modules of the kinds that the abstract names: session and global graph attention as in GCE-GNN, a
    GRU, slot attention, the readout of SR-GNN; how they are joined is our guess. What an event knows is the sum of its
    item in the graph of the session so far, of the item's neighbours in the training rows, and of the recurrence. The
    slots of a domain's session are read by the events of another; the query is read off these, and an item is its vector.

    For any number of domains (the abstract: two): events read the slots of all other domains that the query knows
    something of, in one softmax. Where a query knows nothing of its own domain, its only event is the zero vector, which
    reads the slots. It is trained on every next item, each from the session so far. Neighbours are counted in the
    training rows alone, whose own next items count as well, as in the published module.
    """

    name = "datmdi"
    Config = DATMDIConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {"loss": "softmax", "batch": 64}},
        "paper": {
            "model": {"dim": 100},
            "train": {
                "loss": "softmax",
                "lr": 1e-3,
                "betas": (0.9, 0.999),
                "decay": 0.1 ** (1 / 3),
                "weight_decay": 1e-5,
                "batch": 100,
            },
        },
    }
    """``paper`` is what the specs recommend (6.4), GCE-GNN's: its learning rate falls to a tenth every three epochs, here by
    as much in equal parts."""
    near_WK: Tensor
    weight_WK: Tensor

    def make(self, catalogue: Catalogue) -> None:
        config: DATMDIConfig = self.config
        self.table = ItemTable(catalogue, self.reads, config.dim)
        nn.init.uniform_(self.table.weight, -(config.dim**-0.5), config.dim**-0.5)
        self.table.clear()
        self.parts = nn.ModuleDict({f"domain{x}": DomainPart(config) for x in range(len(self.reads))})
        shape = len(self.table.weight), config.neighbours
        self.register_buffer("near_WK", torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("weight_WK", torch.zeros(shape))

    def views(self) -> Views:
        return Views({name: (name,) for name in self.reads}, self.config.max_len)

    def learn(self, split: Split) -> None:
        for name in self.reads:
            ids_VK, count_VK = frequent_neighbours(split, name, self.config.hops, self.config.neighbours)
            first = self.table.first[name]
            for buffer, found in ((self.near_WK, ids_VK), (self.weight_WK, count_VK)):
                buffer[first : first + len(found)] = torch.as_tensor(found, device=buffer.device)

    def queries(self, batch: Batch) -> Tensor:
        domain_P = self.asked(batch)
        sessions = [Sessions.of(batch.histories[name]) for name in self.reads]
        events = [self._events(self._part(x), batch.histories[name], sessions[x]) for x, name in enumerate(self.reads)]
        slots = [self._slots(x, sessions[x], events[x], domain_P) for x in range(len(self.reads))]
        query_PD = self.table.weight.new_zeros(len(batch), self.config.dim)
        for x in range(len(self.reads)):
            chosen_C = (domain_P == x).nonzero()[:, 0]
            if not len(chosen_C):
                continue
            others = [(slot_SKD, number_P[chosen_C]) for y, (slot_SKD, number_P) in enumerate(slots) if y != x]
            query_CD = self._read(self._part(x), sessions[x], events[x], chosen_C, others)
            query_PD = query_PD.index_copy(0, chosen_C, query_CD.to(query_PD.dtype))
        return query_PD

    def _part(self, x: int) -> DomainPart:
        found = self.parts[f"domain{x}"]
        assert isinstance(found, DomainPart)
        return found

    def _events(self, part: DomainPart, history: History, sessions: Sessions) -> Tensor:
        """What the events of all sessions know: equation 6.14, (M, D)."""
        row_N = self.table.row_V[sessions.item_N]
        owner_E, slot_E = (self.weight_WK[row_N] > 0).nonzero(as_tuple=True)
        near_E = self.near_WK[row_N[owner_E], slot_E]
        ids_R, number = torch.unique(torch.cat([sessions.item_N, near_E]), return_inverse=True)
        item_RD, nodes = self.table(ids_R), len(row_N)
        h_ND = item_RD.index_select(0, number[:nodes])
        sum_SD = segment_sum(h_ND[sessions.node_M], sessions.segment_M, len(sessions.count_S))
        mean_ND = (sum_SD / sessions.count_S[:, None])[sessions.segment_N]
        weight_E = self.weight_WK[row_N[owner_E], slot_E]
        near_ND = part.near(h_ND, mean_ND, owner_E, number[nodes:], weight_E, item_RD)
        own_ND: Tensor = part.session(h_ND, sessions) + dropout(near_ND, self.config.dropout, self.training)
        every = torch.arange(history.total, device=history.at_P.device)
        state_TD: Tensor = part.sequence(replace(history, at_P=every), self.table)
        return own_ND.index_select(0, sessions.node_M) + state_TD.index_select(0, sessions.place_M).to(own_ND.dtype)

    def _slots(self, x: int, sessions: Sessions, event_MD: Tensor, domain_P: Tensor) -> tuple[Tensor, Tensor]:
        """Slots of the sessions that queries for other domains know, (S', K, D), and which of these each query has, -1: none."""
        number_P = torch.where(domain_P == x, -1, sessions.number_P)
        wanted_S, place_P = torch.unique(torch.cat([number_P, number_P.new_tensor([-1])]), return_inverse=True)
        wanted_S, number_P = wanted_S[1:], place_P[:-1] - 1
        segment_M, place_M = spread(sessions.first_S[wanted_S], sessions.count_S[wanted_S])
        slot_SKD: Tensor = self._part(x).slots(event_MD.index_select(0, place_M), segment_M, len(wanted_S))
        return slot_SKD, number_P

    def _read(
        self,
        part: DomainPart,
        sessions: Sessions,
        event_MD: Tensor,
        chosen_C: Tensor,
        others: list[tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Queries (C, D) for one domain. ``others``: of every other domain slots, and whose each of the C has."""
        number_C = sessions.number_P[chosen_C]
        empty = len(sessions.count_S)
        count_S1 = F.pad(sessions.count_S, (0, 1), value=1)
        number_C = torch.where(number_C < 0, empty, number_C)
        first_S1 = F.pad(sessions.first_S, (0, 1), value=len(event_MD))
        segment_M, place_M = spread(first_S1[number_C], count_S1[number_C])
        x_MD = F.pad(event_MD, (0, 0, 0, 1)).index_select(0, place_M)
        slots, there = [x_MD.new_zeros(len(chosen_C), 0, x_MD.shape[1])], [number_C.new_zeros(len(chosen_C), 0).bool()]
        for slot_SKD, which_C in others:
            slots.append(F.pad(slot_SKD, (0, 0, 0, 0, 0, 1))[which_C])
            there.append((which_C >= 0)[:, None].expand(-1, slot_SKD.shape[1]))
        y_MD = part.transfer(x_MD, segment_M, torch.cat(slots, 1), torch.cat(there, 1))
        query_CD: Tensor = part.readout(y_MD, segment_M, count_S1[number_C])
        return query_CD
