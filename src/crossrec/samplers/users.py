"""The users of a split as training knows them: each asked for the last training event of a domain.

Shapes: R users who have a training event of the domain, B of them at a time, S their training events.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from crossrec.data.batches import Batch, Batcher
from crossrec.data.splits import Split
from crossrec.models.base import Model
from crossrec.samplers.bands import SeenRows

ROWS = 512
"""Users whose states are computed together."""


class TrainingUsers:
    """For every user with a training event of a domain the query that asks for the last of them."""

    def __init__(self, split: Split, domain: str, device: torch.device) -> None:
        self.events, self.domain, self.device = split.events, domain, device
        row_Q, at_Q = split.events.within(split.train, domain)
        user_Q = split.train.user_N[row_Q]
        order = np.lexsort((at_Q, user_Q))
        row_Q, at_Q, user_Q = row_Q[order], at_Q[order], user_Q[order]
        last = np.flatnonzero(np.append(user_Q[1:] != user_Q[:-1], True)) if len(user_Q) else np.empty(0, np.int64)
        self.user_R, self.start_R, self.at_R = (
            torch.as_tensor(array, dtype=torch.int64, device=device)
            for array in (user_Q[last], split.train.start_N[row_Q[last]], at_Q[last])
        )
        place_U = torch.full((split.data.num_users,), -1, dtype=torch.int64, device=device)
        place_U[self.user_R] = torch.arange(len(last), device=device)
        self.place_U = place_U
        """Place of every user among these; -1 for one without a training event of the domain."""
        block = split.data.catalogue.block(domain)
        pair = np.unique(user_Q * len(block) + split.events.item_E[at_Q] - block.start)
        offset_R1 = np.searchsorted(pair, np.append(user_Q[last], np.iinfo(np.int64).max // len(block)) * len(block))
        self.seen = SeenRows(
            torch.as_tensor(pair % len(block), device=device),
            torch.as_tensor(offset_R1, dtype=torch.int64, device=device),
        )
        self._batchers: dict[str, Batcher] = {}

    def __len__(self) -> int:
        return len(self.user_R)

    def batches(self, model: Model) -> Iterator[Batch]:
        """The users in order, ``ROWS`` at a time, one query each; what each knows stops before the last training event."""
        views = model.views()
        key = f"{views}"
        if key not in self._batchers:
            self._batchers = {key: Batcher(self.events, views, self.device)}
        for a in range(0, len(self), ROWS):
            rows = slice(a, a + ROWS)
            start_B, at_B = self.start_R[rows], self.at_R[rows]
            place_B = torch.arange(len(start_B), device=self.device)
            yield self._batchers[key].batch(self.domain, self.user_R[rows], start_B, place_B, at_B, at_B)
