"""What models with one encoder per domain share: their towers, and their training one by one before all together.

Every tower is a Transformer that reads its own domain's history. Source: specs of RealHNS, section 2.3, for any number of
source domains. P queries, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import CrossDomainModel, Needs, Phase
from crossrec.models.published import PDREC_TRAINING, REALHNS_TRAINING
from crossrec.nn import similarity
from crossrec.nn.items import ItemTable
from crossrec.nn.similarity import SimilarityConfig
from crossrec.nn.transformer import Transformer, TransformerConfig


@dataclass(frozen=True)
class TowersConfig(SimilarityConfig, TransformerConfig):
    """Settings of the towers and of their training one by one."""

    residual: bool = True
    """Whether the fusion is added to the target's own state, from zero, so that it starts as the target's tower (ours);
    False: the fusion takes its place, as published."""
    source_epochs: int = 20
    """Epochs of pre-training of each source's tower; the target's is trained until validation stops it (ours)."""
    pretrain_lr: float | None = 1e-3
    """Learning rate of the pre-training; None: that of the joint training (published: 5e-3, against 5e-4)."""
    pretrain_negatives: int | None = None
    """Negatives of the pre-training; None: as in the joint training (published: 1, against 20)."""
    pretrain_shared: bool = True
    """Whether the queries of a batch share the negatives of the pre-training, which are uniform (ours; published: not)."""


class Tower(nn.Module):
    """One domain's items and the encoder of its histories."""

    def __init__(self, catalogue: Catalogue, domain: str, config: TowersConfig) -> None:
        super().__init__()
        self.table = ItemTable(catalogue, (domain,), config.dim)
        self.encoder = Transformer(config)


class Towers(CrossDomainModel):
    """One encoder per domain, each trained alone on its own domain first, then all together behind a fusion.

    While a tower is trained alone, queries and items are its own; from the joint phase on, queries are fused states and
    items are those of the target's tower. A subclass's ``domain_states`` says what is fused.
    """

    needs = Needs(min_domains=2, overlap=True)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {"lr": 3e-4}, "sampler": {"name": "uniform", "shared": True}},
        "authors": {
            "model": {
                "attend_padding": True,
                "residual": False,
                "similarity": "cosine",
                "scale": 5.0,
                "dropout": 0.2,
                "source_epochs": 120,
                "pretrain_lr": PDREC_TRAINING["lr"],
                "pretrain_negatives": PDREC_TRAINING["negatives"],
                "pretrain_shared": False,
            },
            "train": REALHNS_TRAINING,
            "sampler": {"name": "uniform", "shared": False},
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        names = (*self.sources, self.target)
        self.alone: str | None = None
        self.towers = nn.ModuleList(Tower(catalogue, name, self.config) for name in names)
        self.place = {name: number for number, name in enumerate(names)}
        dim = self.config.dim
        self.fusion = nn.Sequential(nn.Linear(len(names) * dim, dim), nn.LeakyReLU(0.01), nn.Linear(dim, dim))
        for weight in self.fusion.parameters():
            if weight.ndim > 1:
                nn.init.xavier_normal_(weight)
        if self.config.residual:
            for parameter in self.fusion[2].parameters():
                nn.init.zeros_(parameter)

    def phases(self) -> tuple[Phase, ...]:
        own = {"lr": self.config.pretrain_lr, "negatives": self.config.pretrain_negatives}
        train = {key: value for key, value in own.items() if value is not None}
        alone = [
            Phase(
                f"alone:{name}",
                name,
                modules=(f"towers.{self.place[name]}",),
                train=train | extra,
                sampler={"name": "uniform", "shared": self.config.pretrain_shared},
                plugin=False,
            )
            for name, extra in (
                *((source, {"epochs": self.config.source_epochs}) for source in self.sources),
                (self.target, {}),
            )
        ]
        return (*alone, Phase("joint", self.target))

    def begin(self, phase: Phase) -> None:
        self.alone = None if phase.name == "joint" else phase.domain

    def views(self) -> Views:
        names = tuple(self.place) if self.alone is None else (self.alone,)
        return Views({name: (name,) for name in names}, self.config.max_len)

    def tower(self, domain: str) -> Tower:
        """The tower of a domain."""
        found = self.towers[self.place[domain]]
        assert isinstance(found, Tower)
        return found

    def tower_states(self, batch: Batch, domain: str) -> Tensor:
        """States h_PD of one tower: after the domain's last event before the positive."""
        tower = self.tower(domain)
        h_PD: Tensor = tower.encoder(batch.histories[domain], tower.table)
        return h_PD

    def fused(self, states: Mapping[str, Tensor]) -> Tensor:
        return self._fuse(states, states[self.target])

    def queries(self, batch: Batch) -> Tensor:
        """Queries q_PD: of the tower that is trained alone, else fused."""
        if self.alone is not None:
            return self._ready(self.tower_states(batch, self.alone))
        return self.fused(self.domain_states(batch))

    def items(self, ids: Tensor) -> Tensor:
        return similarity.item(self.tower(self.alone or self.target).table(ids), self.config.similarity)

    def _fuse(self, states: Mapping[str, Tensor], own_PD: Tensor) -> Tensor:
        u_PD: Tensor = self.fusion(torch.cat([states[name] for name in self.place], -1))
        return self._ready(own_PD + u_PD if self.config.residual else u_PD)

    def _ready(self, h_PD: Tensor) -> Tensor:
        return similarity.query(h_PD, self.config.similarity, self.config.scale)
