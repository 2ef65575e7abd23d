"""The plug-in as a whole: any split, any domain, any model to look into; what it must refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import crossrec as cr
from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.splits import LeaveLastOut, Windows
from crossrec.errors import InputError
from crossrec.models.base import still
from crossrec.plugins import preferences, table
from crossrec.plugins.pdrec import PDRec
from crossrec.plugins.preferences import Preferences, hidden, owned
from crossrec.samplers.base import SeenPairs
from crossrec.samplers.table import make
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.objective import Parts, loss_of, soft_loss
from crossrec.train.settings import TrainConfig

DAY = 86_400


@pytest.fixture(scope="session")
def windows() -> cr.data.splits.Split:
    """Users with several training rows each."""
    data = tiny_world(users=12, events=60, step=4 * DAY, seed=3)
    return Windows("toys", days=20, min_per_domain=2).apply(data)


@pytest.mark.parametrize("first", ["any", "domain", "all"])
@pytest.mark.parametrize("source", ["sasrec", "bprmf", "tidiffrec"])
def test_every_training_row_by_itself(source, first, windows, made, prepare) -> None:
    """Weights, candidates and low preferences of a row are those of that row, not of its user's others."""
    users, rows = np.unique(windows.train.user_N, return_counts=True)
    assert rows.max() > 2
    found = prepare(windows, made(source, windows, seed=2), first=first, coarse=4, low_from=0.6)
    batch, start = found.batch(), windows.data.catalogue.block("toys").start
    row_P = found.plugin.rows.row_of(batch.at_P)
    assert len(found.plugin.rows) > len(users)
    drawn_P, weight_P = found.drawn(300) - start, found.plugin.weights(batch)
    soft = found.plugin.positives(batch)
    differ = 0
    for n in range(len(found.plugin.rows)):
        assert torch.unique(batch.user_P[row_P == n]).tolist() == [int(found.plugin.rows.user_N[n])]
        left = [column for column in found.ranking(n) if column not in found.own(n)]
        assert set((soft.ids_RM[n] - start).tolist()) == set(left[:4])
        assert set(drawn_P[row_P == n].flatten().tolist()) == set(left[int(0.6 * len(left)) :])
        score = torch.tensor(found.scores(n))[batch.positive_P[row_P == n] - start]
        weight = weight_P[row_P == n]
        assert torch.equal(weight.argsort(stable=True), score.argsort(stable=True))
        differ += int(weight.std(correction=0) > 0.01)
    assert differ > len(found.plugin.rows) / 2


def test_a_batch_gets_what_the_whole_gets(windows, made, prepare) -> None:
    """Keyed by training row, in whatever order rows are delivered."""
    found = prepare(windows, made("sasrec", windows, seed=2))
    whole = found.batch()
    weight_P = dict(zip(whole.at_P.tolist(), found.plugin.weights(whole).tolist(), strict=True))
    order = torch.randperm(len(found.rows), generator=torch.Generator().manual_seed(1)).tolist()
    some = found.batch(order[:7])
    assert found.plugin.weights(some).tolist() == [weight_P[at] for at in some.at_P.tolist()]


def test_two_preparations_are_equal(split, made, prepare) -> None:
    """So a resumed run needs nothing saved; and the model looked into stays in the mode that it was in."""
    source = made("sasrec", split, seed=2)
    one, two = (prepare(split, source, pool="all") for _ in range(2))
    assert source.training
    assert torch.equal(one.plugin.weights(one.batch()), two.plugin.weights(two.batch()))
    assert torch.equal(one.plugin.positives(one.batch()).ids_RM, two.plugin.positives(two.batch()).ids_RM)
    assert torch.equal(one.drawn(5), two.drawn(5))
    assert one.plugin.facts() == two.plugin.facts()
    assert set(one.plugin.facts()) == {"weight", "clipped", "own"}


def test_every_part_can_be_switched_off_by_itself(split, made, prepare) -> None:
    source = made("sasrec", split)
    for off, gone in (({"weight": "none"}, 0), ({"low": False}, 1), ({"soft": False}, 2)):
        found = prepare(split, source, **off)
        plugin, batch = found.plugin, found.batch()
        given = [plugin.weights(batch), plugin.negatives(batch, torch.Generator()), plugin.positives(batch)]
        assert [part is None for part in given] == [number == gone for number in range(3)]


