"""Propagation is the dense product, forwards and backwards, whatever is left out; its matrices are what the formulas say."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import sparse

from crossrec.data.graphs import build
from crossrec.data.splits import LeaveLastOut
from crossrec.errors import InputError
from crossrec.nn.items import ItemTable
from crossrec.nn.propagation import Propagation, bipartite, normalised
from crossrec.testing.worlds import tiny_world, world_of


def random_matrix(rows: int = 7, columns: int = 5, seed: int = 0) -> sparse.csr_array:
    """With an empty row, an empty column and no symmetry."""
    dense = np.random.default_rng(seed).normal(size=(rows, columns))
    dense[dense < 0.3] = 0
    dense[2], dense[:, 1] = 0, 0
    return sparse.csr_array(dense)


def filled(matrix: sparse.csr_array, dtype: torch.dtype = torch.float32) -> Propagation:
    propagation = Propagation(*matrix.shape).to(dtype)
    propagation.fill(matrix)
    return propagation


def graph_of(**given) -> tuple[sparse.csr_array, np.ndarray]:
    """The square matrix of a small merged graph, and the same matrix written out pair by pair."""
    split = LeaveLastOut("toys").apply(tiny_world(12))
    users = build(split).users
    table = ItemTable(split.data.catalogue, split.data.domains, 3)
    weight_E = None if not given else np.arange(1, len(users.column_E) + 1, dtype=np.float32)
    matrix = bipartite(users, table.row_V, len(table.weight), weight_E)
    dense = np.zeros((len(users) + len(table.weight),) * 2, dtype=np.float32)
    for user in range(len(users)):
        for edge in range(*users.offset_N1[user : user + 2]):
            item = len(users) + int(table.row_V[users.column_E[edge]])
            dense[user, item] = dense[item, user] = 1 if weight_E is None else weight_E[edge]
    return matrix, dense


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_and_backward_are_the_dense_products(dtype):
    matrix = random_matrix()
    propagation, dense = filled(matrix, dtype), torch.tensor(matrix.toarray(), dtype=dtype)
    x = torch.randn(5, 3, dtype=dtype, requires_grad=True)
    weight = torch.randn(7, 3, dtype=dtype)
    (got,) = torch.autograd.grad((propagation(x) * weight).sum(), x)
    torch.testing.assert_close(propagation(x), dense @ x)
    torch.testing.assert_close(got, dense.T @ weight)
    torch.testing.assert_close(propagation.operator().T @ weight, dense.T @ weight)


def test_gradients_first_and_second_are_those_of_finite_differences():
    propagation = filled(random_matrix(), torch.float64)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    thin = propagation.thinned(edges=0.3, nodes=0.2, generator=torch.Generator().manual_seed(0))
    for product in (propagation, lambda x: (thin @ x) ** 2):
        assert torch.autograd.gradcheck(product, x)
        assert torch.autograd.gradgradcheck(product, x)


def test_several_layers_train_as_with_a_dense_matrix():
    matrix, _ = graph_of()
    matrix = normalised(matrix)
    propagation, dense = filled(matrix), torch.tensor(matrix.toarray())
    x = torch.randn(len(dense), 4, requires_grad=True)
    sums = []
    for product in (propagation, lambda h: dense @ h):
        h1 = product(x)
        h2 = product(torch.tanh(h1))
        sums.append(torch.autograd.grad((x + h1 + h2).square().sum(), x)[0])
    torch.testing.assert_close(*sums)


@pytest.mark.parametrize("given", [{}, {"weighted": True}])
def test_a_graph_becomes_the_square_matrix_of_users_and_table_rows(given):
    matrix, dense = graph_of(**given)
    assert matrix.has_sorted_indices
    np.testing.assert_array_equal(matrix.toarray(), dense)


@pytest.mark.parametrize("norm", ["symmetric", "row", "none"])
@pytest.mark.parametrize("loops", [False, True])
def test_normalisation_is_that_of_the_formula(norm, loops):
    matrix, dense = graph_of()
    dense = dense + np.eye(len(dense)) * loops
    degree = dense.sum(1)
    inverse = np.divide(1, degree, out=np.zeros_like(degree, dtype=float), where=degree > 0)
    expected = {
        "symmetric": np.sqrt(inverse)[:, None] * dense * np.sqrt(inverse),
        "row": inverse[:, None] * dense,
        "none": dense,
    }[norm]
    found = normalised(matrix, norm, loops)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_a_symmetric_matrix_is_its_own_transpose_and_another_is_not():
    matrix, _ = graph_of()
    for norm, same in (("symmetric", True), ("row", False)):
        operator = filled(normalised(matrix, norm)).operator()
        assert (operator.matrix is operator.transposed) == same


def test_both_kinds_of_product_agree():
    matrix = normalised(graph_of()[0])
    inside = filled(matrix).operator().matrix
    x = torch.randn(matrix.shape[0], 16)
    torch.testing.assert_close(inside.product(x), inside.tensor() @ x)
    torch.testing.assert_close(inside.product(x.T.contiguous().T), inside.tensor() @ x)


def test_autocast_does_not_lower_the_precision():
    propagation = filled(random_matrix())
    x = torch.randn(5, 3, requires_grad=True)
    exact = propagation(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = propagation(x)
        got.sum().backward()
        half = propagation(x.bfloat16())
    assert got.dtype == half.dtype == x.grad.dtype == torch.float32
    assert torch.equal(got, exact)


def test_equal_calls_give_equal_bits():
    propagation = filled(normalised(graph_of()[0]))
    x = torch.randn(propagation.shape[1], 8)
    assert torch.equal(propagation(x), propagation(x))


@pytest.mark.parametrize("shares", [{"edges": 0.4}, {"nodes": 0.4}, {"edges": 0.2, "nodes": 0.3}])
def test_what_is_left_out_is_made_up_for_in_the_mean(shares):
    matrix = random_matrix()
    propagation, x = filled(matrix, torch.float64), torch.randn(5, 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([propagation.thinned(**shares, generator=generator) @ x for _ in range(4000)])
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - propagation(x)).abs() <= 5 * error + 1e-12).all()


def test_left_out_edges_are_zero_and_left_out_nodes_are_read_by_nobody():
    propagation = filled(normalised(graph_of()[0]))
    generator = torch.Generator().manual_seed(0)
    whole = propagation.weight_E
    ratio = propagation.thinned(edges=0.25, generator=generator).matrix.weight_E / whole
    torch.testing.assert_close(ratio[ratio > 0], torch.full_like(ratio[ratio > 0], 4 / 3))
    assert 0.15 < (ratio == 0).float().mean() < 0.35
    ratio = propagation.thinned(nodes=0.5, generator=generator).matrix.weight_E / whole
    for node in propagation.column_E.unique():
        assert len(ratio[propagation.column_E == node].unique()) == 1
    assert set(ratio.tolist()) == {0.0, 2.0}


def test_a_thinned_matrix_has_its_own_transpose():
    propagation = filled(normalised(graph_of()[0]))
    thin = propagation.thinned(edges=0.5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(thin.transposed.tensor().to_dense(), thin.matrix.tensor().to_dense().T)
    assert propagation.thinned() is propagation.operator()


def test_no_edges_nodes_without_an_edge_and_an_empty_domain():
    history = [("toys", i, i) for i in range(5)]
    split = LeaveLastOut("toys").apply(world_of([history, history], {"toys": 9, "games": 3}))
    users = build(split, ["games"]).users
    table = ItemTable(split.data.catalogue, ["games"], 2)
    empty = filled(normalised(bipartite(users, table.row_V, len(table.weight))))
    x = torch.randn(empty.shape[1], 2, requires_grad=True)
    empty(x).sum().backward()
    assert not empty(x).any()
    assert not x.grad.any()
    assert not Propagation(4)(torch.ones(4, 2)).any()
    assert not filled(random_matrix())(torch.randn(5, 2))[2].any()


def test_the_matrix_is_part_of_the_state_and_follows_the_module():
    saved = filled(random_matrix())
    loaded = Propagation(7, 5)
    assert not loaded(torch.ones(5, 1)).any()
    loaded.load_state_dict(saved.state_dict())
    x = torch.randn(5, 3)
    torch.testing.assert_close(loaded(x), saved(x))
    assert loaded.double()(x).dtype == torch.float64
    torch.testing.assert_close(copy.deepcopy(saved)(x), saved(x))
    saved.fill(2 * random_matrix())
    torch.testing.assert_close(saved(x), 2 * loaded(x).float())
    with pytest.raises(RuntimeError, match="offset_N1"):
        Propagation(6, 5).load_state_dict(saved.state_dict())


def test_what_does_not_fit_is_said():
    propagation = filled(random_matrix())
    with pytest.raises(InputError, match="5 columns"):
        propagation(torch.ones(7, 2))
    with pytest.raises(InputError, match="shape"):
        propagation.fill(random_matrix().T.tocsr())
    with pytest.raises(InputError, match="share"):
        propagation.thinned(edges=1.0)
    with pytest.raises(InputError, match="Generator"):
        propagation.thinned(edges=0.5)
    with pytest.raises(InputError, match="'left'"):
        normalised(random_matrix(), "left")
    split = LeaveLastOut("toys").apply(tiny_world(12))
    table = ItemTable(split.data.catalogue, ["toys"], 2)
    with pytest.raises(InputError, match="same domains"):
        bipartite(build(split).users, table.row_V, len(table.weight))
