"""The causal Transformer over histories that several models share, as the RealHNS and PDRec papers run it.

Source: specs of RealHNS, section 2.1. T places, P queries, R rows, M seats of a row, S of all rows, U distinct
places that are asked, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.histories import History
from crossrec.nn.attention import Block
from crossrec.nn.dropout import dropout

FEW = 1 / 4
"""Share of the places up to which the last layer runs at the asked ones alone. Measured on a CPU core, forward and backward
through both layers: 1.4 to 2 times quicker at 1/16, 1.2 to 1.7 times at 1/4; at 3/4 hardly anything is won."""
LEAST = 1024
"""Places below which it never does: a forward pass of so few saves less than a millisecond, and of 256 next to nothing."""


@dataclass(frozen=True)
class TransformerConfig:
    """Settings of the Transformer."""

    dim: int = 64
    """Width of states and item vectors (RealHNS, settings)."""
    blocks: int = 2
    """Transformer layers (published code)."""
    heads: int = 1
    """Attention heads (published code)."""
    dropout: float = 0.5
    """Dropout on the input, the attention weights and inside the feed-forward layer (ours: .5; published code: .2)."""
    max_len: int = 200
    """Latest events that are looked at (RealHNS, settings)."""
    attend_padding: bool = False
    """Whether a row padded to ``max_len`` attends to its own padding, as published code does; computed exactly, unpadded."""


class Transformer(nn.Module):
    """Histories to states, with positions counted back from the end of the row.

    Where few places are asked, as when every row is one query, the last layer runs at these alone (see :func:`few_seats`).
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.max_len, self.dropout, self.sink = config.max_len, config.dropout, config.attend_padding
        self.positions = nn.Parameter(torch.empty(config.max_len, config.dim))
        nn.init.xavier_normal_(self.positions)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.dropout, sink=config.attend_padding) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.dim, eps=1e-8)

    def forward(self, history: History, table: Callable[[Tensor], Tensor]) -> Tensor:
        """States h_PD of the queries; where no event precedes, the state of an empty row. ``table``: ids to vectors."""
        if not (self.training or torch.is_grad_enabled() or self.sink) and _is_alone(history):
            return self._alone(history.chunks[0][0], table)
        seated = few_seats(history) if self.blocks else None
        if seated is None:
            return self.last(history, self.places(history, table))
        place_RM, seat_P = seated
        x_TD, shapes, pads = self._below(history, table)
        h_SD = self.norm(self.blocks[-1](x_TD, shapes, pads, place_RM))
        return self.last(replace(history, at_P=seat_P), h_SD)

    def _alone(self, item_L: Tensor, table: Callable[[Tensor], Tensor]) -> Tensor:
        """The state of a single row after its last event, (1, D): as ``forward``, with what a lone row does not need left out."""
        e_LD = table(item_L)
        x_LD = e_LD * e_LD.shape[1] ** 0.5 + self.positions[self.max_len - len(item_L) :]
        for number, block in enumerate(cast(Iterable[Block], self.blocks), start=1):
            x_LD = block.alone(x_LD, 1 if number == len(self.blocks) else len(item_L))
        h_1D: Tensor = self.norm(x_LD[-1:])
        return h_1D

    def last(self, history: History, h_TD: Tensor) -> Tensor:
        """States h_PD of the queries among those of all places."""
        if not history.chunks:
            return self.norm.bias.expand(len(history.at_P), -1)
        return torch.cat([h_TD, self.norm.bias[None]])[history.at_P]

    def places(self, history: History, table: Callable[[Tensor], Tensor]) -> Tensor:
        """States h_TD of all places of the history's chunks laid end to end, those behind the end of a row included."""
        if not history.chunks:
            return self.norm.bias.new_zeros(0, len(self.norm.bias))
        x_TD, shapes, pads = self._below(history, table)
        for block in self.blocks[-1:]:
            x_TD = block(x_TD, shapes, pads)
        h_TD: Tensor = self.norm(x_TD)
        return h_TD

    def _below(
        self, history: History, table: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, list[tuple[int, int]], list[Tensor]]:
        """What the last layer eats: x_TD of all places, the shapes of the chunks and the padded places of their rows."""
        shapes = [(chunk.shape[0], chunk.shape[1]) for chunk in history.chunks]
        pads = [self.max_len - length for length in history.lengths]
        items_T = torch.cat([chunk.flatten() for chunk in history.chunks])
        place_T = torch.cat(
            [
                (pad[:, None] + torch.arange(shape[1], device=pad.device)).clamp(max=self.max_len - 1).flatten()
                for pad, shape in zip(pads, shapes, strict=True)
            ]
        )
        e_TD = table(items_T)
        x_TD = dropout(e_TD * e_TD.shape[1] ** 0.5 + self.positions[place_T], self.dropout, self.training)
        for block in self.blocks[:-1]:
            x_TD = block(x_TD, shapes, pads)
        return x_TD, shapes, pads


def _is_alone(history: History) -> bool:
    """Whether a single query asks, after the last event of a single row."""
    if len(history.chunks) != 1 or len(history.at_P) != 1 or len(history.lengths[0]) != 1:
        return False
    return history.total == int(history.lengths[0]) == int(history.at_P) + 1


def few_seats(history: History) -> tuple[Tensor, Tensor] | None:
    """The asked places, place_RM, and the seat of every query, seat_P; None where they are not few.

    Every row has M seats, as many as distinct places of one row are asked at most; a seat that nobody takes is at the row's
    first place. Where no event precedes a query, its seat is one past the last. A compiled step, which trains at nearly
    every place, is not cut in two to count them.
    """
    if torch.compiler.is_compiling() or history.total < LEAST:
        return None
    width_R = torch.cat([chunk.new_full(chunk.shape[:1], chunk.shape[1]) for chunk in history.chunks])
    start_R1 = F.pad(width_R.cumsum(0), (1, 0))
    place_U, asked_P = torch.unique(history.at_P, return_inverse=True)
    row_U = torch.searchsorted(start_R1, place_U, right=True) - 1
    most = int(torch.bincount(row_U, minlength=1).max())
    if most * len(width_R) > FEW * history.total:
        return None
    seat_U = torch.arange(len(place_U), device=place_U.device) - torch.searchsorted(place_U, start_R1)[row_U]
    place_RM = start_R1[:, None].repeat(1, most)
    place_RM[row_U, seat_U] = place_U
    return place_RM[:-1], (row_U * most + seat_U)[asked_P]
