"""GC-MC."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from crossrec.errors import InputError
from crossrec.models.gcmc import GCMC
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds
from crossrec.testing.law import law_split
from crossrec.train.assemble import Asked
from crossrec.train.fit import fit

LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)
SMALL = {"hidden": 6, "dim": 4}


class TestGCMC(ModelTests):
    model = GCMC(dim=16, hidden=16)
    least = None


def rated():
    return worlds.world(ratings=worlds.RATINGS)


def hidden_by_hand(model, split, names, level_of):
    """z of all nodes, edge by edge."""
    users, sizes = split.data.num_users, split.data.catalogue.sizes
    degree = worlds.adjacency(split, names).sum(1)
    table = np.cumsum(worlds.weights(model.weight), 0)
    h = np.zeros(table.shape[1:])
    first = users + 1
    for name in names:
        for u, items in enumerate(worlds.EDGES[name]):
            for place, item in enumerate(items):
                i, level = first + item, level_of(name, u, place)
                for a, b in ((u, i), (i, u)):
                    h[a] += table[level, b] / np.sqrt(degree[u] * degree[i])
        first += sizes[name]
    return np.maximum(h, 0) @ worlds.weights(model.dense)


def test_ratings_are_those_of_sums_over_edges():
    split = rated()
    model = worlds.made(GCMC, split, **SMALL, levels=LEVELS, domains="merged")
    z = hidden_by_hand(model, split, ["toys", "games"], lambda name, u, place: int(worlds.RATINGS[name][u][place]) - 1)
    q, a = worlds.weights(model.bases), worlds.weights(model.mixture)
    for name, items in (("toys", z[4:11]), ("games", z[11:])):
        expected = np.zeros((3, len(items)))
        for u in range(3):
            for v, item in enumerate(items):
                logit = sum(a[b] * (z[u] @ q[b] @ item) for b in range(2))
                chance = np.exp(logit) / np.exp(logit).sum()
                expected[u, v] = ((chance * LEVELS).sum() - 1) / 4
        found = worlds.scores(model, split, name)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert torch.equal(model.rating(torch.tensor(found), 1.5), torch.tensor(found)), "scores are shares already"


def test_the_loss_is_the_cross_entropy_of_the_level():
    split = rated()
    model = worlds.made(GCMC, split, **SMALL, levels=LEVELS)
    batch = worlds.training_batch(model, split, rated=True)
    z = hidden_by_hand(model, split, ["toys"], lambda name, u, place: int(worlds.RATINGS[name][u][place]) - 1)
    q, a = worlds.weights(model.bases), worlds.weights(model.mixture)
    for loss, u, item, rating in zip(
        model.loss(batch).tolist(),
        batch.user_P.tolist(),
        batch.positive_P.tolist(),
        batch.rating_P.tolist(),
        strict=True,
    ):
        logit = sum(a[b] * (z[u] @ q[b] @ z[4 + item - 1]) for b in range(2))
        assert loss == pytest.approx(np.log(np.exp(logit).sum()) - logit[int(rating) - 1], rel=1e-5)


def test_without_levels_the_score_is_the_difference_of_two_classes():
    split = worlds.world()
    model = worlds.made(GCMC, split, **SMALL)
    z = hidden_by_hand(model, split, ["toys"], lambda name, u, place: 0)
    q, a = worlds.weights(model.bases), worlds.weights(model.mixture)
    logit = np.einsum("ud,bde,ve,bc->uvc", z[:3], q, z[4:], a)
    np.testing.assert_allclose(worlds.scores(model, split), logit[:, :, 1] - logit[:, :, 0], rtol=1e-5)


def test_levels_are_ordinal():
    """A level's table moves its own edges and those of all higher levels, no lower one."""
    split = rated()
    model = worlds.made(GCMC, split, **SMALL, levels=LEVELS)
    before = worlds.scores(model, split)
    model.weight.data[4, 4 + 1] += 1.0
    model.train().eval()
    np.testing.assert_allclose(worlds.scores(model, split), before, err_msg="nobody gave the second toy a 5")
    model.weight.data[1, 4 + 1] += 1.0
    model.train().eval()
    changed = np.abs(worlds.scores(model, split) - before).max(1) > 1e-9
    assert changed[0], "the first user gave it a 3"
    assert changed[1], "the second a 4"
    assert not changed[2]


def test_a_node_that_is_left_out_is_left_out_in_all_levels():
    """Against the rating that is predicted and also an edge: a node's neighbours do without it, whatever they gave it."""
    split = rated()
    model = worlds.made(GCMC, split, **SMALL, levels=LEVELS, dropout=0.5).train()
    batch = worlds.training_batch(model, split, rated=True)
    drawn = torch.stack([model.loss(batch).detach() for _ in range(20)])
    assert (drawn.std(0) > 1e-6).all()
    model.eval()
    torch.testing.assert_close(model.loss(batch), model.loss(batch))


def test_events_without_a_rating_are_no_edges_and_odd_ratings_are_said():
    split = rated()
    rating_E = split.events.rating_E.copy()
    rating_E[split.events.item_E == 2] = np.nan
    lacking = dataclasses.replace(split, events=dataclasses.replace(split.events, rating_E=rating_E))
    model = worlds.made(GCMC, lacking, **SMALL, levels=LEVELS)
    assert model.trained_U.tolist() == [True, False, True]
    assert len(model.graph.column_E) == 2 * 4
    assert np.isfinite(worlds.scores(model, lacking)).all()
    with pytest.raises(InputError, match="none of the levels"):
        worlds.made(GCMC, split, levels=(1.0, 3.0, 5.0))
    with pytest.raises(InputError, match="ascending"):
        GCMC(levels=(5.0, 1.0))


def test_the_head_follows_the_task():
    for task, loss, levels in (("ratings", "own", LEVELS), ("clicks", "bce", ()), ("ranking", "bce", ())):
        parts = Asked(GCMC, settings={"train": {"task": task}}).assemble()
        assert (parts.train.loss, parts.model.config.levels) == (loss, levels)
        assert (parts.sampler is None) == (task == "ratings")


def test_the_paper_preset_trains():
    losses: list[float] = []
    settings = {"model_settings": {"hidden": 16, "dim": 8, "dropout": 0.0}, "eval_every": 12, "epochs": 12}
    fit(GCMC, law_split(), preset="paper", log=lambda record: losses.append(record["loss"]), **settings)
    assert losses[-1] < losses[0]
