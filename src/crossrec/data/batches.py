"""Batches: every array of one by vectorised gathers from the packed events, on the device that trains.

Shapes: B rows of a batch, P queries (positions that have a next item in the asked domain), Q queries of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from crossrec.data.histories import History, View
from crossrec.data.splits import Events, Part, Rows


@dataclass(frozen=True)
class Batch:
    """Some rows, the queries that stand in them and what a model may know when each is asked."""

    domain: str
    """The domain that is asked for."""
    histories: Mapping[str, History]
    """One per view of the model, by the view's name."""
    user_P: Tensor
    """User of every query; -1 for a stranger."""
    positive_P: Tensor
    """The item that came next: global ids."""
    at_P: Tensor | None = None
    """Its place among the split's events; None where nothing is known to come next."""
    rating_P: Tensor | None = None
    """What the user rated it with, NaN where that is not known; None where nothing comes next, or the log has no ratings."""

    def __len__(self) -> int:
        return len(self.user_P)

    def asking(self, domain: str, chosen_P: Tensor) -> Batch:
        """The queries at these places, which all ask for this domain."""
        histories = {name: replace(view, at_P=view.at_P[chosen_P]) for name, view in self.histories.items()}
        at_P = None if self.at_P is None else self.at_P[chosen_P]
        rating_P = None if self.rating_P is None else self.rating_P[chosen_P]
        return Batch(domain, histories, self.user_P[chosen_P], self.positive_P[chosen_P], at_P, rating_P)


@dataclass(frozen=True)
class Views:
    """What a model eats: the names of its histories, the domains in each, and how many events of each it looks at."""

    domains: Mapping[str, tuple[str, ...]]
    max_len: int = 200
    times: bool = False
    """Whether the histories carry the times of their events."""


class Batcher:
    """Makes batches for one model from the events of a split."""

    def __init__(self, events: Events, views: Views, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.events = events
        self.max_len = views.max_len
        self.views = {name: View(events, names, self.device, views.times) for name, names in views.domains.items()}
        self.item_E = torch.as_tensor(np.array(events.item_E), device=self.device)

    @cached_property
    def rating_E(self) -> Tensor | None:
        """The rating of every event, NaN where there is none; None where the log has none at all."""
        rating_E = self.events.rating_E
        return None if rating_E is None else torch.as_tensor(np.array(rating_E), device=self.device)

    def queries(self, part: Part, size: int) -> Iterator[Batch]:
        """The instances of a held-out part in order, one query each, ``size`` at a time."""
        for a in range(0, len(part), size):
            b = min(a + size, len(part))
            start, at = self._tensor(part.start_N[a:b]), self._tensor(part.at_N[a:b])
            stop = self._tensor(part.stop_N[a:b])
            row = torch.arange(b - a, device=self.device)
            yield self.batch(part.target, self._tensor(part.user_N[a:b]), start, row, stop, at)

    def batch(
        self, domain: str, user_B: Tensor, start_B: Tensor, row_P: Tensor, stop_P: Tensor, at_P: Tensor | None
    ) -> Batch:
        """A batch of B rows; query p belongs to row ``row_P``, knows what is before ``stop_P``, asks for ``at_P``.

        Without ``at_P`` nothing is known to come next: the positives are padding.
        """
        histories = {name: view.history(start_B, row_P, stop_P, self.max_len) for name, view in self.views.items()}
        user_P = user_B[row_P]
        positive_P = torch.zeros_like(user_P) if at_P is None else self.item_E[at_P].long()
        rating_P = None if at_P is None or self.rating_E is None else self.rating_E[at_P]
        return Batch(domain, histories, user_P, positive_P, at_P, rating_P)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.device)


