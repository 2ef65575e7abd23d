"""SASRec: self-attention over a history (Kang and McAuley 2018), as the RealHNS and PDRec papers run it.

Source: specs of RealHNS, sections 2.1 and 2.2; of PDRec, sections 2.1 and 2.4. T places, P queries, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.histories import History
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Model
from crossrec.nn import similarity
from crossrec.nn.attention import Block
from crossrec.nn.dropout import dropout
from crossrec.nn.items import ItemTable


@dataclass(frozen=True)
class SASRecConfig:
    """Settings of SASRec."""

    dim: int = 64
    """Width of states and item vectors (RealHNS, settings)."""
    blocks: int = 2
    """Transformer layers (published code)."""
    heads: int = 1
    """Attention heads (published code)."""
    dropout: float = 0.2
    """Dropout on the input, the attention weights and inside the feed-forward layer (published code)."""
    max_len: int = 200
    """Latest events that are looked at (RealHNS, settings)."""
    domains: Literal["target", "merged"] = "target"
    """History: the target domain's events alone, or those of target and sources merged in time order, "(M)"."""
    attend_padding: bool = False
    """Whether a row padded to ``max_len`` attends to its own padding, as published code does; computed exactly, unpadded."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """How a state and an item are compared (published code: cosine)."""
    scale: float = 5.0
    """Factor on the similarity: the inverse temperature (published code, Amazon: 5)."""


class Transformer(nn.Module):
    """The encoder itself: histories to states, with positions counted back from the end of the row."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.max_len, self.dropout = config.max_len, config.dropout
        self.positions = nn.Parameter(torch.empty(config.max_len, config.dim))
        nn.init.xavier_normal_(self.positions)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.dropout, sink=config.attend_padding) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.dim, eps=1e-8)

    def forward(self, history: History, table: ItemTable) -> Tensor:
        """States h_PD of the queries; where no event precedes, the state of an empty row."""
        if not history.chunks:
            return self.norm.bias.expand(len(history.at_P), -1)
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
        return torch.cat([self.norm(x_TD), self.norm.bias[None]])[history.at_P]


class SASRec(Model):
    """Causal Transformer over one domain's history or the merged one."""

    name = "sasrec"
    Config = SASRecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"sampler": {"name": "uniform", "shared": True}},
        "authors": {
            "model": {"attend_padding": True, "similarity": "cosine", "scale": 5.0},
            "train": {"loss": "bce", "negatives": 1, "lr": 5e-3, "betas": (0.9, 0.98), "decay": 0.99, "batch": 128},
            "sampler": {"name": "uniform", "shared": False},
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        self.table = ItemTable(catalogue, self._domains, self.config.dim)
        self.encoder = Transformer(self.config)

    @property
    def _domains(self) -> tuple[str, ...]:
        return (self.target, *self.sources) if self.config.domains == "merged" else (self.target,)

    def views(self) -> Views:
        return Views({"history": self._domains}, self.config.max_len)

    def states(self, batch: Batch) -> Tensor:
        """States h_PD before they are compared."""
        h_PD: Tensor = self.encoder(batch.histories["history"], self.table)
        return h_PD

    def queries(self, batch: Batch) -> Tensor:
        return similarity.query(self.states(batch), self.config.similarity, self.config.scale)

    def items(self, ids: Tensor) -> Tensor:
        return similarity.item(self.table(ids), self.config.similarity)
