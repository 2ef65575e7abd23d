"""Many stretches of a packed array at once."""

from __future__ import annotations

import numpy as np

from crossrec.data.vocabulary import Ints


def stretches(first_N: Ints, count_N: Ints) -> tuple[Ints, Ints]:
    """Owner and place of every element of N stretches: ``first[n], first[n] + 1, ...``, ``count[n]`` of them, end to end."""
    owner = np.repeat(np.arange(len(first_N)), count_N)
    ends = np.cumsum(count_N)
    place = np.arange(len(owner)) - np.repeat(ends - count_N - first_N, count_N)
    return owner, place
