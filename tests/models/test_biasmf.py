"""Biased matrix factorisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crossrec.models.biasmf import BiasMF
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds


class TestBiasMF(ModelTests):
    model = BiasMF(dim=16)
    least = None


class TestMerged(ModelTests):
    model = BiasMF(dim=16, domains="merged")
    least = None


def random(split, **settings):
    model = worlds.made(BiasMF, split, **settings)
    for weight in (model.users.weight, model.table.weight):
        weight.data.normal_()
    model.table.weight.data[0] = 0
    return model


def test_scores_are_biases_and_products():
    split = worlds.world()
    model = random(split, domains="merged")
    p, q = worlds.weights(model.users.weight), worlds.weights(model.table.weight)
    for name, rows in (("toys", q[1:8]), ("games", q[8:])):
        found = worlds.scores(model, split, name)
        for u in range(3):
            for i, row in enumerate(rows):
                assert found[u, i] == pytest.approx(p[u, 4] + row[4] + p[u, :4] @ row[:4])


def test_a_rating_is_the_mean_and_the_score():
    """It is not bent: what a bias adds is the same everywhere on the scale."""
    model = BiasMF()
    share = model.rating(torch.tensor([0.0, 0.1, -0.3]), math.log(0.7 / 0.3))
    np.testing.assert_allclose(share.numpy(), [0.7, 0.8, 0.4], rtol=1e-6)


def test_a_new_model_says_the_mean_of_everything():
    split = worlds.world()
    model = BiasMF(dim=4, std=0.0).build(split.data.catalogue, "toys")
    model.learn(split)
    assert not worlds.scores(model.eval(), split).any()


def test_the_penalty():
    split = worlds.world()
    model = random(split, l2=0.5)
    batch = worlds.training_batch(model, split)
    p, q = model.users.weight[batch.user_P], model.table.weight[batch.positive_P]
    torch.testing.assert_close(model.auxiliary(batch), 0.5 * (p.square().sum() + q.square().sum()) / len(batch))
