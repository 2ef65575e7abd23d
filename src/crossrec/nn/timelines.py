"""Rows of several domains' events, packed domain by domain: each event once, step by step, longest rows first, no padding.

R rows, T places of all chunks, P queries of which C are chosen; X domains, N events of one; M events that queries know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.histories import History


@dataclass(frozen=True)
class _Packing:
    """Where a row's events of one domain are, once they stand step by step."""

    rank_R: Tensor
    before_L: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, length_R: Tensor) -> _Packing:
        rank_R = torch.empty_like(length_R)
        rank_R[torch.argsort(length_R, descending=True, stable=True)] = torch.arange(
            len(length_R), device=length_R.device
        )
        ended_L = torch.bincount(length_R)[:-1]
        size_L = len(length_R) - torch.cumsum(ended_L, 0)
        return cls(rank_R, F.pad(torch.cumsum(size_L, 0) - size_L, (0, 1)), tuple(size_L.tolist()))

    def place(self, row_N: Tensor, count_N: Tensor) -> Tensor:
        """Places of the events with these numbers (from 1) in these rows; one past the last event for number 0."""
        place_N = self.before_L[(count_N - 1).clamp(min=0)] + self.rank_R[row_N]
        return torch.where(count_N > 0, place_N, sum(self.sizes))


@dataclass(frozen=True)
class Timeline:
    """One domain's events of all rows, in the order in which a recurrence runs over them."""

    item_N: Tensor
    """Their global ids."""
    sizes: tuple[int, ...]
    """Rows that have a first, a second, ... event."""
    known_XN: Tensor
    """When each event comes, the latest known event of each domain: its place in that domain; one past the last for none.
    Of the domain itself: the event."""
    last_P: Tensor
    """Place of the latest event that each query knows; one past the last for none."""
    count_P: Tensor
    """Number of events that each query knows."""
    rank_P: Tensor
    """Place of each query's row at every step."""
    before_L: Tensor
    """Events of all rows before each step."""

    def prefixes(self, chosen_C: Tensor) -> tuple[Tensor, Tensor]:
        """All events that the chosen queries know, query by query, oldest first: numbers (M,) of the queries among the
        chosen, places (M,) of the events.
        """
        count_C, rank_C = self.count_P[chosen_C], self.rank_P[chosen_C]
        query_M = torch.repeat_interleave(torch.arange(len(count_C), device=count_C.device), count_C)
        first_C = torch.cumsum(count_C, 0) - count_C
        step_M = torch.arange(len(query_M), device=count_C.device) - first_C[query_M]
        return query_M, self.before_L[step_M] + rank_C[query_M]


def timelines(history: History, blocks: Sequence[range]) -> list[Timeline]:
    """The events of the domains that own these blocks of ids, each domain by itself."""
    item_T, row_T, first_R = _places(history)
    own_XT = torch.stack([(item_T >= block.start) & (item_T < block.stop) for block in blocks])
    sum_XT1 = F.pad(own_XT.cumsum(1), (1, 0))
    length_XR = F.pad(sum_XT1[:, first_R].diff(dim=1), (0, 1))
    count_XT = sum_XT1[:, 1:] - sum_XT1[:, first_R[row_T]]
    count_XT1, row_T1 = F.pad(count_XT, (0, 1)), F.pad(row_T, (0, 1), value=len(first_R) - 1)
    count_XP, row_P = count_XT1[:, history.at_P], row_T1[history.at_P]
    packings = [_Packing.of(length_R) for length_R in length_XR]
    found = []
    for x, packing in enumerate(packings):
        own_N = own_XT[x].nonzero()[:, 0]
        event_N = torch.empty_like(own_N)
        event_N[packing.place(row_T[own_N], count_XT[x, own_N])] = own_N
        row_N = row_T[event_N]
        known = [other.place(row_N, count_XT[y, event_N]) for y, other in enumerate(packings)]
        found.append(
            Timeline(
                item_T[event_N],
                packing.sizes,
                torch.stack(known),
                packing.place(row_P, count_XP[x]),
                count_XP[x],
                packing.rank_R[row_P],
                packing.before_L,
            )
        )
    return found


def latest(state_ND: Tensor, place_P: Tensor) -> Tensor:
    """The states at these places, (P, D); zeros one past the last."""
    return F.embedding(place_P, F.pad(state_ND, (0, 0, 0, 1)))


def _places(history: History) -> tuple[Tensor, Tensor, Tensor]:
    """Item (T,) and row (T,) of every place of the chunks, and the first place of every row, then of one without events."""
    none = torch.zeros(0, dtype=torch.int64, device=history.at_P.device)
    width_R = torch.cat([*(none.new_full((chunk.shape[0],), chunk.shape[1]) for chunk in history.chunks), none])
    row_T = torch.repeat_interleave(torch.arange(len(width_R), device=none.device), width_R)
    item_T = torch.cat([*(chunk.flatten() for chunk in history.chunks), none])
    return item_T, row_T, F.pad(torch.cumsum(width_R, 0), (1, 0))
