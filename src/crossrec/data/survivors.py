"""The interactions that have passed the filters so far, and what each filter dropped of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.sorting import later_repeats
from crossrec.data.subset import user_of
from crossrec.errors import DataError

Passing = npt.NDArray[np.bool_]
Dropped = dict[str, dict[str, int]]
"""Per domain: how many ``users``, ``items`` and ``interactions`` went. A user counts in every domain that lost them."""


class Survivors:
    """The rows left of a dataset. Its rules say which of the S rows left pass, each of shape (S,)."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.row_S = np.arange(data.num_interactions)
        self.user_S = user_of(data)
        self.item_S: npt.NDArray[np.int32] = np.asarray(data.item_E)
        self.domain_S = data.catalogue.domain_of(self.item_S).astype(np.int16)
        self.report: dict[str, Dropped] = {}
        self._sizes = self._count()

    def __len__(self) -> int:
        return len(self.row_S)

    def drop(self, rules: Sequence[tuple[str, Passing]]) -> None:
        """Drops what does not pass; rules given together judge the same rows, and the first that fails a row has it."""
        left = np.ones(len(self), bool)
        for name, passing in rules:
            self._keep(passing[left])
            left &= passing
            self._tell(name)

    def _keep(self, passing: Passing) -> None:
        if not passing.all():
            self.row_S, self.user_S = self.row_S[passing], self.user_S[passing]
            self.item_S, self.domain_S = self.item_S[passing], self.domain_S[passing]

    def _tell(self, name: str) -> None:
        """Adds what went since the last time to the filter's account (it may act in several rounds)."""
        now = self._count() if len(self) != sum(self._sizes["interactions"]) else self._sizes
        account = self.report.setdefault(name, {domain: dict.fromkeys(now, 0) for domain in self.data.domains})
        for what, sizes in now.items():
            for domain, old, new in zip(self.data.domains, self._sizes[what], sizes, strict=True):
                account[domain][what] += old - new
        self._sizes = now

    def _count(self) -> dict[str, list[int]]:
        """Users, items and interactions left in every domain."""
        every = len(self.data.domains)
        used = np.zeros(self.data.catalogue.num_ids, bool)
        used[self.item_S] = True
        items = np.add.reduceat(used, self.data.catalogue.starts[:-1], dtype=np.int64)
        return {
            "users": (self.per_user() > 0).sum(1).tolist(),
            "items": items.tolist(),
            "interactions": np.bincount(self.domain_S, minlength=every).tolist(),
        }

    def per_user(self) -> npt.NDArray[np.int64]:
        """Interactions left of every user in every domain, shape (domains, U)."""
        users, every = self.data.num_users, len(self.data.domains)
        flat = self.domain_S.astype(np.int64) * users + self.user_S
        return np.bincount(flat, minlength=every * users).reshape(every, users)

    def sizes(self) -> Dropped:
        """Users, items and interactions left, per domain."""
        return {
            name: {what: sizes[at] for what, sizes in self._sizes.items()} for at, name in enumerate(self.data.domains)
        }

    def times(self, why: str) -> npt.NDArray[np.int64]:
        """Unix seconds of the rows left.

        Raises:
            DataError: if a domain has none.
        """
        time_S = None if self.data.time_E is None else np.asarray(self.data.time_E)[self.row_S]
        unknown = np.zeros(0, np.int16) if time_S is None else np.unique(self.domain_S[time_S == UNKNOWN_TIME])
        if time_S is None or len(unknown):
            names = self.data.domains if time_S is None else [self.data.domains[at] for at in unknown]
            raise DataError(
                f"{why}: {', '.join(names)} has no times to filter by. Leave the filter out, or the domain."
            )
        return time_S

    def rated(self, least: float) -> Passing:
        """Rows rated at least so, and all rows of a domain without ratings."""
        if self.data.rating_E is None:
            raise DataError("binarise: no domain has ratings. Leave the filter out, or name the rating column.")
        rating_S = np.asarray(self.data.rating_E)[self.row_S]
        rated_D = np.bincount(self.domain_S, ~np.isnan(rating_S), minlength=len(self.data.domains)) > 0
        return (rating_S >= least) | ~rated_D[self.domain_S]

    def first(self) -> Passing:
        """Rows whose (user, item) has no earlier row."""
        return ~later_repeats([self.user_S, self.item_S])

    def of_users(self, passing_U: npt.NDArray[Any]) -> Passing:
        """Rows of the users that pass: truth values of shape (U,), or (domains, U) to judge each domain by itself."""
        return np.asarray(passing_U[self.user_S] if passing_U.ndim == 1 else passing_U[self.domain_S, self.user_S])

    def of_items(self, least: int) -> Passing:
        """Rows of the items with at least so many rows left."""
        return np.asarray((np.bincount(self.item_S, minlength=self.data.catalogue.num_ids) >= least)[self.item_S])
