"""DASL as its paper makes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.splits import Events, LeaveLastOut, Split
from crossrec.models.dasl_ctr import DASLCTR
from crossrec.recommender import Recommender
from crossrec.testing import ModelTests
from crossrec.testing.batches import training_batch
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit

SIZES = {"toys": 12, "games": 9, "books": 7}
SMALL: dict[str, Any] = {"dim": 4, "hidden": 5, "attention": 3, "layers": (6, 3)}


class TestDASLCTR(ModelTests):
    model = DASLCTR(dim=16, hidden=16, layers=(24, 12))
    least = 0.6

    def fit(self, split: Split | None = None, **settings: Any) -> Recommender:
        """Sigmoid layers need larger steps than the other models to learn in so few."""
        return super().fit(split, **{**settings, "lr": 3e-2})


def world(domains: int = 3, users: int = 20) -> Split:
    return LeaveLastOut("toys").apply(tiny_world(users, dict(list(SIZES.items())[:domains])))


def made(split: Split, **settings: Any) -> DASLCTR:
    """A model with random weights, asked in double precision."""
    torch.manual_seed(0)
    others = [name for name in split.data.domains if name != "toys"]
    model = DASLCTR(**{**SMALL, **settings}).build(split.data.catalogue, "toys", others)
    model.learn(split)
    for parameter in model.parameters():
        parameter.data.normal_()
    return model.double().eval()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def dense(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    return array(layer.weight) @ x + (0 if layer.bias is None else array(layer.bias))


def written_out(model: DASLCTR, user: int, ids: list[int], domain: str) -> np.ndarray:
    """Logits of a domain's items for a user with this history: equations 6.17 and 6.18, event by event."""
    x, dim = model.reads.index(domain), model.config.dim
    tower, row = model.tower(x), array(model.people(x).weight)[user]
    table = {name: array(model.table.block(name)) for name in model.reads}
    outputs = []
    for y, name in enumerate(model.reads):
        gru = {key: array(value) for key, value in model.recurrences[y].named_parameters()}
        h = np.zeros(model.config.hidden)
        block = model.block(name)
        for i in [i for i in ids if i in block][-model.config.window :]:
            step = np.concatenate([table[name][i - block.start][:dim], row[:dim]])
            a = np.split(gru["weight_ih_l0"] @ step + gru["bias_ih_l0"], 3)
            b = np.split(gru["weight_hh_l0"] @ h + gru["bias_hh_l0"], 3)
            r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            h = (1 - z) * np.tanh(a[2] + r * b[2]) + z * h
            outputs.append((y, h))
    weights = [np.exp(dense(tower.outer, np.tanh(dense(tower.inner, h)))[0]) for _, h in outputs]
    q = np.zeros(model.config.hidden)
    for weight, (y, h) in zip(weights, outputs, strict=True):
        q += weight / sum(weights) * h * (y == x)
    scores = []
    for e in table[domain]:
        first = dense(tower.query, q) + dense(tower.user, row[:dim]) + dense(tower.item, e[:dim])
        scores.append(dense(tower.last, sigmoid(dense(tower.second, sigmoid(first))))[0] + e[dim] + row[dim])
    return np.array(scores)


@pytest.mark.parametrize("domains", [1, 2, 3])
def test_scores_are_those_of_the_equations(domains: int) -> None:
    split = world(domains)
    model = made(split, window=3)
    catalogue = split.data.catalogue
    other = catalogue.block(model.reads[-1]).start
    rows = [[1, 4, 4, 9, 2, other, other + 1], [], [other + 2, 3], [other + 1]]
    users = torch.tensor([0, 3, 5, 8])
    for x in range(domains):
        model.people(x).trained_U[users] = True
    ends = torch.tensor([len(row) for row in rows]).cumsum(0)
    events = Events(catalogue, np.array([i for row in rows for i in row], dtype=np.int32))
    starts = ends - torch.tensor([len(row) for row in rows])
    batcher = Batcher(events, model.views())
    for name in model.reads:
        found = model.scores(batcher.batch(name, users, starts, torch.arange(4), ends, None), name)
        expected = np.stack([written_out(model, int(u), row, name) for u, row in zip(users, rows, strict=True)])
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-9)


def test_the_history_ends_before_what_is_asked_for() -> None:
    """The published program's ends with the candidate itself: its label is known."""
    split = world()
    model = made(split, dropout=0.0).train()
    batch = training_batch(model, split, "all")
    query_PH = model.queries(batch)
    item_E, start = np.array(split.events.item_E), dict(zip(split.train.user_N, split.train.start_N, strict=True))
    for p in range(0, len(batch), 7):
        at, user = int(batch.at_P[p]), int(batch.user_P[p])
        (name,) = [name for name in model.reads if int(item_E[at]) in model.block(name)]
        found = model.logits(query_PH[p : p + 1], model.item_block(name), name)[0]
        expected = written_out(model, user, item_E[start[user] : at].tolist(), name)
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-9)


def test_nothing_is_dropped_when_asked() -> None:
    split = world(2)
    model = made(split, dropout=0.9)
    batch = training_batch(model, split, "all")
    torch.testing.assert_close(model.queries(batch), model.queries(batch), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model.queries(batch), model.queries(batch))


def test_maps_turn_users_of_a_source_to_the_targets() -> None:
    split = world(2)
    model = made(split, orthogonal=0.5)
    batch = training_batch(model, split, "all")
    w, (p, q) = array(model.maps[0]), (array(model.people(x).weight)[:, :4] for x in (0, 1))
    both = [u for u in sorted(set(batch.user_P.tolist())) if all(bool(t.trained_U[u]) for t in model.users)]
    apart = [1 - p[u] @ w @ q[u] / np.linalg.norm(p[u]) / np.linalg.norm(w @ q[u]) for u in both]
    expected = 0.5 * (np.mean(apart) + ((w.T @ w - np.eye(4)) ** 2).sum())
    assert model.auxiliary(batch).item() == pytest.approx(expected)
    assert made(world(1)).auxiliary(batch) is None


def test_twenty_users_are_learned_by_heart() -> None:
    """What comes next in training stands before nearly all other items."""
    split = world(2)
    quick = {"batch": 20, "lr": 3e-2, "epochs": 100, "first_eval": 100}
    small = {"dim": 16, "hidden": 16, "layers": (24, 12), "dropout": 0.0}
    model = fit(DASLCTR(**small), split, preset="default", **quick).model
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ["toys"], "all")
    batch = rows.batch(torch.arange(len(rows)))
    with torch.no_grad():
        score_PV = model.scores(batch, "toys")
    place_P1 = batch.positive_P[:, None] - model.block("toys").start
    below = (score_PV < score_PV.gather(1, place_P1)).sum(1) / (score_PV.shape[1] - 1)
    assert float(below.double().mean()) > 0.95
