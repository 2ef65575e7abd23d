"""TI-DiffRec: T-DiffRec whose weights grow with the time between events, not with their order (PDRec paper, section 3).

Source: specs of PDRec, section 3.1. P queries, M events that queries know.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Views
from crossrec.data.dataset import UNKNOWN_TIME
from crossrec.data.histories import History
from crossrec.data.splits import Split
from crossrec.models.tdiffrec import LONGEST, TDiffRec, TDiffRecConfig


@dataclass(frozen=True)
class TIDiffRecConfig(TDiffRecConfig):
    """Settings of TI-DiffRec."""

    equal: Literal["max", "order", "min"] = "max"
    """Weights where all events have one time, or there is but one: ``high`` for all (published code), by order, or ``low``
    for all."""


class TIDiffRec(TDiffRec):
    """T-DiffRec with weights by time: w_min at the oldest event, w_max at the newest, and in between as time went by.

    A history with an event of unknown time, and one that is given as items alone, is weighted by order.
    """

    name = "tidiffrec"
    Config = TIDiffRecConfig

    def views(self) -> Views:
        return Views({"history": self.reads}, LONGEST, times=True)

    def learn(self, split: Split) -> None:
        """Warn of training rows that can be weighted by order alone."""
        events, rows = split.events, split.train
        asked = [events.within(rows, name) for name in self.reads]
        row_Q, at_Q = (np.concatenate(arrays) for arrays in zip(*asked, strict=True))
        blind_Q = np.ones(len(at_Q), dtype=bool) if events.time_E is None else events.time_E[at_Q] == UNKNOWN_TIME
        blind, held = len(np.unique(row_Q[blind_Q])), len(np.unique(row_Q))
        if blind:
            warnings.warn(
                f"{blind} of {held} training rows hold events without a known time: tidiffrec weights them by order, as "
                "tdiffrec does.",
                stacklevel=2,
            )

    def shares(self, history: History, query_M: Tensor, count_P: Tensor) -> Tensor:
        order_M, time_M = super().shares(history, query_M, count_P), history.event_times()
        if time_M is None:
            return order_M
        none_P = torch.zeros_like(count_P)
        oldest_P = none_P.scatter_reduce(0, query_M, time_M, "amin", include_self=False)
        newest_P = none_P.scatter_reduce(0, query_M, time_M, "amax", include_self=False)
        blind_P = oldest_P == UNKNOWN_TIME
        span_P = torch.where(blind_P, 0, newest_P - oldest_P)
        by_time_M = (time_M - oldest_P[query_M]).double() / span_P.clamp(min=1)[query_M]
        alike = {"max": torch.ones_like(order_M), "min": torch.zeros_like(order_M), "order": order_M}[self.config.equal]
        share_M = torch.where((span_P == 0)[query_M], alike, by_time_M)
        return torch.where(blind_P[query_M], order_M, share_M)
