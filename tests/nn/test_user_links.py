"""Links of users by common items: counts, what the loss pushes, and how many common items are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.data.graphs import Adjacency
from crossrec.nn import user_links


def test_common_items_are_counted_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    has_NV = torch.as_tensor(rng.random((9, 30)) < 0.3)
    has_NV[4] = False
    row_M, item_M = has_NV.nonzero(as_tuple=True)
    order = torch.as_tensor(rng.permutation(len(row_M)))
    found = user_links.common_items(row_M[order], 7 * item_M[order], 9)
    assert torch.equal(found, has_NV.long() @ has_NV.long().T)


def test_without_links_logits_are_pushed_down_and_nobody_is_compared_with_themselves() -> None:
    h_ND = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    found = user_links.links(torch.zeros(5, 5, dtype=torch.int64), 3)
    weight_DD = torch.eye(3, requires_grad=True)
    before = user_links.link_loss(h_ND, weight_DD, found)
    (gradient,) = torch.autograd.grad(before, weight_DD)
    with torch.no_grad():
        assert user_links.link_loss(h_ND, weight_DD - 0.1 * gradient, found) < before
        logit = h_ND @ weight_DD @ h_ND.T
        expected = torch.nn.functional.softplus(logit[~torch.eye(5, dtype=torch.bool)]).mean()
        torch.testing.assert_close(before.detach(), expected)


def test_pairs_just_below_a_link_may_be_ignored() -> None:
    common_NN = torch.tensor([[9, 3, 2], [3, 9, 1], [2, 1, 9]])
    plain, banded = user_links.links(common_NN, 3), user_links.links(common_NN, 3, ignore_band=True)
    assert plain.counts_NN.sum() == 6
    assert not banded.counts_NN[0, 2]
    assert banded.counts_NN.sum() == 4


def test_linked_pairs_weigh_as_much_as_the_others_up_to_a_bound() -> None:
    h_ND, weight_DD = torch.zeros(30, 2), torch.zeros(2, 2)
    common_NN = torch.zeros(30, 30, dtype=torch.int64)
    common_NN[0, 1] = common_NN[1, 0] = 3
    found = user_links.links(common_NN, 3)
    plain = user_links.link_loss(h_ND, weight_DD, found, mean=False)
    balanced = user_links.link_loss(h_ND, weight_DD, found, balance=True, mean=False)
    torch.testing.assert_close(balanced - plain, torch.tensor(2 * (user_links.MOST_WEIGHT - 1) * np.log(2)).float())


def chained(users: int, common: int) -> Adjacency:
    """User u has the items u * step .. u * step + 9, of which the next one has ``common`` as well."""
    item_UK = 1 + (10 - common) * np.arange(users)[:, None] + np.arange(10)
    return Adjacency(int(item_UK.max()) + 1, 10 * np.arange(users + 1), item_UK.astype(np.int32).ravel())


@pytest.mark.parametrize(("common", "expected"), [(5, 5), (4, 3), (2, 2), (0, 1)])
def test_as_many_common_items_are_asked_for_as_enough_pairs_have(common: int, expected: int) -> None:
    side = chained(100, common)
    density = user_links.densities(side, np.arange(100), user_links.LADDER)
    assert user_links.relaxed(density) == expected
    assert density[expected] == pytest.approx(2 * 99 / (100 * 99) if common else 0)


def test_only_the_latest_items_count_where_there_is_a_cap() -> None:
    density = user_links.densities(chained(100, 5), np.arange(100), (1,), cap=5)
    assert density == {1: 0}
