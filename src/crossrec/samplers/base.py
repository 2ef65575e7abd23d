"""What a sampler is: it draws the negatives of a batch and never knows which encoder it serves.

Shapes: P queries, K negatives of each, M negatives shared by all queries of the batch, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crossrec.config import from_settings
from crossrec.data.batches import Batch
from crossrec.data.splits import Events, Rows, Split
from crossrec.models.base import Model


@dataclass(frozen=True)
class Negatives:
    """What a sampler drew: ids (P, K), or ids (M,) shared by all queries, or vectors (P, K, D) ready for the product."""

    ids: Tensor | None = None
    vectors: Tensor | None = None
    log_q: Tensor | None = None
    """ln of the probability of each draw, of the shape of ``ids`` or (): sampled softmax corrects by it. None: unknown."""
    hard: Negatives | None = None
    """Further negatives that were chosen rather than drawn: each stands for itself alone, whatever the loss."""


class SeenPairs:
    """Which items of a domain each user has in the training rows: membership of many pairs at once."""

    def __init__(self, events: Events, rows: Rows, domain: str, device: torch.device) -> None:
        row, at = events.within(rows, domain)
        self.num_ids = events.catalogue.num_ids
        keys = np.unique(rows.user_N[row] * self.num_ids + events.item_E[at])
        self.key_S = torch.as_tensor(keys, device=device)

    def contains(self, user_P: Tensor, ids_PK: Tensor) -> Tensor:
        """Whether user p has each of the items: bool, the shape of ``ids_PK``."""
        if not len(self.key_S):
            return torch.zeros_like(ids_PK, dtype=torch.bool)
        key_PK = user_P[:, None] * self.num_ids + ids_PK
        place = torch.searchsorted(self.key_S, key_PK).clamp(max=len(self.key_S) - 1)
        return self.key_S[place] == key_PK


class Sampler:
    """Base of the samplers. A subclass fills ``draw``; one with a state between epochs saves it in ``state``."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    compares: ClassVar[bool] = False
    """Whether it compares queries with items itself, by their product: models that score otherwise cannot be given it."""

    def __init__(self, config: Any = None, **settings: Any) -> None:
        self.config = from_settings(self.Config, settings, base=config)

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        """Called once before a phase that predicts ``domain``: look at the training rows, and at nothing else."""
        self.block = split.data.catalogue.block(domain)
        self.seen = SeenPairs(split.events, split.train, domain, device)
        self.device = device

    def begin_epoch(self, model: Model, epoch: int, generator: torch.Generator) -> None:
        """Called before every epoch (1, 2, ...) of a phase, and again where a run is resumed at one."""

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        """``count`` negatives for every query, none of them among the user's training items."""
        raise NotImplementedError

    def unseen(self, user_P: Tensor, draw: Callable[[tuple[int, ...]], Tensor], count: int) -> Tensor:
        """``count`` ids for each user, (P, count), by ``draw``, which takes a shape; what a user has in training is drawn
        again."""
        ids_PK = draw((len(user_P), count))
        for _ in range(ATTEMPTS):
            taken_PK = self.seen.contains(user_P, ids_PK)
            num_taken = int(taken_PK.sum())
            if not num_taken:
                break
            ids_PK[taken_PK] = draw((num_taken,))
        return ids_PK

    def facts(self) -> dict[str, float]:
        """What is worth recording of the epoch that has just ended; it goes into ``metrics.jsonl``."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """What must be saved between epochs for an exact resume."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take a saved state."""


ATTEMPTS = 100
"""Redraws before a seen item is kept all the same: reached only where a user has all but every item."""
