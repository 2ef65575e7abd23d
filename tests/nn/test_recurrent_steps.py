"""Recurrences with gradients by hand, against the formulas step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.nn.recurrent_steps import filter_steps, gated_steps

SIZES = (4, 3, 3, 1)
STEPS, DIM, MEMBERS = 11, 3, 2
ROWS = [[0, 4, 7, 10], [1, 5, 8], [2, 6, 9], [3]]
"""Places of every row's steps among all that are packed."""


def drawn(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Random matrices that want gradients."""
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def kept(dropped: bool) -> Tensor | None:
    """What states are multiplied with."""
    return (torch.rand(STEPS, DIM, dtype=torch.float64) > 0.3) / 0.7 if dropped else None


@pytest.mark.parametrize("dropped", [False, True])
def test_the_reset_gate_comes_before_the_recurrent_product(dropped: bool) -> None:
    input_N3D, gate_D2D, new_DD = drawn((STEPS, 3 * DIM), (DIM, 2 * DIM), (DIM, DIM))
    keep_ND = kept(dropped)
    found = gated_steps(input_N3D, SIZES, gate_D2D, new_DD, keep_ND)
    for row in ROWS:
        h = torch.zeros(DIM, dtype=torch.float64)
        for n in row:
            h = h if keep_ND is None else h * keep_ND[n]
            z, r = torch.sigmoid(input_N3D[n, : 2 * DIM] + h @ gate_D2D).split(DIM)
            h = z * h + (1 - z) * torch.tanh(input_N3D[n, 2 * DIM :] + (r * h) @ new_DD)
            torch.testing.assert_close(found[n], h)
    assert torch.autograd.gradcheck(lambda *given: gated_steps(given[0], SIZES, given[1], given[2], keep_ND), (
        input_N3D, gate_D2D, new_DD,
    ))  # fmt: skip


@pytest.mark.parametrize("dropped", [False, True])
def test_the_filter_weighs_its_own_mean_state_by_the_gate(dropped: bool) -> None:
    """Equations 6.2 to 6.4, member by member."""
    input_N2D, member_M2D, state_D2D = drawn((STEPS, 2 * DIM), (MEMBERS, 2 * DIM), (DIM, 2 * DIM))
    keep_ND = kept(dropped)
    found = filter_steps(input_N2D, SIZES, member_M2D, state_D2D, keep_ND)
    for row in ROWS:
        s = torch.zeros(DIM, dtype=torch.float64)
        for n in row:
            s = s if keep_ND is None else s * keep_ND[n]
            total = torch.zeros_like(s)
            for member in member_M2D:
                f, c = (input_N2D[n] + s @ state_D2D + member).split(DIM)
                total = total + f.sigmoid() * s + (1 - f.sigmoid()) * c.tanh()
            s = total / MEMBERS
            torch.testing.assert_close(found[n], s)
    assert torch.autograd.gradcheck(lambda *given: filter_steps(given[0], SIZES, given[1], given[2], keep_ND), (
        input_N2D, member_M2D, state_D2D,
    ))  # fmt: skip


def test_no_step_at_all_gives_no_state_and_no_gradient() -> None:
    gate, new, member = drawn((DIM, 2 * DIM), (DIM, DIM), (MEMBERS, 2 * DIM))
    none = torch.zeros(0, 3 * DIM, dtype=torch.float64)
    gated_steps(none, (), gate, new, None).sum().backward()
    filter_steps(none[:, : 2 * DIM], (), member, gate, None).sum().backward()
    assert not any(weight.grad.any() for weight in (gate, new, member) if weight.grad is not None)


def test_under_autocast_steps_stay_in_single_precision() -> None:
    input_N3D, gate_D2D, new_DD = (x.detach().float() for x in drawn((STEPS, 9), (DIM, 6), (DIM, DIM)))
    exact = gated_steps(input_N3D, SIZES, gate_D2D, new_DD, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gated_steps(input_N3D, SIZES, gate_D2D, new_DD, None), exact)
