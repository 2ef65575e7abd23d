"""DPA: specs of PDRec, 4.3, against a plain sort; G6 and G7 through the objective."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.splits import LeaveLastOut
from crossrec.plugins.base import Plugin, SoftPositives
from crossrec.plugins.pdrec import PDRec, PDRecConfig
from crossrec.plugins.soft_positives import candidates
from crossrec.samplers.base import Negatives, Sampler
from crossrec.samplers.table import SAMPLERS, make
from crossrec.samplers.uniform import UniformConfig
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.objective import Parts, loss_of, soft_loss
from crossrec.train.settings import TrainConfig


def pools(found, chosen=None) -> list[set[int]]:
    """Columns of the candidates of the rows."""
    soft = found.plugin.positives(found.batch(chosen))
    start = found.split.data.catalogue.block(found.domain).start
    return [set((ids[known] - start).tolist()) for ids, known in zip(soft.ids_RM, soft.known_RM, strict=True)]


@pytest.mark.parametrize("target", ["toys", "games"])
@pytest.mark.parametrize("pool", ["unobserved", "all"])
@pytest.mark.parametrize("coarse", [1, 7, 15])
def test_the_candidates_are_those_of_a_plain_sort(coarse, pool, target, split, made, prepare) -> None:
    split = LeaveLastOut(target).apply(split.data)
    found = prepare(split, made("sasrec", split, seed=2), low=False, coarse=coarse, pool=pool)
    for n, drawn in enumerate(pools(found)):
        own = found.own(n) if pool == "unobserved" else set()
        expected = [column for column in found.ranking(n) if column not in own][:coarse]
        assert drawn == set(expected)


def test_share_of_own_items(split, made, prepare) -> None:
    """Of a pool of all items."""
    found = prepare(split, made("sasrec", split), low=False, coarse=15, pool="all")
    own = [len(drawn & found.own(n)) / 15 for n, drawn in enumerate(pools(found))]
    assert found.plugin.facts()["own"] == pytest.approx(sum(own) / len(own))
    assert sum(own) > 0
    assert "own" not in prepare(split, made("sasrec", split), low=False).plugin.facts()


def test_fewer_items_than_candidates(fixed, prepare) -> None:
    """What exists is marked: the whole catalogue, or what the user does not have of it, which may be nothing."""
    histories = [[("toys", item, t) for t, item in enumerate(items)] for items in ([0, 1, 0, 1], [0, 1, 2, 3, 0, 1])]
    split = LeaveLastOut("toys").apply(world_of(histories, {"toys": 4}))
    source = fixed(split, torch.randn(2, 4, generator=torch.Generator().manual_seed(1)))
    found = prepare(split, source)
    assert found.plugin.positives(found.batch()).ids_RM.shape == (2, 4)
    assert pools(found) == [{2, 3}, set()]
    assert pools(prepare(split, source, pool="all")) == [{0, 1, 2, 3}] * 2
    assert torch.isfinite(soft_loss(source, found.batch(), parts(found.plugin), TrainConfig(loss="bce"), rng()))
    assert soft_loss(source, found.batch([1]), parts(found.plugin), TrainConfig(loss="bce"), rng()) is None


def test_a_query_for_every_row_that_knows_all_of_it(split, made, prepare) -> None:
    """Once for each row of the batch, however many positives it has and however often it is there."""
    found = prepare(split, made("sasrec", split))
    batch = found.batch([4, 2, 2, 9])
    soft = found.plugin.positives(batch)
    assert soft.batch.user_P.tolist() == sorted(set(batch.user_P.tolist()))
    assert len(soft.batch) == len(soft.ids_RM) == 3
    query, item = soft.batch.histories["history"].events()
    rows, events = found.plugin.rows, split.events
    block = split.data.catalogue.block("toys")
    for number, n in enumerate((2, 4, 9)):
        whole = [int(i) for i in events.item_E[rows.start_N[n] : rows.stop_N[n]] if i in block]
        assert item[query == number].tolist() == whole
    assert soft.keep == 5
    assert soft.weight == 0.3


def test_ties_give_no_more_than_asked() -> None:
    none = (torch.zeros(0, dtype=torch.int64),) * 2
    found = candidates(torch.ones(2, 9), none, 4)
    assert found.shape == (2, 4)
    assert all(len(set(row)) == 4 for row in found.tolist())


class Given(Sampler):
    """Negatives that are given."""

    name, Config = "given", UniformConfig
    found: Negatives

    def draw(self, *_: Any) -> Negatives:
        return self.found


class Handed(Plugin):
    """A plug-in that gives what it is told."""

    name, Config = "handed", PDRecConfig

    def __init__(self, weight_P: Tensor | None, ids_PN: Tensor | None, soft: SoftPositives | None) -> None:
        super().__init__()
        self.told = weight_P, ids_PN, soft

    def weights(self, batch: Batch) -> Tensor | None:
        return self.told[0]

    def negatives(self, batch: Batch, generator: torch.Generator) -> Tensor | None:
        return self.told[1]

    def positives(self, batch: Batch) -> SoftPositives | None:
        return self.told[2]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parts(plugin: Plugin, sampler: Sampler | None = None) -> Parts:
    return Parts({"toys": sampler}, {"toys": plugin})


@pytest.fixture
def stub(fixed):
    """A user who scores the items 2, 1, -1, 0.1, 2, -1 and 1; a query for the first, its negative the second, the third
    from low preference, the others candidates. The last place of the candidates is empty.
    """
    split = LeaveLastOut("toys").apply(world_of([[("toys", 0, t) for t in range(4)]], {"toys": 7}))
    model = fixed(split, [[2.0, 1.0, -1.0, 0.1, 2.0, -1.0, 1.0]])
    batch = Batch("toys", {}, torch.tensor([0]), torch.tensor([1]), torch.tensor([1]))
    sampler = Given()
    sampler.found = Negatives(torch.tensor([[2]]))
    soft = SoftPositives(
        Batch("toys", {}, torch.tensor([0]), torch.tensor([0])),
        torch.tensor([[4, 5, 6, 7, 0]]),
        torch.tensor([[True, True, True, True, False]]),
        keep=2,
        weight=0.3,
    )
    return model, batch, sampler, Handed(torch.tensor([2.9]), torch.tensor([[3]]), soft)


def test_golden_soft_positives(stub) -> None:
    """G6: logits 0.1, 2, -1 and 1, the best two are taken."""
    model, batch, sampler, plugin = stub
    loss = soft_loss(model, batch, parts(plugin, sampler), TrainConfig(loss="bce"), rng())
    assert float(loss) == pytest.approx(0.3 * 0.220095, abs=1e-6)


def test_golden_total(stub) -> None:
    """G7: weighted positive, both lists of negatives halved, soft positives."""
    model, batch, sampler, plugin = stub
    config = TrainConfig(loss="bce", negatives=1)
    loss_P = loss_of(model, batch, parts(plugin, sampler), config, rng())
    assert loss_P.tolist() == pytest.approx([0.368091 + 0.813262], abs=2e-6)
    total = loss_P.mean() + soft_loss(model, batch, parts(plugin, sampler), config, rng())
    assert float(total) == pytest.approx(1.247382, abs=2e-6)


def test_a_row_without_candidates_does_not_count(stub) -> None:
    """The mean is over what is taken; where nothing is, there is no loss."""
    model, batch, sampler, plugin = stub
    _, _, soft = plugin.told
    two = Batch("toys", {}, torch.tensor([0, 0]), torch.tensor([0, 0]))
    known_RM = torch.cat([soft.known_RM, torch.zeros_like(soft.known_RM)])
    plugin.told = None, None, SoftPositives(two, soft.ids_RM.expand(2, -1), known_RM, 2, 0.3)
    config = TrainConfig(loss="bce")
    assert float(soft_loss(model, batch, parts(plugin, sampler), config, rng())) == pytest.approx(
        0.3 * 0.220095, abs=1e-6
    )
    plugin.told = None, None, SoftPositives(two, soft.ids_RM.expand(2, -1), torch.zeros_like(known_RM), 2, 0.3)
    assert soft_loss(model, batch, parts(plugin, sampler), config, rng()) is None


@pytest.mark.parametrize("kind", ["sasrec", "bprmf"])
@pytest.mark.parametrize("loss", ["bce", "bpr", "sampled_softmax", "softmax"])
def test_every_loss_learns_from_all_three(loss, kind, split, made, prepare) -> None:
    """Finite, and different from the loss without each; the soft positives move queries and items."""
    model, source = made(kind, split, dim=4).eval(), made("sasrec", split, seed=2)
    sampler = None if loss == "softmax" else make("uniform")
    if sampler is not None:
        sampler.prepare(split, "toys", torch.device("cpu"))
    config = TrainConfig(loss=loss, negatives=3)

    def value(**off: Any) -> float:
        found = prepare(split, source, model, **off)
        beside = parts(found.plugin, sampler)
        total = loss_of(model, found.batch(), beside, config, rng()).mean()
        soft = soft_loss(model, found.batch(), beside, config, rng())
        return (total if soft is None else total + soft).item()

    values = [value(), value(weight="none"), value(soft=False)]
    values += [] if loss == "softmax" else [value(low=False)]
    assert all(v == v and abs(v) < 1e3 for v in values)
    assert len({round(v, 6) for v in values}) == len(values)
    found = prepare(split, source, model.train())
    soft_loss(model, found.batch(), parts(found.plugin, sampler), config, rng()).backward()
    gradients = {name: p.grad.to_dense() for name, p in model.named_parameters() if p.grad is not None}
    assert all(bool(torch.isfinite(g).all()) for g in gradients.values())
    assert gradients["table.weight"].any()
    assert sum(bool(g.any()) for g in gradients.values()) > 1


@pytest.mark.parametrize("target", ["toys", "games"])
@pytest.mark.parametrize("loss", ["bce", "sampled_softmax"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_beside_every_sampler(name, loss, target, made, prepare) -> None:
    split = LeaveLastOut(target).apply(tiny_world(users=30))
    model = made("twotower", split, dim=8, blocks=1, max_len=20)
    small = {
        "srns": {"memory": 15, "watched": 30},
        "realhns": {"gradual": False, "item_clusters": 5, "user_clusters": 3},
    }
    sampler = make(name, **small.get(name, {}))
    sampler.prepare(split, target, torch.device("cpu"))
    sampler.begin_epoch(model, 1, rng())
    found = prepare(split, made("sasrec", split), model)
    beside = Parts({target: sampler}, {target: found.plugin})
    config = TrainConfig(loss=loss, negatives=20)
    assert bool(torch.isfinite(loss_of(model, found.batch(), beside, config, rng())).all())
    assert bool(torch.isfinite(soft_loss(model, found.batch(), beside, config, rng())))


def test_the_defaults_of_the_config_are_the_paper_s() -> None:
    config = PDRec().config
    assert (config.rank_weight, config.truncate, config.rescale) == (0.1, 3, 2)
    assert (config.low_from, config.coarse, config.fine, config.distill) == (0.5, 50, 5, 0.3)
