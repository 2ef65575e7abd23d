"""The quick dropout drops at the asked rate and keeps the mean."""

from __future__ import annotations

import pytest
import torch

from crossrec.nn.dropout import dropout

COUNT = 400_003


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_rate_and_mean(p: float) -> None:
    torch.manual_seed(0)
    found = dropout(torch.ones(COUNT), p, training=True)
    rate, spread = (found == 0).float().mean().item(), (p * (1 - p) / COUNT) ** 0.5
    assert rate == pytest.approx(p, abs=4 * spread + 1 / 65536)
    assert found[found > 0].unique().tolist() == pytest.approx([1 / (1 - p)])
    assert found.mean().item() == pytest.approx(1.0, abs=(4 * spread + 1 / 65536) / (1 - p))


def test_elements_are_dropped_independently() -> None:
    """Four elements share a draw: neighbours must not go together."""
    torch.manual_seed(0)
    kept = (dropout(torch.ones(100_000, 4), 0.5, training=True) > 0).float()
    correlation = torch.corrcoef(kept.T) - torch.eye(4)
    assert correlation.abs().max() < 0.02


def test_seed_repeats_it() -> None:
    x = torch.randn(7, 3)
    torch.manual_seed(5)
    first = dropout(x, 0.5, training=True)
    torch.manual_seed(5)
    assert torch.equal(dropout(x, 0.5, training=True), first)


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped(p: float, training: bool) -> None:
    x = torch.randn(5, 3)
    before = torch.get_rng_state()
    assert dropout(x, p, training) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_gradient_has_the_same_mask() -> None:
    x = torch.ones(1000, requires_grad=True)
    found = dropout(x, 0.3, training=True)
    found.sum().backward()
    assert torch.equal(x.grad, found.detach())
