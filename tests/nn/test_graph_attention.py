"""Users who read their items: leaving an edge out, rows of nothing, the latest items of a history."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.data.vocabulary import Catalogue
from crossrec.nn.graph_attention import GraphAttention, leave_one_out
from crossrec.nn.graph_encoder import GraphEncoder, edges_of, latest_distinct


def world(sizes: list[int], scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    row_M = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    logit_M = scale * torch.randn(len(row_M), generator=generator, dtype=torch.float64)
    return logit_M, torch.randn(len(row_M), 3, generator=generator, dtype=torch.float64), row_M


@pytest.mark.parametrize("scale", [1.0, 0.0, 200.0])
def test_a_row_without_an_edge_is_the_softmax_of_its_others(scale: float) -> None:
    """Whether one edge has nearly all the mass, or all have the same."""
    logit_M, value_MD, row_M = world([5, 0, 1, 2, 7], scale)
    read_ND, rest_MD = leave_one_out(logit_M, value_MD, row_M, 5)
    for row in range(5):
        mine = row_M == row
        expected = logit_M[mine].softmax(0) @ value_MD[mine] if mine.any() else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(read_ND[row], expected, rtol=1e-9, atol=1e-12)
    for edge in range(len(row_M)):
        mine = (row_M == row_M[edge]) & (torch.arange(len(row_M)) != edge)
        expected = logit_M[mine].softmax(0) @ value_MD[mine] if mine.any() else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(rest_MD[edge], expected, rtol=1e-9, atol=1e-12)


def test_an_edge_that_has_all_the_mass_leaves_exact_single_precision() -> None:
    logit_M, value_MD, row_M = (
        torch.tensor([60.0, 0.0, 0.5]),
        torch.tensor([[1e3], [2.0], [3.0]]),
        torch.zeros(3).long(),
    )
    _, rest_MD = leave_one_out(logit_M, value_MD, row_M, 1)
    torch.testing.assert_close(rest_MD[0], logit_M[1:].softmax(0) @ value_MD[1:], rtol=1e-6, atol=0)


def test_gradients_are_those_of_the_rows_themselves() -> None:
    logit_M, value_MD, row_M = world([4, 1, 2])
    wanted = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def direct(logit_M: Tensor, value_MD: Tensor) -> Tensor:
        rest = []
        for edge in range(len(row_M)):
            mine = (row_M == row_M[edge]) & (torch.arange(len(row_M)) != edge)
            rest.append(logit_M[mine].softmax(0) @ value_MD[mine] if mine.any() else 0 * value_MD[edge])
        return (torch.stack(rest) * wanted).sum()

    found, expected = [], []
    for told, make in (
        (found, lambda e, v: (leave_one_out(e, v, row_M, 3)[1] * wanted).sum()),
        (expected, direct),
    ):
        e, v = logit_M.clone().requires_grad_(), value_MD.clone().requires_grad_()
        make(e, v).backward()
        told += [e.grad, v.grad]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("attention", ["gat", "gatv2"])
@pytest.mark.parametrize("aggregate", ["raw", "projected", "projected_residual"])
def test_users_of_no_one_and_masked_items_are_finite(attention: str, aggregate: str) -> None:
    layer = GraphAttention(3, attention, aggregate).double()
    _, v_MD, row_M = world([0, 1, 3])
    h_ND = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    z_ND, z_PD = layer.without(h_ND, v_MD, row_M, torch.tensor([0, 1, 2]), torch.tensor([-1, 0, 2]))
    torch.testing.assert_close(z_ND, layer(h_ND, v_MD, row_M))
    torch.testing.assert_close(z_PD[0], z_ND[0])
    own_ND = h_ND @ layer.weight.T if aggregate == "projected" else h_ND
    torch.testing.assert_close(z_PD[1], torch.nn.functional.elu(own_ND[1]))
    (z_ND.sum() + z_PD.sum()).backward()
    assert torch.isfinite(h_ND.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


def test_the_order_of_items_is_the_same_for_all_users_but_in_gatv2() -> None:
    torch.manual_seed(0)
    h_ND, v_VD = torch.randn(6, 4), torch.randn(8, 4)
    row_M, item_M = torch.arange(6).repeat_interleave(8), torch.arange(8).repeat(6)
    orders = {}
    for attention in ("gat", "gatv2"):
        logit_NV = GraphAttention(4, attention).logits(3 * h_ND, v_VD[item_M], row_M).view(6, 8)
        orders[attention] = {tuple(order.tolist()) for order in logit_NV.argsort(1)}
    assert len(orders["gat"]) == 1
    assert len(orders["gatv2"]) > 1


def test_edges_are_found_by_row_and_item() -> None:
    row_M, item_M = torch.tensor([0, 0, 2]), torch.tensor([5, 3, 5])
    found = edges_of(row_M, item_M, torch.tensor([0, 2, 2, 0]), torch.tensor([3, 5, 3, 5]), 7)
    assert found.tolist() == [1, 2, -1, 0]
    assert edges_of(row_M[:0], item_M[:0], torch.tensor([0]), torch.tensor([3]), 7).tolist() == [-1]


@pytest.mark.parametrize(
    ("most", "expected"), [(None, {0: [4, 2, 3], 2: [1]}), (2, {0: [4, 2], 2: [1]}), (1, {0: [4], 2: [1]})]
)
def test_the_latest_items_count_once_each(most: int | None, expected: dict[int, list[int]]) -> None:
    query_M, item_M = latest_distinct(torch.tensor([0, 0, 0, 0, 2, 2]), torch.tensor([2, 3, 2, 4, 1, 1]), 9, most)
    assert {row: item_M[query_M == row].tolist() for row in query_M.unique().tolist()} == expected


def test_strangers_read_from_the_zero_vector() -> None:
    catalogue = Catalogue({"toys": 4}, 2)
    encoder = GraphEncoder(catalogue, "toys", GraphAttention(3))
    encoder.known_U[0] = True
    items = torch.tensor([1, 2] * 3)
    z_ND = encoder(torch.tensor([0, 1, -1]), torch.arange(3).repeat_interleave(2), items)
    torch.testing.assert_close(z_ND[1], z_ND[2])
    assert not torch.allclose(z_ND[0], z_ND[1])
