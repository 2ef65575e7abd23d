"""ETL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.splits import Events, LeaveLastOut, Split
from crossrec.models.etl import ETL
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit

SIZES = {"toys": 12, "games": 9, "books": 7}


class TestETL(ModelTests):
    model = ETL(dim=16)
    least = 0.5


def world(domains: int = 3, users: int = 20) -> Split:
    return LeaveLastOut("toys").apply(tiny_world(users, dict(list(SIZES.items())[:domains])))


def made(split: Split, **settings: Any) -> ETL:
    """A model with random weights, asked in double precision."""
    torch.manual_seed(0)
    others = [name for name in split.data.domains if name != "toys"]
    model = ETL(**{"dim": 5, "dropout": 0.0, **settings}).build(split.data.catalogue, "toys", others)
    model.learn(split)
    for parameter in model.parameters():
        parameter.data.normal_()
    return model.double().eval()


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def dense(layer: Any, x: np.ndarray) -> np.ndarray:
    return array(layer.weight) @ x + array(layer.bias)


def code(model: ETL, user: int, ids: set[int], x: int) -> np.ndarray:
    """z of a domain, from a dense row."""
    coder, name = model.coder(x), model.reads[x]
    row = np.array([float(i in ids) for i in model.block(name)])
    inner = np.maximum(row @ array(coder.inward.block(name)) + array(coder.bias), 0)
    return np.maximum(dense(coder.code, inner) + array(model.users.weight)[user], 0)


def drawn(model: ETL, z: np.ndarray, x: int, y: int) -> np.ndarray:
    """Logits of domain y's items from a code of domain x."""
    if x != y:
        z = z @ array(model.maps[x - 1]) if x else z
        z = z @ array(model.maps[y - 1]).T if y else z
    h = np.maximum(dense(model.coder(y).hidden, z), 0)
    return array(model.outward.block(model.reads[y])) @ np.append(h, 1)


def inside(model: ETL, ids: set[int]) -> list[int]:
    return [x for x, name in enumerate(model.reads) if any(i in model.block(name) for i in ids)]


def written_out(model: ETL, user: int, ids: set[int], y: int) -> np.ndarray:
    """Logits of a domain that is asked for."""
    known = inside(model, ids)
    if y in known or not known:
        return drawn(model, code(model, user, ids, y), y, y)
    turned = []
    for x in known:
        z = code(model, user, ids, x)
        z = z @ array(model.maps[x - 1]) if x else z
        turned.append(z @ array(model.maps[y - 1]).T if y else z)
    return drawn(model, np.mean(turned, 0), y, y)


@pytest.mark.parametrize("domains", [1, 2, 3])
def test_scores_are_those_of_dense_rows(domains: int) -> None:
    split = world(domains)
    model = made(split)
    catalogue = split.data.catalogue
    first = {name: catalogue.block(name).start for name in model.reads}
    rows = [[1, 4, 4, 9], [], [first[name] + 2 for name in model.reads], [first[model.reads[-1]] + 1]]
    users, ends = torch.tensor([0, 3, 5, 8]), torch.tensor([len(row) for row in rows]).cumsum(0)
    model.users.trained_U[users] = True
    events = Events(catalogue, np.array([i for row in rows for i in row], dtype=np.int32))
    starts = ends - torch.tensor([len(row) for row in rows])
    batcher = Batcher(events, model.views())
    for y, name in enumerate(model.reads):
        found = model.scores(batcher.batch(name, users, starts, torch.arange(4), ends, None), name)
        expected = [written_out(model, int(u), set(row), y) for u, row in zip(users, rows, strict=True)]
        np.testing.assert_allclose(array(found), np.stack(expected), atol=1e-9)


def training_batch(model: ETL, split: Split) -> Batch:
    """All training rows, each as a whole."""
    (phase,) = model.phases()
    assert phase.whole
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, model.reads, "all", whole=True)
    return rows.batch(torch.arange(len(rows)))


@pytest.mark.parametrize("domains", [1, 2, 3])
def test_the_loss_is_over_all_items_of_all_drawings(domains: int) -> None:
    """Runs on a CPU, where the published program fails; every row is that of its own user."""
    split = world(domains)
    model = made(split, adversarial=0.0, cross=0.5, orthogonal=2.0)
    batch = training_batch(model, split)
    query_M, item_M = batch.histories["history"].events()
    found = array(model.train().loss(batch))
    assert len(found) == len(batch)
    for p in range(0, len(batch), 6):
        ids, user, total = set(item_M[query_M == p].tolist()), int(batch.user_P[p]), 0.0
        known = inside(model, ids)
        for x in known:
            z = code(model, user, ids, x)
            for y in known:
                logit = drawn(model, z, x, y)
                there = np.array([i in ids for i in model.block(model.reads[y])])
                term = (np.log1p(np.exp(-np.abs(logit))) + np.maximum(logit, 0) - there * logit).sum()
                total += term * (1 if x == y else 0.5)
            for w in [array(model.maps[x - 1])] if x else [array(m).T for m in model.maps]:
                total += 2.0 * np.abs(z - z @ w @ w.T).sum()
        assert found[p] == pytest.approx(total)


def test_judges_and_encoders_pull_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    split = world(2)
    model = made(split, orthogonal=0.0)
    batch = training_batch(model, split)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        torch.manual_seed(1)
        f, there = model._codes(batch, model._known(batch))
        model._codes_loss(f, f.relu(), there).sum().backward()
        return {name: p.grad.to_dense().clone() for name, p in model.named_parameters() if p.grad is not None}

    found = gradients()
    monkeypatch.setattr(model, "_against", lambda f: f)
    straight = gradients()
    assert any("judge" in name for name in found)
    assert any("inward" in name for name in found)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, (1 if "judge" in name else -1) * straight[name])


def test_twenty_users_are_learned_by_heart() -> None:
    split = world(2)
    quick = {"batch": 20, "lr": 2e-2, "epochs": 120, "first_eval": 120}
    model = fit(ETL(dim=32, dropout=0.0, adversarial=0.1), split, preset="default", **quick).model.eval()
    batch = training_batch(model, split)
    query_M, item_M = batch.histories["history"].events()
    shares = []
    for x, name in enumerate(model.reads):
        score = np.stack(
            [written_out(model, int(u), set(item_M[query_M == p].tolist()), x) for p, u in enumerate(batch.user_P)]
        )
        block = model.block(name)
        for p in range(len(batch)):
            has = np.isin(np.array(block), item_M[query_M == p].numpy())
            if has.any() and not has.all():
                shares.append(np.mean(score[p][has][:, None] > score[p][~has]))
    assert np.mean(shares) > 0.95


def test_ratings_are_learned_by_heart() -> None:
    split = worlds.world(ratings=worlds.RATINGS)
    quick = {"batch": 3, "lr": 2e-2, "epochs": 150, "first_eval": 150, "task": "ratings"}
    model = fit(ETL(dim=16, dropout=0.0, feedback="ratings"), split, preset="default", **quick).model
    batch = worlds.training_batch(model.train(), split, rated=True)
    with torch.no_grad():
        logit_P = (model.queries(batch) * model.items(batch.positive_P)).sum(1)
        error = 1 + 4 * model.rating(logit_P, 0.0) - batch.rating_P
    assert error.abs().mean() < 0.2
