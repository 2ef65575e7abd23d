"""The cross entropy over a whole catalogue in blocks is the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.nn import full_softmax, losses


@pytest.fixture(params=[1, 12, 40, 10**6], ids="of {} logits".format)
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_softmax, "LOGITS", request.param)


def both(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    query_PD = (scale * torch.randn(7, 3, dtype=torch.float64)).requires_grad_()
    item_VD = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)
    return query_PD, item_VD, torch.randint(11, (7,))


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.usefixtures("small_blocks")
def test_losses_and_gradients_are_the_plain_ones(even: bool) -> None:
    query_PD, item_VD, place_P = both()
    weight_P = torch.full((7,), 0.3, dtype=torch.float64) if even else torch.rand(7, dtype=torch.float64)
    found_P = full_softmax.full_softmax(query_PD, item_VD, place_P)
    expected_P = losses.softmax(query_PD @ item_VD.T, place_P)
    made = [
        [loss_P, *torch.autograd.grad((loss_P * weight_P).sum(), [query_PD, item_VD])]
        for loss_P in (found_P, expected_P)
    ]
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-10)


def test_large_logits_do_no_harm() -> None:
    query_PD, item_VD, place_P = both(scale=1e4)
    loss_P = full_softmax.full_softmax(query_PD, item_VD, place_P)
    torch.testing.assert_close(loss_P, losses.softmax(query_PD @ item_VD.T, place_P))
    grads = torch.autograd.grad(loss_P.sum(), [query_PD, item_VD])
    assert all(bool(torch.isfinite(grad).all()) for grad in grads)


def test_without_gradients_and_without_queries() -> None:
    query_PD, item_VD, place_P = both()
    with torch.no_grad():
        expected = losses.softmax(query_PD @ item_VD.T, place_P)
        assert torch.equal(full_softmax.full_softmax(query_PD, item_VD, place_P), expected)
    loss_P = full_softmax.full_softmax(query_PD[:0], item_VD, place_P[:0])
    assert len(loss_P) == 0
    (grad_VD,) = torch.autograd.grad(loss_P.sum(), [item_VD])
    assert not grad_VD.any()
