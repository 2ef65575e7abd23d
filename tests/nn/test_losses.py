"""Objectives against worked numbers and against each other."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from crossrec.nn import losses


def test_bce_is_the_golden_number() -> None:
    """Specs of RealHNS, section 3: one positive at 2, negatives at 1 and -1."""
    found = losses.bce(torch.tensor([2.0]), torch.tensor([[1.0, -1.0]]))
    assert found.item() == pytest.approx(0.940190, abs=1e-6)


def test_bce_weighs_all_negatives_as_one_positive() -> None:
    one = losses.bce(torch.tensor([0.3]), torch.tensor([[0.7]]))
    torch.testing.assert_close(losses.bce(torch.tensor([0.3]), torch.full((1, 50), 0.7)), one)


def test_bpr() -> None:
    found = losses.bpr(torch.tensor([2.0]), torch.tensor([[1.0, 3.0]]))
    assert found.item() == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 2)


def test_softmax_is_minus_log_of_the_share() -> None:
    logit = torch.tensor([[1.0, 2.0, 0.5]])
    assert losses.softmax(logit, torch.tensor([1])).item() == pytest.approx(-math.log(F.softmax(logit, 1)[0, 1].item()))


@pytest.mark.parametrize("shared", [False, True])
def test_sampled_softmax_with_every_item_once_is_softmax(shared: bool) -> None:
    """Per query: every other item once. Shared: every item once, the positive hidden behind -inf."""
    logit_PV = torch.randn(6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    place_P = torch.tensor([0, 8, 3, 3, 5, 1])
    own = F.one_hot(place_P, 9).bool()
    if shared:
        negative, log_q = logit_PV.masked_fill(own, -torch.inf), torch.tensor(-math.log(9))
    else:
        negative, log_q = logit_PV[~own].view(6, 8), torch.tensor(-math.log(8))
    expected = losses.softmax(logit_PV, place_P)
    torch.testing.assert_close(losses.sampled_softmax(logit_PV[own], negative, log_q), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(losses.sampled_softmax(logit_PV[own], negative), expected)


def test_sampled_softmax_with_popular_draws_estimates_softmax() -> None:
    """The correction by ln(K q) makes the sum over draws an estimate of the sum over all items, whatever q is."""
    generator = torch.Generator().manual_seed(0)
    logit_V = torch.randn(50, generator=generator, dtype=torch.float64)
    q_V = F.softmax(2 * torch.randn(50, generator=generator, dtype=torch.float64), 0)
    drawn = torch.multinomial(q_V, 400_000, replacement=True, generator=generator)
    found = losses.sampled_softmax(logit_V[:1], logit_V[None, drawn], q_V.log()[drawn])
    expected = torch.logaddexp(logit_V[0], logit_V.logsumexp(0)) - logit_V[0]
    assert found.item() == pytest.approx(expected.item(), abs=0.02)


def test_nt_xent_of_one_row_with_equal_views_is_zero() -> None:
    h = torch.tensor([[0.3, -2.0]])
    assert losses.nt_xent(h, h.clone(), 0.1).item() == 0.0


def test_nt_xent_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    views = [*a, *b]
    terms = []
    for i in range(8):
        weight = [math.exp(F.cosine_similarity(views[i], views[k], dim=0).item() / 0.5) for k in range(8)]
        terms.append(-math.log(weight[(i + 4) % 8] / (sum(weight) - weight[i])))
    assert losses.nt_xent(a, b, 0.5).item() == pytest.approx(sum(terms) / 8)
