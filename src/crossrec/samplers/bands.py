"""The coarse selector of RealHNS: items from a band of each user's own ranking, streamed in blocks of bounded memory.

Source: specs of RealHNS, section 5.1. Shapes: R users, B of them in a block, V items, M the most items that one of them
has seen, N items kept of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.errors import InputError

BLOCK = 4 * 2**20
"""Bytes that the scores of one block of users may take; a GPU is fed 32 times as many."""


@dataclass(frozen=True)
class Band:
    """A band of ranks: from ``low`` per cent of the catalogue (rounded down) to ``high`` (rounded up)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Raises InputError for a band that holds nothing."""
        if not 0 <= self.low < self.high <= 100:
            raise InputError(
                f"A band goes from a lower to a higher percentage of the ranking, within 0 and 100, not {self.low:g} to "
                f"{self.high:g}."
            )

    def ranks(self, items: int) -> tuple[int, int]:
        """First rank of the band and the one behind its last, of so many items; 0 is the best."""
        return int(np.floor(items * self.low / 100)), int(np.ceil(items * self.high / 100))


@dataclass(frozen=True)
class SeenRows:
    """What every user has in training, packed: ``item_S`` sorted by user, ``offset_R1`` where each one's begin."""

    item_S: Tensor
    offset_R1: Tensor

    def take(self, index_O: Tensor) -> SeenRows:
        """Those of some of the users."""
        first_O, count_O = self.offset_R1[index_O], (self.offset_R1[1:] - self.offset_R1[:-1])[index_O]
        offset_O1 = torch.cat([count_O.new_zeros(1), torch.cumsum(count_O, 0)])
        owner_S = torch.repeat_interleave(torch.arange(len(index_O), device=count_O.device), count_O)
        within_S = torch.arange(len(owner_S), device=count_O.device) - offset_O1[owner_S]
        return SeenRows(self.item_S[first_O[owner_S] + within_S], offset_O1)

    def block(self, a: int, b: int) -> tuple[Tensor, Tensor]:
        """The items of users a to b as (B, M), and which of these places are filled."""
        first_B, count_B = self.offset_R1[a:b], self.offset_R1[a + 1 : b + 1] - self.offset_R1[a:b]
        place = torch.arange(max(1, int(count_B.max())), device=count_B.device)
        filled_BM = place < count_B[:, None]
        index_BM = torch.where(filled_BM, first_B[:, None] + place, 0)
        return torch.where(filled_BM, self.item_S[index_BM] if len(self.item_S) else 0, 0), filled_BM


