"""SASRec: self-attention over a history (Kang and McAuley 2018), as the RealHNS and PDRec papers run it.

Source: specs of RealHNS, sections 2.1 and 2.2; of PDRec, sections 2.1 and 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from crossrec.data.vocabulary import Catalogue
from crossrec.models.encoder import Encoder, EncoderConfig
from crossrec.models.published import PDREC_TRAINING
from crossrec.nn.items import ItemTable
from crossrec.nn.transformer import Transformer, TransformerConfig


@dataclass(frozen=True)
class SASRecConfig(EncoderConfig, TransformerConfig):
    """Settings of SASRec."""


class SASRec(Encoder):
    """Causal Transformer over one domain's history or the merged one."""

    name = "sasrec"
    Config = SASRecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"sampler": {"name": "uniform", "shared": True}},
        "authors": {
            "model": {
                "attend_padding": True,
                "similarity": "cosine",
                "scale": 5.0,
                "dropout": 0.2,
                "predict": "target",
                "guard": "none",
            },
            "train": PDREC_TRAINING,
            "sampler": {"name": "uniform", "shared": False},
        },
    }

    def parts(self, catalogue: Catalogue, domains: tuple[str, ...]) -> tuple[ItemTable, nn.Module]:
        return ItemTable(catalogue, domains, self.config.dim), Transformer(self.config)
