"""Sums and softmaxes over stretches of unequal length that lie end to end, without padding.

M elements, S segments, D width; ``segment`` is the number of every element's segment.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spread(first_S: Tensor, count_S: Tensor) -> tuple[Tensor, Tensor]:
    """Segment and place of every element of S stretches: ``first[s], first[s] + 1, ...``, ``count[s]`` of them: (M,), (M,)."""
    segment_M = torch.repeat_interleave(torch.arange(len(count_S), device=count_S.device), count_S)
    shift_S = first_S - (count_S.cumsum(0) - count_S)
    return segment_M, shift_S[segment_M] + torch.arange(len(segment_M), device=count_S.device)


def segment_sum(x_MD: Tensor, segment_M: Tensor, count: int) -> Tensor:
    """Sums of ``count`` segments, (S, ...); 0 for an empty one."""
    return x_MD.new_zeros(count, *x_MD.shape[1:]).index_add(0, segment_M, x_MD)


def segment_softmax(logit_M: Tensor, segment_M: Tensor, count: int) -> Tensor:
    """Softmax within every one of ``count`` segments, (M,)."""
    peak_S = logit_M.detach().new_full((count,), -torch.inf).scatter_reduce(0, segment_M, logit_M.detach(), "amax")
    mass_M = (logit_M - peak_S[segment_M]).exp()
    return mass_M / segment_sum(mass_M, segment_M, count)[segment_M]
