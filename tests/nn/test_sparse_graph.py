"""Graphs over the rows of a table, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.nn import sparse_graph
from crossrec.nn.sparse_graph import SparseGraph

EDGES = [(0, 0), (1, 0), (1, 3), (3, 1), (1, 3), (3, 3)]


def made() -> tuple[SparseGraph, torch.Tensor]:
    torch.manual_seed(0)
    graph = SparseGraph(5).double()
    graph.fill(*(np.array(column) for column in zip(*EDGES, strict=True)))
    return graph, torch.randn(5, 3, dtype=torch.float64)


def test_an_edge_counts_once_at_weight_one() -> None:
    graph, node_ND = made()
    dense_NN = torch.zeros(5, 5, dtype=torch.float64)
    for edge in EDGES:
        dense_NN[edge] = 1
    row_R = torch.tensor([3, 2, 1, 1])
    torch.testing.assert_close(graph(node_ND, row_R), (dense_NN @ node_ND)[row_R])


@pytest.mark.parametrize("at_once", [2, 100])
def test_attention_is_the_softmax_of_cosines_and_rows_sum_to_one(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(sparse_graph, "EDGES", at_once)
    graph, node_ND = made()
    graph.attend(node_ND)
    cosine_NN = torch.cosine_similarity(node_ND[:, None], node_ND[None], dim=-1)
    there_NN = torch.zeros(5, 5, dtype=torch.bool)
    for edge in EDGES:
        there_NN[edge] = True
    share_NN = torch.where(there_NN, cosine_NN.exp(), 0)
    dense_NN = share_NN / share_NN.sum(1, keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(graph(node_ND, torch.arange(5)), dense_NN @ node_ND)
    sums_N = graph(torch.ones(5, 1, dtype=torch.float64), torch.arange(5))[:, 0]
    torch.testing.assert_close(sums_N, torch.tensor([1.0, 1, 0, 1, 0], dtype=torch.float64))


def test_gradients_reach_the_nodes_that_are_read() -> None:
    graph, node_ND = made()
    node_ND.requires_grad_()
    graph(node_ND, torch.tensor([1])).sum().backward()
    assert node_ND.grad.any(1).tolist() == [True, False, False, True, False]


def test_a_saved_graph_is_loaded_whatever_its_size() -> None:
    graph, node_ND = made()
    graph.attend(node_ND)
    fresh = SparseGraph(5).double()
    fresh.load_state_dict(graph.state_dict())
    every = torch.arange(5)
    assert torch.equal(fresh(node_ND, every), graph(node_ND, every))
