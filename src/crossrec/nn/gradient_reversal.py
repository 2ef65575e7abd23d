"""A layer that is nothing forward and turns the gradient round backward (Ganin and Lempitsky 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def reversed_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` as it is; its gradient is multiplied by ``-factor``: what comes before learns to do harm to what comes after."""
    turned: Tensor = _Reversal.apply(x, factor)  # type: ignore[no-untyped-call]  # torch has no type
    return turned


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * grad, None
