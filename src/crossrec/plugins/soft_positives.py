"""DPA: items that a frozen model ranks first, for the trained model to choose soft positives from.

Source: PDRec, section 4.3 (specs of PDRec, 4.3). Shapes: B rows, V items, M candidates of each row.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from crossrec.plugins.preferences import Pairs, hidden


def candidates(score_BV: Tensor, own: Pairs | None, number: int) -> Tensor:
    """Columns (B, M) of the items of the highest preference, M = ``number`` or all; -1 where a row has no more.

    ``own``: pairs that are none; None: every item may be one.
    """
    with nullcontext() if own is None else hidden(score_BV, own):
        best_BM, column_BM = score_BV.topk(min(number, score_BV.shape[1]), 1)
    return torch.where(torch.isfinite(best_BM), column_BM, -1)
