"""What an evaluation finds: instances with their figures, whatever the protocol measures of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crossrec.data.arrow import from_numpy
from crossrec.data.splits import Part
from crossrec.data.vocabulary import Ints
from crossrec.evaluation.kinds import Kind
from crossrec.evaluation.statistics import Bucket, bucket_of, interaction_buckets


@dataclass(frozen=True)
class Share:
    """The users of one bucket, by what is known of them in the target."""

    bucket: Bucket
    """How many events of the target are known of each."""
    users: int
    figures: dict[str, float]
    """Metrics of these users' held-out items alone; NaN for one that says nothing of any of them."""


@dataclass(frozen=True, eq=False)
class Outcome(ABC):
    """The held-out items of a part under one protocol, N instances."""

    protocol: str
    part: Part

    @property
    def negatives_hash(self) -> str | None:
        """Hash of the drawn candidates: outcomes are comparable only where it is the same. None where none are drawn."""
        return None

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What is known of an instance, and which metrics that gives."""

    @property
    @abstractmethod
    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The kind's columns, (N,) each."""

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that are reported where nobody asks for more."""
        return self.kind.shown

    @cached_property
    def _by_user(self) -> tuple[dict[str, npt.NDArray[np.float64]], Ints]:
        order = np.argsort(self.part.user_N, kind="stable")
        start_U = np.flatnonzero(np.diff(self.part.user_N[order], prepend=-1))
        return {name: np.asarray(value[order], dtype=np.float64) for name, value in self.columns.items()}, start_U

    def value(self, metric: str) -> float:
        """One metric. Raises InputError for one that this protocol does not give."""
        return self.kind.value(metric, *self._by_user)

    def summary(self, names: tuple[str, ...] | None = None) -> dict[str, float]:
        """Every metric, and the number of users."""
        found = {name: self.value(name) for name in (self.shown if names is None else names)}
        return {**found, "users": len(self._by_user[1])}

    def by_target_interactions(self, names: tuple[str, ...] | None = None) -> tuple[Share, ...]:
        """Every metric by the number of events of the target domain that are known of a user: 0, 1-2, 3-5, 6-10, more.

        Of a user with several held-out items the most that is known at any of them counts. Buckets without users are left out.
        """
        columns, start_U = self._by_user
        order = np.argsort(self.part.user_N, kind="stable")
        length_N = self.part.history_lengths()[self.part.target][order]
        count_U = np.diff(start_U, append=len(length_N))
        length_U = np.maximum.reduceat(length_N, start_U)
        buckets = interaction_buckets(length_U)
        level_U = bucket_of(length_U, buckets)
        found = []
        for number, bucket in enumerate(buckets):
            inside_N = np.repeat(level_U == number, count_U)
            own = {name: value_N[inside_N] for name, value_N in columns.items()}
            first_U = np.cumsum(count_U[level_U == number]) - count_U[level_U == number]
            figures = {name: self.kind.value(name, own, first_U) for name in (self.shown if names is None else names)}
            found.append(Share(bucket, len(first_U), figures))
        return tuple(found)

    def __str__(self) -> str:
        figures = self.summary()
        title = f"{self.part.target}, {self.part.name}, protocol {self.protocol}, {figures.pop('users')} users"
        lines = [title, *(f"  {name:<8} {said(value)}" for name, value in figures.items())]
        return "\n".join([*lines, *([self.part.leak] if self.part.leak else [])])

    def table(self) -> pa.Table:
        """One row per instance, in own ids: user_id, item_id, the kind's columns and the events of every domain known."""
        data, part = self.part.data, self.part
        columns = {
            "user_id": data.users.ids(part.user_N),
            "item_id": data.items[part.target].ids(part.item_N - data.catalogue.block(part.target).start),
            **{name: from_numpy(value) for name, value in self.columns.items()},
        }
        lengths = {f"history_{name}": from_numpy(count) for name, count in part.history_lengths().items()}
        return pa.table(columns | lengths)


def said(value: float) -> str:
    """A figure for people: counts as they are, others with four decimals."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
