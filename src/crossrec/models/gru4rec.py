"""GRU4Rec: a gated recurrent unit over a history (Hidasi et al. 2016), as the PDRec paper runs it.

Source: specs of PDRec, section 2.2. One layer, a learned first state, the head and loss of the family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from crossrec.data.vocabulary import Catalogue
from crossrec.models.encoder import Encoder, EncoderConfig
from crossrec.models.published import PDREC_TRAINING
from crossrec.nn.gru import Recurrence
from crossrec.nn.items import ItemTable


@dataclass(frozen=True)
class _GRUConfig:
    """Settings of the recurrence."""

    dim: int = 64
    """Width of states and item vectors (PDRec, settings)."""
    dropout: float = 0.2
    """Dropout on the input (ours; published code: none)."""
    max_len: int = 200
    """Latest events that are looked at (PDRec, settings)."""
    consume_padding: bool = False
    """Whether a row padded to ``max_len`` runs over its own padding first, as published code does; computed exactly, unpadded."""


@dataclass(frozen=True)
class GRU4RecConfig(EncoderConfig, _GRUConfig):
    """Settings of GRU4Rec."""


class GRU4Rec(Encoder):
    """One GRU layer over one domain's history or the merged one."""

    name = "gru4rec"
    Config = GRU4RecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"sampler": {"name": "uniform", "shared": True}},
        "authors": {
            "model": {
                "consume_padding": True,
                "dropout": 0.0,
                "similarity": "cosine",
                "scale": 5.0,
                "predict": "target",
                "guard": "none",
            },
            "train": PDREC_TRAINING,
            "sampler": {"name": "uniform", "shared": False},
        },
    }

    def parts(self, catalogue: Catalogue, domains: tuple[str, ...]) -> tuple[ItemTable, nn.Module]:
        config: GRU4RecConfig = self.config
        padding = "random" if config.consume_padding else "zero"
        table = ItemTable(catalogue, domains, config.dim, padding=padding)
        return table, Recurrence(config.dim, config.dropout, config.max_len, padding=config.consume_padding)
