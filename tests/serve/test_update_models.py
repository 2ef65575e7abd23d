"""Every model of the library grows: known users and items keep their rows, and so their scores, before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from crossrec.data.batches import Batcher
from crossrec.data.splits import LeaveLastOut
from crossrec.data.vocabulary import Catalogue, Vocabulary
from crossrec.errors import InputError
from crossrec.models.sasrec import SASRec
from crossrec.models.table import MODELS
from crossrec.nn.items import ItemTable
from crossrec.streams import Streams
from crossrec.testing.worlds import tiny_world
from crossrec.train.grown import grown

SIZES = {"books": 9, "toys": 30, "games": 20}
MORE = {"books": 3, "toys": 2, "games": 4}
MIXED = ("herec", "tdiffrec", "tidiffrec")
"""Their scores depend on all rows: walks are drawn anew for another graph; a denoised row passes through all items."""


def larger(data):
    """The same events, with users and items behind the known ones that nobody has met."""
    users = data.users.extended(Vocabulary(pa.array(["new0", "new1", "new2"])))
    items = {
        name: ids.extended(Vocabulary(pa.array([f"{name} new {i}" for i in range(MORE[name])])))
        for name, ids in data.items.items()
    }
    offset = np.concatenate([data.offset_U1, np.repeat(data.offset_U1[-1], 3)])
    catalogue = Catalogue({name: len(ids) for name, ids in items.items()}, len(users))
    item_E = data.catalogue.moved_to(catalogue)[data.item_E].astype(np.int32)
    return replace(data, users=users, items=items, offset_U1=offset, item_E=item_E, folder=None)


def scores(model, split, domain):
    batcher = Batcher(split.events, model.views())
    with torch.no_grad():
        return torch.cat([model.scores(batch, domain) for batch in batcher.queries(split.test, 64)])


@pytest.fixture(scope="module")
def splits():
    old = tiny_world(sizes=SIZES)
    return [LeaveLastOut("toys").apply(data) for data in (old, larger(old))]


@pytest.mark.parametrize("name", MODELS)
def test_known_users_and_items_keep_their_rows_and_their_scores(splits, name):
    kind = MODELS[name]
    old = kind(kind.Config())
    with Streams(3).ambient("init"):
        old.build(splits[0].data.catalogue, "toys", ("books", "games"))
        for parameter in old.parameters():
            parameter.data += 0.01 * torch.randn(parameter.shape)
    old.learn(splits[0])
    old.train().eval()
    before = {name: value.clone() for name, value in old.state_dict().items()}
    model = grown(old, splits[1].data.catalogue, Streams(4))
    assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items()), (
        "the old one is left alone"
    )
    tables = [key for key, value in model.named_parameters() if value.shape != before[key].shape]
    for key in tables:
        axis = next(
            n for n, (a, b) in enumerate(zip(before[key].shape, model.state_dict()[key].shape, strict=True)) if a != b
        )
        mine, theirs = (each.movedim(axis, 0).flatten(1) for each in (model.state_dict()[key], before[key]))
        assert {row.numpy().tobytes() for row in theirs} <= {row.numpy().tobytes() for row in mine}, key
    model.learn(splits[1])
    model.train().eval()
    if name in MIXED:
        return
    for domain in model.serves():
        was, now = scores(old, splits[0], domain), scores(model, splits[1], domain)
        assert now.shape[1] == was.shape[1] + MORE[domain]
        torch.testing.assert_close(now[:, : was.shape[1]], was, atol=1e-5, rtol=1e-5)


def test_new_rows_are_as_the_model_draws_them(splits):
    def make(seed):
        old = SASRec(dim=8, domains="merged", guard="none")
        with Streams(1).ambient("init"):
            old.build(splits[0].data.catalogue, "toys", ("books", "games"))
        model = grown(old, splits[1].data.catalogue, Streams(seed))
        block = model.block("books")
        return model.table(torch.arange(block.stop - MORE["books"], block.stop))

    assert torch.equal(make(2), make(2))
    assert not torch.equal(make(2), make(3))
    assert 0.02 < float(make(2).detach().std()) < 1


def test_a_layout_that_nobody_knows_is_refused(splits):
    class Odd(SASRec):
        name = "odd"

        def make(self, catalogue):
            super().make(catalogue)
            self.pairs = torch.nn.Parameter(torch.zeros(sum(catalogue.sizes.values()), 4))

    old = Odd(dim=8)
    with Streams(1).ambient("init"):
        old.build(splits[0].data.catalogue, "toys", ())
    with pytest.raises(InputError, match="'pairs' in a layout that cannot be grown"):
        grown(old, splits[1].data.catalogue, Streams(0))


def test_a_table_of_several_domains_moves_by_its_own_map():
    class Table(SASRec):
        def make(self, catalogue):
            super().make(catalogue)
            self.other = ItemTable(catalogue, ("games", "books"), 4)

    old_sizes, new_sizes = Catalogue(SIZES, 4), Catalogue({d: n + MORE[d] for d, n in SIZES.items()}, 4)
    old = Table(dim=8)
    with Streams(1).ambient("init"):
        old.build(old_sizes, "toys", ())
    model = grown(old, new_sizes, Streams(0))
    for domain in ("games", "books"):
        assert torch.equal(model.other.block(domain)[: SIZES[domain]], old.other.block(domain))
    assert torch.equal(model.other.weight[0], old.other.weight[0])
