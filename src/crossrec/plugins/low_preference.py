"""NNS: negatives from among what a frozen model thinks a user likes least.

Source: PDRec, equation 3 (specs of PDRec, 4.4 and 9). Shapes: N rows, B of them in a block, V items, P queries, L of them
that still want an item, T items tried for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.plugins.preferences import Pairs, Preferences, hidden
from crossrec.samplers.bands import sorted_rows
from crossrec.samplers.uniform import Uniform

ROUNDS = 30
"""Rounds of tries before any item that the user does not have is taken: reached only where next to nothing is left."""


@dataclass(frozen=True)
class Window:
    """A stretch of a descending ranking, as shares of it."""

    first: float
    stop: float
    whole: bool
    """Whether it is a stretch of the ranking of all items, from which what the user has is then taken away (published code),
    or of what the user does not have (PDRec, equation 3)."""

    def bounds(self, score_BV: Tensor, own: Pairs) -> Tensor:
        """Least and greatest preference of an item in the window of each row, (B, 2). ``own``: what the users have.

        A bound lies halfway between the items on its two sides. Items that tie across it are all inside.
        """
        size = score_BV.shape[1]
        left_B = size - torch.bincount(own[0], minlength=len(score_BV))
        if self.whole:
            low, high = math.floor(self.first * size), math.ceil(self.stop * size)
            first_B = low - _ahead(score_BV, own, low)
            stop_B = torch.minimum(first_B + high - low, left_B)
        else:
            first_B = (left_B.double() * self.first).floor().long()
            stop_B = (left_B.double() * self.stop).ceil().long()
        with hidden(score_BV, own):
            ascending_BV = sorted_rows(score_BV)
        empty_B = first_B >= stop_B
        first_B, stop_B = torch.where(empty_B, 0, first_B), torch.where(empty_B, left_B, stop_B)
        low_B = _above(ascending_BV, stop_B).masked_fill(stop_B >= left_B, -torch.inf)
        high_B = _above(ascending_BV, first_B).masked_fill(first_B == 0, torch.inf)
        return torch.stack([low_B, high_B], 1)


def _above(ascending_BV: Tensor, place_B: Tensor) -> Tensor:
    """Halfway between the item at this place of each descending ranking and the one before it: (B,)."""
    last = ascending_BV.shape[1] - 1
    place_B2 = (last - place_B[:, None] + torch.arange(2, device=place_B.device)).clamp(0, last)
    return ascending_BV.gather(1, place_B2).mean(1)


def _ahead(score_BV: Tensor, own: Pairs, number: int) -> Tensor:
    """How many of what each user has are among the first ``number`` of the ranking: (B,)."""
    if not number:
        return torch.zeros(len(score_BV), dtype=torch.int64, device=score_BV.device)
    least_B = sorted_rows(score_BV)[:, -number]
    return torch.bincount(own[0][score_BV[own] >= least_B[own[0]]], minlength=len(score_BV))


class Bounds:
    """Which items are in the windows of N rows, by the rows' vectors and two bounds each: exact but for rounding."""

    def __init__(self, preferences: Preferences) -> None:
        self.preferences = preferences
        shape = len(preferences.query_ND), 2
        self.bound_N2 = torch.empty(shape, dtype=preferences.query_ND.dtype, device=preferences.query_ND.device)

    def add(self, row_B: Tensor, score_BV: Tensor, bound_B2: Tensor) -> None:
        """Take in a block of rows."""
        self.bound_N2[row_B] = bound_B2

    def inside(self, row_L: Tensor, column_LT: Tensor) -> Tensor:
        """Whether some items are in each row's window: (L, T)."""
        low_L1, high_L1 = self.bound_N2[row_L].split(1, 1)
        return within(self.preferences.of(row_L, column_LT), low_L1, high_L1)


class Bits:
    """Which items are in the windows of N rows, by a bit for each: the faster, and where vectors are wide the smaller."""

    def __init__(self, rows: int, items: int, device: torch.device) -> None:
        self.bits_NW = torch.zeros((rows, _bytes(items)), dtype=torch.uint8, device=device)

    def add(self, row_B: Tensor, score_BV: Tensor, bound_B2: Tensor) -> None:
        """Take in a block of rows."""
        inside_BV = within(score_BV, *bound_B2.split(1, 1)).cpu().numpy()
        packed_BW = np.packbits(inside_BV, axis=1, bitorder="little")
        self.bits_NW[row_B] = torch.from_numpy(packed_BW).to(self.bits_NW.device)

    def inside(self, row_L: Tensor, column_LT: Tensor) -> Tensor:
        """Whether some items are in each row's window: (L, T)."""
        return (self.bits_NW[row_L[:, None], column_LT >> 3] >> (column_LT & 7)) & 1 > 0


def kept(preferences: Preferences) -> Bounds | Bits:
    """What takes less memory."""
    (rows, width), items = preferences.query_ND.shape, len(preferences.item_VD)
    if rows * _bytes(items) < 4 * width * (rows + items):
        return Bits(rows, items, preferences.query_ND.device)
    return Bounds(preferences)


def within(score: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Whether scores lie within bounds, both included."""
    return (score >= low) & (score <= high)


def _bytes(items: int) -> int:
    return -(-items // 8)


@dataclass(frozen=True)
class LowPreference:
    """Draws items from the rows' windows."""

    windows: Bounds | Bits
    uniform: Uniform
    """Draws any items that a user does not have."""
    tries: int
    """Items tried for a query in a round."""

    def draw(self, row_P: Tensor, user_P: Tensor, generator: torch.Generator) -> Tensor:
        """An item for each query, (P, 1): every item of its row's window is as likely."""
        ids_P = torch.empty_like(user_P)
        left_L = torch.arange(len(user_P), device=user_P.device)
        for _ in range(ROUNDS):
            ids_LT = self.uniform.own(user_P[left_L], self.tries, generator)
            inside_LT = self.windows.inside(row_P[left_L], ids_LT - self.uniform.block.start)
            found_L, first_L = inside_LT.to(torch.int8).max(1)
            ids_P[left_L] = ids_LT.gather(1, first_L[:, None])[:, 0]
            left_L = left_L[found_L == 0]
            if not len(left_L):
                break
        return ids_P[:, None]
