"""What all models of user-item graphs have in common: learning by heart, who is placed where, and what is kept how long."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batch, Batcher
from crossrec.data.splits import Events, LeaveLastOut
from crossrec.evaluation.evaluate import evaluate
from crossrec.models.biasmf import BiasMF
from crossrec.models.bitgcf import BiTGCF
from crossrec.models.gcmc import GCMC
from crossrec.models.lightgcn import LightGCN
from crossrec.models.ngcf import NGCF
from crossrec.testing import graph_worlds as worlds
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

GRAPHS = (LightGCN, NGCF, BiTGCF, GCMC)
HEART = {"batch": 32, "lr": 2e-2, "first": "all"}


def plain(kind, dim=4, **settings):
    """Settings without what is drawn at random in training."""
    still = {} if kind in (LightGCN, BiasMF) else {"dropout": 0.0}
    widths = {NGCF: {"layers": (dim, dim)}, GCMC: {"hidden": dim}}.get(kind, {})
    penalty = {} if kind is GCMC else {"l2": 0.0}
    return {"dim": dim, **still, **widths, **penalty, **settings}


def merged(kind):
    return {} if kind is BiTGCF else {"domains": "merged"}


def twenty(ratings=True):
    """Twenty users, six to nine different toys each, rated at random."""
    rng = np.random.default_rng(0)
    histories = [
        [("toys", int(item), t) for t, item in enumerate(rng.permutation(25)[: rng.integers(6, 10)])] for _ in range(20)
    ]
    data = world_of(histories, {"toys": 25})
    rating_E = rng.integers(1, 6, data.num_interactions).astype(np.float32)
    return LeaveLastOut("toys").apply(dataclasses.replace(data, rating_E=rating_E) if ratings else data)


@pytest.mark.parametrize("kind", [*GRAPHS, BiasMF])
def test_the_ratings_of_twenty_users_are_learned_by_heart(kind):
    split, levels = twenty(), {"levels": (1, 2, 3, 4, 5)} if kind is GCMC else {}
    settings = {"model_settings": plain(kind, 32, **levels), "epochs": 200, "first_eval": 200, **HEART}
    fitted = fit(kind, split, task="ratings", sources=[], **settings)
    batch = worlds.training_batch(fitted.model, split, rated=True)
    items = split.data.items["toys"].ids(np.arange(25)).to_pylist()
    told_UV = fitted.predict(split.data.users.ids(np.arange(20)).to_pylist(), items)
    error = np.abs(told_UV[batch.user_P, batch.positive_P - 1] - batch.rating_P.numpy()).mean()
    assert error < 0.2, f"mean absolute error {error:.2f}"


@pytest.mark.parametrize("kind", [*GRAPHS, BiasMF])
def test_the_clicks_of_twenty_users_are_learned_by_heart(kind):
    split = twenty(ratings=False)
    settings = {"model_settings": plain(kind, 32), "epochs": 80, "first_eval": 80, **HEART}
    fitted = fit(kind, split, task="clicks", sources=[], **settings)
    batch = worlds.training_batch(fitted.model, split)
    has_UV = np.zeros((20, 25), dtype=bool)
    has_UV[batch.user_P, batch.positive_P - 1] = True
    score_UV = worlds.scores(fitted.model, split)
    auc = (score_UV[has_UV][:, None] > score_UV[~has_UV]).mean()
    assert auc > 0.95, f"AUC {auc:.3f}"


@pytest.mark.parametrize("kind", GRAPHS)
def test_somebody_without_an_edge_changes_nobody(kind):
    one_more = {name: [*users, []] for name, users in worlds.EDGES.items()}
    small, large = worlds.world(), worlds.world(one_more)
    few, many = (worlds.made(kind, split, **plain(kind), **merged(kind)) for split in (small, large))
    copies, mine, theirs = few.copies, few.weight.data, many.weight.data
    theirs[..., : 4 * copies, :].unflatten(-2, (copies, 4))[..., :3, :] = mine[..., : 3 * copies, :].unflatten(
        -2, (copies, 3)
    )
    theirs[..., 4 * copies :, :] = mine[..., 3 * copies :, :]
    others = dict(few.named_parameters())
    for name, parameter in many.named_parameters():
        if parameter.shape == others[name].shape:
            parameter.data.copy_(others[name].data)
    many.train().eval()
    for name in worlds.SIZES:
        found = worlds.scores(many, large, name)
        np.testing.assert_allclose(found[:3], worlds.scores(few, small, name))
        assert np.isfinite(found).all()


def stranger(model, split, items, user=-1):
    """A query of somebody who has these toys and games, by global id."""
    events = Events(split.data.catalogue, np.array([*items, 1], dtype=np.int32))
    batcher, zero = Batcher(events, model.views()), torch.tensor([0])
    return batcher.batch("toys", torch.tensor([user]), zero, zero, torch.tensor([len(items)]), None)


@pytest.mark.parametrize("kind", GRAPHS)
def test_strangers_are_among_the_users_of_their_items(kind):
    """An item of one user stands for that user; nobody's item, and no history, for all of them."""
    split = worlds.world()
    model = worlds.made(kind, split, **plain(kind), **merged(kind))
    games = split.data.catalogue.block("games").start
    known, mean_V = worlds.scores(model, split), worlds.scores(model, split).mean(0)
    with torch.no_grad():
        for items, expected in (
            ([1], known[0]),
            ([4], known[2]),
            ([1, 4, 4], (known[0] + 2 * known[2]) / 3),
            ([games], known[0]),
            ([5], mean_V),
            ([], mean_V),
        ):
            for user in (-1, 0):
                model.trained_U[0] = user < 0
                found = model.scores(stranger(model, split, items, user), "toys")[0]
                model.trained_U[0] = True
                if user < 0 or items == [4]:
                    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
                assert torch.isfinite(found).all()


