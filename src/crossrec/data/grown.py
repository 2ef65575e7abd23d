"""A dataset that has grown: new events among the old ones, new users and items behind those that were there.

Shapes: E events of the old data, F of the new ones, G of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import from_numpy
from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.sorting import later_repeats, sort_order
from crossrec.data.source import Source
from crossrec.data.subset import user_of
from crossrec.data.titles import TEXTS, read_titles
from crossrec.data.vocabulary import Ints, Vocabulary
from crossrec.errors import DataError, nearest


@dataclass(frozen=True, eq=False)
class Grown:
    """Old data and new events as one dataset, in which every old id has its old place."""

    data: Dataset
    fresh_G: npt.NDArray[np.bool_]
    """Which events are new."""
    repeats: int
    """New events that equal a known one, or an earlier new one, in user, item and time: left out."""
    late: int
    """New events that are older than the newest known event of their user: put where they belong."""


def grow(old: Dataset, new: Dataset, titles: Source | None = None) -> Grown:
    """Old data and new events, whose domains are among the old ones.

    Args:
        old: ordered by time, every time known.
        new: likewise; its own ids are the people's and items' of the old data.
        titles: a table of items, for those that have no title or category yet.

    Raises:
        DataError: where a time is not known, or a domain.
    """
    check_times(old, "The data of the run")
    check_times(new, "The new events")
    for name in new.domains:
        if name not in old.items:
            raise DataError(
                f"The run knows no domain {name!r}.{nearest(name, old.domains)} A new domain needs a new run."
            )
    users = old.users.extended(new.users)
    items = {name: ids.extended(new.items[name]) if name in new.items else ids for name, ids in old.items.items()}
    empty = Dataset(users, items, np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32))
    merged = _merged(old, new, empty)
    offset_U1 = np.zeros(len(users) + 1, np.int64)
    np.cumsum(np.bincount(merged.user_G, minlength=len(users)), out=offset_U1[1:])
    updates = [*old.card.get("updates", []), {"events": int(merged.fresh_G.sum()), "repeats": merged.repeats}]
    data = Dataset(
        users,
        items,
        offset_U1,
        merged.item_G,
        merged.time_G,
        merged.rating_G,
        _titles(old, items, titles),
        {**old.card, "updates": updates},
    )
    return Grown(data, merged.fresh_G, merged.repeats, merged.late)


def check_times(data: Dataset, what: str) -> None:
    """Raise DataError unless the time of every event is known and orders every user's events."""
    if data.time_E is None or (np.asarray(data.time_E) == UNKNOWN_TIME).any():
        raise DataError(
            f"{what} have events without a time, so what is new cannot be told. Name the time column of every domain."
        )
    time_E, user_E = np.asarray(data.time_E), user_of(data)
    if ((time_E[1:] < time_E[:-1]) & (user_E[1:] == user_E[:-1])).any():
        raise DataError(f"{what} are in another order than that of time: read them with order='time'.")


class _Merged(NamedTuple):
    user_G: Ints
    item_G: npt.NDArray[np.int32]
    time_G: Ints
    rating_G: npt.NDArray[np.float32] | None
    fresh_G: npt.NDArray[np.bool_]
    repeats: int
    late: int


def _merged(old: Dataset, new: Dataset, frame: Dataset) -> _Merged:
    """The events of both by user and time, ties as they came, the old ones first. ``frame``: has the ids of both."""
    count = old.num_interactions
    user_G = np.concatenate([user_of(old), frame.users.index(new.users.text)[user_of(new)]]).astype(np.int64)
    item_G = np.concatenate([old.catalogue.moved_to(frame.catalogue)[old.item_E], _new_items(new, frame)])
    time_G = np.concatenate([np.asarray(old.time_E), np.asarray(new.time_E)])
    fresh_G = np.arange(len(user_G)) >= count
    repeat_G = fresh_G & later_repeats([user_G, item_G], [time_G])
    newest_U = np.full(frame.num_users, UNKNOWN_TIME)
    np.maximum.at(newest_U, user_G[:count], time_G[:count])
    late = int((fresh_G & ~repeat_G & (time_G < newest_U[user_G])).sum())
    kept = np.flatnonzero(~repeat_G)
    order = kept[sort_order([user_G[kept], time_G[kept]])]
    rating_G = None
    if old.rating_E is not None:
        rated = np.full(new.num_interactions, np.nan, np.float32) if new.rating_E is None else new.rating_E
        rating_G = np.concatenate([old.rating_E, rated])[order]
    columns = user_G[order], item_G[order].astype(np.int32), time_G[order]
    return _Merged(*columns, rating_G, fresh_G[order], int(repeat_G.sum()), late)


def _new_items(new: Dataset, frame: Dataset) -> Ints:
    """Global ids of the new events' items in the data that has grown."""
    id_V = np.zeros(new.catalogue.num_ids, np.int64)
    for name, ids in new.items.items():
        block = new.catalogue.block(name)
        id_V[block.start : block.stop] = frame.catalogue.block(name).start + frame.items[name].index(ids.text)
    return id_V[new.item_E]


def _titles(old: Dataset, items: Mapping[str, Vocabulary], source: Source | None) -> dict[str, pa.Table]:
    """Titles and categories of all items: those that were known, else those of the source."""
    given = {} if source is None else read_titles(source, items, "item_id")
    found: dict[str, pa.Table] = {}
    for name, ids in items.items():
        tables = [table for table in (_longer(old.titles.get(name), len(ids)), given.get(name)) if table is not None]
        texts = [text for text in TEXTS if any(text in table.column_names for table in tables)]
        columns: dict[str, Any] = {
            text: pc.coalesce(*(table.column(text) for table in tables if text in table.column_names)) for text in texts
        }
        if columns:
            found[name] = pa.table(columns).combine_chunks()
    return found


def _longer(table: pa.Table | None, rows: int) -> pa.Table | None:
    """A table with rows of nulls behind its own, so that there are so many."""
    if table is None:
        return None
    row_V = np.arange(rows)
    known = from_numpy(row_V < len(table))
    place = pc.if_else(known, from_numpy(row_V), pa.scalar(None, pa.int64()))
    return table.take(place)
