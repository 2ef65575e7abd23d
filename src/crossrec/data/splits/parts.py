"""What a split is made of: the packed events in its order, the rows that train, the instances that are held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.vocabulary import Catalogue, Ints
from crossrec.errors import DataError


@dataclass(frozen=True, eq=False)
class Events:
    """The packed events of all users in the order that a split gives them: E events."""

    catalogue: Catalogue
    item_E: npt.NDArray[np.int32]
    time_E: Ints | None = None
    rating_E: npt.NDArray[np.float32] | None = None

    @cached_property
    def domain_E(self) -> npt.NDArray[np.int8]:
        """Number of the domain of every event."""
        return self.catalogue.domain_of(self.item_E).astype(np.int8)

    def positions(self, domain: str) -> Ints:
        """Indices of a domain's events, ascending."""
        return np.flatnonzero(self.domain_E == self.catalogue.domains.index(domain))

    def count_before(self, domain: str) -> Ints:
        """Number of the domain's events among the first e, for e = 0 .. E: shape (E + 1,)."""
        inside = self.domain_E == self.catalogue.domains.index(domain)
        return np.concatenate([[0], np.cumsum(inside, dtype=np.int64)])


@dataclass(frozen=True, eq=False)
class Rows:
    """N training rows: row n is the events [start, stop) of one user. Shapes (N,)."""

    user_N: Ints
    start_N: Ints
    stop_N: Ints

    def __len__(self) -> int:
        return len(self.user_N)


@dataclass(frozen=True, eq=False)
class Part:
    """N held-out events: the event ``at`` is asked for, given the events [start, stop) of the same user."""

    name: str
    target: str
    events: Events
    data: Dataset
    user_N: Ints
    start_N: Ints
    stop_N: Ints
    at_N: Ints
    seen: Rows
    """Where candidate negatives may not come from: per instance the user's stretch that holds all that is known of them."""
    leak: str | None = None
    """Set where the part breaks the rules (an authors' protocol): reports say it."""

    def __len__(self) -> int:
        return len(self.user_N)

    @cached_property
    def item_N(self) -> Ints:
        """The held-out items: global ids."""
        return self.events.item_E[self.at_N].astype(np.int64)

    def history_lengths(self) -> dict[str, Ints]:
        """Events of every domain in the input: per domain, shape (N,)."""
        counts = {name: self.events.count_before(name) for name in self.events.catalogue.domains}
        return {name: count[self.stop_N] - count[self.start_N] for name, count in counts.items()}

    def take(self, index: npt.ArrayLike) -> Part:
        """The instances at these places."""
        i = np.asarray(index, dtype=np.int64)
        seen = Rows(self.seen.user_N[i], self.seen.start_N[i], self.seen.stop_N[i])
        return replace(
            self, user_N=self.user_N[i], start_N=self.start_N[i], stop_N=self.stop_N[i], at_N=self.at_N[i], seen=seen
        )


@dataclass(frozen=True, eq=False)
class Split:
    """One way of holding events out: training rows, and the validation and test instances of a target domain."""

    data: Dataset
    target: str
    events: Events
    train: Rows
    valid: Part
    test: Part
    spec: Mapping[str, Any]
    """Name and settings of the split: with the data's hash this makes it again."""
    leak: str | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the split wants said of itself (users left out and why, leaks counted)."""

    @cached_property
    def hash(self) -> str:
        """Hash (16 hex digits) of the data, the settings and the outcome."""
        digest = hashlib.sha256(f"{self.data.hash}{json.dumps(dict(self.spec), sort_keys=True)}".encode())
        for part in (self.valid, self.test):
            digest.update(part.at_N.tobytes())
        digest.update(self.train.stop_N.tobytes())
        return digest.hexdigest()[:16]


def order_ties(data: Dataset, target: str, ties: str) -> Events:
    """The data's events with ties in time put in order.

    ``strict``: of one user's events of the same time, the target's come first, so that "before an event of the target
    in the order" means strictly earlier for every other domain, and a tie never leaks. ``order``: as published.
    Events without a known time keep their place.
    """
    events = Events(data.catalogue, data.item_E, data.time_E, data.rating_E)
    if ties == "order" or data.time_E is None:
        return events
    if ties != "strict":
        raise DataError(f"ties must be 'strict' or 'order', not {ties!r}.")
    time_E = data.time_E
    fresh_E = np.empty(len(time_E), dtype=bool)
    fresh_E[:1] = True
    fresh_E[1:] = (time_E[1:] != time_E[:-1]) | (time_E[1:] == UNKNOWN_TIME)
    starts = data.offset_U1[:-1]
    fresh_E[starts[starts < len(time_E)]] = True
    group_E = np.cumsum(fresh_E)
    is_target_E = events.domain_E == data.domains.index(target)
    order = np.argsort(2 * group_E - is_target_E, kind="stable")
    rating_E = None if data.rating_E is None else data.rating_E[order]
    return Events(data.catalogue, data.item_E[order], time_E, rating_E)
