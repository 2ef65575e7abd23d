"""What all models of pairs of a user and an item have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.models.conet import CoNet
from crossrec.models.darec import DARec
from crossrec.models.ddtcdr import DDTCDR
from crossrec.models.ncfmlp import NCFMLP
from crossrec.models.users import UserModel
from crossrec.nn import pair_perceptron
from crossrec.testing.batches import training_batch
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit

SIZES = {"toys": 12, "games": 9, "books": 7}
KINDS = (NCFMLP, CoNet, DDTCDR)


def world(domains: int = 3) -> Split:
    """Twenty users of one domain, two or three."""
    return LeaveLastOut("toys").apply(tiny_world(20, dict(list(SIZES.items())[:domains])))


def made(kind: type[UserModel], split: Split, **settings: Any) -> UserModel:
    """A model with random weights, in double precision, that knows its users."""
    torch.manual_seed(0)
    others = [name for name in split.data.domains if name != "toys"]
    model = kind(**{"dim": 4, "layers": (6, 5, 3), **settings}).build(split.data.catalogue, "toys", others)
    for weight in (model.users.weight, model.table.weight):
        weight.data.normal_()
    model.table.weight.data[0] = 0
    model.learn(split)
    return model.double().eval()


def training_logits(model: UserModel, batch: Batch) -> Tensor:
    """Scores of all items of its domain for every query, in a row per query with zeros beyond the domain's size."""
    query_PD, score_PV = model.queries(batch), []
    for name in model.reads:
        block = model.block(name)
        asks = (batch.positive_P >= block.start) & (batch.positive_P < block.stop)
        score_PV.append(model.logits(query_PD[asks], model.item_block(name), name).flatten())
    return torch.cat(score_PV)


@pytest.mark.parametrize("domains", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_queries_of_several_domains_are_those_of_each_domain_alone(kind: type[UserModel], domains: int) -> None:
    split = world(domains)
    model = made(kind, split)
    batch = training_batch(model, split, "all")
    together = model.queries(batch)
    for name in model.reads:
        block = model.block(name)
        chosen = ((batch.positive_P >= block.start) & (batch.positive_P < block.stop)).nonzero()[:, 0]
        assert len(chosen)
        part = batch.asking(name, chosen)
        torch.testing.assert_close(model.queries(part), together[chosen])
        unknown = Batch(name, part.histories, part.user_P, torch.zeros_like(part.positive_P))
        torch.testing.assert_close(model.queries(unknown), together[chosen])


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_rows_of_their_domains_blocks(kind: type[UserModel]) -> None:
    model = made(kind, world())
    ids = torch.tensor([[1, 13, 22], [12, 21, 28]])
    blocks = torch.cat([model.item_block(name) for name in ("toys", "games", "books")])
    torch.testing.assert_close(model.items(ids), blocks[ids - 1])


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_no_score(kind: type[UserModel], monkeypatch: pytest.MonkeyPatch) -> None:
    split = world()
    model = made(kind, split)
    batch = training_batch(model, split, "all")
    query_PD, item_VD = model.queries(batch), model.item_block("games")
    at_once = model.logits(query_PD, item_VD, "games")
    monkeypatch.setattr(pair_perceptron, "BLOCK", 64)
    monkeypatch.setattr(pair_perceptron, "COLUMNS", 4)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(query_PD, item_VD, "games"), at_once)
        own_PKD = item_VD.expand(len(query_PD), *item_VD.shape)
        torch.testing.assert_close(model.logits(query_PD, own_PKD, "games"), at_once)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_function_trains_and_scores(kind: type[UserModel]) -> None:
    split = world()
    model = made(kind, split, **({"dropout": 0.0} if kind is DDTCDR else {}))
    batch = training_batch(model, split, "all")
    torch.testing.assert_close(training_logits(model.train(), batch), training_logits(model.eval(), batch))


@pytest.mark.parametrize("domains", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_users_are_learned_by_heart(kind: type[UserModel], domains: int) -> None:
    """In every domain what users have in training comes before what they do not have."""
    split = world(domains)
    quick = {"loss": "bce", "negatives": 4, "batch": 20, "lr": 3e-2, "epochs": 80, "first_eval": 80, "first": "all"}
    model = fit(kind(dim=16, layers=(32, 16)), split, sampler="uniform", **quick).model
    batch = training_batch(model, split, "all")
    with torch.no_grad():
        for name in model.reads:
            block = model.block(name)
            chosen = ((batch.positive_P >= block.start) & (batch.positive_P < block.stop)).nonzero()[:, 0]
            part = batch.asking(name, chosen)
            has_UV = torch.zeros(20, len(block), dtype=torch.bool)
            has_UV[part.user_P, part.positive_P - block.start] = True
            score_PV = model.scores(part, name)
            own_P1 = score_PV.gather(1, part.positive_P[:, None] - block.start)
            before_PV = (score_PV >= own_P1) & ~has_UV[part.user_P]
            share = float(before_PV.sum() / (~has_UV[part.user_P]).sum())
            assert share < 0.02, f"{name}: {share:.1%} of what users do not have comes before what they have"


@pytest.mark.parametrize("kind", KINDS)
def test_every_domain_can_be_recommended_in(kind: type[UserModel]) -> None:
    recommender = fit(kind(dim=4), world(), epochs=1)
    for name, size in SIZES.items():
        assert recommender.recommend(users=["u0"], domain=name, k=50, filter_seen=False).num_rows == size
        found = recommender.recommend(histories=[{"games": ["games1"]}, {}], domain=name, k=2)
        assert found.num_rows == 4, "strangers too"


@pytest.mark.parametrize("kind", [*KINDS, DARec])
def test_the_paper_preset_trains(kind: type[Model]) -> None:
    losses: list[float] = []
    fit(kind, world(2), preset="paper", epochs=8, lr=1e-2, log=lambda record: losses.append(record.get("loss", np.inf)))
    assert losses[-1] < losses[-8]


def test_settings_that_make_no_network_are_refused() -> None:
    for model in (CoNet(cross=4), CoNet(cross=0), DDTCDR(alpha=1.5)):
        with pytest.raises(InputError, match=r"cross|alpha"):
            model.build(world().data.catalogue, "toys", ["games"])