@pytest.mark.parametrize("kind", GRAPHS)
def test_an_empty_source_leaves_the_target_as_it_is(kind):
    split = worlds.world({**worlds.EDGES, "games": [[], [], []]})
    both = worlds.made(kind, split, **plain(kind), **merged(kind))
    alone = kind(**plain(kind)).build(split.data.catalogue, "toys").double()
    theirs = dict(both.named_parameters())
    for name, parameter in alone.named_parameters():
        rows = [*range(3), *range(3 * both.copies, 3 * both.copies + 8)] if name == "weight" else slice(None)
        parameter.data.copy_(theirs[name].data[..., rows, :])
    alone.learn(split)
    np.testing.assert_allclose(worlds.scores(alone.eval(), split), worlds.scores(both, split))
    assert np.isfinite(worlds.scores(both, split, "games")).all()


@pytest.mark.parametrize("domains", [2, 3])
@pytest.mark.parametrize("kind", GRAPHS)
def test_every_domain_can_be_recommended_in(kind, domains):
    sizes = dict(list({"toys": 12, "games": 9, "books": 7}.items())[:domains])
    split = LeaveLastOut("toys").apply(tiny_world(20, sizes))
    fitted = fit(kind, split, epochs=1, model_settings=plain(kind) | merged(kind))
    for name, size in sizes.items():
        assert fitted.recommend(users=["u0"], domain=name, k=50, filter_seen=False).num_rows == size
        found = fitted.recommend(histories=[{"games": ["games1"]}, {}], domain=name, k=2)
        assert found.num_rows == 4
        assert np.isfinite(found.column("score").to_numpy()).all()


def counted(model, monkeypatch):
    """The number of times that the graph was gone through, in a list."""
    seen, through = [], model.propagated
    monkeypatch.setattr(model, "propagated", lambda: seen.append(1) or through())
    return seen


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_graph_is_gone_through_once_for_an_evaluation(kind, monkeypatch):
    split = LeaveLastOut("toys").apply(tiny_world(20))
    fitted = fit(kind, split, epochs=1, model_settings=plain(kind))
    fitted.model.train().eval()
    seen = counted(fitted.model, monkeypatch)
    for protocol in ("full", "sampled:9"):
        evaluate(fitted, split.test, protocol)
    fitted.recommend(histories=[{"toys": ["toys1"]}], k=2)
    assert len(seen) == 1


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_graph_is_gone_through_once_in_a_step(kind, monkeypatch):
    split = worlds.world()
    model = worlds.made(kind, split, **{**plain(kind), **({} if kind is GCMC else {"l2": 0.1})}).train()
    seen, batch = counted(model, monkeypatch), worlds.training_batch(model, split)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1, fused=True)
    for step in (1, 2):
        extra = model.queries(batch).sum() + model.items(batch.positive_P).sum() + model.item_block("toys").sum()
        more, before = model.auxiliary(batch), model.items(batch.positive_P).detach()
        (extra if more is None else extra + more).backward()
        assert len(seen) == step
        optimizer.step()
    with torch.no_grad():
        assert not torch.equal(model.items(batch.positive_P), before), "weights have changed since"


@pytest.mark.parametrize("kind", GRAPHS)
def test_what_is_kept_is_never_older_than_the_weights(kind):
    split = worlds.world()
    first, second = (worlds.made(kind, split, **plain(kind)) for _ in range(2))
    for parameter in second.parameters():
        parameter.data.mul_(1.5)
    before, other = worlds.scores(first, split), worlds.scores(second.train().eval(), split)
    assert np.abs(before - other).max() > 1e-6
    first.load_state_dict(second.state_dict())
    np.testing.assert_array_equal(worlds.scores(first, split), other)
    np.testing.assert_array_equal(worlds.scores(copy.deepcopy(first), split), other)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.div_(1.5)
    np.testing.assert_allclose(worlds.scores(first, split), before)
    single = worlds.scores(first.float(), split)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, before, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_sampler_that_looks_in_between_disturbs_no_step(kind):
    split = worlds.world()
    model = worlds.made(kind, split, **plain(kind)).train()
    batch: Batch = worlds.training_batch(model, split)
    gradients = []
    for looks in (False, True):
        model.zero_grad()
        query_PD = model.queries(batch)
        if looks:
            assert not model.selection_queries(batch).requires_grad
            with torch.no_grad():
                model.item_block("toys")
        (query_PD.sum(1) * model.items(batch.positive_P).sum(1)).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients)
