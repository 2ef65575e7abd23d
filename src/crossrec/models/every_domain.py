"""What models share that read several domains, are trained on the next items of all they read, and answer in all."""

from __future__ import annotations

from torch import Tensor

from crossrec.data.batches import Batch, Views
from crossrec.models.base import Model, Phase
from crossrec.nn.by_domain import asked
from crossrec.nn.items import ItemTable


class EveryDomain(Model):
    """Base of models that are trained on, and recommend in, every domain that they read.

    These are the target and all sources, or with a setting ``domains`` of ``target`` the target alone.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """The domains that are read, the target first: a domain's place here is its number."""
        return (self.target,) if getattr(self.config, "domains", "") == "target" else (self.target, *self.sources)

    @property
    def blocks(self) -> list[range]:
        """The ids of every domain, by its number."""
        return [self.block(name) for name in self.reads]

    def views(self) -> Views:
        return Views({"history": self.reads}, self.config.max_len)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train", self.target, also=self.reads[1:]),)

    def serves(self) -> tuple[str, ...]:
        return self.reads

    def asked(self, batch: Batch) -> Tensor:
        """Number of the domain that every query asks for: that of its positive, else the batch's; (P,)."""
        return asked(batch, self.reads, self.blocks)


class TableModel(EveryDomain):
    """Base of those whose item vectors are the rows of their table as they are."""

    table: ItemTable

    def items(self, ids: Tensor) -> Tensor:
        e: Tensor = self.table(ids)
        return e

    def item_block(self, domain: str) -> Tensor:
        return self.table.block(domain)
