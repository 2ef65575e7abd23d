"""RealHNS: specs of RealHNS, section 5."""

from __future__ import annotations

import math

import pytest
import torch

from crossrec.data.batches import Batch
from crossrec.data.splits import LeaveLastOut
from crossrec.samplers import curriculum
from crossrec.samplers.clusters import kmeans
from crossrec.samplers.realhns import RealHNS
from crossrec.samplers.uniform import Uniform
from crossrec.testing.worlds import world_of

CPU = torch.device("cpu")
OPEN = {"gradual": False, "gradual_filter": False, "item_clusters": 5, "user_clusters": 3, "outliers": 0.5}
"""Every part is on from the first epoch, and has something to do in a tiny world."""


def at(*degrees: float) -> torch.Tensor:
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


@pytest.mark.parametrize("base", ["dns_star", "dns"])
@pytest.mark.parametrize(
    ("epoch", "kept"),
    [
        (6, {100, 170}),
        (10, {85, 100, 170}),
        (20, {70, 85, 100, 170}),
        (24, {70, 85, 100, 170}),
        (28, {40, 70, 85, 100, 170}),
    ],
)
def test_golden_filter(epoch, kept, base, fixed, draw) -> None:
    """G2: the positive at 10 degrees. Vectors of any length: what counts is the cosine."""
    degrees = [10, 0, 40, 70, 85, 100, 170]
    for lengths in (torch.ones(7, 1), torch.linspace(0.5, 2, 7)[:, None]):
        model, split, batch = fixed(at(*degrees) * lengths, torch.ones(1, 2))
        sampler = RealHNS(base=base, coarse=False, fine=False, cross=False, gradual=False, hard=200, pool=100)
        draw(sampler, model, split, 1, batch=batch)
        sampler.threshold = curriculum.threshold(sampler.config, epoch, 4.752632 / 5)
        found = sampler.choose(batch, model, 200, torch.Generator()).ids
        assert {degrees[i - 1] for i in found.flatten().tolist()} == kept


def test_the_filter_holds_and_nothing_that_passes_is_lost(split, made, draw) -> None:
    model = made("twotower", split)
    sampler = RealHNS(**OPEN, cross=False, band=(0, 100), pool=1000, top=1000, hard=300)
    drawn = draw(sampler, model, split, 300)
    item = model.item_block("toys").detach()
    scale = kmeans(item, 5, torch.Generator(), sampler.centre_KD).scale()
    assert sampler.threshold == pytest.approx(scale, abs=0.02)
    start = split.data.catalogue.block("toys").start
    cosine_PV = item[drawn.batch.positive_P - start] @ item.T
    for query, user in enumerate(drawn.batch.user_P.tolist()):
        own = sampler.users.seen.take(sampler.users.place_U[[user]]).item_S.tolist()
        allowed = set((cosine_PV[query] <= sampler.threshold).nonzero()[:, 0].tolist()) - set(own)
        assert set((drawn.hard_PH[query] - start).tolist()) == allowed
    assert sampler.facts()["filled"] == 1.0


def test_where_nothing_passes_negatives_are_uniform(split, made, draw) -> None:
    """As if the sampler had not chosen: nothing is filled, and everything unseen may come."""
    model = made("twotower", split)
    for base in ("dns_star", "dns", "mixgcf"):
        sampler = RealHNS(**OPEN, base=base, cross=False)
        drawn = draw(sampler, model, split, 20)
        sampler.threshold, sampler.slots, sampler.filled = -1.1, 0, 0
        found = sampler.choose(drawn.batch, model, 20, torch.Generator())
        assert sampler.facts()["filled"] == 0.0
        if base == "mixgcf":
            distance = torch.cdist(found.vectors.flatten(0, 1), model.item_block("toys")).detach()
            assert float(distance.min(1).values.max()) < 1e-3, "nothing of the positive in them"
        else:
            assert len(set(found.ids.flatten().tolist())) == 30


