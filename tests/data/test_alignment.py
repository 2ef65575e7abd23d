"""Whether users who are alike in one domain are alike in another: correlation, test and bins, by hand and by scipy."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from crossrec.data import graphs
from crossrec.data.alignment import alignment, jaccard, ranks
from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.splits import Ratio
from crossrec.data.worlds import World
from crossrec.errors import InputError
from crossrec.nn.alignment import agreement
from crossrec.testing.worlds import tiny_world, world_of


def of_interests(transfer: float, users: int = 150) -> Dataset:
    """Everybody likes one of five kinds of toys; of games the same kind, as often as ``transfer`` says."""
    rng = np.random.default_rng(3)
    kind_U = rng.integers(5, size=users)
    other_U = np.where(rng.random(users) < transfer, kind_U, rng.integers(5, size=users))
    histories = [
        [("toys", int(kind * 12 + i), t) for t, i in enumerate(rng.choice(12, 8, replace=False))]
        + [("games", int(other * 12 + i), 9 + t) for t, i in enumerate(rng.choice(12, 8, replace=False))]
        for kind, other in zip(kind_U, other_U, strict=True)
    ]
    return world_of(histories, {"toys": 60, "games": 60})


def with_categories(data: Dataset, known: float = 1.0) -> Dataset:
    names = [f"kind {item // 12}" if item < 60 * known else None for item in range(60)]
    table = pa.table({"category": pa.array(names, pa.large_string())})
    return dataclasses.replace(data, titles=dict.fromkeys(data.domains, table))


def test_the_correlation_is_spearmans_over_all_pairs():
    data = tiny_world(20)
    sets = {name: [set() for _ in range(data.num_users)] for name in data.domains}
    for user in range(data.num_users):
        for item in data.item_E[data.offset_U1[user] : data.offset_U1[user + 1]].tolist():
            sets[data.domains[int(data.catalogue.domain_of(np.array([item]))[0])]][user].add(item)
    shared = [user for user in range(data.num_users) if all(sets[name][user] for name in data.domains)]
    likeness = {
        name: [
            len(sets[name][a] & sets[name][b]) / len(sets[name][a] | sets[name][b]) for a, b in combinations(shared, 2)
        ]
        for name in data.domains
    }
    found = alignment(data, "toys", "games", permutations=9)
    assert (found.by, found.shared, found.users, found.pairs) == (
        "items",
        len(shared),
        len(shared),
        len(likeness["toys"]),
    )
    assert found.rho == pytest.approx(stats.spearmanr(likeness["toys"], likeness["games"]).statistic)
    whole = sum(each.pairs * each.second for each in found.bins) / found.pairs
    assert whole == pytest.approx(np.mean(likeness["games"]))
    for each in found.bins:
        inside = [each.low <= value <= each.high for value in likeness["toys"]]
        assert each.pairs == sum(inside)
        assert each.second == pytest.approx(np.mean(np.array(likeness["games"])[inside]))
        assert each.first == pytest.approx(np.mean(np.array(likeness["toys"])[inside]))


def test_ranks_are_scipys():
    values = np.random.default_rng(0).integers(4, size=50)
    np.testing.assert_array_equal(ranks(values), stats.rankdata(values))


@pytest.mark.parametrize("by", ["items", "categories"])
def test_likeness_that_carries_over_is_seen_and_what_does_not_is_not(by):
    found = {t: alignment(with_categories(of_interests(t)), "toys", "games", by=by) for t in (1.0, 0.0)}
    assert found[1.0].rho > 0.5
    assert found[1.0].p == 1 / 1000
    assert found[1.0].supported
    assert found[1.0].bins[-1].second > 2 * found[1.0].bins[0].second
    assert abs(found[0.0].rho) < 0.05
    assert found[0.0].p > 0.02
    assert not found[0.0].supported


def test_the_test_permutes_users_for_their_pairs_are_not_independent():
    """Without any transfer a test that permutes pairs finds far more than a twentieth of worlds significant at .05."""
    low = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        histories = [
            [("toys", int(i), 0) for i in rng.choice(15, rng.integers(1, 9), replace=False)]
            + [("games", int(i), 1) for i in rng.choice(15, rng.integers(1, 9), replace=False)]
            for _ in range(25)
        ]
        low += alignment(world_of(histories, {"toys": 15, "games": 15}), "toys", "games", permutations=99).p <= 0.05
    assert low <= 6


def test_shares_of_categories_count_repeats_and_items_without_one_are_left_out():
    events = [
        [("toys", 0, 0), ("toys", 0, 1), ("toys", 12, 2)],
        [("toys", 1, 0), ("toys", 13, 1)],
        [("toys", 14, 0), ("toys", 59, 1)],
    ]
    histories = [[*own, ("games", 12 * user, 9)] for user, own in enumerate(events)]
    data = with_categories(world_of(histories, {"toys": 60, "games": 60}), known=0.9)
    found = alignment(data, "toys", "games", by="categories", permutations=1, bins=3)
    expected = [3 / np.sqrt(10), 1 / np.sqrt(5), 1 / np.sqrt(2)]
    assert sorted(each.first for each in found.bins) == pytest.approx(sorted(expected))


def test_categories_are_taken_where_they_tell_users_apart():
    data = of_interests(1.0)
    assert alignment(data, "toys", "games", permutations=1).by == "items"
    assert alignment(with_categories(data), "toys", "games", permutations=1).by == "categories"
    assert alignment(with_categories(data, known=0.3), "toys", "games", permutations=1).by == "items"
    one = pa.table({"category": pa.array(["all"] * 60, pa.large_string())})
    same = dataclasses.replace(data, titles=dict.fromkeys(data.domains, one))
    assert alignment(same, "toys", "games", permutations=1).by == "items"
    with pytest.raises(InputError, match="no categories to tell users apart by"):
        alignment(same, "toys", "games", by="categories")


def test_vectors_are_compared_by_their_cosine():
    data = of_interests(1.0, users=30)
    rng = np.random.default_rng(1)
    vectors = {name: rng.normal(size=(30, 4)) for name in data.domains}
    found = alignment(data, "toys", "games", by="vectors", vectors=vectors, permutations=9)
    own = [stats.rankdata(np.corrcoef(each)[np.triu_indices(30, 1)]) for each in vectors.values()]
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors.values()]
    pairs = [(each @ each.T)[np.triu_indices(30, 1)] for each in unit]
    assert found.rho == pytest.approx(stats.spearmanr(*pairs).statistic)
    assert len(own[0]) == found.pairs
    with pytest.raises(InputError, match="needs a vector of every user in 'games': 30 rows"):
        alignment(data, "toys", "games", by="vectors", vectors={"toys": vectors["toys"]})


def test_of_a_split_training_events_alone_count_and_it_is_what_a_model_is_told():
    world = World(domains=["toys", "games"], users=120, items=60, events=8, interests=5, seed=3)
    data = Dataset.from_frames(simulate(world).tables, time="timestamp")
    split = Ratio("toys").apply(data)
    sides = [graphs.build(split, [name]).users for name in ("games", "toys")]
    found = alignment(data, "games", "toys", by="items", split=split, users=80)
    assert found.rho == pytest.approx(agreement(*sides, sample=80))
    assert found.rho != pytest.approx(alignment(data, "games", "toys", by="items", users=80).rho)


def test_nothing_in_common_is_a_bin_of_its_own_and_no_spread_no_correlation():
    data = of_interests(1.0)
    first = alignment(data, "toys", "games", permutations=1, bins=5).bins[0]
    assert (first.low, first.high) == (0.0, 0.0)
    same = world_of([[("toys", 0, 0), ("games", 0, 1)] for _ in range(5)], {"toys": 2, "games": 2})
    flat = alignment(same, "toys", "games")
    assert (flat.rho, flat.p, flat.supported, len(flat.bins)) == (0.0, 1.0, False, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "item"}, "Did you mean 'items'"),
        ({"users": 2}, "3 users or more"),
        ({"bins": 0}, "one bin or more"),
    ],
)
def test_what_cannot_be_asked_is_said(options, said):
    with pytest.raises(InputError, match=said):
        alignment(tiny_world(), "toys", "games", **options)


def test_too_few_shared_users_are_said():
    data = world_of([[("toys", 0, 0)], [("games", 0, 0)], [("toys", 0, 0), ("games", 0, 1)]], {"toys": 2, "games": 2})
    with pytest.raises(InputError, match="share 1 users"):
        alignment(data, "toys", "games")


def test_jaccard_of_nothing_is_nothing():
    rows = graphs.build(Ratio("toys").apply(tiny_world()), ["toys"]).users.matrix()
    assert np.isfinite(jaccard(rows)).all()