def test_training_is_blind(split, made, prepare) -> None:
    """Other held-out items, the same training rows: the same weights, candidates and draws."""
    at = np.concatenate([split.valid.at_N, split.test.at_N])
    block = split.data.catalogue.block("toys")
    item_E = np.array(split.events.item_E)
    item_E[at] = block.start + (item_E[at] - block.start + 11) % len(block)
    changed = dataclasses.replace(split, events=dataclasses.replace(split.events, item_E=item_E))
    one, two = (prepare(each, made("sasrec", each, seed=2)) for each in (split, changed))
    assert torch.equal(one.plugin.weights(one.batch()), two.plugin.weights(two.batch()))
    assert torch.equal(one.plugin.positives(one.batch()).ids_RM, two.plugin.positives(two.batch()).ids_RM)
    assert torch.equal(one.drawn(5), two.drawn(5))


def test_a_model_that_predicts_several_domains(split, made, prepare) -> None:
    """Each domain has its own plug-in, which looks at its own positives alone."""
    model = made("sasrec", split, domains="merged", guard="none")
    source = made("sasrec", split, seed=2, domains="merged", guard="none")
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ("toys", "games"))
    batch = rows.batch(torch.arange(len(rows)))
    for domain in ("toys", "games"):
        found = prepare(split, source, model, ("toys", "games"), domain, coarse=5)
        block = split.data.catalogue.block(domain)
        chosen = ((batch.positive_P >= block.start) & (batch.positive_P < block.stop)).nonzero()[:, 0]
        part = batch.asking(domain, chosen)
        assert found.plugin.weights(part).shape == (len(part),)
        ids_P1 = found.plugin.negatives(part, torch.Generator())
        assert set(ids_P1.flatten().tolist()) <= set(block)
        soft = found.plugin.positives(part)
        assert set(soft.ids_RM.flatten().tolist()) <= set(block)
        assert soft.batch.domain == domain
        assert len(soft.batch) == len(torch.unique(found.plugin.rows.row_of(part.at_P)))


def test_a_domain_that_is_not_plugged_in_stays_as_it_is(split, made, prepare) -> None:
    model = made("sasrec", split, domains="merged", guard="none").eval()
    found = prepare(split, made("sasrec", split, seed=2), model, ("toys", "games"))
    batch = found.batch()
    asks_toys_P = batch.positive_P < split.data.catalogue.block("games").start
    samplers = {domain: make("uniform") for domain in ("games", "toys")}
    for domain, sampler in samplers.items():
        sampler.prepare(split, domain, torch.device("cpu"))
    config = TrainConfig(loss="bce", negatives=2)
    plain, plugged = (
        loss_of(model, batch, Parts(samplers, plugins), config, torch.Generator().manual_seed(1))
        for plugins in ({}, {"toys": found.plugin})
    )
    assert torch.equal(plain[~asks_toys_P], plugged[~asks_toys_P])
    assert not torch.isclose(plain[asks_toys_P], plugged[asks_toys_P]).any()
    assert soft_loss(model, batch, Parts(samplers, {}), config, torch.Generator()) is None
    only_games = found.batch([0]).asking("games", torch.zeros(0, dtype=torch.int64))
    assert soft_loss(model, only_games, Parts(samplers, {"toys": found.plugin}), config, torch.Generator()) is None


def test_what_users_have(split) -> None:
    """As pairs of row and column, of training or of all the data; hidden for a while, and back."""
    seen = SeenPairs(split.events, split.train, "games", torch.device("cpu"))
    block = split.data.catalogue.block("games")
    user_B = torch.tensor([7, 3, 3, 29])
    row, column = owned(seen, user_B, block)
    for n, user in enumerate(user_B.tolist()):
        mine = split.train.user_N == user
        stretch = range(int(split.train.start_N[mine][0]), int(split.train.stop_N[mine][0]))
        expected = {int(split.events.item_E[e]) - block.start for e in stretch if split.events.item_E[e] in block}
        assert column[row == n].tolist() == sorted(expected)
    score = torch.randn(4, len(block))
    before = score.clone()
    with hidden(score, (row, column)):
        assert torch.isinf(score).sum() == len(row)
    assert torch.equal(score, before)


@pytest.mark.parametrize("room", [1, 500, 2**23])
def test_blocks_do_not_change_a_thing(room, split, made, prepare, monkeypatch) -> None:
    """And no more than a block is held."""
    source = made("bprmf", split)
    expected = prepare(split, source, coarse=4, low_from=0.7)
    for name in "BLOCK", "GATHERED":
        monkeypatch.setattr(preferences, name, room)
    found = prepare(split, source, coarse=4, low_from=0.7)
    batch = found.batch()
    assert torch.allclose(found.plugin.weights(batch), expected.plugin.weights(batch), atol=1e-5)
    assert torch.equal(found.plugin.candidate_NM.sort(1).values, expected.plugin.candidate_NM.sort(1).values)
    assert torch.equal(found.drawn(3), expected.drawn(3))
    block = Preferences(source, split.events, found.plugin.rows, torch.device("cpu")).blocks()
    assert max(score.numel() * 4 for _, score in block) <= max(room, 4 * 30)


