"""Tiny worlds, models to look into and plug-ins prepared for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher, TrainingRows, Views
from crossrec.data.splits import AuthorsLeaveLastOut, LeaveLastOut, Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models import table
from crossrec.models.base import Model, still
from crossrec.plugins.pdrec import PDRec
from crossrec.streams import Streams
from crossrec.testing.worlds import Event, tiny_world, world_of

SMALL: Mapping[str, Mapping[str, Any]] = {
    "sasrec": {"dim": 8, "blocks": 1, "max_len": 20},
    "bprmf": {"dim": 8},
}


@pytest.fixture(scope="session")
def split() -> Split:
    return LeaveLastOut("toys").apply(tiny_world(users=30))


@pytest.fixture(scope="session")
def made() -> Callable[..., Model]:
    """``made("sasrec", split, dim=4)``: a model in its last phase, as it was drawn."""

    def make(kind: str, split: Split, seed: int = 1, **settings: Any) -> Model:
        model = table.make(kind, **{**SMALL.get(kind, {}), **settings})
        others = [name for name in split.data.catalogue.domains if name != split.target]
        with Streams(seed).ambient("init"):
            model.build(split.data.catalogue, split.target, others)
        if model.phases():
            model.begin(model.phases()[-1])
        return model.train()

    return make


def rows_of(model: Model, split: Split, domains: Sequence[str] = (), first: str = "any") -> TrainingRows:
    """The training rows of a phase that predicts these domains, the target unless said."""
    return TrainingRows(Batcher(split.events, model.views()), split.train, domains or (split.target,), first)


@dataclass
class Prepared:
    """A plug-in, what it looked into, and the training rows that it was prepared for."""

    plugin: PDRec
    source: Model
    rows: TrainingRows
    split: Split
    domain: str

    def batch(self, chosen: Sequence[int] | None = None) -> Batch:
        """The queries of all rows, or of some."""
        index = torch.arange(len(self.rows)) if chosen is None else torch.tensor(chosen)
        return self.rows.batch(index)

    def drawn(self, times: int = 1, seed: int = 0) -> Tensor:
        """Negatives of all queries, so many of each, as one large batch would draw them: (P, times)."""
        batch = self.batch()
        assert batch.at_P is not None
        many = Batch(
            batch.domain, {}, batch.user_P.repeat(times), batch.positive_P.repeat(times), batch.at_P.repeat(times)
        )
        ids = self.plugin.negatives(many, torch.Generator().manual_seed(seed))
        assert ids is not None
        return ids.view(times, -1).T

    def scores(self, n: int) -> list[float]:
        """What the source thinks of every item of the domain, once it knows all of the n-th predicted row."""
        rows, source = self.plugin.rows, self.source
        at = [torch.tensor([int(array[n])]) for array in (rows.user_N, rows.start_N, rows.stop_N)]
        batcher = Batcher(self.split.events, source.views())
        batch = batcher.batch(self.domain, at[0], at[1], torch.tensor([0]), at[2], None)
        with still(source):
            found: list[float] = source.scores(batch, self.domain)[0].tolist()
        return found

    def own(self, n: int, held_out: bool = False) -> set[int]:
        """Columns of what the user of the n-th predicted row has in training, or in all the data."""
        user, train, events = int(self.plugin.rows.user_N[n]), self.split.train, self.split.events
        mine = train.user_N == user
        spans = list(zip(train.start_N[mine], train.stop_N[mine], strict=True))
        if held_out:
            spans = [(self.split.data.offset_U1[user], self.split.data.offset_U1[user + 1])]
        block = self.split.data.catalogue.block(self.domain)
        return {int(events.item_E[e]) - block.start for a, b in spans for e in range(a, b) if events.item_E[e] in block}

    def ranking(self, n: int) -> list[int]:
        """Columns of all items of the domain, the most preferred first."""
        score = self.scores(n)
        return sorted(range(len(score)), key=lambda column: -score[column])


@pytest.fixture(scope="session")
def prepare(made) -> Callable[..., Prepared]:
    """``prepare(split, source, low_from=.9)``: PDRec prepared for an encoder on the target, or for ``model``."""

    def prepares(
        split: Split,
        source: Model,
        model: Model | None = None,
        domains: Sequence[str] = (),
        domain: str | None = None,
        first: str = "any",
        **settings: Any,
    ) -> Prepared:
        trained = made("sasrec", split) if model is None else model
        rows = rows_of(trained, split, domains, first)
        plugin = PDRec(**settings)
        plugin.prepare(split, rows, domain or split.target, source)
        return Prepared(plugin, source, rows, split, domain or split.target)

    return prepares


@dataclass(frozen=True)
class NoConfig:
    """No settings."""


class Fixed(Model):
    """Scores that are given: per user of every item of a domain, the padding in front; whatever the history."""

    name, Config = "fixed", NoConfig

    def __init__(self, score_UG: Tensor, domain: str = "toys", max_len: int = 20) -> None:
        super().__init__()
        self.score_UG, self.domain, self.max_len = score_UG, domain, max_len

    def make(self, catalogue: Catalogue) -> None:
        self.start = catalogue.block(self.domain).start

    def serves(self) -> tuple[str, ...]:
        return (self.domain,)

    def views(self) -> Views:
        return Views({"history": (self.domain,)}, self.max_len)

    def queries(self, batch: Batch) -> Tensor:
        return self.score_UG[batch.user_P]

    def items(self, ids: Tensor) -> Tensor:
        return torch.eye(self.score_UG.shape[1])[torch.where(ids > 0, ids - self.start + 1, 0)]


@pytest.fixture(scope="session")
def fixed() -> Callable[..., Fixed]:
    """``fixed(split, score_UV, padding)``: a model of these scores; all users score the padding alike."""

    def make(
        split: Split, score_UV: Sequence[Sequence[float]] | Tensor, padding: float = 0.0, max_len: int = 20
    ) -> Fixed:
        score = torch.as_tensor(score_UV)
        model = Fixed(torch.cat([torch.full((len(score), 1), padding), score], 1), split.target, max_len)
        model.build(split.data.catalogue, split.target)
        return model

    return make


@pytest.fixture(scope="session")
def golden() -> Callable[..., Split]:
    """``golden()``: specs of PDRec, 4.4. User 0 has the items 7 and 6 in training, 2 and 10 held out, of ten toys (items are
    numbered from 1 there); user 1 is there for the published split, which leaves the last user out.
    """

    def make(authors: bool = False) -> Split:
        toys: list[Event] = [("toys", item - 1, time) for time, item in enumerate((7, 6, 2, 10), 1)]
        data = world_of([[("games", 0, 0), *toys]] * 2, {"toys": 10, "games": 2})
        return (AuthorsLeaveLastOut if authors else LeaveLastOut)("toys").apply(data)

    return make
