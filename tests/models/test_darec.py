"""DARec."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.splits import Events, LeaveLastOut, Split
from crossrec.models import darec
from crossrec.models.darec import DARec
from crossrec.samplers.uniform import Uniform
from crossrec.streams import Streams
from crossrec.testing import ModelTests
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit
from crossrec.train.objective import Parts, loss_of
from crossrec.train.settings import TrainConfig

SIZES = {"toys": 12, "games": 9, "books": 7}


class TestDARec(ModelTests):
    model = DARec(code=16, decoder=16, encoder=(16, 8), pretrain_epochs=10)
    least = 0.6


def made(split: Split, **settings: Any) -> DARec:
    """A model with random weights, in double precision, past its AutoRecs."""
    torch.manual_seed(0)
    others = [name for name in split.data.domains if name != "toys"]
    small = {"code": 5, "decoder": 6, "encoder": (7, 4), "classifier": (3,), "dropout": 0.0}
    model = DARec(**{**small, **settings}).build(split.data.catalogue, "toys", others)
    for parameter in model.parameters():
        parameter.data.normal_()
    return model.double().eval()


def world(domains: int = 3, users: int = 20) -> Split:
    return LeaveLastOut("toys").apply(tiny_world(users, dict(list(SIZES.items())[:domains])))


def training_batch(model: DARec, split: Split) -> Batch:
    """All training rows with all their queries, of all domains."""
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, model.reads, "all")
    return rows.batch(torch.arange(len(rows)))


def written_out(model: DARec, ids: set[int], domain: str) -> np.ndarray:
    """Logits of a domain's items for one user who has these ids: equation 5.4, in numpy, from dense rows."""

    def dense(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
        return layer.weight.detach().numpy() @ x + layer.bias.detach().numpy()

    shared = {}
    for name in model.reads:
        row = np.array([float(i in ids) for i in model.block(name)])
        layer = model.autorec(name)
        h = row @ layer.inward.block(name).detach().numpy() + layer.bias.detach().numpy()
        h = 1 / (1 + np.exp(-h))
        for inner in model.encoder:
            h = np.maximum(dense(inner, h), 0)
        shared[name] = (row.any(), h)
    known = [h for some, h in shared.values() if some]
    some, s = shared[domain]
    if not some and known:
        s = np.mean(known, 0)
    h = np.append(np.maximum(dense(model.decoders[model.reads.index(domain)], s), 0), 1)
    return model.outward.block(domain).detach().numpy() @ h


@pytest.mark.parametrize("domains", [1, 2, 3])
def test_asked_a_row_is_what_is_known_and_each_item_counts_once(domains: int) -> None:
    split = world(domains)
    model = made(split)
    catalogue = split.data.catalogue
    first = {name: catalogue.block(name).start for name in model.reads}
    rows = [[1, 4, 4, 9], [], [first[name] + 2 for name in model.reads], [first[model.reads[-1]] + 1]]
    ends = torch.tensor([len(row) for row in rows]).cumsum(0)
    events = Events(catalogue, np.array([i for row in rows for i in row], dtype=np.int32))
    starts, number = ends - torch.tensor([len(row) for row in rows]), torch.arange(4)
    batcher = Batcher(events, model.views())
    for name in model.reads:
        found = model.scores(batcher.batch(name, number - 5, starts, number, ends, None), name)
        expected = np.stack([written_out(model, set(row), name) for row in rows])
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-9)


def test_in_training_a_row_is_all_of_the_user_and_strangers_to_the_batch_change_nothing() -> None:
    split = world()
    model = made(split)
    batch = training_batch(model, split)
    has = {u: set(batch.positive_P[batch.user_P == u].tolist()) for u in batch.user_P.unique().tolist()}
    query_PD = model.train().queries(batch)
    for p in range(0, len(batch), 5):
        item = int(batch.positive_P[p])
        (name,) = [name for name in model.reads if item in model.block(name)]
        found = (model.item_block(name) @ query_PD[p]).detach().numpy()
        np.testing.assert_allclose(found, written_out(model, has[int(batch.user_P[p])], name), atol=1e-9)
    torch.testing.assert_close(model.selection_queries(batch), query_PD)


def test_one_everywhere_is_not_the_best_answer() -> None:
    """Zeros are sampled: the mean squared error over what is observed would ask for nothing but ones."""
    split = world(2)
    model = made(split).train()
    batch = training_batch(model, split)
    parts = {name: Uniform() for name in model.reads}
    for name, sampler in parts.items():
        sampler.prepare(split, name, torch.device("cpu"))
    settings = DARec.presets["default"]["train"]
    assert settings["loss"] == "bce"
    assert settings["negatives"] == 5
    config = TrainConfig(**settings)

    def loss(bias: float) -> float:
        with torch.no_grad():
            model.outward.weight[:, :-1] = 0
            model.outward.weight[:, -1] = bias
            return float(loss_of(model, batch, Parts(parts), config, Streams(0)["negatives"]).mean())

    assert loss(10.0) > loss(0.0) == pytest.approx(2 * np.log(2))
    assert loss(-10.0) > loss(0.0)


