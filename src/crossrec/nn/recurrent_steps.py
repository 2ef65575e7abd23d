"""Recurrences over packed rows whose gradients are made by hand: the steps hold nothing but what the next one waits for.

Rows are packed step by step, longest first, as in :mod:`crossrec.nn.timelines`: N steps of all rows, D width, M members.
Everything that does not wait for the state before is computed for all N at once, forth and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from crossrec.nn.untraced import untraced


@untraced
def gated_steps(
    input_N3D: Tensor, sizes: Sequence[int], gate_D2D: Tensor, new_DD: Tensor, keep_ND: Tensor | None
) -> Tensor:
    """States h_ND of a gated recurrent unit from zero states; the reset gate is applied before the recurrent product:

    z, r = σ(input_zr + h' gate), c = tanh(input_c + (r ⊙ h') new), h = z ⊙ h' + (1 - z) ⊙ c, h' the state before.
    ``keep``: what each step's state before is multiplied with. Source: Cho et al. 2014.
    """
    with torch.autocast(input_N3D.device.type, enabled=False):
        h_ND: Tensor = _Gated.apply(input_N3D, gate_D2D, new_DD, keep_ND, tuple(sizes))  # type: ignore[no-untyped-call]  # torch has no type
    return h_ND


@untraced
def filter_steps(
    input_N2D: Tensor, sizes: Sequence[int], member_M2D: Tensor, state_D2D: Tensor, keep_ND: Tensor | None
) -> Tensor:
    """Mean states s_ND of the shared-account filter from zero states (specs of DDGHM, equations 6.2 to 6.4):

    f_m, c_m = σ, tanh(input + s' state + member_m), s = mean over members of f_m ⊙ s' + (1 - f_m) ⊙ c_m, s' the state before.
    One product a step serves all members. ``keep``: what each step's state before is multiplied with.
    """
    with torch.autocast(input_N2D.device.type, enabled=False):
        s_ND: Tensor = _Filter.apply(input_N2D, member_M2D, state_D2D, keep_ND, tuple(sizes))  # type: ignore[no-untyped-call]  # torch has no type
    return s_ND


def _spans(sizes: Sequence[int]) -> list[tuple[slice, slice]]:
    """Of every step its rows, and the same rows a step earlier."""
    spans, at, before = [], 0, 0
    for rows in sizes:
        spans.append((slice(at, at + rows), slice(before, before + rows)))
        before, at = at, at + rows
    return spans


def _carry(out_ND: Tensor, before_ND: Tensor, keep_ND: Tensor | None, now: slice, then: slice) -> Tensor:
    """The states before a step, noted among those of all steps."""
    if now.start:
        before_ND[now] = out_ND[then] if keep_ND is None else out_ND[then] * keep_ND[now]
    return before_ND[now]


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input_N3D: Tensor, gate_D2D: Tensor, new_DD: Tensor, keep_ND: Tensor | None, sizes: tuple[int, ...]
    ) -> Tensor:
        dim = new_DD.shape[0]
        zr_N2D, c_ND = torch.empty_like(input_N3D[:, : 2 * dim]), torch.empty_like(input_N3D[:, :dim])
        h_ND, before_ND = torch.empty_like(c_ND), torch.zeros_like(c_ND)
        for now, then in _spans(sizes):
            before = _carry(h_ND, before_ND, keep_ND, now, then)
            zr = torch.addmm(input_N3D[now, : 2 * dim], before, gate_D2D, out=zr_N2D[now]).sigmoid_()
            c = torch.addmm(input_N3D[now, 2 * dim :], zr[:, dim:] * before, new_DD, out=c_ND[now]).tanh_()
            torch.lerp(c, before, zr[:, :dim], out=h_ND[now])
        ctx.save_for_backward(zr_N2D, c_ND, before_ND, gate_D2D, new_DD, keep_ND)
        ctx.sizes = sizes
        return h_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        zr_N2D, c_ND, before_ND, gate_D2D, new_DD, keep_ND = ctx.saved_tensors
        dim = new_DD.shape[0]
        z_ND, r_ND = zr_N2D[:, :dim], zr_N2D[:, dim:]
        by_z_ND = (before_ND - c_ND) * (z_ND * (1 - z_ND))
        by_c_ND = (1 - z_ND) * (1 - c_ND * c_ND)
        by_r_ND = before_ND * (r_ND * (1 - r_ND))
        total_ND, input_N3D = grad_ND.clone(), torch.cat([zr_N2D, c_ND], 1)
        for now, then in reversed(_spans(ctx.sizes)):
            total, into = total_ND[now], input_N3D[now]
            torch.mul(total, by_z_ND[now], out=into[:, :dim])
            torch.mul(total, by_c_ND[now], out=into[:, 2 * dim :])
            reset = into[:, 2 * dim :] @ new_DD.T
            torch.mul(reset, by_r_ND[now], out=into[:, dim : 2 * dim])
            if now.start:
                back = torch.addmm(total * z_ND[now], into[:, : 2 * dim], gate_D2D.T).addcmul_(reset, r_ND[now])
                total_ND[then] += back if keep_ND is None else back * keep_ND[now]
        gate, new = before_ND.T @ input_N3D[:, : 2 * dim], (r_ND * before_ND).T @ input_N3D[:, 2 * dim :]
        return input_N3D, gate, new, None, None


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input_N2D: Tensor,
        member_M2D: Tensor,
        state_D2D: Tensor,
        keep_ND: Tensor | None,
        sizes: tuple[int, ...],
    ) -> Tensor:
        dim, shape = state_D2D.shape[0], (len(input_N2D), len(member_M2D), state_D2D.shape[0])
        member_f, member_c = member_M2D[:, :dim], member_M2D[:, dim:]
        f_NMD, c_NMD, s_ND = (
            input_N2D.new_empty(shape),
            input_N2D.new_empty(shape),
            torch.empty_like(input_N2D[:, :dim]),
        )
        before_ND = torch.zeros_like(s_ND)
        for now, then in _spans(sizes):
            before = _carry(s_ND, before_ND, keep_ND, now, then)
            shared = torch.addmm(input_N2D[now], before, state_D2D)[:, None]
            f = torch.add(shared[..., :dim], member_f, out=f_NMD[now]).sigmoid_()
            c = torch.add(shared[..., dim:], member_c, out=c_NMD[now]).tanh_()
            torch.mean(torch.lerp(c, before[:, None], f), 1, out=s_ND[now])
        ctx.save_for_backward(f_NMD, c_NMD, before_ND, state_D2D, keep_ND)
        ctx.sizes = sizes
        return s_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        f_NMD, c_NMD, before_ND, state_D2D, keep_ND = ctx.saved_tensors
        members, dim = f_NMD.shape[1:]
        total_ND, input_N2D = grad_ND.clone(), before_ND.new_empty(len(before_ND), 2 * dim)
        member_M2D = before_ND.new_zeros(members, 2 * dim)
        for now, then in reversed(_spans(ctx.sizes)):
            f, c, into = f_NMD[now], c_NMD[now], input_N2D[now]
            share = total_ND[now, None] / members
            shut = share * (1 - f)
            by_f = (before_ND[now, None] - c).mul_(f).mul_(shut)
            by_c = shut.addcmul_(shut, c * c, value=-1)
            for place, by in ((slice(dim), by_f), (slice(dim, None), by_c)):
                torch.sum(by, 1, out=into[:, place])
                member_M2D[:, place] += by.sum(0)
            if now.start:
                back = torch.addmm((share * f).sum(1), into, state_D2D.T)
                total_ND[then] += back if keep_ND is None else back * keep_ND[now]
        return input_N2D, member_M2D, before_ND.T @ input_N2D, None, None
