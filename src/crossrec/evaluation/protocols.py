"""Protocols: which candidates a held-out item is ranked among, and what is kept of each instance."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crossrec.data.arrow import from_numpy
from crossrec.data.batches import Batcher
from crossrec.data.splits import Part
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.evaluation import candidates, metrics, ranks
from crossrec.models.base import Model
from crossrec.streams import derive

AUTHORS_NEGATIVES = 99
"""Negatives of the authors' protocol (RealHNS and PDRec, specs)."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranks of the held-out items of a part under one protocol: (N,) each."""

    protocol: str
    part: Part
    rank_N: npt.NDArray[np.float64]
    candidates_N: Ints
    negatives_hash: str | None = None
    """Hash of the drawn candidates: rankings are comparable only where it is the same. None for ``full``."""

    def summary(self, names: tuple[str, ...] = metrics.DEFAULT) -> dict[str, float]:
        """Mean of every metric, and the number of users."""
        return dict(metrics.summary(self.rank_N, self.candidates_N, names))

    def __str__(self) -> str:
        figures = self.summary()
        title = f"{self.part.target}, {self.part.name}, protocol {self.protocol}, {figures.pop('users')} users"
        lines = [title, *(f"  {name:<8} {value:.4f}" for name, value in figures.items())]
        return "\n".join([*lines, *([self.part.leak] if self.part.leak else [])])

    def table(self) -> pa.Table:
        """One row per instance, in own ids: user_id, item_id, rank, candidates and the events of every domain known."""
        data, part = self.part.data, self.part
        columns = {
            "user_id": data.users.ids(part.user_N),
            "item_id": data.items[part.target].ids(part.item_N - data.catalogue.block(part.target).start),
            "rank": from_numpy(self.rank_N),
            "candidates": from_numpy(self.candidates_N),
        }
        lengths = {f"history_{name}": from_numpy(count) for name, count in part.history_lengths().items()}
        return pa.table(columns | lengths)


def num_negatives(protocol: str) -> int | None:
    """Negatives that a protocol draws; None for ``full``. Raises InputError for an unknown protocol."""
    if protocol == "full":
        return None
    if protocol == "authors":
        return AUTHORS_NEGATIVES
    found = re.fullmatch(r"sampled:([1-9]\d*)", protocol)
    if not found:
        raise InputError(
            f"There is no protocol {protocol!r}. Known: full, sampled:N (for example sampled:99), authors."
        )
    return int(found[1])


class Protocol:
    """One way of ranking the instances of a part.

    ``sampled:N`` draws its candidates once per (data, split, seed): every model and every evaluation shares them.
    ``authors`` draws anew for every ``draw`` number, as the published code does at each evaluation.
    """

    def __init__(self, name: str, part: Part, seed: int = 0) -> None:
        self.name, self.part, self.seed = name, part, seed
        self.count = num_negatives(name)
        self._shared: Ints | None = None

    def candidates(self, draw: int = 0) -> Ints:
        """The negatives of every instance: global ids (N, count)."""
        assert self.count is not None, "the protocol 'full' draws nothing"
        if self.name == "authors":
            return candidates.draw(self.part, self.count, self._generator(f":{draw}"))
        if self._shared is None:
            self._shared = candidates.draw(self.part, self.count, self._generator(""))
        return self._shared

    def rank(self, model: Model, batcher: Batcher, draw: int = 0) -> Ranking:
        """Rank every held-out item of the part."""
        if self.count is None:
            size = len(self.part.events.catalogue.block(self.part.target))
            return self._ranking(ranks.full(model, batcher, self.part), size, None)
        drawn = self.candidates(draw)
        return self._ranking(ranks.among(model, batcher, self.part, drawn), 1 + self.count, candidates.digest(drawn))

    def _generator(self, suffix: str) -> np.random.Generator:
        return np.random.default_rng(derive(self.seed, f"evaluation:{self.part.name}{suffix}"))

    def _ranking(self, rank_N: npt.NDArray[np.float64], count: int, drawn: str | None) -> Ranking:
        return Ranking(self.name, self.part, rank_N, np.full(len(rank_N), count), drawn)
