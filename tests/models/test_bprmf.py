"""BPR-MF."""

from __future__ import annotations

import numpy as np
import torch

from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.splits import LeaveLastOut
from crossrec.models.bprmf import BPRMF
from crossrec.recommender import Recommender
from crossrec.testing import ModelTests
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit


class TestBPRMF(ModelTests):
    model = BPRMF(dim=8)
    least = 0.6


class TestUserRows(ModelTests):
    model = BPRMF(dim=8, row="user", domains="merged")
    least = 0.6


def trained(**settings: object) -> Recommender:
    split = LeaveLastOut("games").apply(tiny_world())
    return fit(BPRMF(dim=4, **settings), split, preset="default", loss="bpr", epochs=2, negatives=2, lr=1e-2)


def test_a_session_is_the_mean_of_its_items_and_the_bias() -> None:
    recommender = trained()
    vectors = recommender.item_vectors()[1]
    q, b = vectors[:, :4], vectors[:, 4]
    assert b.any(), "the bias is trained"
    found = recommender.recommend(histories=[{"games": ["games3", "games8", "games8"]}, {}], k=20, filter_seen=False)
    scores = np.empty((2, 20))
    for row in found.to_pylist():
        scores[row["user"], int(row["item"][5:])] = row["score"]
    np.testing.assert_allclose(scores[0], (q[3] + 2 * q[8]) / 3 @ q.T + b, atol=1e-6)
    np.testing.assert_allclose(scores[1], b, atol=1e-6)


def test_known_users_have_their_own_vector() -> None:
    recommender = trained(row="user")
    found = recommender.score(["u0", "u5"], [f"games{i}" for i in range(20)])
    model, vectors = recommender.model, recommender.item_vectors()[1]
    expected = model.users[[0, 5]].detach().numpy() @ vectors[:, :4].T + vectors[:, 4]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_user_without_training_events_is_the_mean_of_the_history() -> None:
    histories = [[("games", (u + i) % 6, i) for i in range(5)] for u in range(5)] + [[("toys", 0, 0)]]
    split = LeaveLastOut("games").apply(world_of(histories, {"toys": 2, "games": 6}))
    recommender = fit(BPRMF(dim=4, row="user"), split, epochs=1, negatives=2, loss="bpr")
    assert recommender.model.trained_U.tolist() == [True] * 5 + [False]
    bias = recommender.item_vectors()[1][:, 4]
    np.testing.assert_allclose(recommender.score(["u5"], [f"games{i}" for i in range(6)])[0], bias, atol=1e-6)


def test_every_training_event_is_a_positive() -> None:
    """Also the first, which no event precedes: users are known by their vector."""
    split = law_split()
    model = BPRMF(dim=4).build(split.data.catalogue, "toys", ["games"])
    rows = TrainingRows(
        Batcher(split.events, model.views()), split.train, ["toys"], BPRMF.presets["default"]["train"]["first"]
    )
    assert rows.num_positives == len(split.events.within(split.train, "toys")[0])
    batch = rows.batch(torch.arange(len(rows)))
    assert len(batch) == rows.num_positives


def test_penalty() -> None:
    split = law_split()
    model = BPRMF(dim=4, l2=0.5).build(split.data.catalogue, "toys")
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ["toys"], "all")
    batch = rows.batch(torch.tensor([0, 1]))
    p, q = model.users[batch.user_P], model.table.weight[batch.positive_P]
    expected = 0.5 * ((p**2).sum() + (q[:, :4] ** 2).sum()) / len(batch)
    torch.testing.assert_close(model.auxiliary(batch), expected)
