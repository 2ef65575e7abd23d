"""A tiny world, small models and what samplers draw beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher, TrainingRows, Views
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models import table
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives, Sampler
from crossrec.streams import Streams
from crossrec.testing.worlds import tiny_world, world_of

CPU = torch.device("cpu")
SMALL: Mapping[str, Mapping[str, Any]] = {
    "twotower": {"dim": 8, "blocks": 1, "max_len": 20, "residual": False, "similarity": "cosine", "scale": 5.0},
    "dasl": {"dim": 8, "blocks": 1, "max_len": 20},
    "sasrec": {"dim": 8, "blocks": 1, "max_len": 20},
    "bprmf": {"dim": 8},
}


@pytest.fixture(scope="session")
def split() -> Split:
    return LeaveLastOut("toys").apply(tiny_world(users=30))


@pytest.fixture(scope="session")
def three() -> Split:
    """Three domains: two of them are sources."""
    sizes = {"toys": 30, "games": 20, "books": 15}
    return LeaveLastOut("toys").apply(tiny_world(users=40, sizes=sizes, events=24))


@pytest.fixture(scope="session")
def made() -> Callable[..., Model]:
    """``made("twotower", split, dim=4)``: a model in its last phase, in training mode, as it was drawn."""

    def make(kind: str, split: Split, **settings: Any) -> Model:
        model = table.make(kind, **{**SMALL.get(kind, {}), **settings})
        others = [name for name in split.data.catalogue.domains if name != split.target]
        with Streams(1).ambient("init"):
            model.build(split.data.catalogue, split.target, others)
        model.begin(model.phases()[-1])
        return model.train()

    return make


@pytest.fixture(scope="session")
def batch_of() -> Callable[[Model, Split], Batch]:
    """All training queries of a split."""

    def batch(model: Model, split: Split) -> Batch:
        rows = TrainingRows(Batcher(split.events, model.views()), split.train, (split.target,))
        return rows.batch(torch.arange(len(rows)))

    return batch


@dataclass
class Drawn:
    """What a sampler drew for all training queries, and from what."""

    batch: Batch
    found: Negatives
    looked_up: list[Tensor]
    """Ids (P, H) of items whose vectors the sampler made something of, in order."""

    @property
    def hard_PH(self) -> Tensor:
        """The chosen items, also where what came of them are vectors."""
        hard = self.found.hard or self.found
        return self.looked_up[-1] if hard.ids is None else hard.ids


@pytest.fixture(scope="session")
def draw(batch_of) -> Callable[..., Drawn]:
    """Prepare a sampler, begin an epoch, and draw for all training queries of a split."""

    def draws(
        sampler: Sampler, model: Model, split: Split, count: int, *, epoch: int = 1, seed: int = 0, batch: Any = None
    ) -> Drawn:
        generator = torch.Generator().manual_seed(seed)
        sampler.prepare(split, split.target, CPU)
        sampler.begin_epoch(model, epoch, generator)
        asked = batch_of(model, split) if batch is None else batch
        looked_up, items = [], model.items

        def watched(ids: Tensor) -> Tensor:
            looked_up.extend([ids] if ids.ndim == 2 else [])
            return items(ids)

        model.items = watched  # type: ignore[method-assign]  # of this object alone
        try:
            found = sampler.draw(asked, model.queries(asked).detach(), model, count, generator)
        finally:
            del model.items
        return Drawn(asked, found, looked_up)

    return draws


@pytest.fixture(scope="session")
def train_items() -> Callable[[Split, int], set[int]]:
    """What a user has of the target in training."""

    def find(split: Split, user: int) -> set[int]:
        rows = split.train.user_N == user
        spans = zip(split.train.start_N[rows], split.train.stop_N[rows], strict=True)
        items = {int(split.events.item_E[e]) for a, b in spans for e in range(a, b)}
        return items & set(split.data.catalogue.block(split.target))

    return find


@dataclass(frozen=True)
class NoConfig:
    """No settings."""


class Fixed(Model):
    """Item and query vectors that are given, whatever the history."""

    name, Config = "fixed", NoConfig

    def __init__(self, item_VD: Tensor, query_UD: Tensor) -> None:
        super().__init__()
        self.item_VD, self.query_UD = item_VD, query_UD

    def make(self, catalogue: Catalogue) -> None:
        self.start = catalogue.block(self.target).start

    def views(self) -> Views:
        return Views({"history": (self.target,)}, 5)

    def queries(self, batch: Batch) -> Tensor:
        return self.query_UD[batch.user_P]

    def items(self, ids: Tensor) -> Tensor:
        return self.item_VD[ids - self.start]


@pytest.fixture(scope="session")
def fixed() -> Callable[..., tuple[Fixed, Split, Batch]]:
    """``fixed(item_VD, query_UD)``: a model of these vectors, a world in which every user has item 0 in training and holds
    out the items 1 and 2, and the batch of one query of each user for item 0.
    """

    def make(item_VD: Tensor, query_UD: Tensor) -> tuple[Fixed, Split, Batch]:
        users = len(query_UD)
        data = world_of([[("toys", 0, 0), ("toys", 1, 1), ("toys", 2, 2)]] * users, {"toys": len(item_VD)})
        split = LeaveLastOut("toys").apply(data)
        model = Fixed(item_VD, query_UD).build(data.catalogue, "toys")
        assert isinstance(model, Fixed)
        start = data.catalogue.block("toys").start
        return model, split, Batch("toys", {}, torch.arange(users), torch.full((users,), start))

    return make
