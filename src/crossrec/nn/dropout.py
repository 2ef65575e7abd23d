"""Dropout whose mask costs a quarter of torch's on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Inverted dropout: in training each element is 0 with probability ``p`` (to 1/65536), else divided by 1 - p.

    On a CPU torch draws one double per element; here one 64-bit draw of the same generator serves four elements.
    """
    if not training or p == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p, training)
    count = x.numel()
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = drawn.view(torch.int16)[:count].view(x.shape) >= round(p * 65536) - 32768
    return x * (kept.to(x.dtype) * (1 / (1 - p)))
