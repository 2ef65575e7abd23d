"""Views of the packed events: the same users' events in some of the domains, and where a query stands in them.

Shapes: E events of the split, F events of the view, B rows of a batch, P queries of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.data.splits import Events

CHUNK_WASTE = 256
"""Padded places that one chunk may hold: about what it costs to run one chunk more."""


@dataclass(frozen=True)
class History:
    """The histories of B rows in one view, cropped and cut into chunks of like length; nothing else is padded.

    ``chunks`` are item ids of shape (b, l), left-aligned, 0 behind the end of a row. ``length`` are the rows' lengths,
    (b,) per chunk, and ``rows`` their places in the batch. A model runs every chunk, lays the states of all places end
    to end and takes row ``at_P``: the state after the last event before the query; ``total`` where there is none.
    """

    chunks: tuple[Tensor, ...]
    lengths: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    at_P: Tensor
    total: int
    """Number of places of all chunks: one past the last state."""
    times: tuple[Tensor, ...] | None = None
    """Times of the events, shaped as the chunks (unix seconds; ``UNKNOWN_TIME``); None: nobody asked, or none is known."""

    def events(self) -> tuple[Tensor, Tensor]:
        """What every query knows, oldest event first: numbers of the queries (M,) and item ids (M,)."""
        query_M, place_M = self._known()
        return query_M, self._flat(self.chunks)[place_M]

    def event_times(self) -> Tensor | None:
        """When each of :meth:`events` was, (M,); None where ``times`` is."""
        return None if self.times is None else self._flat(self.times)[self._known()[1]]

    def _flat(self, chunks: tuple[Tensor, ...]) -> Tensor:
        none = torch.zeros(0, dtype=torch.int64, device=self.at_P.device)
        return torch.cat([*(chunk.flatten() for chunk in chunks), none])

    def _known(self) -> tuple[Tensor, Tensor]:
        """Query (M,) and place (M,) of every event that a query knows."""
        device = self.at_P.device
        none = torch.zeros(0, dtype=torch.int64, device=device)
        within_T = torch.cat([*(torch.arange(c.shape[1], device=device).repeat(c.shape[0]) for c in self.chunks), none])
        count_P = torch.cat([within_T + 1, none.new_zeros(1)])[self.at_P]
        query_M = torch.repeat_interleave(torch.arange(len(count_P), device=device), count_P)
        ends_P = torch.cumsum(count_P, 0)
        back_M = ends_P[query_M] - 1 - torch.arange(len(query_M), device=device)
        return query_M, self.at_P[query_M] - back_M


class View:
    """The events of some domains, packed, on the device that trains."""

    def __init__(self, events: Events, domains: Sequence[str], device: torch.device, times: bool = False) -> None:
        """``times``: whether histories carry the times of their events."""
        numbers = [events.catalogue.domains.index(name) for name in domains]
        self.domains = tuple(domains)
        inside_E = np.isin(events.domain_E, numbers)
        item_F = events.item_E if inside_E.all() else events.item_E[inside_E]
        self.item_F = torch.as_tensor(np.array(item_F), device=device)
        self.time_F: Tensor | None = None
        if times and events.time_E is not None:
            self.time_F = torch.as_tensor(np.array(np.asarray(events.time_E)[inside_E]), device=device)
        before = np.zeros(len(inside_E) + 1, dtype=np.int64)
        np.cumsum(inside_E, out=before[1:])
        self.before_E1 = torch.as_tensor(before, device=device)

    def history(self, start_B: Tensor, row_P: Tensor, at_P: Tensor, max_len: int) -> History:
        """Histories of B rows, each up to its last query: at most the latest ``max_len`` events before that.

        ``start_B``: first event of every row. ``row_P``, ``at_P``: row and place (among the split's events) of every
        query; the input of a query is what comes before ``at``.
        """
        if len(start_B) == 1 and len(at_P):
            return self._of_one(int(start_B), at_P, max_len)
        stop_P = self.before_E1[at_P]
        stop_B = torch.zeros_like(start_B).scatter_reduce(0, row_P, stop_P, "amax", include_self=True)
        low_B = torch.maximum(self.before_E1[start_B], stop_B - max_len)
        length_B = (stop_B - low_B).clamp(min=0)
        order_B = torch.argsort(length_B, stable=True)
        chunks, lengths, rows, times = [], [], [], []
        base_B = torch.zeros_like(length_B)
        total = 0
        for a, b in like_lengths(length_B[order_B].cpu().numpy()):
            row = order_B[a:b]
            length = length_B[row]
            longest = int(length[-1])
            place = torch.arange(longest, device=length.device)
            inside = place < length[:, None]
            index = torch.where(inside, low_B[row][:, None] + place, 0)
            chunks.append(torch.where(inside, self.item_F[index], 0).long())
            if self.time_F is not None:
                times.append(torch.where(inside, self.time_F[index], 0))
            lengths.append(length)
            rows.append(row)
            base_B[row] = total + torch.arange(b - a, device=length.device) * longest
            total += (b - a) * longest
        state_P = stop_P - 1
        flat_P = torch.where(state_P >= low_B[row_P], base_B[row_P] + state_P - low_B[row_P], total)
        timed = None if self.time_F is None else tuple(times)
        return History(tuple(chunks), tuple(lengths), tuple(rows), flat_P, total, timed)

    def _of_one(self, start: int, at_P: Tensor, max_len: int) -> History:
        """The history of a single row, where nothing is to be sorted or padded."""
        stop_P = self.before_E1[at_P]
        stop = int(stop_P.max())
        low = max(int(self.before_E1[start]), stop - max_len)
        length = max(stop - low, 0)
        if not length:
            return History((), (), (), torch.zeros_like(at_P), 0, None if self.time_F is None else ())
        flat_P = torch.where(stop_P > low, stop_P - 1 - low, length)
        row = torch.zeros(1, dtype=torch.int64, device=at_P.device)
        timed = None if self.time_F is None else (self.time_F[low:stop][None],)
        chunk = self.item_F[low:stop].long()[None]
        return History((chunk,), (row + length,), (row,), flat_P, length, timed)


def like_lengths(length_B: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of rows, sorted by length, that are run together; rows of length 0 are in none.

    From the longest row down, a stretch takes shorter rows until its padding would exceed ``CHUNK_WASTE``.
    """
    distinct, first, count = np.unique(length_B, return_index=True, return_counts=True)
    stretches: list[tuple[int, int]] = []
    longest, waste, stop = 0, 0, len(length_B)
    for length, a, rows in zip(distinct[::-1].tolist(), first[::-1].tolist(), count[::-1].tolist(), strict=True):
        waste += (longest - length) * rows
        if longest == 0 or length == 0 or waste > CHUNK_WASTE:
            if longest:
                stretches.append((a + rows, stop))
            longest, waste, stop = length, 0, a + rows
    if longest:
        stretches.append((0 if distinct[0] else int(count[0]), stop))
    return stretches[::-1]
