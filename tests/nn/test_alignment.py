"""Inter-domain alignment: invariances, several sources, and the agreement of two domains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.data.graphs import Adjacency
from crossrec.nn import alignment


def users(count: int = 7, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def aligned(z_ND: Tensor, teachers: list[Tensor], both_NS: Tensor | None = None, **settings: object) -> Tensor:
    both_NS = torch.ones(len(z_ND), len(teachers), dtype=torch.bool) if both_NS is None else both_NS
    weight_NS = torch.full(both_NS.shape, 1 / len(teachers))
    return alignment.inter_alignment(z_ND, teachers, both_NS, weight_NS, **settings)


def test_moving_and_turning_the_target_changes_nothing() -> None:
    z_ND, teacher_ND = users(), users(seed=1)
    turned, _ = torch.linalg.qr(users(3, seed=2))
    before = aligned(z_ND, [teacher_ND])
    torch.testing.assert_close(aligned(z_ND @ turned + 5, [teacher_ND]), before)
    assert not torch.isclose(aligned(2 * z_ND, [teacher_ND]), before)
    torch.testing.assert_close(
        aligned(2 * z_ND, [3 * teacher_ND], normalise=True), aligned(z_ND, [teacher_ND], normalise=True)
    )


def test_rows_sum_to_one_and_follow_the_order_of_the_users() -> None:
    z_ND, order = users(), torch.randperm(7, generator=torch.Generator().manual_seed(3))
    q_NN = alignment.log_similarities(alignment.squared_distances(z_ND)).exp()
    torch.testing.assert_close(q_NN.sum(1), torch.ones(7, dtype=torch.float64))
    other = alignment.log_similarities(alignment.squared_distances(z_ND[order])).exp()
    torch.testing.assert_close(other, q_NN[order][:, order])


def test_single_precision_keeps_small_distances_far_from_the_origin() -> None:
    z_ND = users().float() + 100
    exact = torch.cdist(z_ND.double(), z_ND.double()).square()
    torch.testing.assert_close(alignment.squared_distances(z_ND).double(), exact, rtol=1e-5, atol=1e-5)


def test_two_identical_sources_are_one() -> None:
    teacher_ND, found = users(seed=1), []
    for teachers in ([teacher_ND], [teacher_ND, teacher_ND.clone()]):
        z_ND = users().requires_grad_()
        loss = aligned(z_ND, teachers)
        loss.backward()
        found.append((loss.detach(), z_ND.grad))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_each_source_is_compared_on_the_users_it_shares() -> None:
    z_ND, teachers = users(), [users(seed=1), users(seed=2), users(seed=3)]
    both_NS = torch.zeros(7, 3, dtype=torch.bool)
    both_NS[:4, 0] = both_NS[3:, 1] = both_NS[:2, 2] = True
    expected = sum(
        alignment.divergences(teachers[s][rows], z_ND[rows]).mean() for s, rows in ((0, slice(4)), (1, slice(3, 7)))
    )
    torch.testing.assert_close(aligned(z_ND, teachers, both_NS), expected / 3)


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_fewer_than_three_shared_users_say_nothing(shared: int) -> None:
    z_ND = users().requires_grad_()
    both_NS = (torch.arange(7) < shared)[:, None]
    assert float(aligned(z_ND, [users(seed=1)], both_NS)) == 0


def test_equal_users_have_finite_gradients() -> None:
    z_ND = torch.zeros(5, 3, requires_grad=True)
    aligned(z_ND, [users(5).float()], normalise=True).backward()
    assert torch.isfinite(z_ND.grad).all()


def taste_graph(taste_U: np.ndarray, seed: int) -> Adjacency:
    """Ten items of each of three tastes; everybody has six of theirs."""
    rng = np.random.default_rng(seed)
    rows = [np.sort(1 + 10 * taste + rng.choice(10, 6, replace=False)) for taste in taste_U]
    offset = np.arange(len(rows) + 1) * 6
    return Adjacency(31, offset, np.concatenate(rows).astype(np.int32))


def test_agreement_is_seen_where_tastes_are_shared() -> None:
    rng = np.random.default_rng(0)
    taste_U = rng.integers(3, size=120)
    source = taste_graph(taste_U, 1)
    assert alignment.agreement(source, source) == pytest.approx(1)
    assert alignment.agreement(source, taste_graph(taste_U, 2)) > 0.5
    assert abs(alignment.agreement(source, taste_graph(rng.permutation(taste_U), 2))) < 0.05


def test_agreement_is_spearmans() -> None:
    stats = pytest.importorskip("scipy.stats")
    taste_U = np.random.default_rng(0).integers(3, size=40)
    sides = taste_graph(taste_U, 1), taste_graph(taste_U, 2)
    upper = np.triu_indices(40, 1)
    first, second = (alignment.jaccard(side.matrix())[upper] for side in sides)
    assert alignment.agreement(*sides) == pytest.approx(stats.spearmanr(first, second).statistic)