def test_a_row_of_one_item(made, prepare) -> None:
    """With nothing before it, it is predicted where the phase says so, and weighs as a single positive does."""
    split = LeaveLastOut("toys").apply(world_of([[("toys", i, i) for i in range(3)]] * 2, {"toys": 9}))
    found = prepare(split, made("sasrec", split), first="all")
    assert found.plugin.weights(found.batch()).tolist() == pytest.approx([2, 2])
    nobody = prepare(split, made("sasrec", split))
    assert len(nobody.rows) == len(nobody.plugin.rows) == 0


def test_a_source_of_another_width_and_history(split, made, prepare) -> None:
    """It looks at its own histories, however the trained model does."""
    source = made("sasrec", split, seed=2, domains="merged", guard="none", dim=12)
    found = prepare(split, source, made("bprmf", split), coarse=3)
    start = split.data.catalogue.block("toys").start
    soft = found.plugin.positives(found.batch())
    for n in range(len(found.plugin.rows)):
        left = [column for column in found.ranking(n) if column not in found.own(n)]
        assert set((soft.ids_RM[n] - start).tolist()) == set(left[:3])


@pytest.mark.parametrize(("kind", "learned"), [("tidiffrec", True), ("sasrec", False)])
def test_the_preference_for_the_padding(kind, learned, split, made, prepare) -> None:
    """A diffusion model has a column for it; an encoder's is 0."""
    source = made(kind, split, seed=2)
    found = prepare(split, source)
    rows = found.plugin.rows
    batch = rows.known(Batcher(split.events, source.views()), torch.arange(len(rows)))
    with still(source):
        expected_N = source.queries(batch) @ source.items(torch.tensor([0]))[0]
    assert bool(expected_N.any()) == learned
    found_N = Preferences(source, split.events, rows, torch.device("cpu")).padding_N
    assert torch.allclose(found_N, expected_N)


def test_what_it_refuses(split, made, prepare) -> None:
    with pytest.raises(InputError, match="no product of two"):
        prepare(split, made("itemknn", split))
    with pytest.raises(InputError, match="recommend in toys, not in games"):
        prepare(split, made("sasrec", split), domains=("games",), domain="games")
    model = made("sasrec", split)
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ("toys",), whole=True)
    with pytest.raises(InputError, match="an objective of its own"):
        PDRec().prepare(split, rows, "toys", model)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"coarse": 0}, "coarse must be at least 1"),
        ({"fine": 0}, "fine must be at least 1"),
        ({"rank_weight": 1.5}, "rank_weight is a share"),
        ({"rank_weight": -0.1}, "rank_weight must be at least 0"),
        ({"low_from": 1.0}, "set low_from and low_to"),
        ({"low_from": 0.6, "low_to": 0.5}, "from 0.6 to 0.5"),
        ({"weight": "all"}, "must be one of 'preference', 'mean', 'none'"),
        ({"coarsee": 3}, "Did you mean 'coarse'?"),
    ],
)
def test_settings_that_make_no_sense(setting, said) -> None:
    with pytest.raises(InputError, match=said):
        PDRec(**setting)


def test_presets_and_names() -> None:
    """``default`` are the paper's constants, ``authors`` those of the published command and readings of that code."""
    assert table.find("pdrec") is PDRec
    with pytest.raises(InputError, match="Did you mean 'pdrec'"):
        table.find("pdrek")
    default, authors = (table.make("pdrec", **PDRec.presets[name]) for name in ("default", "authors"))
    assert default.config == PDRec().config
    constants = (
        "rank_weight",
        "truncate",
        "rescale",
        "low_from",
        "low_to",
        "coarse",
        "fine",
        "distill",
        "pool",
        "exclude",
    )
    assert [getattr(authors.config, key) for key in constants] == [0.1, 1, 4, 0.9, 0.99, 50, 5, 0.05, "all", "all"]
    assert default.model == "tidiffrec"
    assert PDRec(model="sasrec").model == "sasrec"


def test_a_run_with_it() -> None:
    """Trained with it the weights differ, and twice they are the same; what it did is recorded."""
    settings = {"epochs": 2, "seed": 1, "loss": "bce", "negatives": 1, "model_settings": {"dim": 8, "blocks": 1}}
    source = cr.fit("sasrec", law_split(), **settings | {"seed": 2})
    records = []
    runs = [
        cr.fit("gru4rec", law_split(), log=records.append, **({"epochs": 2, "seed": 1, "loss": "bce"} | extra))
        for extra in ({"plugin": "pdrec", "preferences": source},) * 2 + ({},)
    ]
    one, again, plain = (run.model.state_dict() for run in runs)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], plain[name]) for name in one)
    assert set(records[0]["plugin"]) == {"weight", "clipped"}
    assert "plugin" not in records[-1]
