"""Bipartite graphs of users and items: the pairs that training rows hold, in compressed rows, both ways.

U users, V global item ids (0 is the padding's), N rows and E edges of one direction, M events or edges of a chunk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from crossrec.data.dataset import UNKNOWN_TIME
from crossrec.data.ragged import stretches
from crossrec.data.sorting import Array, by_user, grouped, local_users, sort_order, user_chunks
from crossrec.data.splits import Events, Rows, Split
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError, nearest

EDGES = 1 << 21
"""Edges that are turned round at once: a bound of the memory."""
DTYPES = {"offset": np.int64, "column": np.int32, "time": np.int64, "count": np.int32, "rating": np.float32}
"""The columns that a direction may have."""
Empty = Callable[[str, int], Array]
"""Makes an array to be filled, of a column's name (``column``, ``time``, ``count``, ``rating``) and its length."""


@dataclass(frozen=True, eq=False)
class Adjacency:
    """One direction of a graph: the neighbours of row n are ``column_E[offset_N1[n]:offset_N1[n + 1]]``, oldest edge first.

    An edge stands for all events of its pair and is as old as the last of them, so that nothing which it carries is newer
    than its time. Without times, a user's items stand in the order of the history and an item's users in theirs.
    """

    columns: int
    """Number of nodes on the other side."""
    offset_N1: Ints
    column_E: npt.NDArray[np.int32]
    time_E: Ints | None = None
    """Time of the pair's last event, never falling within a row; None where an event's time is unknown."""
    count_E: npt.NDArray[np.int32] | None = None
    """Events of the pair; None where every pair has one."""
    rating_E: npt.NDArray[np.float32] | None = None
    """The pair's last rating, NaN where it has none; None where no pair has one."""

    def __len__(self) -> int:
        return len(self.offset_N1) - 1

    @property
    def degree_N(self) -> Ints:
        """Neighbours of every row."""
        return np.diff(self.offset_N1)

    def arrays(self) -> dict[str, Array]:
        """The arrays that there are, by column: ``offset``, ``column``, ``time``, ``count``, ``rating``."""
        found = self.offset_N1, self.column_E, self.time_E, self.count_E, self.rating_E
        return {name: array for name, array in zip(DTYPES, found, strict=True) if array is not None}

    def matrix(self, weight_E: Array | None = None) -> sparse.csr_array:
        """The sparse matrix of shape (rows, columns) with these weights, or ones (float32)."""
        weight_E = np.ones(len(self.column_E), dtype=np.float32) if weight_E is None else weight_E
        return sparse.csr_array((weight_E, self.column_E, self.offset_N1), shape=(len(self), self.columns))


@dataclass(frozen=True, eq=False)
class Graph:
    """Who has what in some domains, according to the training rows of a split: every pair once, both ways."""

    domains: tuple[str, ...]
    users: Adjacency
    """U rows; the columns are global item ids."""
    items: Adjacency
    """V rows, by global item id; the columns are users."""
    split_hash: str = ""
    """Hash of the split whose training rows it holds."""

    @property
    def num_edges(self) -> int:
        return len(self.users.column_E)

    @cached_property
    def hash(self) -> str:
        """Content hash (sha256, 16 hex digits)."""
        digest = hashlib.sha256(json.dumps([self.domains, self.users.columns, self.items.columns]).encode())
        for side in (self.users, self.items):
            for name, array in side.arrays().items():
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def build(split: Split, domains: Sequence[str] | None = None) -> Graph:
    """The graph of a split's training rows in some domains (all if None), merged where there are several.

    The memory beside the result is that of a chunk. Raises InputError for an unknown domain.
    """
    domains = known_domains(split, domains)
    users = _user_rows(split, domains)
    return Graph(domains, users, transposed(users), split.hash)


def transposed(rows: Adjacency, empty: Empty | None = None) -> Adjacency:
    """The other direction, in time order where times are known, else in the order of the rows.

    The memory beside the result is that of a chunk and three numbers per column. ``empty`` makes the arrays of the
    result, where they are to live in files.
    """
    empty = empty or _empty
    values = {name: array for name, array in rows.arrays().items() if name != "offset"}
    offset_V1 = np.zeros(rows.columns + 1, dtype=np.int64)
    for _, edges in user_chunks(rows.offset_N1, EDGES):
        offset_V1[1:] += np.bincount(values["column"][edges], minlength=rows.columns)
    np.cumsum(offset_V1, out=offset_V1)
    out = {name: empty(name, len(values["column"])) for name in values}
    free_V = offset_V1[:-1].copy()
    for owners, edges in user_chunks(rows.offset_N1, EDGES):
        order_M = by_user(values["column"][edges], rows.columns)
        column_M = values["column"][edges][order_M]
        count_V = np.bincount(column_M, minlength=rows.columns)
        place_M = (free_V - np.cumsum(count_V) + count_V)[column_M] + np.arange(len(column_M))
        free_V += count_V
        out["column"][place_M] = (owners.start + local_users(rows.offset_N1, owners))[order_M]
        for name in values.keys() - {"column"}:
            out[name][place_M] = values[name][edges][order_M]
    if "time" in out:
        _in_time_order(offset_V1, out)
    return adjacency(len(rows), {"offset": offset_V1, **out})


