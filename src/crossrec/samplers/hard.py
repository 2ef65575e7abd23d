"""What the hard-negative samplers share: a part of a positive's negatives is chosen, the others are drawn uniformly.

Shapes: P queries, K negatives of each, H of them hard, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.samplers import curriculum
from crossrec.samplers.base import Negatives, Sampler
from crossrec.samplers.curriculum import CurriculumConfig
from crossrec.samplers.uniform import Uniform


@dataclass(frozen=True)
class HardConfig(CurriculumConfig):
    """Settings of every hard-negative sampler."""

    hard: int = 10
    """How many negatives of a positive are chosen; the others are uniform (RealHNS: 10 of 20)."""
    shared: bool = False
    """Whether the uniform negatives are one draw for all queries of a batch."""
    gradual: bool = False
    """Whether the number of hard negatives grows from none, as in RealHNS, or is whole from the first epoch."""


class HardSampler(Sampler):
    """Base of the hard-negative samplers: a subclass fills ``choose``."""

    compares = True

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self.check()

    def check(self) -> None:
        """Raises InputError for settings that make no sense, before anything is trained."""
        self.at_least(0, "hard", "start", "step")
        self.at_least(1, "every")

    def at_least(self, least: int, *settings: str) -> None:
        """Raises InputError where one of these settings is smaller."""
        for key in settings:
            value = getattr(self.config, key)
            if value < least:
                raise InputError(f"{type(self.config).__qualname__}.{key} must be at least {least}, not {value:g}.")

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        super().prepare(split, domain, device)
        self.uniform = Uniform(shared=self.config.shared)
        self.uniform.prepare(split, domain, device)
        self.epoch = 1

    def begin_epoch(self, model: Model, epoch: int, generator: torch.Generator) -> None:
        self.epoch = epoch

    @property
    def number(self) -> int:
        """Hard negatives of every positive in this epoch."""
        return curriculum.number(self.config, self.epoch, self.config.hard) if self.config.gradual else self.config.hard

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        number = min(self.number, count)
        if not number:
            return self.uniform.draw(batch, query_PD, model, count, generator)
        hard = self.choose(batch, model, number, generator)
        if number == count:
            return hard
        return replace(self.uniform.draw(batch, query_PD, model, count - number, generator), hard=hard)

    def choose(self, batch: Batch, model: Model, number: int, generator: torch.Generator) -> Negatives:
        """``number`` hard negatives of every query: ids (P, H) or vectors (P, H, D)."""
        raise NotImplementedError
