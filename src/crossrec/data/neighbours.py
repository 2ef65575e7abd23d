"""Draws neighbours from a graph: many rows at once, a bounded number of each, on the device that trains.

B queries, M candidates of a query, K neighbours drawn at most, X pairs that are excluded, R rows that must leave some out,
E edges, N rows of the graph.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from crossrec.data.graphs import Adjacency
from crossrec.errors import InputError, nearest

How = Literal["uniform", "weighted", "recent", "top"]
RANKED = 1 << 21
"""Edges ranked at once by weight: a bound of the memory."""
_NONE = torch.iinfo(torch.int64).max


class Drawn(NamedTuple):
    """Neighbours of B queries, in time order (that of the graph), left-aligned; 0 and False behind the last of each."""

    ids_BK: Tensor
    mask_BK: Tensor
    edge_BK: Tensor
    """Places of the edges: what an edge carries is at these places of the graph's arrays."""


class Neighbours:
    """One direction of a graph on a device, to draw from. On the CPU the arrays are read in place, memory-mapped or not."""

    def __init__(self, edges: Adjacency, weight_E: Any = None, device: torch.device | str = "cpu") -> None:
        """``weight_E``: one weight per edge (numpy or torch), that ``weighted`` and ``top`` go by; e.g. ``edges.count_E``."""
        self.columns = edges.columns
        self.offset_N1 = _tensor(edges.offset_N1, device)
        self.column_E = _tensor(edges.column_E, device)
        self.time_E = None if edges.time_E is None else _tensor(edges.time_E, device)
        self.weight_E = None if weight_E is None else _tensor(weight_E, device)
        if self.weight_E is not None and self.weight_E.shape != self.column_E.shape:
            raise InputError(
                f"There are {len(self.weight_E)} weights for {len(self.column_E)} edges: give one for each."
            )

    def sample(
        self,
        row_B: Any,
        fan_out: int | None,
        how: How = "uniform",
        *,
        generator: torch.Generator | None = None,
        before: Any = None,
        exclude: tuple[Any, Any] | None = None,
    ) -> Drawn:
        """At most ``fan_out`` neighbours of every row, none twice; all of them where there are no more.

        K is the fan-out, or the largest degree of these rows where that is less.

        Args:
            row_B: Rows asked for, in any order, also several times. Negative: a stranger, who has no neighbours.
            fan_out: None: all neighbours.
            how: ``uniform``; ``weighted``, one after the other in proportion to the weights that are left (an edge of
                weight 0 comes last); ``recent``, the last ones; ``top``, the largest weights, of equals the later.
                Ranking by weight looks at every edge of a row that has more than the fan-out.
            generator: Of this device; ``uniform`` and ``weighted`` draw from it alone.
            before: Per query (or one for all): only edges strictly older than this time.
            exclude: Query numbers (X,), 0 to B - 1, and neighbours (X,): edges that a query must not see, such as those
                which it is trained on. A query may have several; a pair that is no edge excludes nothing.

        Raises:
            InputError: where times, weights or the generator that this needs are not there.
        """
        self._check(fan_out, how, generator, before)
        row_B = torch.as_tensor(row_B, device=self.column_E.device).long()
        first_B, degree_B = self.available(row_B, before)
        widest = int(degree_B.max()) if len(row_B) else 0
        fan = widest if fan_out is None else min(fan_out, widest)
        key_X, spare = self._excluded(exclude, len(row_B))
        if not fan:
            none = row_B.new_zeros(len(row_B), 0)
            return Drawn(none, none.bool(), none)
        place_BM = self._preferred(how, first_B, degree_B, fan, min(fan + spare, widest), generator)
        kept_BM = place_BM >= 0
        if spare:
            edge_BM = first_B[:, None] + place_BM
            query_B1 = torch.arange(len(row_B), device=row_B.device)[:, None]
            key_BM = query_B1 * self.columns + self.column_E[torch.where(kept_BM, edge_BM, 0)]
            kept_BM &= key_X[torch.searchsorted(key_X, key_BM).clamp(max=len(key_X) - 1)] != key_BM
            kept_BM &= kept_BM.cumsum(1) <= fan
        place_BK = torch.where(kept_BM, place_BM, _NONE).sort(1).values[:, :fan]
        mask_BK = place_BK < _NONE
        edge_BK = torch.where(mask_BK, first_B[:, None] + place_BK, 0)
        return Drawn(torch.where(mask_BK, self.column_E[edge_BK].long(), 0), mask_BK, edge_BK)

    def available(self, row_B: Tensor, before: Any = None) -> tuple[Tensor, Tensor]:
        """First edge and number of edges of every row, (B,) each; with ``before`` only those strictly older."""
        known_B = row_B >= 0
        place_B = row_B.clamp(min=0)
        first_B = self.offset_N1[place_B]
        degree_B = torch.where(known_B, self.offset_N1[place_B + 1] - first_B, 0)
        if before is None:
            return first_B, degree_B
        assert self.time_E is not None
        before_B = torch.as_tensor(before, device=first_B.device).expand(len(first_B))
        low_B, high_B = first_B, first_B + degree_B
        for _ in range(int(degree_B.max()).bit_length() if len(degree_B) else 0):
            open_B = low_B < high_B
            middle_B = (low_B + high_B) // 2
            older_B = open_B & (self.time_E[torch.where(open_B, middle_B, 0)] < before_B)
            low_B = torch.where(older_B, middle_B + 1, low_B)
            high_B = torch.where(older_B, high_B, torch.where(open_B, middle_B, high_B))
        return first_B, low_B - first_B

    def _check(self, fan_out: int | None, how: str, generator: torch.Generator | None, before: Any) -> None:
        if how not in get_args(How):
            raise InputError(f"There is no way to draw {how!r}.{nearest(how, get_args(How))}")
        if fan_out is not None and fan_out < 1:
            raise InputError(f"A fan-out is at least 1, or None for all neighbours; found {fan_out}.")
        if before is not None and self.time_E is None:
            raise InputError("Not every edge of this graph has a known time, so there is no 'before'. Draw without it.")
        if how in ("weighted", "top") and self.weight_E is None:
            raise InputError(f"{how!r} goes by weights and there are none: give weight_E to Neighbours.")
        if how in ("uniform", "weighted") and generator is None and fan_out is not None:
            raise InputError(f"{how!r} is drawn at random: give a torch.Generator.")

    def _excluded(self, exclude: tuple[Any, Any] | None, queries: int) -> tuple[Tensor, int]:
        """Sorted numbers of the (query, neighbour) pairs, (X,), and how many the query with most has."""
        none = self.offset_N1.new_zeros(0)
        if exclude is None:
            return none, 0
        query_X, id_X = (torch.as_tensor(each, device=none.device).long() for each in exclude)
        inside_X = (query_X >= 0) & (query_X < queries) & (id_X >= 0) & (id_X < self.columns)
        key_X = torch.unique(query_X[inside_X] * self.columns + id_X[inside_X])
        return key_X, int(torch.bincount(key_X // self.columns).max()) if len(key_X) else 0

    def _preferred(
        self, how: str, first_B: Tensor, degree_B: Tensor, fan: int, most: int, generator: torch.Generator | None
    ) -> Tensor:
        """Places of ``most`` edges of every row, counted from its first, the one to be taken first at the front; -1 for none.

        Where nothing can be left out, or nothing is excluded, their order does not matter.
        """
        at_M = torch.arange(most, device=first_B.device)
        if how == "recent":
            return (degree_B[:, None] - 1 - at_M).clamp(min=-1)
        place_BM = torch.where(at_M < degree_B[:, None], at_M, -1)
        if how == "uniform":
            many_R = torch.nonzero(degree_B > most).flatten()
            if len(many_R):
                place_BM[many_R] = subsets(degree_B[many_R], most, generator).T.long()
            if most > fan:
                key_BM = torch.rand(place_BM.shape, dtype=torch.float64, generator=generator, device=place_BM.device)
                place_BM = place_BM.gather(1, key_BM.masked_fill_(place_BM < 0, 2.0).argsort(1))
            return place_BM
        many_R = torch.nonzero(degree_B > fan).flatten()
        ends_R = degree_B[many_R].cumsum(0).cpu().numpy()
        cuts = np.searchsorted(ends_R, np.arange(RANKED, ends_R[-1] if len(ends_R) else 0, RANKED))
        for rows in np.split(np.arange(len(ends_R)), np.unique(cuts)):
            row_R = many_R[torch.as_tensor(rows, device=many_R.device)]
            if len(row_R):
                place_BM[row_R] = self._ranked(how, first_B[row_R], degree_B[row_R], most, generator)
        return place_BM

    def _ranked(
        self, how: str, first_R: Tensor, degree_R: Tensor, most: int, generator: torch.Generator | None
    ) -> Tensor:
        """Places of the ``most`` first edges of every row by weight, (R, most); -1 behind the last.

        ``weighted``: in the order of exponential waiting times whose rates are the weights, which is that of draws one
        after the other without replacement.
        """
        assert self.weight_E is not None
        owner_M = torch.repeat_interleave(torch.arange(len(first_R), device=first_R.device), degree_R)
        start_R = degree_R.cumsum(0) - degree_R
        back_M = torch.arange(len(owner_M), device=owner_M.device) - start_R[owner_M]
        place_M = degree_R[owner_M] - 1 - back_M
        weight_M = self.weight_E[first_R[owner_M] + place_M].float()
        if how == "weighted":
            if not bool((weight_M >= 0).all()):
                raise InputError("A weight to draw by is 0 or more; found a negative or missing one.")
            wait_M = torch.empty_like(weight_M).exponential_(generator=generator)
            key_M = torch.where(weight_M > 0, wait_M / weight_M, torch.inf).view(torch.int32).long()
        else:
            bits_M = (torch.where(weight_M.isnan(), -torch.inf, weight_M) + 0.0).view(torch.int32)
            key_M = (1 << 31) - 1 - torch.where(bits_M < 0, bits_M ^ 0x7FFFFFFF, bits_M).long()
        order_M = torch.sort((owner_M << 32) | key_M, stable=True).indices
        first_M = back_M < most
        place_RM = place_M.new_full((len(first_R), most), -1)
        place_RM[owner_M[first_M], back_M[first_M]] = place_M[order_M][first_M]
        return place_RM


def subsets(size_R: Tensor, most: int, generator: torch.Generator | None) -> Tensor:
    """Per column ``most`` different whole numbers from 0 to size - 1, every such set equally likely: (most, R), int32.

    Floyd's algorithm for all columns at once: step i draws from 0 to size - most + i and takes that upper end instead of a
    number which is there already. Memory of the result, work of its square: fan-outs of some hundred are cheap.
    """
    last_MR = size_R - most + torch.arange(most, device=size_R.device)[:, None]
    uniform_MR = torch.rand(last_MR.shape, dtype=torch.float64, generator=generator, device=size_R.device)
    drawn_MR = (uniform_MR * (last_MR + 1)).to(torch.int32)
    last_MR = last_MR.to(torch.int32)
    for i in range(1, most):
        repeats_R = (drawn_MR[:i] == drawn_MR[i]).any(0)
        drawn_MR[i] = torch.where(repeats_R, last_MR[i], drawn_MR[i])
    return drawn_MR


def _tensor(array: Any, device: torch.device | str) -> Tensor:
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        array = np.array(array)
    return torch.as_tensor(array, device=device)
