"""Candidates: where they come from, how they are merged, and what never gets in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crossrec.data.askers import askers, known
from crossrec.data.splits import Events
from crossrec.errors import InputError
from crossrec.retrieve.asking import Screen
from crossrec.retrieve.channels import ChannelConfig, Channels
from crossrec.retrieve.index import LeftOut, make_index, version_of
from crossrec.retrieve.neighbours import Neighbours
from crossrec.retrieve.people import People
from crossrec.retrieve.pools import Findings, fuse
from crossrec.retrieve.popularity import Popularity
from crossrec.testing.law import SIZES, SOURCE, TARGET, law_split

V = SIZES[TARGET]
HISTORY = [(TARGET, "toys3"), (SOURCE, "games1"), (TARGET, "toys4")]


@pytest.fixture
def run(fitted):
    return fitted("sasrec", dim=8, blocks=1, domains="merged")


@pytest.fixture
def knn(fitted):
    return fitted("itemknn")


def places(recommender, domain, ids):
    return recommender.data.items[domain].index(ids)


def cosines(recommender, ids):
    """Of items (global ids) with the target's, by hand."""
    vectors = {name: recommender.item_vectors(name)[1] for name in recommender.model.serves()}
    every = np.zeros((recommender.data.catalogue.num_ids, vectors[TARGET].shape[1]))
    for name, block in vectors.items():
        every[recommender.model.block(name).start : recommender.model.block(name).stop] = block
    unit = every / np.maximum(np.linalg.norm(every, axis=1), 1e-12)[:, None]
    return unit[ids] @ unit[recommender.model.block(TARGET).start : recommender.model.block(TARGET).stop].T


def test_ranks_are_fused_reciprocally():
    person = np.zeros(3, dtype=np.int64)
    one = Findings(person, np.array([4, 7, 2]), np.array([0.9, 0.8, 0.7]), np.array([1, 2, 3]))
    other = Findings(person[:2], np.array([2, 9]), np.array([5.0, 4.0]), np.array([1, 2]))
    fused = fuse([one, other], 10, 60.0, 10)
    assert fused.place_M.tolist() == [2, 4, 7, 9], "both channels first; of equals the lower place"
    np.testing.assert_allclose(fused.fused_M, [1 / 63 + 1 / 61, 1 / 61, 1 / 62, 1 / 62])
    np.testing.assert_array_equal(fused.found_MH, [[0.7, 5.0], [0.9, np.nan], [0.8, np.nan], [np.nan, 4.0]])
    assert fuse([one, other], 10, 60.0, 2).place_M.tolist() == [2, 4]


def test_of_many_findings_the_best_counts():
    found = Findings.of_many(np.array([1, 0, 1, 1]), np.array([5, 5, 5, 2]), np.array([0.1, 0.2, 0.4, 0.4]))
    assert found.person_M.tolist() == [0, 1, 1]
    assert found.place_M.tolist() == [5, 2, 5]
    assert found.score_M.tolist() == [0.2, 0.4, 0.4]
    assert found.rank_M.tolist() == [1, 1, 2]