def test_candidates_come_from_the_band_of_the_state_before_the_last_training_event(split, made, draw) -> None:
    model = made("twotower", split, dropout=0.5)
    sampler = RealHNS(**OPEN, cross=False, filter_items=False, band=(20, 50), hard=100)
    drawn = draw(sampler, model, split, 100)
    start = split.data.catalogue.block("toys").start
    with torch.no_grad():
        (users,) = sampler.users.batches(model)
        score_RV = model.selection_queries(users) @ model.item_block("toys").T
        query_PD, last_RD = model.selection_queries(drawn.batch), model.selection_queries(users)
    last = {user: query for query, user in enumerate(drawn.batch.user_P.tolist())}
    assert len(last) > 20
    for place, user in enumerate(users.user_P.tolist()):
        if user in last:
            assert int(users.positive_P[place]) == int(drawn.batch.positive_P[last[user]])
            torch.testing.assert_close(last_RD[place], query_PD[last[user]])
        own = set(sampler.users.seen.take(torch.tensor([place])).item_S.tolist())
        order = [item for item in score_RV[place].argsort(descending=True).tolist()[6:] if item not in own]
        found = set((drawn.hard_PH[drawn.batch.user_P == user] - start).flatten().tolist())
        assert found <= set(order[:9])


@pytest.mark.parametrize("name", ["dns_star", "dns"])
def test_current_scores_choose_among_the_candidates(name, split, made, draw) -> None:
    """The best candidate by the query of the positive in question, where one is taken of all."""
    model = made("twotower", split)
    sampler = RealHNS(**OPEN, cross=False, filter_items=False, base=name, top=1, candidates=400)
    drawn = draw(sampler, model, split, 20)
    with torch.no_grad():
        score_PV = model.selection_queries(drawn.batch) @ model.item_block("toys").T
    pool_PN = sampler.pool_RN[sampler.users.place_U[drawn.batch.user_P]].long()
    best_P = pool_PN.gather(1, score_PV.gather(1, pool_PN).argmax(1, keepdim=True))
    start = split.data.catalogue.block("toys").start
    assert torch.equal(drawn.hard_PH - start, best_P.expand(-1, 10))


@pytest.mark.parametrize("epoch", range(1, 6))
def test_up_to_start_nothing_is_selected(epoch, split, made, draw) -> None:
    """The draws are bit for bit the uniform ones, and the model is never asked."""
    nobody = torch.Generator()
    before = nobody.get_state()
    sampler = RealHNS()
    sampler.prepare(split, "toys", CPU)
    sampler.begin_epoch(None, epoch, nobody)  # type: ignore[arg-type]  # it is not looked at
    assert torch.equal(nobody.get_state(), before)
    model = made("twotower", split)
    ours, plain = (draw(each, model, split, 20, epoch=epoch).found for each in (RealHNS(), Uniform()))
    assert torch.equal(ours.ids, plain.ids)
    assert ours.hard is None
    assert sampler.facts() == {}


def test_hard_negatives_enter_one_by_one(split, made, draw) -> None:
    model = made("twotower", split)
    for epoch, hard in ((6, 1), (9, 2), (23, 9), (24, 10), (60, 10)):
        found = draw(RealHNS(), model, split, 20, epoch=epoch).found
        assert (found.ids.shape[1], found.hard.ids.shape[1]) == (20 - hard, hard)


def cross_slots(sampler, drawn, split) -> list[list[set[int]]]:
    """Per cross-domain slot and query, the items that a source's candidates allow; all, where the user is no outlier."""
    start = split.data.catalogue.block("toys").start
    slots = []
    for slot in range(8, 10):
        cross = sampler.crosses[(slot + sampler.epoch) % len(sampler.crosses)]
        place_P = cross.place_R[sampler.users.place_U[drawn.batch.user_P]].tolist()
        general = sampler.pool_RN[sampler.users.place_U[drawn.batch.user_P]]
        slots.append(
            [
                set(((cross.pool_ON[place] if place >= 0 else general[query]) + start).tolist())
                for query, place in enumerate(place_P)
            ]
        )
    return slots


