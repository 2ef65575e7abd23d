"""What holds of every sampler, beside every kind of model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.splits import LeaveLastOut
from crossrec.models.table import MODELS
from crossrec.samplers.hard import HardSampler
from crossrec.samplers.table import SAMPLERS, make
from crossrec.testing.worlds import world_of
from crossrec.train.objective import Parts, loss_of
from crossrec.train.settings import TrainConfig

MODEL_NAMES = [name for name in ("twotower", "dasl", "sasrec", "bprmf") if name in MODELS]
HARD = [name for name, kind in SAMPLERS.items() if issubclass(kind, HardSampler)]
SETTINGS: dict[str, dict[str, Any]] = {
    "srns": {"memory": 15, "watched": 30},
    "realhns": {
        "gradual": False,
        "band": (10, 60),
        "item_clusters": 5,
        "user_clusters": 3,
        "outliers": 0.5,
        "gradual_filter": False,
    },
}


def small(name: str, **settings: Any) -> Any:
    """A sampler that has something to choose in a tiny world."""
    return make(name, **{**SETTINGS.get(name, {}), **settings})


@pytest.mark.parametrize("model_name", MODEL_NAMES)
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("target", ["toys", "games"])
def test_support(name, model_name, target, split, made, draw, train_items) -> None:
    """Never a training item of the user, hence never the positive; never another domain's; held-out items may be drawn."""
    split = LeaveLastOut(target).apply(split.data)
    drawn = draw(small(name), made(model_name, split), split, 20, epoch=6)
    ids_PK = drawn.hard_PH if drawn.found.hard is None else torch.cat([drawn.found.ids, drawn.hard_PH], 1)
    block = split.data.catalogue.block(target)
    held_out = 0
    for user in range(30):
        found = set(ids_PK[drawn.batch.user_P == user].flatten().tolist())
        assert found <= set(block) - train_items(split, user)
        held = split.test.user_N == user
        held_out += bool(found & set(split.events.item_E[split.test.at_N[held]].tolist()))
    assert held_out > 5


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", SAMPLERS)
def test_shapes(name, shared, split, made, draw) -> None:
    """Drawn and chosen negatives are together as many as were asked for."""
    model = made("twotower", split)
    drawn = draw(small(name, shared=shared), model, split, 14)
    asked, found = len(drawn.batch), drawn.found
    hard = found.hard
    own = 14 if hard is None else 4
    assert found.ids.shape == ((own,) if shared else (asked, own))
    assert found.log_q.shape in ((), found.ids.shape)
    assert (hard is not None) == (name in HARD)
    if hard is not None:
        shape = (asked, 10) if hard.vectors is None else (asked, 10, 8)
        assert (hard.ids if hard.vectors is None else hard.vectors).shape == shape
        assert hard.log_q is None
        assert hard.hard is None


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize(("count", "hard"), [(10, 10), (4, 10), (1, 10), (6, 0)])
def test_none_drawn_or_none_chosen(name, count, hard, split, made, draw) -> None:
    found = draw(small(name, hard=hard), made("twotower", split), split, count).found
    assert found.hard is None
    assert (found.ids if found.vectors is None else found.vectors).shape[1] == count
    assert (found.log_q is None) == (hard > 0), "what was chosen has no probability"


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_generator_repeats_it(name, split, made, draw) -> None:
    model = made("twotower", split)
    first, again, other = (draw(small(name), model, split, 12, seed=seed).found for seed in (1, 1, 2))
    assert torch.equal(first.ids, again.ids)
    assert not torch.equal(first.ids, other.ids)
    if first.hard is not None:
        one, two, else_ = (n.hard.ids if n.hard.vectors is None else n.hard.vectors for n in (first, again, other))
        assert torch.equal(one, two)
        assert not torch.equal(one, else_)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("loss", ["bce", "bpr", "sampled_softmax"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_losses_and_gradients_are_finite(name, loss, shared, split, made, batch_of) -> None:
    """Also where no negative is drawn any more; the positive's vector and the query learn."""
    for model_name, count in (("twotower", 20), ("twotower", 10), ("sasrec", 20), ("bprmf", 20)):
        model = made(model_name, split)
        generator = torch.Generator().manual_seed(0)
        sampler = small(name, shared=shared)
        sampler.prepare(split, "toys", torch.device("cpu"))
        sampler.begin_epoch(model, 1, generator)
        batch = batch_of(model, split)
        config = TrainConfig(loss=loss, negatives=count)
        loss_P = loss_of(model, batch, Parts({"toys": sampler}), config, generator)
        assert loss_P.shape == (len(batch),)
        assert bool(torch.isfinite(loss_P).all())
        loss_P.mean().backward()
        gradients = [p.grad.to_dense() for p in model.parameters() if p.grad is not None]
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        assert any(bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize("name", SAMPLERS)
def test_training_is_blind(name, split, made, draw) -> None:
    """Other held-out items, the same training rows: the same draws, whatever the sampler looked at."""
    at = np.concatenate([split.valid.at_N, split.test.at_N])
    block = split.data.catalogue.block("toys")
    item_E = np.array(split.events.item_E)
    item_E[at] = block.start + (item_E[at] - block.start + 11) % len(block)
    changed = dataclasses.replace(split, events=dataclasses.replace(split.events, item_E=item_E))
    model = made("twotower", split)
    ours, theirs = (draw(small(name), model, which, 20, epoch=6) for which in (split, changed))
    assert torch.equal(ours.found.ids, theirs.found.ids)
    assert torch.equal(ours.hard_PH, theirs.hard_PH)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", HARD)
def test_choosing_needs_no_dropout(name, training, split, made, batch_of) -> None:
    """The global generator, from which dropout draws, and the model's mode stay as they are."""
    model = made("twotower", split, dropout=0.5).train(training)
    sampler, generator = small(name), torch.Generator()
    sampler.prepare(split, "toys", torch.device("cpu"))
    before = torch.get_rng_state()
    sampler.begin_epoch(model, 1, generator)
    sampler.draw(batch_of(model, split), torch.empty(0), model, 10, generator)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training == training for module in model.modules())


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_user_of_every_item_does_not_hang(name, made, draw) -> None:
    """What is left then is not told apart from what the user has."""
    histories = [[("toys", i, i) for i in (0, 1, 2, 0, 1)] + [("games", 0, 9)], [("toys", 1, 0), ("games", 1, 1)]]
    split = LeaveLastOut("toys").apply(world_of(histories, {"toys": 3, "games": 2}))
    drawn = draw(small(name), made("twotower", split), split, 12)
    assert len(drawn.batch) == 2
    assert bool(torch.isfinite(drawn.found.ids).all())


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_world_of_one_user(name, made, draw) -> None:
    history = [("games", 1, 0), *(("toys", i % 4, i + 1) for i in range(6))]
    split = LeaveLastOut("toys").apply(world_of([history], {"toys": 9, "games": 3}))
    drawn = draw(small(name), made("twotower", split), split, 12, epoch=24)
    unseen = set(range(5, 10)) if name not in ("popularity", "nncf") else {1, 2, 3, 4}
    assert set(drawn.hard_PH.flatten().tolist()) <= unseen, "by popularity there is nothing but the user's own"


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_model_that_predicts_several_domains(name, split, made) -> None:
    """Each domain has its own sampler, which looks at the queries for that domain alone."""
    model = made("sasrec", split, domains="merged", guard="none")
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ("toys", "games"))
    samplers = {}
    for domain in ("toys", "games"):
        samplers[domain] = small(name)
        samplers[domain].prepare(split, domain, torch.device("cpu"))
        samplers[domain].begin_epoch(model, 1, torch.Generator())
    batch = rows.batch(torch.arange(len(rows)))
    loss_P = loss_of(model, batch, Parts(samplers), TrainConfig(negatives=20), torch.Generator())
    assert loss_P.shape == (len(batch),)
    assert bool(torch.isfinite(loss_P).all())
