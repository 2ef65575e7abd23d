"""What the encoders share: a model that turns one history, of one domain or merged, into states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.models.base import Model, Phase
from crossrec.nn import similarity
from crossrec.nn.items import ItemTable
from crossrec.nn.similarity import SimilarityConfig


@dataclass(frozen=True)
class EncoderConfig(SimilarityConfig):
    """Settings of every encoder; ``max_len`` must be among the encoder's own."""

    domains: Literal["target", "merged"] = "target"
    """History: the target domain's events alone, or those of target and sources merged in time order, "(M)"."""
    predict: Literal["target", "all"] = "target"
    """Whose next items train a merged model: the target's alone (specs of PDRec, 2.4), or those of every domain (ours)."""


class Encoder(Model):
    """Base of the encoders. A subclass's ``make`` fills ``table`` and ``encoder``: a module that takes a history and the
    table and gives a state per query.
    """

    table: ItemTable
    encoder: nn.Module

    @property
    def reads(self) -> tuple[str, ...]:
        """The domains whose events are in the history."""
        return (self.target, *self.sources) if self.config.domains == "merged" else (self.target,)

    def views(self) -> Views:
        return Views({"history": self.reads}, self.config.max_len)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train", self.target, also=self.serves()[1:]),)

    def serves(self) -> tuple[str, ...]:
        return self.reads if self.config.predict == "all" else (self.target,)

    def states(self, batch: Batch) -> Tensor:
        """States h_PD before they are compared."""
        h_PD: Tensor = self.encoder(batch.histories["history"], self.table)
        return h_PD

    def queries(self, batch: Batch) -> Tensor:
        return similarity.query(self.states(batch), self.config.similarity, self.config.scale)

    def items(self, ids: Tensor) -> Tensor:
        return similarity.item(self.table(ids), self.config.similarity)