class TrainingRows:
    """The rows of a split that hold something to predict in some domains, and their queries."""

    def __init__(
        self,
        batcher: Batcher,
        rows: Rows,
        domains: Sequence[str],
        first: str = "any",
        whole: bool = False,
        rated: bool = False,
    ) -> None:
        """``first``: which first event may be predicted: ``any`` with an event of any view before it, only one with an
        event of its own ``domain`` before it, or ``all``.

        ``whole``: instead of every next item, each row that holds an event of the domains is one query, which knows all
        of the row; nothing comes next.

        ``rated``: only events with a rating are asked for; others are part of histories.
        """
        self.first = "all" if whole or (first == "any" and not batcher.views) else first
        self.batcher, self.domain, self.whole = batcher, domains[0], whole
        asked = [_positives(batcher, rows, domain, self.first, rated) for domain in domains]
        row_Q, at_Q = (np.concatenate(arrays) for arrays in zip(*asked, strict=True))
        order = np.argsort(at_Q, kind="stable")
        row_Q, at_Q = row_Q[order], at_Q[order]
        if whole:
            row_Q = np.unique(row_Q)
            at_Q = rows.stop_N[row_Q]
        kept, first_Q = np.unique(row_Q, return_index=True)
        self.user_N = batcher._tensor(rows.user_N[kept])
        self.start_N = batcher._tensor(rows.start_N[kept])
        self.offset_N1 = batcher._tensor(np.append(first_Q, len(row_Q)).astype(np.int64))
        self.at_Q = batcher._tensor(at_Q)

    def __len__(self) -> int:
        return len(self.user_N)

    @property
    def num_positives(self) -> int:
        return len(self.at_Q)

    def batch(self, index_B: Tensor) -> Batch:
        """The batch of these rows, with all their queries that fall among the latest ``max_len`` events."""
        first_B = self.offset_N1[index_B]
        count_B = self.offset_N1[index_B + 1] - first_B
        row_P = torch.repeat_interleave(torch.arange(len(index_B), device=count_B.device), count_B)
        ends = torch.cumsum(count_B, 0)
        within_P = torch.arange(int(ends[-1]), device=count_B.device) - (ends - count_B)[row_P]
        at_P = self.at_Q[first_B[row_P] + within_P]
        start_B = self.start_N[index_B]
        inside_P = self._inside(start_B, row_P, at_P)
        if inside_P is not None:
            row_P, at_P = row_P[inside_P], at_P[inside_P]
        comes_P = None if self.whole else at_P
        return self.batcher.batch(self.domain, self.user_N[index_B], start_B, row_P, at_P, comes_P)

    def _inside(self, start_B: Tensor, row_P: Tensor, at_P: Tensor) -> Tensor | None:
        """Which queries do not lose all that they know when the row is cut to its latest events; None: all of them."""
        longest = int((at_P - start_B[row_P]).max()) if len(at_P) else 0
        if self.first == "all" or not self.batcher.views or longest <= self.batcher.max_len:
            return None
        sees_P, knew_P = torch.zeros_like(row_P, dtype=torch.bool), torch.zeros_like(row_P, dtype=torch.bool)
        for view in self.batcher.views.values():
            before_P, first_B = view.before_E1[at_P], view.before_E1[start_B]
            last_B = torch.zeros_like(start_B).scatter_reduce(0, row_P, before_P, "amax", include_self=True)
            sees_P |= before_P > torch.maximum(first_B, last_B - self.batcher.max_len)[row_P]
            knew_P |= before_P > first_B[row_P]
        return sees_P | ~knew_P


def _positives(batcher: Batcher, rows: Rows, domain: str, first: str, rated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row and place of every event of a domain that is predicted in training."""
    events = batcher.events
    row_Q, at_Q = events.within(rows, domain)
    if rated:
        known_Q = events.rated(at_Q)
        row_Q, at_Q = row_Q[known_Q], at_Q[known_Q]
    if first == "all":
        return row_Q, at_Q
    known = [domain] if first == "domain" else {name for view in batcher.views.values() for name in view.domains}
    counts = [events.count_before(name) for name in known]
    keep = np.any([count[at_Q] > count[rows.start_N[row_Q]] for count in counts], axis=0)
    return row_Q[keep], at_Q[keep]


def deliveries(num_rows: int, size: int, copies: int, generator: torch.Generator) -> Sequence[Tensor]:
    """The batches of an epoch: all rows in a random order, cut into ``size`` (the last may be smaller).

    With ``copies`` above 1 as many batches are delivered, each that many times in a row, of rows drawn with replacement.
    """
    if copies == 1:
        order: tuple[Tensor, ...] = torch.randperm(num_rows, generator=generator).split(size)
        return order
    steps = -(-num_rows // size)
    drawn = torch.randint(num_rows, (-(-steps // copies), min(size, num_rows)), generator=generator)
    return drawn.repeat_interleave(copies, 0)[:steps].unbind()
