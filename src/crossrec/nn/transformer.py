"""The causal Transformer over histories that several models share, as the RealHNS and PDRec papers run it.

Source: specs of RealHNS, section 2.1. T places, P queries, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossrec.data.histories import History
from crossrec.nn.attention import Block
from crossrec.nn.dropout import dropout


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
    """Histories to states, with positions counted back from the end of the row."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.max_len, self.dropout = config.max_len, config.dropout
        self.positions = nn.Parameter(torch.empty(config.max_len, config.dim))
        nn.init.xavier_normal_(self.positions)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.dropout, sink=config.attend_padding) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.dim, eps=1e-8)

    def forward(self, history: History, table: Callable[[Tensor], Tensor]) -> Tensor:
        """States h_PD of the queries; where no event precedes, the state of an empty row. ``table``: ids to vectors."""
        return self.last(history, self.places(history, table))

    def last(self, history: History, h_TD: Tensor) -> Tensor:
        """States h_PD of the queries among those of all places."""
        if not history.chunks:
            return self.norm.bias.expand(len(history.at_P), -1)
        return torch.cat([h_TD, self.norm.bias[None]])[history.at_P]

    def places(self, history: History, table: Callable[[Tensor], Tensor]) -> Tensor:
        """States h_TD of all places of the history's chunks laid end to end, those behind the end of a row included."""
        if not history.chunks:
            return self.norm.bias.new_zeros(0, len(self.norm.bias))
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
        for block in self.blocks:
            x_TD = block(x_TD, shapes, pads)
        h_TD: Tensor = self.norm(x_TD)
        return h_TD
