"""Cold in the target: who is held out, what trains, and what is known; and the opinions that simulated worlds plant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossrec.data.simulate import simulate
from crossrec.data.splits import ColdTarget, apply
from crossrec.data.worlds import World
from crossrec.errors import DataError, InputError
from crossrec.testing.worlds import tiny_world, trained, world_of, worlds


@given(st.one_of(worlds(domains=2, users=12), st.builds(tiny_world, st.just(15), seed=st.integers(0, 99))))
@settings(max_examples=60, deadline=None)
def test_held_out_users_lose_all_of_the_target_and_all_else_trains(data):
    try:
        split = ColdTarget("toys", 0.25, 0.25).apply(data)
    except DataError:
        assume(False)
    inside_E, target_E = trained(split), split.events.domain_E == data.domains.index("toys")
    user_E = np.repeat(np.arange(data.num_users), np.diff(data.offset_U1))
    held = np.concatenate([split.valid.user_N, split.test.user_N])
    assert not set(split.valid.user_N) & set(split.test.user_N)
    np.testing.assert_array_equal(~inside_E, target_E & np.isin(user_E, held))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([split.valid.at_N, split.test.at_N])), np.flatnonzero(~inside_E)
    )
    for part in (split.valid, split.test):
        np.testing.assert_array_equal(user_E[part.at_N], part.user_N)
        for user, start, stop in zip(part.user_N, part.start_N, part.stop_N, strict=True):
            assert stop - start == (~target_E[user_E == user]).sum() > 0
    assert apply(split.spec, data).hash == split.hash


def test_shares_are_of_users_in_the_target_and_another_domain():
    both = [[("games", 0, 1), ("toys", n % 5, 2), ("toys", 0, 3)] for n in range(20)]
    alone = [[("toys", 1, 1), ("toys", 2, 2)]] * 7 + [[("games", 1, 1)]] * 5
    split = ColdTarget("toys", 0.1, 0.5).apply(world_of(both + alone, {"toys": 5, "games": 3}))
    assert split.report == {"users": 32, "shared": 20, "held_out": 12, "valid": 4, "test": 20}
    assert max(split.test.user_N.max(), split.valid.user_N.max()) < 20
    other = ColdTarget("toys", 0.1, 0.5, seed=1).apply(split.data)
    assert set(other.test.user_N) != set(split.test.user_N)


def test_too_few_shared_users_are_said():
    alone = world_of([[("toys", 0, 1)], [("games", 0, 1)]], {"toys": 2, "games": 2})
    with pytest.raises(DataError, match="0 users are in 'toys' and another domain"):
        ColdTarget("toys").apply(alone)


def test_opinions_move_ratings_and_nothing_else():
    plain, planted = (simulate(World(users=60, items=120, opinions=stars, seed=3)) for stars in (0.0, 2.0))
    for name, table in plain.tables.items():
        assert planted.tables[name].drop_columns("rating").equals(table.drop_columns("rating"))
        assert not planted.tables[name]["rating"].equals(table["rating"])
        assert set(planted.tables[name]["rating"].to_pylist()) <= {1, 2, 3, 4, 5}
    assert "opinions_toys" not in plain.true_users.column_names


@pytest.mark.parametrize("transfer, least, most", [(1.0, 0.999, 1.0), (0.0, -0.1, 0.1)])
def test_opinions_carry_over_as_interests_do(transfer, least, most):
    found = simulate(World(users=200, items=120, opinions=1.5, transfer=transfer, seed=3)).true_users
    toys, games = (found[f"opinions_{name}"].combine_chunks().flatten().to_numpy() for name in ("toys", "games"))
    assert toys.std() == pytest.approx(1.5, rel=0.05)
    assert least <= np.corrcoef(toys, games)[0, 1] <= most + 1e-6


@pytest.mark.parametrize("stars", [-1, float("nan"), float("inf")])
def test_opinions_are_a_standard_deviation(stars):
    with pytest.raises(InputError, match="opinions="):
        World(opinions=stars)
