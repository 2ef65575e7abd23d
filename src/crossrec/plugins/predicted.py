"""The training rows in which a phase predicts a domain. Shapes: N rows, S positives in them, P queries, R rows of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.splits import Split

ROWS = 512
"""Training rows that are looked at together."""


@dataclass(frozen=True)
class Predicted:
    """Training rows that share no event, sorted by their start, and the positives of one domain that are trained on."""

    domain: str
    user_N: Tensor
    start_N: Tensor
    stop_N: Tensor
    at_S: Tensor
    """Places of the positives among the split's events, ascending."""
    row_S: Tensor
    """Number of the row of each."""

    @classmethod
    def of(cls, split: Split, rows: TrainingRows, domain: str) -> Predicted:
        """The rows of a phase that predict this domain, and their positives as the phase's batches give them."""
        block = split.data.catalogue.block(domain)
        found = []
        for a in range(0, len(rows), ROWS):
            batch = rows.batch(torch.arange(a, min(a + ROWS, len(rows)), device=rows.start_N.device))
            assert batch.at_P is not None, "rows that predict something"
            inside_P = (batch.positive_P >= block.start) & (batch.positive_P < block.stop)
            found.append(batch.at_P[inside_P])
        at_S = torch.cat(found) if found else rows.at_Q[:0]
        kept_N, row_S = torch.unique_consecutive(_row_of(rows.start_N, at_S), return_inverse=True)
        start_N = rows.start_N[kept_N]
        place_N = np.searchsorted(split.train.start_N, start_N.cpu().numpy())
        stop_N = torch.as_tensor(split.train.stop_N[place_N], device=start_N.device)
        return cls(domain, rows.user_N[kept_N], start_N, stop_N, at_S, row_S)

    def __len__(self) -> int:
        return len(self.user_N)

    def row_of(self, at_P: Tensor) -> Tensor:
        """Number of the row that each of these events stands in."""
        return _row_of(self.start_N, at_P)

    def place_of(self, at_P: Tensor) -> Tensor:
        """Number of each of these positives."""
        return torch.searchsorted(self.at_S, at_P)

    def known(self, batcher: Batcher, row_R: Tensor) -> Batch:
        """One query for each of these rows, which knows all of it; nothing comes next."""
        user_R, start_R, stop_R = (
            array[row_R].to(batcher.device) for array in (self.user_N, self.start_N, self.stop_N)
        )
        number_R = torch.arange(len(row_R), device=batcher.device)
        return batcher.batch(self.domain, user_R, start_R, number_R, stop_R, None)


def _row_of(start_N: Tensor, at_P: Tensor) -> Tensor:
    return torch.searchsorted(start_N, at_P, right=True) - 1