def select(
    query_RD: Tensor,
    item_VD: Tensor,
    band: Band,
    seen: SeenRows,
    number: int,
    generator: torch.Generator,
    sample: int | None = None,
) -> Tensor:
    """Columns (R, N) of items drawn for each user from a band of the user's ranking, without what the user has seen.

    The band holds the unseen items from its first rank on, as many as it is wide: where seen items lie inside, it reaches
    as far to the right. Of these, N = min(``number``, width) are drawn without replacement, at random for every user;
    a user who has fewer of them gets some twice, and one who has none left gets any unseen items (any at all, where
    nothing is unseen).
    ``sample``: rank only so many items, drawn once for all users; the band is then that of the sample, so the ranks are off
    by about sqrt(p (1 - p) / sample) of the catalogue.
    """
    column_V = None
    if sample is not None and sample < len(item_VD):
        column_V = torch.randperm(len(item_VD), generator=generator, device=item_VD.device)[:sample].sort().values
        item_VD, seen = item_VD[column_V], _among(seen, column_V)
    low, high = band.ranks(len(item_VD))
    width = high - low
    number = min(number, width)
    size = max(1, BLOCK * (1 if item_VD.device.type == "cpu" else 32) // (4 * len(item_VD)))
    out_RN = torch.empty((len(query_RD), number), dtype=torch.int32, device=query_RD.device)
    permuted = torch.randperm(width, generator=generator, device=query_RD.device)[:number]
    shift_R = torch.randint(width, (len(query_RD),), generator=generator, device=query_RD.device)
    room_BV = torch.empty((min(size, len(query_RD)), len(item_VD)), device=query_RD.device)
    for a in range(0, len(query_RD), size):
        b = min(a + size, len(query_RD))
        seen_BM, filled_BM = seen.block(a, b)
        score_BV = torch.mm(query_RD[a:b], item_VD.T, out=room_BV[: b - a])
        inside_BV = within(score_BV, low, high, seen_BM, filled_BM)
        _fill(inside_BV, seen_BM, filled_BM)
        column_I = inside_BV.flatten().nonzero()[:, 0]
        bound_B1 = torch.searchsorted(column_I, torch.arange(b - a + 1, device=column_I.device) * len(item_VD))
        first_B, count_B = bound_B1[:-1], bound_B1.diff()
        offset_BN = (permuted + shift_R[a:b, None]) % count_B[:, None]
        out_RN[a:b] = column_I[first_B[:, None] + offset_BN] % len(item_VD)
    return out_RN if column_V is None else column_V.to(torch.int32)[out_RN]


def recall(query_RD: Tensor, item_VD: Tensor, band: Band, seen: SeenRows, chosen_RN: Tensor) -> float:
    """Share of the items that were chosen for some users (columns) that lie in the exact band of their rankings."""
    low, high = band.ranks(len(item_VD))
    inside_RV = within(query_RD @ item_VD.T, low, high, *seen.block(0, len(query_RD)))
    return float(inside_RV.gather(1, chosen_RN).float().mean())


def within(score_BV: Tensor, low: int, high: int, seen_BM: Tensor, filled_BM: Tensor) -> Tensor:
    """Which items lie in the band of each user's ranking, (B, V) bool. Overwrites the scores of seen items.

    Ranks are of all items, seen ones included; then seen ones are left out and the band is extended by as many.
    """
    size = score_BV.shape[1]
    ascending_BV = sorted_rows(score_BV)
    seen_score_BM = score_BV.gather(1, seen_BM)
    rank_BM = size - torch.searchsorted(ascending_BV, seen_score_BM, right=True)
    rank_BM = torch.where(filled_BM & (rank_BM >= low), rank_BM, 2 * size + high).sort(1).values
    passed_BM = rank_BM - torch.arange(rank_BM.shape[1], device=rank_BM.device) < high
    stop_B = (high + passed_BM.sum(1)).clamp(max=size)
    most_B1 = ascending_BV[:, size - 1 - low, None]
    least_B1 = ascending_BV.gather(1, (size - stop_B)[:, None])
    score_BV[filled_BM.nonzero()[:, 0], seen_BM[filled_BM]] = torch.inf
    return (score_BV <= most_B1) & (score_BV >= least_B1)


def _fill(inside_BV: Tensor, seen_BM: Tensor, filled_BM: Tensor) -> None:
    """Give a user whose band holds nothing all that the user has not seen; all items, where nothing is left."""
    for row in (~inside_BV.any(1)).nonzero()[:, 0].tolist():
        inside_BV[row] = True
        inside_BV[row, seen_BM[row][filled_BM[row]]] = False
        if not bool(inside_BV[row].any()):
            inside_BV[row] = True


def sorted_rows(score_BV: Tensor) -> Tensor:
    """Every row in ascending order; NumPy's sort of values is some twenty times faster than torch's on a CPU."""
    if score_BV.device.type == "cpu":
        return torch.from_numpy(np.sort(score_BV.numpy(), axis=1))
    return score_BV.sort(1).values


def _among(seen: SeenRows, column_V: Tensor) -> SeenRows:
    """What was seen of a sample of the items (columns in ascending order), as columns of the sample."""
    place_S = torch.searchsorted(column_V, seen.item_S).clamp(max=len(column_V) - 1)
    kept_S = column_V[place_S] == seen.item_S
    before = torch.cat([kept_S.new_zeros(1, dtype=torch.int64), torch.cumsum(kept_S, 0)])
    return SeenRows(place_S[kept_S], before[seen.offset_R1])
