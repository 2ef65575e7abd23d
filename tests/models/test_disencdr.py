"""DisenCDR."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.models.disencdr import DisenCDR
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds
from crossrec.train.fit import fit

THREE = {**worlds.EDGES, "books": [[0], [1, 2], []]}
SIZES = {**worlds.SIZES, "books": 3}


class TestDisenCDR(ModelTests):
    model = DisenCDR(dim=16, dropout=0.0)
    least = 0.35

    def fit(self, split=None, **settings):
        """Against the noise stand more steps than the other models need."""
        return super().fit(split, **{**settings, "loss": "bpr", "patience": 60})


def made(split, **settings):
    """A model with random weights, in double precision."""
    model = worlds.made(DisenCDR, split, **settings)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5)
    return model


def graphs(split, name, edges):
    """Dense row-normalised matrices of a domain: users read items, items read users."""
    matrix = np.zeros((split.data.num_users, split.data.catalogue.sizes[name]))
    for user, items in enumerate(edges[name]):
        matrix[user, items] = 1
    return [m / np.maximum(m.sum(1, keepdims=True), 1) for m in (matrix, matrix.T)]


def dense(layer, x):
    return x @ worlds.weights(layer.weight).T + worlds.weights(layer.bias)


def leaky(x):
    return np.where(x > 0, x, 0.1 * x)


def convolved(layer, graph, x):
    """The graph last: published order of the products."""
    return leaky(graph @ (x @ worlds.weights(layer.weight).T) + worlds.weights(layer.bias))


def block(reading, x, there, back):
    m = convolved(reading.there, there, x)
    pairs = zip(reading.back, reading.join, strict=True)
    return [dense(join, np.concatenate([convolved(layer, back, m), x], 1)) for layer, join in pairs]


def deviation(raw):
    return 0.1 + 0.9 * np.log1p(np.exp(raw))


def encoded(encoder, x, there, back):
    (x,) = block(encoder[0], x, there, back)
    mean, raw = block(encoder[1], np.maximum(x, 0), there, back)
    return mean, deviation(raw)


def kl(mean, std, other=0.0, beside=1.0):
    return (np.log(beside / std) + (std**2 + (mean - other) ** 2) / (2 * beside**2) - 0.5).sum(1)


def by_hand(model, split, edges):
    """Final users and items of every domain, and the sum of the divergences."""
    names, beta = model.reads, model.config.beta
    read = [graphs(split, name, edges) for name in names]
    degree = np.array([[len(items) for items in edges[name]] for name in names])
    rho = degree / np.maximum(degree.sum(0), 1)
    x = [worlds.weights(table) for table in model.shared_tables]
    for layer in range(2):
        outputs = [
            block(encoder[layer], x[d], read[d][1], read[d][0]) for d, encoder in enumerate(model.shared_encoders)
        ]
        if layer == 0:
            hidden = sum(rho[d][:, None] * np.maximum(outputs[d][0], 0) for d in range(len(names)))
            x = [hidden] * len(names)
    mean, raw = (sum(rho[d][:, None] * outputs[d][part] for d in range(len(names))) for part in (0, 1))
    total = (1 - beta) * kl(mean, deviation(raw))[degree.sum(0) > 0].mean()
    users, items = [], []
    for d in range(len(names)):
        uv, vu = read[d]
        there = degree[d] > 0
        alone = encoded(model.alone_encoders[d], worlds.weights(model.shared_tables[d]), vu, uv)
        user = encoded(model.user_encoders[d], worlds.weights(model.user_tables[d]), vu, uv)
        item = encoded(model.item_encoders[d], worlds.weights(model.item_tables[d]), uv, vu)
        total += beta * kl(mean, deviation(raw), *alone)[there].mean() + kl(*user)[there].mean() + kl(*item).mean()
        users.append(mean + there[:, None] * user[0])
        items.append(item[0])
    return users, items, total


@pytest.mark.parametrize("edges", [worlds.EDGES, THREE])
def test_scores_and_divergences_are_those_of_dense_matrices(edges):
    """The second user has no game: nothing specific to games, and a shared vector that toys made."""
    split = worlds.world(edges, {name: SIZES[name] for name in edges})
    model = made(split, dropout=0.0, kl=0.5)
    users, items, total = by_hand(model, split, edges)
    for d, name in enumerate(model.reads):
        np.testing.assert_allclose(worlds.scores(model, split, name), users[d] @ items[d].T, rtol=1e-6, atol=1e-8)
    found = model.train().auxiliary(worlds.training_batch(model, split))
    assert found.item() == pytest.approx(0.5 * total)


def test_every_user_has_a_proportion_of_their_own():
    """The published program gives the last user's to all."""
    model = made(worlds.world())
    expected = np.array([[3 / 5, 1.0, 2 / 4], [2 / 5, 0.0, 2 / 4]])
    np.testing.assert_allclose(model.proportion_XU1[..., 0].numpy(), expected)


def test_what_is_drawn_has_the_deviation_that_the_divergence_is_of():
    """The published program exponentiates it twice."""
    model = made(worlds.world()).train()
    torch.manual_seed(0)
    mean, std = torch.zeros(20_000, 2).double(), torch.tensor([0.1, 1.5]).double()
    torch.testing.assert_close(model._drawn(mean, std).std(0), std, rtol=0.03, atol=0)
    torch.testing.assert_close(model.eval()._drawn(mean, std), mean)


def test_nothing_is_shared_before_the_warmup_is_over():
    split = worlds.world()
    model = made(split, warmup=2)
    warm, whole = model.phases()
    assert (warm.name, dict(warm.train), whole.name) == ("warmup", {"epochs": 2}, "train")
    model.begin(warm)
    before = worlds.scores(model, split)
    for table in model.shared_tables:
        table.data.normal_()
    np.testing.assert_array_equal(worlds.scores(model, split), before)
    model.begin(whole)
    assert not np.allclose(worlds.scores(model, split), before)


def test_twenty_users_are_learned_by_heart():
    """What users have in training comes before what they do not have."""
    rng = np.random.default_rng(0)
    sizes = {"toys": 15, "games": 12}
    edges = {name: [rng.permutation(size - 2)[:4].tolist() for _ in range(20)] for name, size in sizes.items()}
    split = worlds.world(edges, sizes)
    quick = {"batch": 20, "lr": 1e-2, "epochs": 200, "first_eval": 200}
    model = fit(DisenCDR(dim=32, dropout=0.0), split, preset="default", **quick).model.eval()
    for name, size in sizes.items():
        score, has = worlds.scores(model, split, name), np.zeros((20, size), dtype=bool)
        for user, items in enumerate(edges[name]):
            has[user, items] = True
        shares = [np.mean(score[u][has[u]][:, None] > score[u][:-2][~has[u][:-2]]) for u in range(20)]
        assert np.mean(shares) > 0.95
