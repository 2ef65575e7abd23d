"""Cross entropy over a whole catalogue without ever holding all its logits.

P queries, of which B in a block; V items, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from crossrec.nn import losses

LOGITS = 1 << 23
"""Logits that are held at once on a CPU: what stays in its cache. A GPU is fed 16 times as many."""


def full_softmax(query_PD: Tensor, item_VD: Tensor, place_P: Tensor) -> Tensor:
    """Cross entropy of the positive among all items, (P,), as ``losses.softmax(query @ item.T, place)``.

    Gradients are made along with the losses, block by block, while the logits are at hand: that takes three products, and
    no second pass over what would not fit into a cache. Under autocast it is the plain formula.
    """
    plain = torch.compiler.is_compiling() or torch.is_autocast_enabled(query_PD.device.type)
    if plain or not torch.is_grad_enabled():
        return losses.softmax(query_PD @ item_VD.T, place_P)
    loss_P: Tensor = _FullSoftmax.apply(query_PD, item_VD, place_P)  # type: ignore[no-untyped-call]  # torch has no type
    return loss_P


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query_PD: Tensor, item_VD: Tensor, place_P: Tensor) -> Tensor:
        loss_P, query_grad, item_grad = _blocks(query_PD, item_VD, place_P, None)
        ctx.save_for_backward(query_PD, item_VD, place_P, query_grad, item_grad)
        return loss_P

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_P: Tensor) -> tuple[Tensor, Tensor, None]:
        query_PD, item_VD, place_P, query_grad, item_grad = ctx.saved_tensors
        if bool((grad_P == grad_P[:1]).all()):
            return query_grad * grad_P[:, None], item_grad * grad_P[:1].sum(), None
        return *_blocks(query_PD, item_VD, place_P, grad_P)[1:], None


def _blocks(query_PD: Tensor, item_VD: Tensor, place_P: Tensor, grad_P: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The losses, and the gradients of their sum, or of their sum weighted by ``grad``."""
    loss_P, query_grad, item_grad = query_PD.new_empty(len(query_PD)), torch.empty_like(query_PD), None
    held = LOGITS * (1 if query_PD.device.type == "cpu" else 16)
    size = max(1, held // len(item_VD))
    for a in range(0, len(query_PD), size):
        part = slice(a, a + size)
        query_BD, place_B1 = query_PD[part], place_P[part, None]
        share_BV = query_BD @ item_VD.T
        top_B1 = share_BV.amax(1, keepdim=True)
        positive_B1 = share_BV.gather(1, place_B1)
        mass_B1 = share_BV.sub_(top_B1).exp_().sum(1, keepdim=True)
        loss_P[part] = (mass_B1.log() + top_B1 - positive_B1)[:, 0]
        share_BV.div_(mass_B1).scatter_add_(1, place_B1, torch.full_like(positive_B1, -1))
        if grad_P is not None:
            share_BV.mul_(grad_P[part, None])
        torch.mm(share_BV, item_VD, out=query_grad[part])
        if item_grad is None:
            item_grad = share_BV.T @ query_BD
        else:
            item_grad.addmm_(share_BV.T, query_BD)
    return loss_P, query_grad, torch.zeros_like(item_VD) if item_grad is None else item_grad
