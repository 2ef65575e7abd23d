"""The two metric terms of DDGHM against their formulas: specs of DDGHM, 7.4 and 12, item 8."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from crossrec.nn.hybrid_metric import collaborative, contrastive, hidden, unmet


def test_the_contrast_of_two_rows_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    y = torch.tensor([[1.0, 1.0], [0.5, 1.0]])
    # products: x1y1 1, x1x2 0, x1y2 .5, y1x2 2, y1y2 1.5, x2y2 2
    own = [1.0, 1.0, 2.0, 2.0]
    others = [[0.0, 0.5], [2.0, 1.5], [0.0, 2.0], [1.5, 0.5]]
    expected = sum(-p + math.log(sum(map(math.exp, [p, *rest]))) for p, rest in zip(own, others, strict=True)) / 4
    assert float(contrastive(x, y)) == pytest.approx(expected, rel=1e-6)


def test_the_contrast_does_not_care_which_view_is_which_and_of_one_row_is_nothing() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 5, 3).double()
    torch.testing.assert_close(contrastive(x, y), contrastive(y, x))
    assert float(contrastive(x[:1], y[:1])) == 0
    assert torch.isfinite(contrastive(100 * x.float(), 100 * y.float()))


def test_the_contrast_of_identical_views() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3).double()
    s = x @ x.T
    expected = [
        -s[u, u] + torch.logsumexp(torch.stack([s[u, u], *(s[u, w] for w in range(4) if w != u for _ in "xy")]), 0)
        for u in range(4)
    ]
    torch.testing.assert_close(contrastive(x, x), torch.stack(expected).mean())


def test_the_collaborative_metric_is_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x_bD, e_VD = torch.randn(3, 4).double(), torch.randn(30, 4).double()
    met_bn = torch.tensor([[3, 7, 1], [5, -1, -1], [29, 0, -1]])
    drawn = unmet(met_bn, 30, 6)
    monkeypatch.setattr("crossrec.nn.hybrid_metric.unmet", lambda *given: drawn)
    total = 0.0
    for u, row in enumerate(met_bn.tolist()):
        for n, j in enumerate(row):
            if j >= 0:
                near = float((x_bD[u] - e_VD[j]).square().sum())
                far = [float((x_bD[u] - e_VD[k]).square().sum()) for k in drawn[u, n]]
                impostors = sum(near - d + 1.5 > 0 for d in far)
                total += math.log(1 + 30 * impostors // 6) * max(0.0, 1.5 + near - min(far))
    found, terms = collaborative(x_bD, met_bn, 30, lambda ids: e_VD[ids], 6, 1.5)
    assert terms == 6
    assert float(found) == pytest.approx(total)


def test_the_collaborative_metric_pulls_and_pushes_and_its_weight_is_no_path_for_gradients() -> None:
    torch.manual_seed(0)
    x_bD, e_VD = torch.randn(2, 3).double().requires_grad_(), torch.randn(9, 3).double().requires_grad_()
    met_bn = torch.tensor([[0], [1]])

    def loss(x_bD: Tensor, e_VD: Tensor) -> Tensor:
        with torch.random.fork_rng():
            return collaborative(x_bD, met_bn, 9, lambda ids: e_VD[ids], 4, 1.5)[0]

    assert torch.autograd.gradcheck(loss, (x_bD, e_VD))


def test_what_is_met_at_the_very_place_and_far_from_the_rest_costs_nothing() -> None:
    e_VD = torch.tensor([[0.0, 0.0], [1.3, 0.0], [0.0, -2.0]])  # 1.3² > 1.5
    found, terms = collaborative(torch.zeros(1, 2), torch.tensor([[0]]), 3, lambda ids: e_VD[ids], 20, 1.5)
    assert (float(found), terms) == (0.0, 1)


def test_who_has_met_everything_is_left_out() -> None:
    e_VD = torch.randn(2, 3)
    found, terms = collaborative(torch.zeros(1, 3), torch.tensor([[1, 0]]), 2, lambda ids: e_VD[ids], 5, 1.5)
    assert (float(found), terms) == (0.0, 0)


def test_unmet_items_are_drawn_uniformly() -> None:
    torch.manual_seed(0)
    met_bn = torch.tensor([[4, 0, -1, -1], [1, 2, 3, 6], [-1, -1, -1, -1]])
    drawn = unmet(met_bn, 8, 5000)
    for row, free in enumerate(({1, 2, 3, 5, 6, 7}, {0, 4, 5, 7}, set(range(8)))):
        count = torch.bincount(drawn[row].flatten(), minlength=8)
        assert {v for v in range(8) if count[v]} == free
        assert float((count[list(free)] / (20000 / len(free)) - 1).abs().max()) < 0.08


def test_a_share_of_every_row_is_hidden_at_least_one_event_and_never_all() -> None:
    torch.manual_seed(0)
    own_bl = torch.zeros(6, 12, dtype=torch.bool)
    counts = [0, 1, 2, 3, 5, 10]
    for row, count in enumerate(counts):
        own_bl[row, 12 - count :] = True
    found = [hidden(own_bl, 0.3) for _ in range(50)]
    assert all((one & ~own_bl).sum() == 0 for one in found)
    assert {tuple(one.sum(1).tolist()) for one in found} == {(0, 0, 1, 1, 2, 3)}
    assert torch.stack(found).any(0).equal(own_bl & (torch.tensor(counts) > 1)[:, None])