def test_cross_domain_slots_are_the_last_and_for_outliers(split, made, draw) -> None:
    """A user who is no outlier has general negatives there; the first eight are general for everyone."""
    model = made("twotower", split)
    sampler = RealHNS(**OPEN, filter_items=False, band=(60, 100), cross_band=(0, 30))
    drawn = draw(sampler, model, split, 20)
    (cross,) = sampler.crosses
    outliers = int((cross.place_R >= 0).sum())
    assert 0 < outliers < len(sampler.users)
    assert sampler.facts()["outliers"] == pytest.approx(outliers / len(sampler.users))
    start = split.data.catalogue.block("toys").start
    general = sampler.pool_RN[sampler.users.place_U[drawn.batch.user_P]] + start
    for query, ids in enumerate(drawn.hard_PH.tolist()):
        assert set(ids[:8]) <= set(general[query].tolist())
    moved = 0
    for slot, allowed in enumerate(cross_slots(sampler, drawn, split), start=8):
        for query, ids in enumerate(drawn.hard_PH.tolist()):
            assert ids[slot] in allowed[query]
            moved += ids[slot] not in general[query].tolist()
    assert moved > 20


def test_the_transferred_state_ranks_the_cross_domain_candidates(split, made, draw) -> None:
    """Fused of the user's own source state and the mean target state of the user's cluster."""
    model = made("twotower", split)
    sampler = RealHNS(**OPEN, filter_items=False, cross_band=(0, 20))
    draw(sampler, model, split, 20)
    (cross,) = sampler.crosses
    model.eval()
    with torch.no_grad():
        (users,) = sampler.users.batches(model)
        states = model.domain_states(users)
        unit = torch.nn.functional.normalize(states["toys"], dim=1)
        for cluster in range(3):
            torch.testing.assert_close(cross.mean_KD[cluster], unit[cross.label_R == cluster].mean(0))
        score_RV = model.fused({**states, "toys": cross.mean_KD[cross.label_R]}) @ model.item_block("toys").T
    for row, place in enumerate(cross.place_R.tolist()):
        if place >= 0:
            own = set(sampler.users.seen.take(torch.tensor([row])).item_S.tolist())
            order = [item for item in score_RV[row].argsort(descending=True).tolist() if item not in own]
            assert set(cross.pool_ON[place].tolist()) == set(order[:6])


def test_the_transferred_state_of_the_query_chooses_among_them(split, made, draw) -> None:
    """By the source state before the positive in question, not that of the last training event."""
    model = made("twotower", split)
    sampler = RealHNS(**OPEN, filter_items=False, cross_band=(0, 50), top=1)
    drawn = draw(sampler, model, split, 20)
    (cross,) = sampler.crosses
    cross.mean_KD.copy_(torch.tensor([[9.0], [-9.0], [3.0]]) * torch.tensor([1.0, -1.0] * 4))
    chosen_PH = sampler.choose(drawn.batch, model, 10, torch.Generator()).ids
    row_P = sampler.users.place_U[drawn.batch.user_P]
    model.eval()
    with torch.no_grad():
        states = model.domain_states(drawn.batch)
        score_PV = model.fused({**states, "toys": cross.mean_KD[cross.label_R[row_P]]}) @ model.item_block("toys").T
    start = split.data.catalogue.block("toys").start
    for query, place in enumerate(cross.place_R[row_P].tolist()):
        if place >= 0:
            pool = cross.pool_ON[place].long()
            best = int(pool[score_PV[query, pool].argmax()]) + start
            assert chosen_PH[query, 8:].tolist() == [best, best]


