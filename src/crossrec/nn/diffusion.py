"""Diffusion of vectors in a few steps: the schedule, the embedding of a step, and which steps training draws.

Source: specs of PDRec, sections 3.2 to 3.4. T steps, P queries, E width of a step's embedding, N losses kept of each step.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from crossrec.errors import InputError

FIRST_BETA = 1e-5
"""The noise of step 0, whatever the schedule says (specs, 3.3)."""
KEPT = 10
"""Latest losses of a step that its chance is computed from (specs, 3.4)."""
UNIFORM = 1e-3
"""Share of the chances that is the same for all steps (specs, 3.4)."""


class Schedule(nn.Module):
    """How much noise each of T steps adds ("linear-var"), how a step is taken back, and what its loss weighs.

    Buffers (T,), in double precision and never saved: ``signal_T`` and ``noise_T`` are the factors of the input and of the
    noise in x_t; ``c1_T`` and ``c2_T`` those of the prediction of x_0 and of x_t in x_{t-1}; ``weight_T`` the loss's.
    """

    beta_T: Tensor
    signal_T: Tensor
    noise_T: Tensor
    c1_T: Tensor
    c2_T: Tensor
    weight_T: Tensor

    def __init__(self, steps: int, scale: float, low: float, high: float) -> None:
        """Variances grow evenly from ``scale * low`` to ``scale * high``. Raises InputError unless they grow within 0 and 1."""
        super().__init__()
        variance_T = torch.linspace(scale * low, scale * high, max(steps, 0), dtype=torch.float64)
        if steps < 1 or not 0 < scale * low < scale * high < 1:
            raise InputError(
                f"{steps} steps of noise from {scale * low:g} to {scale * high:g}: take at least one step, and noise that "
                "grows between 0 and 1."
            )
        left_T = 1 - variance_T
        beta_T = torch.cat([left_T.new_tensor([FIRST_BETA]), 1 - left_T[1:] / left_T[:-1]])
        left_T = torch.cumprod(1 - beta_T, 0)
        before_T = torch.cat([left_T.new_ones(1), left_T[:-1]])
        ratio_T = left_T / (1 - left_T)
        self._keep("beta_T", beta_T)
        self._keep("signal_T", left_T.sqrt())
        self._keep("noise_T", (1 - left_T).sqrt())
        self._keep("c1_T", beta_T * before_T.sqrt() / (1 - left_T))
        self._keep("c2_T", (1 - before_T) * (1 - beta_T).sqrt() / (1 - left_T))
        self._keep("weight_T", torch.cat([left_T.new_ones(1), ratio_T[:-1] - ratio_T[1:]]))

    def _keep(self, name: str, value_T: Tensor) -> None:
        self.register_buffer(name, value_T, persistent=False)


class StepEmbedding(nn.Module):
    """A trained map of the cosines and sines of each step's number: e_TE of all steps at once."""

    wave_TE: Tensor

    def __init__(self, steps: int, dim: int) -> None:
        """Weights N(0, 1 / dim), bias N(0, 0.001^2)."""
        super().__init__()
        half = dim // 2
        angle_TE = torch.arange(steps)[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        self.register_buffer("wave_TE", torch.cat([angle_TE.cos(), angle_TE.sin()], 1), persistent=False)
        self.linear = nn.Linear(2 * half, dim)
        nn.init.normal_(self.linear.weight, std=dim**-0.5)
        nn.init.normal_(self.linear.bias, std=0.001)

    def forward(self) -> Tensor:
        e_TE: Tensor = self.linear(self.wave_TE)
        return e_TE


class ImportantSteps(nn.Module):
    """Draws steps in proportion to the size of their latest losses; all alike until each has had ``KEPT``.

    The losses are buffers: they are saved with the model, so that a resumed run draws as it would have.
    """

    loss_TN: Tensor
    count_T: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.register_buffer("loss_TN", torch.zeros(steps, KEPT))
        self.register_buffer("count_T", torch.zeros(steps, dtype=torch.int64))

    def chances(self) -> Tensor:
        """Chance of every step, (T,), in double precision."""
        steps = len(self.count_T)
        if bool((self.count_T < KEPT).any()):
            return self.loss_TN.new_full((steps,), 1 / steps, dtype=torch.float64)
        size_T = self.loss_TN.double().square().mean(1).sqrt()
        return (1 - UNIFORM) * size_T / size_T.sum() + UNIFORM / steps

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Steps (P,) from torch's own generator, and the chance of each."""
        chance_T = self.chances()
        step_P = torch.multinomial(chance_T, count, replacement=True)
        return step_P, chance_T[step_P]

    def record(self, step_P: Tensor, loss_P: Tensor) -> None:
        """Remember the weighted losses of these steps, the last of them as the latest."""
        step_P, order_P = step_P.sort(stable=True)
        new_T = torch.bincount(step_P, minlength=len(self.count_T))
        within_P = torch.arange(len(step_P), device=step_P.device) - (new_T.cumsum(0) - new_T)[step_P]
        late_P = within_P >= new_T[step_P] - KEPT
        place_P = (self.count_T[step_P] + within_P) % KEPT
        self.loss_TN[step_P[late_P], place_P[late_P]] = loss_P.detach()[order_P][late_P].to(self.loss_TN.dtype)
        self.count_T += new_T


class _SquaredNorms(torch.autograd.Function):
    """Autograd's own square keeps two more matrices; a sum of bfloat16 squares must not be a bfloat16."""

    @staticmethod
    def forward(ctx: Any, x_PD: Tensor) -> Tensor:
        ctx.save_for_backward(x_PD)
        exact = torch.promote_types(x_PD.dtype, torch.float32)
        norm_P: Tensor = torch.linalg.vector_norm(x_PD, dim=1, dtype=exact)
        return norm_P.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_P: Tensor) -> Tensor:
        (x_PD,) = ctx.saved_tensors
        gradient: Tensor = x_PD * (2 * grad_P).to(x_PD.dtype)[:, None]
        return gradient


def squared_norms(x_PD: Tensor) -> Tensor:
    """Sums of the squares of the rows, (P,), in single precision at least."""
    norm_P: Tensor = _SquaredNorms.apply(x_PD)  # type: ignore[no-untyped-call]  # torch's own is untyped
    return norm_P
