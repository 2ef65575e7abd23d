"""Small datasets made from arrays, and a hypothesis strategy of any: for tests of whatever eats a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import strategies as st

from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.data.vocabulary import Catalogue, Vocabulary

Event = tuple[str, int, int]
"""Domain, number of the item in it, time."""


def world_of(histories: Sequence[Sequence[Event]], sizes: Mapping[str, int], *, timed: bool = True) -> Dataset:
    """The dataset of these histories, user by user, in the order given. ``sizes``: items of every domain."""
    catalogue = Catalogue(sizes, len(histories))
    events = [event for history in histories for event in history]
    return Dataset(
        users=Vocabulary(pa.array([f"u{u}" for u in range(len(histories))])),
        items={name: Vocabulary(pa.array([f"{name}{i}" for i in range(size)])) for name, size in sizes.items()},
        offset_U1=np.cumsum([0, *map(len, histories)]),
        item_E=np.array([catalogue.block(name)[item] for name, item, _ in events], dtype=np.int32),
        time_E=np.array([time for *_, time in events], dtype=np.int64) if timed else None,
    )


def tiny_world(
    users: int = 40, sizes: Mapping[str, int] | None = None, *, events: int = 14, step: int = 3, seed: int = 0
) -> Dataset:
    """Random histories of 6 to ``events`` events; in each domain an item is likely to be followed by the next one.

    The time between two events is 0 to ``step`` - 1, so that there are ties.
    """
    sizes = {"toys": 30, "games": 20} if sizes is None else sizes
    rng = np.random.default_rng(seed)
    histories = []
    for _ in range(users):
        at = {name: int(rng.integers(size)) for name, size in sizes.items()}
        time, history = int(rng.integers(10)), []
        for _ in range(int(rng.integers(6, events + 1))):
            name = str(rng.choice(list(sizes)))
            at[name] = (at[name] + 1 if rng.random() < 0.8 else int(rng.integers(sizes[name]))) % sizes[name]
            history.append((name, at[name], time))
            time += int(rng.integers(step))
        histories.append(history)
    return world_of(histories, sizes)


def repeating_split(domains: int = 2, users: int = 9) -> Split:
    """A tiny world of so few items that rows have some more than once; every user's latest toys are held out."""
    sizes = {"toys": 9, "games": 7, "books": 5}
    data = tiny_world(users, {name: sizes[name] for name in list(sizes)[:domains]}, events=10)
    return LeaveLastOut("toys").apply(data)


def worlds(users: int = 8, events: int = 14, domains: int = 3, last_time: int = 12) -> st.SearchStrategy[Dataset]:
    """Any small dataset of timed events, with many ties, repeats, and users who are missing in some domains."""
    names = ("toys", "games", "books")[:domains]
    event = st.tuples(st.sampled_from(names), st.integers(0, 4), st.integers(0, last_time))
    history = st.lists(event, max_size=events).map(lambda found: sorted(found, key=lambda e: e[2]))
    many = st.lists(history, min_size=1, max_size=users)
    return many.map(lambda histories: world_of(histories, dict.fromkeys(names, 5)))


def trained(split: Split) -> npt.NDArray[np.bool_]:
    """Whether each event of a split is in a training row, (E,). Fails where two rows share one."""
    inside_E = np.zeros(len(split.events.item_E), dtype=bool)
    for start, stop in zip(split.train.start_N, split.train.stop_N, strict=True):
        assert not inside_E[start:stop].any(), "training rows share an event"
        inside_E[start:stop] = True
    return inside_E