def test_several_sources_take_turns(three, made, draw) -> None:
    """Clusters, outliers and candidates per source; another one is first in the next epoch."""
    model = made("twotower", three)
    for epoch in (1, 2):
        sampler = RealHNS(**OPEN, filter_items=False, band=(60, 100), cross_band=(0, 20))
        drawn = draw(sampler, model, three, 20, epoch=epoch)
        assert [cross.source for cross in sampler.crosses] == ["games", "books"]
        one, other = sampler.crosses
        assert not torch.equal(one.label_R, other.label_R)
        assert not torch.equal(one.place_R, other.place_R)
        for slot, allowed in enumerate(cross_slots(sampler, drawn, three), start=8):
            assert all(ids[slot] in allowed[query] for query, ids in enumerate(drawn.hard_PH.tolist()))
        share = sum(int((cross.place_R >= 0).sum()) for cross in sampler.crosses) / 2 / len(sampler.users)
        assert sampler.facts()["outliers"] == pytest.approx(share)


def test_a_user_of_whom_the_source_knows_nothing(made, draw) -> None:
    histories = [[("toys", (i + u) % 9, i + 1) for i in range(5)] for u in range(6)]
    for user in range(3):
        histories[user].insert(0, ("games", user, 0))
    split = LeaveLastOut("toys").apply(world_of(histories, {"toys": 12, "games": 4}))
    sampler = RealHNS(**{**OPEN, "filter_users": False})
    drawn = draw(sampler, made("twotower", split), split, 20)
    assert bool(torch.isfinite(sampler.crosses[0].mean_KD).all())
    assert drawn.hard_PH.shape == (len(drawn.batch), 10)


@pytest.mark.parametrize("kind", ["sasrec", "bprmf"])
def test_a_model_of_one_domain_gets_general_ones_alone(kind, split, made, draw) -> None:
    sampler = RealHNS(**OPEN)
    drawn = draw(sampler, made(kind, split), split, 20)
    assert sampler.crosses == []
    assert drawn.found.hard.ids.shape[1] == 10
    assert "outliers" not in sampler.facts()


def test_approximate_candidates_say_how_good_they_are(split, made, draw) -> None:
    model = made("twotower", split)
    sampler = RealHNS(**OPEN, sample=20)
    draw(sampler, model, split, 20)
    exact = RealHNS(**OPEN)
    draw(exact, model, split, 20)
    assert 0.2 < sampler.facts()["recall"] < 1.0
    assert "recall" not in exact.facts()
    assert sampler.pool_RN.shape[1] == math.ceil(20 * 0.3) - 4


def test_item_clusters_begin_where_they_ended(split, made, monkeypatch) -> None:
    starts = []

    def watched(unit, number, generator, start=None):
        starts.append(start)
        return kmeans(unit, number, generator, start)

    monkeypatch.setattr("crossrec.samplers.clusters.kmeans", watched)
    model, sampler = made("sasrec", split), RealHNS(**OPEN)
    sampler.prepare(split, "toys", CPU)
    for epoch in (1, 2):
        before = sampler.state()["centre_KD"]
        sampler.begin_epoch(model, epoch, torch.Generator())
    assert starts[0] is None
    assert torch.equal(starts[1], before)


def test_more_cross_domain_slots_than_hard_negatives(split, made, draw) -> None:
    model = made("twotower", split)
    for hard, count in ((4, 20), (4, 1), (10, 1)):
        sampler = RealHNS(**OPEN, hard=hard, cross_slots=12)
        assert draw(sampler, model, split, count).hard_PH.shape[1] == min(hard, count)
        assert len(sampler.crosses) == 1


def test_the_own_items_of_a_query_that_is_asked_by_hand(fixed, draw) -> None:
    """Batches of one query, and of one user again and again."""
    model, split, _ = fixed(torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.ones(3, 3))
    start = split.data.catalogue.block("toys").start
    for users in ([1], [2, 2, 2], [0, 1, 0]):
        batch = Batch("toys", {}, torch.tensor(users), torch.full((len(users),), start))
        drawn = draw(RealHNS(**OPEN), model, split, 20, batch=batch)
        assert drawn.found.hard.ids.shape == (len(users), 10)
        assert start not in drawn.found.hard.ids
