"""HERec."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import sparse

from crossrec.models.herec import HERec
from crossrec.nn.metapaths import skip_gram, walks
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds
from crossrec.testing.law import law_split
from crossrec.train.fit import fit

THREE = {**worlds.EDGES, "books": [[0], [1, 2], []]}
SIZES = {**worlds.SIZES, "books": 3}


class TestHERec(ModelTests):
    model = HERec(dim=8, factors=8)
    least = 0.3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def fused(fusion, e_LD, node):
    """g of one node, meta-path by meta-path."""
    total = 0
    for path, e in enumerate(e_LD):
        turn = fusion.turn[path]
        total = total + worlds.weights(fusion.weight)[node, path] * sigmoid(
            worlds.weights(turn.weight) @ e + worlds.weights(turn.bias)
        )
    return sigmoid(total)


def test_scores_are_those_of_the_equation():
    """H4 of three users; the second has toys alone, and no vector of its own from walks by games."""
    split = worlds.world()
    model = worlds.made(HERec, split, factors=3, fused=(5, 2), alpha=0.7, beta=1.3)
    user_e, item_e = model.user_LUD.numpy(), model.item_LVD.numpy()
    assert not user_e[1, 1].any()
    expected = np.empty((3, 7))
    for u in range(3):
        x, beside = np.split(worlds.weights(model.users)[u], [3])
        for i in range(7):
            y, gamma = np.split(worlds.weights(model.table)[i], [3])
            user, item = fused(model.user_fusion, user_e[:, u], u), fused(model.item_fusion, item_e[:, i], i)
            expected[u, i] = x @ y + 0.7 * user @ gamma + 1.3 * beside @ item
    np.testing.assert_allclose(worlds.scores(model, split), expected, rtol=1e-9)


@pytest.mark.parametrize("edges", [{"toys": worlds.EDGES["toys"]}, worlds.EDGES, THREE])
def test_any_number_of_domains(edges):
    split = worlds.world(edges, {name: SIZES[name] for name in edges})
    model = worlds.made(HERec, split)
    assert len(model.user_LUD) == len(model.item_LVD) == len(edges)
    assert np.isfinite(worlds.scores(model, split)).all()


def test_walks_go_along_training_edges_and_keep_one_kind_of_nodes():
    """Of held-out events, and of the other kinds of nodes, nothing is in them."""
    split = worlds.world()
    model = worlds.made(HERec, split)
    held = [5, 6]
    assert not model.item_LVD[:, held].any()
    assert model.item_LVD[0, :4].any(1).all()
    matrix = worlds.adjacency(split, ["toys"])[:3, 4:]
    graph = sparse.csr_array(matrix)
    found = walks([graph, graph.T.tocsr()], 50, 4, np.random.default_rng(0))
    met = set(zip(*map(list, np.nonzero(matrix @ matrix.T)), strict=True))
    assert found.shape == (150, 4)
    assert {pair for walk in found.tolist() for pair in itertools.pairwise(walk)} == met


def test_a_walk_ends_where_nothing_goes_on():
    graph = sparse.csr_array(np.array([[1, 0], [0, 0]]))
    found = walks([graph, graph.T.tocsr()], 1, 3, np.random.default_rng(0))
    assert found.tolist() == [[0, 0, 0], [1, -1, -1]]


def test_nodes_that_meet_are_near_each_other():
    rng = np.random.default_rng(0)
    walk = np.concatenate([rng.integers(5, size=(200, 8)), 5 + rng.integers(5, size=(200, 8))])
    e = torch.nn.functional.normalize(skip_gram(walk, 11, 8, 3, 5, 30, 0), dim=1)
    near = e @ e.T
    assert near[:5, :5].mean() > near[:5, 5:10].mean() + 0.3
    assert not e[10].any()


def test_the_same_seed_walks_the_same_way():
    split = law_split()
    first, second = (worlds.made(HERec, split) for _ in range(2))
    assert torch.equal(first.user_LUD, second.user_LUD)


def test_twenty_users_are_learned_by_heart():
    """What users have in training comes before what they do not have."""
    rng = np.random.default_rng(0)
    sizes = {"toys": 15, "games": 12}
    edges = {name: [rng.permutation(size - 2)[:4].tolist() for _ in range(20)] for name, size in sizes.items()}
    split = worlds.world(edges, sizes)
    quick = {"batch": 20, "lr": 2e-2, "epochs": 100, "first_eval": 100}
    model = fit(HERec(dim=8, l2=0.0), split, preset="default", **quick).model.eval()
    score, shares = worlds.scores(model, split)[:, :-2], []
    for user, items in enumerate(edges["toys"]):
        has = np.isin(np.arange(13), items)
        shares.append(np.mean(score[user][has][:, None] > score[user][~has]))
    assert np.mean(shares) > 0.95


def test_ratings_are_learned_by_heart():
    split = worlds.world(ratings=worlds.RATINGS)
    quick = {"batch": 3, "lr": 2e-2, "epochs": 150, "first_eval": 150, "task": "ratings"}
    model = fit(HERec(dim=8, l2=0.0), split, preset="default", **quick).model.train()
    batch = worlds.training_batch(model, split, rated=True)
    with torch.no_grad():
        logit_P = (model.queries(batch) * model.items(batch.positive_P)).sum(1)
        mean = np.mean([rating for row in worlds.RATINGS["toys"] for rating in row])
        offset = float(np.log((mean - 1) / (5 - mean)))
        error = 1 + 4 * model.rating(logit_P, offset) - batch.rating_P
    assert error.abs().mean() < 0.2
