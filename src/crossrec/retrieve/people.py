"""Who asks: the events that count for each, as global ids. N people, L events of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec.data.askers import Askers, askers
from crossrec.data.ragged import stretches
from crossrec.data.vocabulary import Ints
from crossrec.recommender import History, Recommender


@dataclass(frozen=True)
class People:
    """N people and their events, oldest first, end to end; items that the run does not know are in none."""

    count_N: Ints
    person_L: Ints
    id_L: Ints

    @classmethod
    def of(
        cls, recommender: Recommender, users: Sequence[Any] | Any | None, histories: Sequence[History] | None
    ) -> People:
        """Those of whom :meth:`Recommender.recommend` speaks. Raises InputError for an unknown user or domain."""
        return cls.asking(askers(recommender.data, users, histories))

    @classmethod
    def asking(cls, asked: Askers) -> People:
        """Those who ask."""
        count_N = np.asarray(asked.stop_N - asked.start_N, dtype=np.int64)
        person_L, at_L = stretches(np.asarray(asked.start_N), count_N)
        return cls(count_N, person_L, np.asarray(asked.events.item_E[at_L], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.count_N)

    def age_L(self) -> Ints:
        """How many events of the same person came later, (L,)."""
        return np.asarray(np.cumsum(self.count_N)[self.person_L] - 1 - np.arange(len(self.person_L)), dtype=np.int64)

    def of_domains(self, blocks: Iterable[range]) -> People:
        """The same people with their events of some domains alone."""
        kept_L = np.zeros(len(self.id_L), dtype=bool)
        for block in blocks:
            kept_L |= (self.id_L >= block.start) & (self.id_L < block.stop)
        return self.where(kept_L)

    def where(self, kept_L: np.ndarray) -> People:
        """The same people with these of their events."""
        person_L = self.person_L[kept_L]
        return People(np.bincount(person_L, minlength=len(self)), person_L, self.id_L[kept_L])
