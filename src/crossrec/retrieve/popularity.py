"""How popular the items of a domain were in training: for everybody, and for people of one segment.

V items of the domain, S segments, N people, K items asked for, L pairs of a person and an item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crossrec.data import splits
from crossrec.data.dataset import UNKNOWN_TIME
from crossrec.data.splits.parts import everything
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.recommender import Recommender
from crossrec.retrieve.best import Floats, among
from crossrec.retrieve.index import LeftOut

DAY = 86_400


class Popularity:
    """Counts of a domain's items; row 0 is everybody's, each segment has another."""

    def __init__(self, count_SV: Floats, segments: Sequence[str] = ()) -> None:
        """``count_SV``: everybody's counts, then those of every segment."""
        self.count_SV = np.asarray(count_SV, dtype=np.float64)
        self.segments = {name: 1 + number for number, name in enumerate(segments)}
        everybody = np.broadcast_to(self.count_SV[0], self.count_SV.shape)
        self.order_SV = np.lexsort((-everybody, -self.count_SV))

    @classmethod
    def of(
        cls,
        recommender: Recommender,
        domain: str,
        *,
        half_life: float | None = None,
        segments: Mapping[Any, str] | None = None,
    ) -> Self:
        """Counted in the training rows of a run.

        Args:
            recommender: the run.
            domain: whose items.
            half_life: days after which an event counts half as much; None: all count the same.
            segments: the segments of users, by own id; others count for everybody alone.

        Raises:
            InputError: for a half-life where the domain has no times.
        """
        data, spec = recommender.data, recommender.recipe.get("split")
        block = data.catalogue.block(domain)
        if spec:
            split = splits.apply(spec, data)
            events, rows = split.events, split.train
        else:
            events = splits.Events(data.catalogue, data.item_E, data.time_E)
            rows = everything(data, np.arange(data.num_users))
        row_Q, at_Q = events.within(rows, domain)
        at_Q, first = np.unique(at_Q, return_index=True)
        weight_Q = _weights(None if events.time_E is None else np.asarray(events.time_E)[at_Q], len(at_Q), half_life)
        item_Q = events.item_E[at_Q] - block.start
        user_Q = rows.user_N[row_Q[first]]
        named = dict(segments or {})
        names = sorted(set(named.values()))
        segment_U = np.zeros(data.num_users, dtype=np.int64)
        index = data.users.index(list(named))
        segment_U[index[index >= 0]] = 1 + np.searchsorted(names, list(named.values()))[index >= 0] if named else 0
        count_SV = np.stack(
            [
                np.bincount(item_Q[chosen_Q], weight_Q[chosen_Q], len(block))
                for chosen_Q in (slice(None), *(segment_U[user_Q] == number for number in range(1, 1 + len(names))))
            ]
        )
        return cls(count_SV, names)

    def search(
        self,
        people: int,
        k: int,
        allowed_V: npt.NDArray[np.bool_] | None = None,
        left_out: LeftOut | None = None,
        segments: Sequence[str | None] | None = None,
    ) -> tuple[Ints, Floats]:
        """Places and counts (N, K) of the most popular items for each; -1 where fewer are there.

        ``segments``: of each of the people; one that is unknown is everybody's. Within a segment, ties are broken by
        everybody's counts, then by the lower place.
        """
        row_N = np.zeros(people, dtype=np.int64)
        if segments is not None:
            row_N[:] = [self.segments.get(str(name), 0) for name in segments]
        most = 0 if left_out is None or not len(left_out.row_L) else int(np.bincount(left_out.row_L).max())
        width = k + most
        place_NW = np.full((people, width), -1, dtype=np.int64)
        for row in set(row_N.tolist()):
            order_V = self.order_SV[row]
            top = order_V[:width] if allowed_V is None else order_V[allowed_V[order_V]][:width]
            place_NW[row_N == row, : len(top)] = top
        many = self.count_SV.shape[1]
        gone_NW = place_NW < 0
        if left_out is not None and most:
            gone_NW |= among(np.arange(people)[:, None] * many + place_NW, left_out.row_L * many + left_out.place_L)
        rank_NW = np.cumsum(~gone_NW, axis=1)
        row_M, at_M = np.nonzero(~gone_NW & (rank_NW <= k))
        place_NK = np.full((people, k), -1, dtype=np.int64)
        place_NK[row_M, rank_NW[row_M, at_M] - 1] = place_NW[row_M, at_M]
        return place_NK, np.where(place_NK < 0, -np.inf, self.count_SV[row_N[:, None], place_NK])


def _weights(time_Q: Ints | None, many: int, half_life: float | None) -> Floats:
    """Weight of every event: 1, or halved every so many days before the newest one."""
    if half_life is None:
        return np.ones(many)
    if time_Q is None or (many and (time_Q == UNKNOWN_TIME).all()):
        raise InputError("There are no times in this domain: popularity cannot fade (leave the half-life away).")
    known_Q = time_Q != UNKNOWN_TIME
    age_Q = time_Q[known_Q].max(initial=0) - time_Q
    return np.where(known_Q, 0.5 ** (np.where(known_Q, age_Q, 0) / (DAY * half_life)), 0.0)
