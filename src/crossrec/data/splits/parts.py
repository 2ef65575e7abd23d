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
from crossrec.data.ragged import stretches
from crossrec.data.vocabulary import Catalogue, Ints
from crossrec.errors import DataError, InputError


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

    def take(self, order: Ints) -> Events:
        """The same events in another order."""
        time_E = None if self.time_E is None else np.asarray(self.time_E)[order]
        rating_E = None if self.rating_E is None else self.rating_E[order]
        return Events(self.catalogue, self.item_E[order], time_E, rating_E)

    def rated(self, at_N: Ints) -> npt.NDArray[np.bool_]:
        """Which of the events at these places have a rating: (N,)."""
        return np.zeros(len(at_N), dtype=bool) if self.rating_E is None else ~np.isnan(self.rating_E[at_N])

    def positions(self, domain: str) -> Ints:
        """Indices of a domain's events, ascending."""
        return np.flatnonzero(self.domain_E == self.catalogue.domains.index(domain))

    def count_before(self, domain: str) -> Ints:
        """Number of the domain's events among the first e, for e = 0 .. E: shape (E + 1,)."""
        inside = self.domain_E == self.catalogue.domains.index(domain)
        return np.concatenate([[0], np.cumsum(inside, dtype=np.int64)])

    def within(self, rows: Rows, domain: str) -> tuple[Ints, Ints]:
        """The domain's events that stand in rows: number of the row and place of the event, row by row, shapes (Q,)."""
        at_D = self.positions(domain)
        low_N, high_N = np.searchsorted(at_D, rows.start_N), np.searchsorted(at_D, rows.stop_N)
        row_Q, place_Q = stretches(low_N, high_N - low_N)
        return row_Q, at_D[place_Q]


@dataclass(frozen=True, eq=False)
class Rows:
    """N stretches of the events: row n is the events [start, stop) of one user. Shapes (N,).

    The training rows of a split are sorted by their start and share no event.
    """

    user_N: Ints
    start_N: Ints
    stop_N: Ints

    def __len__(self) -> int:
        return len(self.user_N)

    def take(self, index: npt.ArrayLike) -> Rows:
        """The rows at these places (numbers, or truth values of shape (N,))."""
        i = np.asarray(index)
        return Rows(self.user_N[i], self.start_N[i], self.stop_N[i])


def everything(data: Dataset, user_N: Ints) -> Rows:
    """All that these users have: one row each."""
    return Rows(user_N, data.offset_U1[user_N], data.offset_U1[user_N + 1])


@dataclass(frozen=True, eq=False)
class Part:
    """N instances: the held-out event ``at`` is asked for, given the events [start, stop) of the same user."""

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
        user, start, stop, at = self.user_N[i], self.start_N[i], self.stop_N[i], self.at_N[i]
        return replace(self, user_N=user, start_N=start, stop_N=stop, at_N=at, seen=self.seen.take(i))


@dataclass(frozen=True, eq=False)
class Held:
    """What is held out of one target."""

    valid: Part
    test: Part


@dataclass(frozen=True, eq=False)
class Split:
    """One way of holding events out: training rows, and the validation and test instances of one target or several.

    The places of a part are those of its own ``events``, where what has the same time may stand in another order than in the
    ``events`` of the training rows: of every target's parts, that target comes first.
    """

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
    further: Mapping[str, Held] = field(default_factory=dict)
    """What is held out of further targets, by domain."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The target, and the further ones."""
        return (self.target, *self.further)

    def held(self, target: str) -> Held:
        """What is held out of a target. Raises InputError for a domain that is none."""
        if target not in self.targets:
            raise InputError(
                f"Nothing of {target!r} is held out here: the targets are {', '.join(map(repr, self.targets))}."
            )
        return Held(self.valid, self.test) if target == self.target else self.further[target]

    def untested(self) -> Split:
        """The same split with every test part empty: what training may know of it."""
        further = {name: Held(held.valid, held.test.take([])) for name, held in self.further.items()}
        return replace(self, test=self.test.take([]), further=further)

    @cached_property
    def hash(self) -> str:
        """Hash (16 hex digits) of the data, the settings and the outcome."""
        digest = hashlib.sha256(f"{self.data.hash}{json.dumps(dict(self.spec), sort_keys=True)}".encode())
        for held in map(self.held, self.targets):
            digest.update(held.valid.at_N.tobytes())
            digest.update(held.test.at_N.tobytes())
        digest.update(self.train.stop_N.tobytes())
        return digest.hexdigest()[:16]


def order_ties(data: Dataset, target: str, ties: str) -> Events:
    """The data's events with ties in time put in order.

    ``strict``: of one user's events of the same time, the target's come first, so that "before an event of the target
    in the order" means strictly earlier for every other domain, and a tie never leaks. ``order``: as published.
    Events without a known time keep their place.
    """
    if ties not in ("strict", "order"):
        raise DataError(f"ties must be 'strict' or 'order', not {ties!r}.")
    events = Events(data.catalogue, data.item_E, data.time_E, data.rating_E)
    if ties == "order" or data.time_E is None:
        return events
    is_target_E = events.domain_E == data.domains.index(target)
    return events.take(np.argsort(2 * np.cumsum(_changes(data)) - is_target_E, kind="stable"))


def tie_starts(data: Dataset) -> Ints:
    """For every event the place of the user's first event of the same time: (E,). What lies before is strictly earlier."""
    changes_E = _changes(data)
    return np.maximum.accumulate(np.where(changes_E, np.arange(len(changes_E)), 0))


def earlier_stops(data: Dataset, ties: str) -> Ints:
    """For every event the place up to which all of the user counts as earlier, in the order of whatever target: (E,).

    ``strict``: the first event of the same time. ``order``, and where no time is known: the event itself.
    """
    return tie_starts(data) if ties == "strict" and data.time_E is not None else np.arange(data.num_interactions)


def _changes(data: Dataset) -> npt.NDArray[np.bool_]:
    """Where a new user or a new time begins: (E,). Every event without a known time is a time of its own."""
    assert data.time_E is not None
    time_E = np.asarray(data.time_E)
    changes_E = np.ones(len(time_E), dtype=bool)
    changes_E[1:] = (time_E[1:] != time_E[:-1]) | (time_E[1:] == UNKNOWN_TIME)
    starts = data.offset_U1[:-1]
    changes_E[starts[starts < len(time_E)]] = True
    return changes_E
