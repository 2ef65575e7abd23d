"""Pop: the most popular items of the target domain, the same for everyone. Source: specs of DDGHM, section 3.1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Views
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Model, Phase


@dataclass(frozen=True)
class PopConfig:
    """Pop has nothing to set."""


class Pop(Model):
    """The most popular items of the target domain, the same for everyone.

    Score of an item: how often it occurs in the training rows (the published c / (1 + c) ranks the same).
    """

    name = "pop"
    Config = PopConfig
    count_V: Tensor

    def make(self, catalogue: Catalogue) -> None:
        self.register_buffer("count_V", torch.zeros(len(catalogue.block(self.target))))

    def views(self) -> Views:
        return Views({})

    def phases(self) -> tuple[Phase, ...]:
        return ()

    def learn(self, split: Split) -> None:
        block = self.block(self.target)
        at = np.unique(split.events.within(split.train, self.target)[1])
        count_V = np.bincount(split.events.item_E[at] - block.start, minlength=len(block))
        self.count_V.copy_(torch.as_tensor(count_V))

    def queries(self, batch: Batch) -> Tensor:
        """The same for all: ones (P, 1)."""
        return self.count_V.new_ones(len(batch), 1)

    def items(self, ids: Tensor) -> Tensor:
        return self.count_V[ids - self.block(self.target).start, None]
