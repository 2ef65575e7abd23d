"""CoNet."""

from __future__ import annotations

import numpy as np
import torch

from crossrec.data.batches import Batcher
from crossrec.data.splits import Events, LeaveLastOut, Split
from crossrec.models.conet import CoNet
from crossrec.testing import ModelTests
from crossrec.testing.batches import training_batch
from crossrec.testing.worlds import tiny_world


class TestCoNet(ModelTests):
    model = CoNet(dim=16)
    least = 0.5


class TestReleased(ModelTests):
    model = CoNet(dim=16, eval_partner="none", std=0.1)
    least = None


def made(split: Split, **settings: object) -> CoNet:
    """A model with random weights."""
    torch.manual_seed(0)
    others = [name for name in split.data.domains if name != "toys"]
    model = CoNet(**{"dim": 4, "std": 0.5, **settings}).build(split.data.catalogue, "toys", others)
    for weight in (model.users.weight, model.table.weight):
        weight.data.normal_()
    model.table.weight.data[0] = 0
    model.learn(split)
    return model.eval()


def test_a_partner_is_the_users_own_latest_item_before_the_asked_place() -> None:
    """Never another user's, as where the published program pairs rows."""
    split = LeaveLastOut("toys").apply(tiny_world(15, {"toys": 30, "games": 20, "books": 10}))
    model = made(split).train()
    batch = training_batch(model, split, "all")
    partners = model.partners(batch)
    start = dict(zip(split.train.user_N.tolist(), split.train.start_N.tolist(), strict=True))
    assert batch.at_P is not None
    for p, (user, at) in enumerate(zip(batch.user_P.tolist(), batch.at_P.tolist(), strict=True)):
        before = split.events.item_E[start[user] : at].tolist()
        for name in model.reads:
            known = [item for item in before if item in model.block(name)]
            assert int(partners[name][p]) == (known[-1] if known else 0)
    assert all((ids > 0).any() for ids in partners.values())


def test_the_partner_takes_part_in_training_and_when_asked() -> None:
    """The published program trains with cross connections and ranks without."""
    split = LeaveLastOut("toys").apply(tiny_world(15))
    model = made(split)
    batch = training_batch(model, split, "all")
    block = model.block("toys")
    part = batch.asking("toys", (batch.positive_P < block.stop).nonzero()[:, 0])
    has = model.partners(part)["games"] > 0
    assert has.any()
    assert not has.all()

    def score(model: CoNet) -> torch.Tensor:
        with torch.no_grad():
            return model.logits(model.queries(part), model.item_block("toys"), "toys")

    asked = score(model)
    torch.testing.assert_close(score(model.train()), asked)
    released = made(split, eval_partner="none")
    torch.testing.assert_close(score(released.train()), asked)
    without = score(released.eval())
    changed = (without - asked).abs().amax(1) > 1e-6
    assert torch.equal(changed, has), "asked without partners, all who have one are scored by another function"


def test_without_partners_a_tower_is_a_plain_perceptron() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(15))
    model = made(split, eval_partner="none")
    batch = training_batch(model, split, "all")
    part = batch.asking("toys", (batch.positive_P < model.block("toys").stop).nonzero()[:4, 0])
    tower, p_PD, q_VD = model.towers.tower(0), model.users.weight[part.user_P], model.table.block("toys")
    expected = tower(tower.user(p_PD)[:, None] + tower.item(q_VD))
    torch.testing.assert_close(model.scores(part, "toys"), expected)


def test_the_latest_item_counts_however_long_ago() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(15))
    model = made(split)
    catalogue = split.data.catalogue
    row = [catalogue.block("games")[3], *([catalogue.block("toys")[0]] * 400)]
    batcher = Batcher(Events(catalogue, np.array(row, dtype=np.int32)), model.views())
    one = torch.tensor([0])
    batch = batcher.batch("toys", one, one, torch.tensor([0, 0]), torch.tensor([1, len(row)]), None)
    assert model.partners(batch)["games"].tolist() == [row[0]] * 2


def test_sparse_cross_connections() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(15))
    batch = training_batch(made(split), split, "all")
    assert made(split).auxiliary(batch) is None
    model = made(split, l1=0.5)
    expected = 0.5 * sum(matrix.detach().abs().sum() for matrix in model.towers.cross)
    torch.testing.assert_close(model.auxiliary(batch), expected)