def test_the_gradient_is_reversed_for_the_encoder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    split = world(2)
    model = made(split, reversal=0.25).train()
    batch = training_batch(model, split)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model.auxiliary(batch).backward()
        return {
            name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None and not p.grad.is_sparse
        }

    found = gradients()
    monkeypatch.setattr(darec, "reversed_gradient", lambda x, factor: x)
    straight = gradients()
    assert {name.partition(".")[0] for name in found} == {"autorecs", "encoder", "classifier"}
    for name, grad in found.items():
        turned = 1.0 if name.startswith("classifier") else -0.25
        torch.testing.assert_close(grad, turned * straight[name])
        assert grad.abs().max() > 0


def test_telling_domains_apart_is_a_cross_entropy_without_a_sigmoid_before_it() -> None:
    split = world(3)
    model = made(split, domain_weight=0.5)
    batch = training_batch(model, split)
    logits, labels = [], []
    for user in batch.user_P.unique().tolist():
        ids = batch.positive_P[batch.user_P == user].unique()
        for x, name in enumerate(model.reads):
            layer, block = model.autorec(name), model.block(name)
            own = ids[(ids >= block.start) & (ids < block.stop)]
            if not len(own):
                continue
            h = (layer.inward(own).sum(0) + layer.bias).sigmoid()
            for inner in model.encoder:
                h = F.relu(inner(h))
            logits.append(model.classifier[1](model.classifier[0](h).sigmoid()))
            labels.append(x)
    expected = 0.5 * F.cross_entropy(torch.stack(logits), torch.tensor(labels))
    torch.testing.assert_close(model.auxiliary(batch), expected)


def test_phases_train_every_autorec_alone_and_then_leave_them_as_they_are() -> None:
    split = world()
    model = DARec(code=4, decoder=4, pretrain_epochs=2).build(split.data.catalogue, "toys", ["games", "books"])
    phases = model.phases()
    assert [(phase.name, phase.domain) for phase in phases] == [
        ("autorec:games", "games"),
        ("autorec:books", "books"),
        ("autorec:toys", "toys"),
        ("whole", "toys"),
    ]
    states: dict[str, dict[str, torch.Tensor]] = {}

    class Looked(DARec):
        def begin(self, phase: Any) -> None:
            states[phase.name] = {name: value.clone() for name, value in self.state_dict().items()}
            super().begin(phase)

    found = fit(Looked(code=4, decoder=4, pretrain_epochs=2), split, epochs=3, lr=0.05).model.state_dict()

    def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
        names = {name for name in before if not torch.equal(before[name], after[name])}
        return {".".join(name.split(".")[: 2 if name.startswith("autorecs") else 1]) for name in names}

    order = [*states.values(), found]
    assert [moved(*pair) for pair in itertools.pairwise(order)] == [
        {"autorecs.1"},
        {"autorecs.2"},
        {"autorecs.0"},
        {"encoder", "decoders", "classifier", "outward"},
    ]


def test_an_autorec_alone_draws_its_domain_from_its_code() -> None:
    split = world(2)
    model = made(split)
    model.begin(model.phases()[0])
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ["games"], "all")
    batch = rows.batch(torch.tensor([0]))
    layer = model.autorec("games")
    code_D = (layer.inward(batch.positive_P.unique()).sum(0) + layer.bias).sigmoid()
    expected_V = layer.outward.block("games") @ F.pad(code_D, (0, 1), value=1.0)
    logit_PV = model.train().queries(batch) @ model.item_block("games").T
    torch.testing.assert_close(logit_PV, expected_V.expand(len(batch), -1))
    assert model.auxiliary(batch) is None
    torch.testing.assert_close(model.items(torch.tensor([13, 15])), model.item_block("games")[[0, 2]])


def test_twenty_users_are_learned_by_heart() -> None:
    """What users have in training comes before what they do not have."""
    split = world(3)
    quick = {"batch": 20, "lr": 2e-2, "epochs": 60, "first_eval": 60}
    small = {"code": 32, "decoder": 32, "encoder": (32, 32), "dropout": 0.0, "pretrain_epochs": 30}
    model = fit(DARec(**small), split, preset="default", **quick).model.train()
    batch = training_batch(model, split)
    with torch.no_grad():
        query_PD = model.queries(batch)
        for name in model.reads:
            block = model.block(name)
            chosen = ((batch.positive_P >= block.start) & (batch.positive_P < block.stop)).nonzero()[:, 0]
            place_P, user_P = batch.positive_P[chosen] - block.start, batch.user_P[chosen]
            has_UV = torch.zeros(20, len(block), dtype=torch.bool)
            has_UV[user_P, place_P] = True
            score_PV = query_PD[chosen] @ model.item_block(name).T
            before_PV = (score_PV >= score_PV.gather(1, place_P[:, None])) & ~has_UV[user_P]
            share = float(before_PV.sum() / (~has_UV[user_P]).sum())
            assert share < 0.02, f"{name}: {share:.1%} of what users do not have comes before what they have"
