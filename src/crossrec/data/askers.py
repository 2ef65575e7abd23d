"""Those who ask for something, by own ids: known users or strangers with a history, and where their events stand. N of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from crossrec.data.batches import Batch, Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError

History = Mapping[str, Sequence[Any]] | Sequence[tuple[str, Any]]
"""What somebody did: own item ids by domain, or (domain, own item id) in the order of time; oldest first."""


@dataclass(frozen=True)
class Askers:
    """Some who ask, and all events that histories of theirs are stretches of."""

    labels: Sequence[Any]
    """Own ids of users, or numbers of strangers."""
    user_N: Ints
    """Numbers of the users; -1: a stranger."""
    events: Events
    start_N: Ints
    stop_N: Ints

    def parts(self, size: int) -> Iterator[Askers]:
        """So many at a time."""
        for a in range(0, len(self.labels), size):
            rows = slice(a, a + size)
            yield Askers(self.labels[rows], self.user_N[rows], self.events, self.start_N[rows], self.stop_N[rows])

    def take(self, rows_N: Ints) -> Askers:
        """Those at these places."""
        labels = [self.labels[n] for n in rows_N]
        return Askers(labels, self.user_N[rows_N], self.events, self.start_N[rows_N], self.stop_N[rows_N])

    def batch(self, batcher: Batcher, domain: str) -> Batch:
        """One query per asker, after all events; nothing is known of what comes next. ``batcher``: of the events."""
        arrays = np.array(self.user_N), np.array(self.start_N), np.array(self.stop_N)
        user, start, stop = (torch.as_tensor(array, device=batcher.device) for array in arrays)
        return batcher.batch(domain, user, start, torch.arange(len(user), device=batcher.device), stop, None)


def askers(data: Dataset, users: Any, histories: Sequence[History] | None) -> Askers:
    """Users by own ids, strangers by their histories, or users whose newest histories these are.

    Raises InputError for an unknown user or domain, and where it is not said who asks.
    """
    if histories is None:
        if users is None:
            raise InputError(
                "Say users (known ids), histories (of strangers), or both (newest histories of known users)."
            )
        return known(data, users)
    found = strangers(data, histories)
    if users is None:
        return found
    named = known(data, users)
    if len(named.labels) != len(found.labels):
        raise InputError(
            f"There are {len(named.labels)} users and {len(found.labels)} histories: give one history per user."
        )
    return Askers(named.labels, named.user_N, found.events, found.start_N, found.stop_N)


def known(data: Dataset, users: Any) -> Askers:
    """Users by own ids, with their newest histories. Raises InputError for an unknown one."""
    labels = listed(users)
    index = data.users.index(labels)
    if (index < 0).any():
        unknown = [label for label, i in zip(labels, index, strict=True) if i < 0]
        raise InputError(
            f"Unknown user {unknown[0]!r}{f' and {len(unknown) - 1} more' if len(unknown) > 1 else ''}: "
            "give a history instead (histories=..., or --history FILE)."
        )
    return by_number(data, index, labels)


def by_number(data: Dataset, user_N: Ints, labels: Sequence[Any]) -> Askers:
    """Users by their numbers, with their newest histories."""
    events = Events(data.catalogue, data.item_E, data.time_E, data.rating_E)
    start_N, stop_N = data.offset_U1[user_N], data.offset_U1[user_N + 1]
    return Askers(labels, user_N, events, start_N, stop_N)


def strangers(data: Dataset, histories: Sequence[History]) -> Askers:
    """People of whom a history is known and nothing else; unknown items are passed over."""
    pairs = [_pairs(history) for history in histories]
    count_N = np.array([len(each) for each in pairs], dtype=np.int64)
    named = [pair for each in pairs for pair in each]
    domain_L = np.array([name for name, _ in named], dtype=object)
    id_L = np.full(len(named), -1, dtype=np.int64)
    for name in dict.fromkeys(name for name, _ in named):
        first, at = data.catalogue.block(name).start, np.flatnonzero(domain_L == name)
        index = data.items[name].index([named[place][1] for place in at])
        id_L[at] = np.where(index >= 0, first + index, -1)
    known_L = id_L >= 0
    row_L = np.repeat(np.arange(len(pairs)), count_N)
    ends = np.cumsum(np.bincount(row_L[known_L], minlength=len(pairs)))
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if len(ends) else ends
    events = Events(data.catalogue, id_L[known_L].astype(np.int32))
    return Askers(list(range(len(pairs))), np.full(len(pairs), -1), events, starts, ends)


def items_of(data: Dataset, domain: str, items: Any) -> Ints:
    """Places of items in their domain, by own ids. Raises InputError for an unknown one."""
    labels = listed(items)
    index = data.items[domain].index(labels)
    if (index < 0).any():
        unknown = [label for label, i in zip(labels, index, strict=True) if i < 0]
        raise InputError(f"Unknown item {unknown[0]!r} in {domain!r}.")
    return index


def listed(ids: Any) -> list[Any]:
    """Own ids as a list, of one id, of a sequence or of an Arrow array."""
    if isinstance(ids, pa.Array | pa.ChunkedArray):
        return list(ids.to_pylist())
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        return [ids]
    return [i.item() if isinstance(i, np.generic) else i for i in ids]


def _pairs(history: History) -> Sequence[tuple[str, Any]]:
    """(domain, item) in order; in a mapping the domains follow one another."""
    if isinstance(history, Mapping):
        return [(name, item) for name, items in history.items() for item in items]
    return history