def _in_time_order(offset_N1: Ints, values: dict[str, Array]) -> None:
    """Brings every row into the order of its times, in place; of equal times the order stays."""
    for rows, edges in user_chunks(offset_N1):
        order_M = sort_order([local_users(offset_N1, rows), values["time"][edges]])
        for array in values.values():
            array[edges] = array[edges][order_M]


def known_domains(split: Split, domains: Sequence[str] | None) -> tuple[str, ...]:
    """These domains, or all, in the order of the catalogue."""
    known = split.data.catalogue.domains
    asked = known if domains is None else [domains] if isinstance(domains, str) else domains
    for name in asked:
        if name not in known:
            raise InputError(f"There is no domain {name!r} here.{nearest(name, known)}")
    return tuple(name for name in known if name in asked)


def _user_rows(split: Split, domains: tuple[str, ...]) -> Adjacency:
    """The direction whose rows are users."""
    events, catalogue = split.events, split.data.catalogue
    numbers = [catalogue.domains.index(name) for name in domains]
    timed = _timed(events, numbers)
    offset_U1 = np.zeros(catalogue.num_users + 1, dtype=np.int64)
    most = int((split.train.stop_N - split.train.start_N).sum())
    out = {"column": _empty("column", most), "count": _empty("count", most)}
    if timed:
        out["time"] = _empty("time", most)
    if events.rating_E is not None:
        out["rating"] = _empty("rating", most)
    edges = 0
    for rows in _whole_users(split.train):
        user_M, found = _pairs(events, rows, numbers, timed)
        offset_U1[1:] += np.bincount(user_M, minlength=catalogue.num_users)
        for name, array in found.items():
            out[name][edges : edges + len(user_M)] = array
        edges += len(user_M)
    np.cumsum(offset_U1, out=offset_U1)
    out = {name: array[:edges] for name, array in out.items()}
    if (out["count"] == 1).all():
        del out["count"]
    if "rating" in out and np.isnan(out["rating"]).all():
        del out["rating"]
    return adjacency(catalogue.num_ids, {"offset": offset_U1, **out})


def _timed(events: Events, numbers: list[int]) -> bool:
    """Whether all events of these domains have a known time."""
    if events.time_E is None:
        return False
    unknown_E = np.asarray(events.time_E) == UNKNOWN_TIME
    return not np.isin(events.domain_E[unknown_E], numbers).any()


def _whole_users(rows: Rows) -> Iterator[Rows]:
    """The rows in chunks of about as many events; all rows of a user are in one."""
    changes = np.flatnonzero(np.diff(rows.user_N, prepend=-1))
    row_G1 = np.append(changes, len(rows))
    event_G1 = np.concatenate([[0], np.cumsum(rows.stop_N - rows.start_N)])[row_G1]
    for users, _ in user_chunks(event_G1):
        yield rows.take(np.arange(row_G1[users.start], row_G1[users.stop]))


def _pairs(events: Events, rows: Rows, numbers: list[int], timed: bool) -> tuple[Ints, dict[str, Array]]:
    """Every pair of some users once: user of each (M,) and its columns, per user in the order of the pairs' last events."""
    owner_M, place_M = stretches(rows.start_N, rows.stop_N - rows.start_N)
    inside_M = np.isin(events.catalogue.domain_of(events.item_E[place_M]), numbers)
    user_M, place_M = rows.user_N[owner_M[inside_M]], place_M[inside_M]
    if timed:
        assert events.time_E is not None
        order_M = sort_order([user_M, np.asarray(events.time_E)[place_M]])
        user_M, place_M = user_M[order_M], place_M[order_M]
    order_M, same_M = grouped([user_M, events.item_E[place_M]])
    first_G = np.flatnonzero(~same_M)
    last_G = np.append(first_G, len(order_M))[1:] - 1
    count_M = np.zeros(len(order_M), dtype=np.int32)
    count_M[order_M[last_G]] = last_G + 1 - first_G
    final_M = count_M > 0
    found: dict[str, Array] = {"column": events.item_E[place_M[final_M]], "count": count_M[final_M]}
    if timed:
        found["time"] = np.asarray(events.time_E)[place_M[final_M]]
    if events.rating_E is not None:
        rating_M = events.rating_E[place_M][order_M]
        rated_M = np.maximum.accumulate(np.where(same_M & np.isnan(rating_M), 0, np.arange(len(order_M))))
        by_place_M = np.empty_like(rating_M)
        by_place_M[order_M[last_G]] = rating_M[rated_M[last_G]]
        found["rating"] = by_place_M[final_M]
    return user_M[final_M], found


def _empty(name: str, length: int) -> Array:
    return np.empty(length, dtype=DTYPES[name])


def adjacency(columns: int, arrays: Mapping[str, Array]) -> Adjacency:
    """One direction of its arrays by column: ``offset``, ``column`` and what else there is."""
    offset_N1, column_E = arrays["offset"], arrays["column"]
    return Adjacency(columns, offset_N1, column_E, *(arrays.get(name) for name in ("time", "count", "rating")))
