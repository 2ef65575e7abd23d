"""Who asks: the events that count for each, as global ids. N people, L events of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec.data.ragged import stretches
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
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
        if histories is not None:
            return cls._of_histories(recommender, histories)
        if users is None:
            raise InputError("Say users (known ids), histories (of strangers), or both.")
        labels = listed(users)
        user_N = recommender.data.users.index(labels)
        if (user_N < 0).any():
            raise InputError(f"Unknown user {labels[int(np.argmin(user_N))]!r}: give a history instead.")
        offset = recommender.data.offset_U1
        count_N = np.asarray(offset[user_N + 1] - offset[user_N], dtype=np.int64)
        person_L, at_L = stretches(np.asarray(offset[user_N]), count_N)
        return cls(count_N, person_L, recommender.data.item_E[at_L].astype(np.int64))

    @classmethod
    def _of_histories(cls, recommender: Recommender, histories: Sequence[History]) -> People:
        pairs = [_pairs(history) for history in histories]
        person_L = np.repeat(np.arange(len(pairs)), [len(of_one) for of_one in pairs])
        named = [pair for of_one in pairs for pair in of_one]
        id_L = np.full(len(named), -1, dtype=np.int64)
        for name in dict.fromkeys(name for name, _ in named):
            first = recommender.data.catalogue.block(name).start
            at = [place for place, (domain, _) in enumerate(named) if domain == name]
            index = recommender.data.items[name].index([named[place][1] for place in at])
            id_L[at] = np.where(index >= 0, first + index, -1)
        known_L = id_L >= 0
        return cls(np.bincount(person_L[known_L], minlength=len(pairs)), person_L[known_L], id_L[known_L])

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


def listed(ids: Any) -> list[Any]:
    """Ids as a list: of one, a sequence, or an Arrow array."""
    if isinstance(ids, pa.Array | pa.ChunkedArray):
        return list(ids.to_pylist())
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        return [ids]
    return list(ids)


def _pairs(history: History) -> Sequence[tuple[str, Any]]:
    if isinstance(history, Mapping):
        return [(name, item) for name, items in history.items() for item in items]
    return history
