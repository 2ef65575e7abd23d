"""What the encoders share: a model that turns one history, of one domain or merged, into states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Model, Phase
from crossrec.nn import similarity
from crossrec.nn.items import ItemTable
from crossrec.nn.similarity import SimilarityConfig

WEIGHTS = {"choose": (1.0, 0.0), "blend": (1.0, 0.75, 0.5, 0.25, 0.0)}
"""Weights of the merged encoder that validation chooses from; of equals the last, the one that trusts the sources least."""


@dataclass(frozen=True)
class EncoderConfig(SimilarityConfig):
    """Settings of every encoder; ``dim`` and ``max_len`` must be among the encoder's own."""

    domains: Literal["target", "merged"] = "target"
    """History: the target domain's events alone, or those of target and sources merged in time order, "(M)"."""
    predict: Literal["target", "all"] = "all"
    """Whose next items train a merged model: the target's alone (specs of PDRec, 2.4), or those of every domain (ours)."""
    guard: Literal["none", "choose", "blend"] = "choose"
    """What keeps sources that do not help from doing harm (ours): ``choose`` trains a model of the target alone as well
    and validation takes the better one; ``blend`` lets it weigh the two (that gains as any ensemble does, source or not);
    ``none`` is the merged model by itself, "(M)" as published."""


class Encoder(Model):
    """Base of the encoders. A subclass's ``parts`` makes an item table and the module that turns histories into states.

    A guarded merged model trains two: one on the target's own history, bit for bit the model that would be trained on
    that domain alone, and one on the merged history. Its query is both queries end to end, weighted, and so is an item's
    vector: the score is the weighted sum of the two scores.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {"sampler": {"name": "uniform", "shared": True}}}
    table: ItemTable
    encoder: nn.Module
    weight: Tensor

    def parts(self, catalogue: Catalogue, domains: tuple[str, ...]) -> tuple[ItemTable, nn.Module]:
        """The items of these domains, and the encoder: a module that takes a history and the table, and gives a state
        per query.
        """
        raise NotImplementedError

    def make(self, catalogue: Catalogue) -> None:
        self.stage = "blend" if self.guarded else "merged"
        if self.guarded:
            self.own_table, self.own_encoder = self.parts(catalogue, (self.target,))
            self.register_buffer("weight", torch.tensor(0.5))
        self.table, self.encoder = self.parts(catalogue, self.reads)

    @property
    def reads(self) -> tuple[str, ...]:
        """The domains whose events are in the history."""
        return (self.target, *self.sources) if self.config.domains == "merged" else (self.target,)

    @property
    def guarded(self) -> bool:
        """Whether a model of the target alone stands beside the merged one."""
        return self.config.guard != "none" and len(self.reads) > 1

    def views(self) -> Views:
        reads = {"own": (self.target,), "history": self.reads}
        wanted = {"own": ("own",), "merged": ("history",), "blend": ("own", "history")}[self.stage]
        return Views({name: reads[name] for name in wanted}, self.config.max_len)

    def asks(self) -> Views:
        views = self.views()
        if self.stage != "blend":
            return views
        counts = dict(zip(("own", "history"), self.counts, strict=True))
        return replace(views, domains={name: domains for name, domains in views.domains.items() if counts[name]})

    def phases(self) -> tuple[Phase, ...]:
        merged = Phase("merged" if self.guarded else "train", self.target, also=self.serves()[1:])
        if not self.guarded:
            return (merged,)
        own = Phase("own", self.target, modules=("own_table", "own_encoder"))
        return (own, merged, Phase("blend", self.target, choices=WEIGHTS[self.config.guard]))

    def begin(self, phase: Phase) -> None:
        self.stage = "merged" if phase.name == "train" else phase.name

    def choose(self, value: float) -> None:
        self.weight.fill_(value)

    def serves(self) -> tuple[str, ...]:
        return self.reads if self.config.predict == "all" else (self.target,)

    @property
    def active(self) -> tuple[str, ItemTable, nn.Module]:
        """What is trained now: the view's name, the item table and the encoder."""
        return (
            ("own", self.own_table, self.own_encoder) if self.stage == "own" else ("history", self.table, self.encoder)
        )

    def states(self, batch: Batch) -> Tensor:
        """States h_PD of the encoder that is trained now (once trained, the merged one's), before they are compared."""
        view, table, encoder = self.active
        h_PD: Tensor = encoder(batch.histories[view], table)
        return h_PD

    def queries(self, batch: Batch) -> Tensor:
        if self.stage != "blend":
            return self._ready(self.states(batch))
        halves, asks_target = [], batch.domain == self.target
        own, merged = self.counts
        if merged:
            query_PD = self._ready(self.states(batch))
            halves.append(self.weight * query_PD if asks_target else query_PD)
        if own and asks_target:
            own_PD = self._ready(self.own_encoder(batch.histories["own"], self.own_table))
            halves.insert(0, (1 - self.weight) * own_PD)
        elif own:  # the encoder of the target alone knows no other domain's items
            halves.insert(0, torch.zeros_like(halves[0]))
        return torch.cat(halves, -1)

    @property
    def counts(self) -> tuple[bool, bool]:
        """Of the blend: whether the model of the target alone counts, and the merged one; what has no weight is not computed."""
        weight = float(self.weight)
        return weight < 1, weight > 0 or len(self.serves()) > 1

    def items(self, ids: Tensor) -> Tensor:
        tables = [self.active[1]]
        if self.stage == "blend":
            pair = zip((self.own_table, self.table), self.counts, strict=True)
            tables = [table for table, has in pair if has]
        return torch.cat([similarity.item(table(ids), self.config.similarity) for table in tables], -1)

    def _ready(self, h_PD: Tensor) -> Tensor:
        return similarity.query(h_PD, self.config.similarity, self.config.scale)
