"""NGCF."""

from __future__ import annotations

import numpy as np
import torch

from crossrec.models.ngcf import NGCF
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds


class TestNGCF(ModelTests):
    model = NGCF(dim=16, layers=(16, 16))
    least = 0.5


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def layers_by_hand(model, graph, carried=lambda e: e):
    e = worlds.weights(model.weight)
    found = [e]
    for w1, w2 in zip(model.sums, model.products, strict=True):
        read = graph @ e
        e = leaky((read + e) @ worlds.weights(w1) + (read * e) @ worlds.weights(w2))
        found.append(worlds.unit(e))
        e = carried(e)
    return np.concatenate(found, 1)


def test_scores_are_those_of_dense_matrices():
    split = worlds.world()
    model = worlds.made(NGCF, split, layers=(5, 3), domains="merged")
    e = layers_by_hand(model, worlds.symmetric(worlds.adjacency(split, ["toys", "games"])))
    assert e.shape[1] == 4 + 5 + 3
    np.testing.assert_allclose(worlds.scores(model, split), e[:3] @ e[4:11].T, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(worlds.scores(model, split, "games"), e[:3] @ e[11:].T, rtol=1e-5, atol=1e-7)


def test_the_equation_is_the_papers():
    """Not D^-1 (A + I) for both terms, as the published program has it; and the next layer reads rows as they are."""
    split = worlds.world()
    model = worlds.made(NGCF, split, layers=(5, 3))
    matrix = worlds.adjacency(split, ["toys"])
    looped = matrix + np.eye(len(matrix))
    found = worlds.scores(model, split)
    for e in (
        layers_by_hand(model, looped / looped.sum(1, keepdims=True)),
        layers_by_hand(model, worlds.symmetric(matrix), worlds.unit),
    ):
        assert np.abs(found - e[:3] @ e[4:].T).max() > 1e-3
    assert {tuple(weight.shape) for weight in model.parameters()} == {(11, 4), (4, 5), (5, 3)}, "no biases"


def test_dropout_is_drawn_once_for_users_and_items_of_a_step():
    split = worlds.world()
    model = worlds.made(NGCF, split, dropout=0.5).train()
    batch = worlds.training_batch(model, split)
    q_PD, e_VD = model.queries(batch), model.item_block("toys")
    torch.testing.assert_close(model.items(torch.tensor([3])), e_VD[2:3])
    assert not torch.equal(model.queries(batch), q_PD), "another step, another draw"


def test_the_penalty_is_on_final_vectors():
    split = worlds.world()
    model = worlds.made(NGCF, split, dropout=0.0, l2=0.5).train()
    batch = worlds.training_batch(model, split)
    u, q = model.queries(batch), model.items(batch.positive_P)
    torch.testing.assert_close(model.auxiliary(batch), 0.25 * (u.square().sum() + q.square().sum()) / len(batch))