@pytest.mark.parametrize("kind", ["sasrec", "bprmf"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_neighbours_are_the_largest_cosines_and_never_the_item_itself(fitted, kind, share):
    settings = {"blocks": 1} if kind == "sasrec" else {}
    recommender = fitted(kind, dim=8, domains="merged", **settings)
    index = make_index(recommender.item_vectors(TARGET)[1], version="v")
    neighbours = Neighbours(recommender, TARGET, index, k=4)
    ids = np.arange(1, recommender.data.catalogue.num_ids)
    rng = np.random.default_rng(1)
    allowed_V = rng.random(V) < share
    out = LeftOut(np.repeat(np.arange(len(ids)), 3), rng.integers(V, size=3 * len(ids)))
    place, score = neighbours.search(ids, None, allowed_V, out)
    expected = cosines(recommender, ids)
    own = ids - recommender.model.block(TARGET).start
    inside = (own >= 0) & (own < V)
    expected[np.flatnonzero(inside), own[inside]] = -np.inf
    expected[:, ~allowed_V] = -np.inf
    expected[out.row_L, out.place_L] = -np.inf
    best = -np.sort(-expected, axis=1)[:, :4]
    np.testing.assert_allclose(score, best, atol=1e-5)
    assert ((place >= 0) == np.isfinite(best)).all()
    found = np.take_along_axis(expected, np.maximum(place, 0), 1)
    np.testing.assert_allclose(np.where(place >= 0, found, -np.inf), best, atol=1e-5)
    assert neighbours.search(ids[:0])[0].shape == (0, 4)


def test_remembered_neighbours_are_those_of_the_search(run):
    index = make_index(run.item_vectors(TARGET)[1], version="v")
    lazy, eager = Neighbours(run, TARGET, index, k=4), Neighbours(run, TARGET, index, k=4)
    eager.precompute(rows=7)
    ids = np.array([3, 9, 3, 35])
    for found, expected in zip(lazy.search(ids), eager.search(ids), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_by_query_is_what_recommend_gives(run):
    channels = Channels(run)
    assert channels.available == ("u2i", "u2i2i", "popular")
    expected = run.recommend(["u1", "u2"], k=6).to_pydict()
    found = channels.recommend(["u1", "u2"], k=6)
    names = run.data.items[TARGET].ids([c.item for row in found for c in row])
    assert names.to_pylist() == expected["item"]
    np.testing.assert_allclose([c.score for row in found for c in row], expected["score"], atol=1e-5)
    assert all("u2i" in c.channel and len(c.channel) == len(c.scores) for row in found for c in row)
    assert channels.recommend(["u1"], [HISTORY], k=3) == channels.recommend(histories=[HISTORY], k=3)
    as_mapping = {SOURCE: ["games1"], TARGET: ["toys3", "toys4"]}
    assert channels.recommend(histories=[as_mapping], k=3)


def test_by_triggers_weighs_cosines_by_age(run):
    channels = Channels(run, config=ChannelConfig(u2i=1, popular=1, triggers=2, u2i2i=3, decay=0.5))
    (pool,) = channels.candidates(histories=[HISTORY])
    ids = [run.model.block(SOURCE).start + places(run, SOURCE, ["games1"])[0]]
    ids.append(run.model.block(TARGET).start + places(run, TARGET, ["toys4"])[0])
    weighted = cosines(run, np.array(ids)) * np.array([[0.5], [1.0]])
    weighted[:, places(run, TARGET, ["toys3", "toys4"])] = -np.inf
    top = np.where(np.argsort(np.argsort(-weighted, axis=1), axis=1) < 3, weighted, -np.inf).max(0)
    found = {c.item: c.scores[c.channel.index("u2i2i")] for c in pool.candidates() if "u2i2i" in c.channel}
    expected = {int(item): top[item] for item in np.flatnonzero(top > 0)}
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[item] for item in expected], list(expected.values()), atol=1e-5)


@pytest.mark.parametrize("name", ["sasrec", "itemknn", "pop"])
def test_what_is_filtered_gets_in_by_no_channel(fitted, name):
    recommender = fitted(name, **({"dim": 8, "blocks": 1, "domains": "merged"} if name == "sasrec" else {}))
    channels = Channels(recommender, config=ChannelConfig(u2i=6, u2i2i=2, popular=4))
    allowed_V = np.random.default_rng(0).random(V) < 0.6
    people = ["u1", "u2", "u5"]
    denied = [np.flatnonzero(allowed_V)[:4], np.array([], dtype=int), np.flatnonzero(allowed_V)[-3:]]
    for user, person, pool in zip(
        people, denied, channels.candidates(people, allowed_V=allowed_V, denied=denied), strict=True
    ):
        seen = People.of(recommender, [user], None).of_domains([channels.block]).id_L - channels.block.start
        assert allowed_V[pool.item_C].all()
        assert not np.isin(pool.item_C, [*person, *seen]).any()
        left = np.setdiff1d(np.flatnonzero(allowed_V), [*person, *seen])
        for channel, most in ((0, 6), (2, 4)):
            assert (~np.isnan(pool.found_CH[:, channel])).sum() == min(most, len(left)), "as many as there are"
    assert len(Channels(recommender).candidates(["u1"], keep_seen=True)[0]) == V


def test_the_cold_get_what_is_popular_in_its_order(run, fitted):
    expected = Popularity.of(run, TARGET).order_SV[0][:5].tolist()
    (pool, warm) = Channels(run).candidates(histories=[[], HISTORY])
    assert pool.cold
    assert not warm.cold
    assert [c.item for c in pool.best(5)] == expected
    assert {c.channel for c in pool.best(5)} == {("popular",)}
    alone = fitted("sasrec", dim=8, blocks=1)
    assert Channels(alone).candidates(histories=[[(SOURCE, "games1")]])[0].cold, "the model reads no games"


FILTERS = [{}, {"keep_seen": True}, {"allowed_V": np.arange(V) % 3 > 0, "denied": [[1], [], [2, 4], []]}]


@pytest.mark.parametrize("k", [1, 3, 12, V])
@pytest.mark.parametrize("filters", FILTERS, ids=["plain", "seen", "screened"])
@pytest.mark.parametrize("config", [ChannelConfig(u2i2i=4, popular=9), ChannelConfig(u2i=6, u2i2i=2, popular=4)])
def test_the_top_is_the_best_of_the_pools(run, k, filters, config):
    channels = Channels(run, config=config)
    who = askers(run.data, None, [HISTORY, [], [(SOURCE, "games2")], [(TARGET, f"toys{n}") for n in range(7)]])
    screen = Screen(**filters)
    for top, pool in zip(channels.top(who, k, screen), channels.pools(who, screen), strict=True):
        found, right = top.best(k), pool.best(k)
        assert [(c.item, c.channel, top.cold) for c in found] == [(c.item, c.channel, pool.cold) for c in right]
        assert [(c.score, c.scores) for c in found] == [(c.score, c.scores) for c in right]


@pytest.mark.parametrize("name", ["bprmf", "itemknn"])
def test_the_top_of_users_is_that_of_their_pools(fitted, name):
    recommender = fitted(name, **({"dim": 8, "domains": "merged"} if name == "bprmf" else {}))
    channels, who = Channels(recommender), known(recommender.data, ["u1", "u5", "u2"])
    for top, pool in zip(channels.top(who, 4, Screen()), channels.pools(who, Screen()), strict=True):
        assert [(c.item, c.channel, c.score) for c in top.best(4)] == [
            (c.item, c.channel, c.score) for c in pool.best(4)
        ]


def test_a_model_that_is_no_product_gives_its_full_ranking(knn):
    channels = Channels(knn)
    assert channels.available == ("u2i", "popular")
    expected = knn.recommend(histories=[HISTORY, {TARGET: ["toys7"]}], k=4).to_pydict()
    found = channels.recommend(histories=[HISTORY, {TARGET: ["toys7"]}], k=4)
    assert [round(c.score, 5) for row in found for c in row] == [round(score, 5) for score in expected["score"]]


def test_popular_counts_training_alone_and_fades(run):
    data, split = run.data, law_split()
    popularity = Popularity.of(run, TARGET)
    at = np.unique(split.events.within(split.train, TARGET)[1])
    count_V = np.bincount(split.events.item_E[at] - data.catalogue.block(TARGET).start, minlength=V)
    np.testing.assert_array_equal(popularity.count_SV[0], count_V)
    half_life = 0.01
    age = (split.events.time_E[at].max() - split.events.time_E[at]) / 86_400
    faded = np.bincount(split.events.item_E[at] - data.catalogue.block(TARGET).start, 0.5 ** (age / half_life), V)
    np.testing.assert_allclose(Popularity.of(run, TARGET, half_life=half_life).count_SV[0], faded)


def test_popular_by_segment(run):
    users = run.data.users.ids(np.arange(60)).to_pylist()
    popularity = Popularity.of(run, TARGET, segments={user: "ab"[n % 2] for n, user in enumerate(users)})
    np.testing.assert_array_equal(popularity.count_SV[1] + popularity.count_SV[2], popularity.count_SV[0])
    out = LeftOut(np.array([1, 1]), np.array([0, 1]))
    place, score = popularity.search(3, V, None, out, ["a", "nobody's", None])
    assert place[0].tolist() == np.lexsort((-popularity.count_SV[0], -popularity.count_SV[1])).tolist()
    assert place[2].tolist() == np.argsort(-popularity.count_SV[0], kind="stable").tolist()
    assert place[1].tolist() == [p for p in place[2].tolist() if p > 1] + [-1, -1]
    assert np.isneginf(score[1, -2:]).all()


def test_popular_cannot_fade_without_times(run):
    timeless = dataclasses.replace(run.data, time_E=None)
    recommender = type(run)(run.model, timeless, {**run.recipe, "split": None}, run.info)
    assert Popularity.of(recommender, TARGET).count_SV[0].sum() == len(
        Events(timeless.catalogue, timeless.item_E).positions(TARGET)
    )
    with pytest.raises(InputError, match="no times"):
        Popularity.of(recommender, TARGET, half_life=3)


def test_versions_tell_runs_apart(run, fitted):
    other = fitted("sasrec", dim=8, blocks=1)
    assert version_of(run) == version_of(run) != version_of(other)
    index = make_index(other.item_vectors(TARGET)[1], version=version_of(other))
    with pytest.raises(InputError, match="make the index again"):
        Channels(run, index=index)


def test_what_cannot_be_asked_is_refused(run):
    with pytest.raises(InputError, match="not in 'books'"):
        Channels(run, "books")
    channels = Channels(run)
    with pytest.raises(InputError, match="Unknown user 'nobody'"):
        channels.candidates(["nobody"])
    with pytest.raises(InputError, match="Say users"):
        channels.candidates()
    with pytest.raises(InputError, match="no domain 'books'"):
        channels.candidates(histories=[[("books", "b1")]])
    with pytest.raises(InputError, match="places of items"):
        channels.candidates(["u1"], denied=[[V]])
    with pytest.raises(InputError, match="1 people and 2 lists"):
        channels.candidates(["u1"], denied=[[], []])
