"""A tiny world with one law, for tests of models: in every domain item i is followed by item i + 1."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut, Split

TARGET, SOURCE = "toys", "games"
SIZES = {TARGET: 30, SOURCE: 20}


def law_frames(users: int = 60, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The logs of a world of two domains: columns ``user_id``, ``item_id``, ``timestamp``.

    Every user has 5 to 9 toys and, but for every fourth user, 2 to 6 games in between, one after another in the order
    of their numbers from a random first one, the last number followed by the first. No two events share a time.
    """
    rng = np.random.default_rng(seed)
    counts = {TARGET: rng.integers(5, 10, users), SOURCE: rng.integers(2, 7, users) * (np.arange(users) % 4 > 0)}
    frames = {}
    for name, count_U in counts.items():
        user_E = np.repeat(np.arange(users), count_U)
        within_E = np.concatenate([np.arange(count) for count in count_U])
        item_E = (rng.integers(SIZES[name], size=users)[user_E] + within_E) % SIZES[name]
        time_E = 1_500_000_000 + 1000 * within_E + rng.integers(500, size=len(user_E)) + (500 if name == SOURCE else 0)
        frames[name] = {
            "user_id": [f"u{u}" for u in user_E],
            "item_id": [f"{name}{i}" for i in item_E],
            "timestamp": time_E,
        }
    return frames


@functools.cache
def law_split(users: int = 60, seed: int = 0) -> Split:
    """The world's split: the last toy of every user is the test, the one before it the validation."""
    data = Dataset.from_frames(law_frames(users, seed), time="timestamp")
    return LeaveLastOut(TARGET).apply(data)
