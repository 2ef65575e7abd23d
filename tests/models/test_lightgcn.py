"""LightGCN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.models.lightgcn import LightGCN
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds


class TestLightGCN(ModelTests):
    model = LightGCN(dim=16)
    least = 0.5


class TestMerged(ModelTests):
    model = LightGCN(dim=16, domains="merged", layers=2)
    least = 0.5


@pytest.mark.parametrize("names", [["toys"], ["toys", "games"]])
def test_scores_are_those_of_dense_matrices(names):
    split = worlds.world()
    model = worlds.made(LightGCN, split, layers=2, domains="merged" if len(names) > 1 else "target")
    graph, e0 = worlds.symmetric(worlds.adjacency(split, names)), worlds.weights(model.weight)
    e = (e0 + graph @ e0 + graph @ graph @ e0) / 3
    np.testing.assert_allclose(worlds.scores(model, split), e[:3] @ e[4:11].T, rtol=1e-5, atol=1e-7)
    if len(names) > 1:
        np.testing.assert_allclose(worlds.scores(model, split, "games"), e[:3] @ e[11:].T, rtol=1e-5, atol=1e-7)


def test_the_penalty_is_on_the_vectors_that_are_trained():
    """Not on those that come out of the graph."""
    split = worlds.world()
    model = worlds.made(LightGCN, split, l2=0.5).train()
    batch = worlds.training_batch(model, split)
    u, q = model.weight[batch.user_P], model.weight[3 + model.nodes.row_V[batch.positive_P]]
    torch.testing.assert_close(model.auxiliary(batch), 0.25 * (u.square().sum() + q.square().sum()) / len(batch))


def test_neither_weights_nor_self_loops():
    """What its paper takes out of NGCF: one table is all that is trained, and without layers it is plain factorisation."""
    split = worlds.world()
    model = worlds.made(LightGCN, split, layers=0)
    assert [name for name, _ in model.named_parameters()] == ["weight"]
    e = worlds.weights(model.weight)
    np.testing.assert_allclose(worlds.scores(model, split), e[:3] @ e[4:].T)
    layers = worlds.made(LightGCN, split)
    rows = torch.repeat_interleave(torch.arange(layers.nodes.count), layers.graph.offset_N1.diff())
    assert not (layers.graph.column_E == rows).any()
