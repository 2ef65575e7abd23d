"""The layer that turns a gradient round."""

from __future__ import annotations

import torch

from crossrec.nn.gradient_reversal import reversed_gradient


def test_forward_it_is_nothing_and_backward_it_turns_round() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reversed_gradient(x, 0.1)
    assert torch.equal(y, x)
    (grad,) = torch.autograd.grad((y * torch.tensor([3.0, 5.0])).sum(), x)
    torch.testing.assert_close(grad, torch.tensor([-0.3, -0.5]))
