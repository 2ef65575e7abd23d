"""Drawn candidates: distinct, never seen, of the domain, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossrec.data.splits import AuthorsLeaveLastOut, LeaveLastOut, Part
from crossrec.errors import DataError, InputError
from crossrec.evaluation.candidates import digest, draw
from crossrec.testing.worlds import tiny_world, world_of, worlds


def drawn(part: Part, count: int, seed: int = 0) -> np.ndarray:
    return draw(part, count, np.random.default_rng(seed))


def check(part: Part, ids_NC: np.ndarray) -> None:
    block = part.events.catalogue.block(part.target)
    for n, ids in enumerate(ids_NC.tolist()):
        seen = set(part.events.item_E[part.seen.start_N[n] : part.seen.stop_N[n]].tolist())
        assert len(set(ids)) == len(ids)
        assert all(item in block for item in ids)
        assert not set(ids) & seen


@pytest.mark.parametrize("count", [1, 7, 9])
def test_candidates_are_distinct_items_that_the_user_never_had(count):
    data = tiny_world(users=50, sizes={"games": 20, "toys": 20}, events=12)
    for part in (split := LeaveLastOut("toys").apply(data)).valid, split.test:
        ids_NC = drawn(part, count)
        assert ids_NC.shape == (len(part), count)
        check(part, ids_NC)
        assert (ids_NC != part.item_N[:, None]).all()


@given(worlds(domains=2), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_any_world_gives_what_there_is_or_says_why_not(data, count, seed):
    try:
        part = LeaveLastOut("toys").apply(data).test
    except DataError:
        assume(False)
    block = data.catalogue.block("toys")
    stretches = zip(part.seen.start_N, part.seen.stop_N, strict=True)
    most = max(len(set(part.events.item_E[a:b].tolist()) & set(block)) for a, b in stretches)
    if len(block) - most < count:
        with pytest.raises(InputError, match=f"'toys' has 5 items and a user with {most} of them: {count} negatives"):
            drawn(part, count, seed)
    else:
        check(part, drawn(part, count, seed))


def test_the_whole_rest_of_a_catalogue_can_be_drawn():
    data = world_of([[("toys", 0, 0), ("games", 0, 0), ("toys", 1, 1), ("toys", 0, 2)]], {"toys": 9, "games": 2})
    part = LeaveLastOut("toys").apply(data).test
    assert sorted(drawn(part, 7)[0].tolist()) == [3, 4, 5, 6, 7, 8, 9]
    with pytest.raises(InputError, match=r"at most sampled:7, or for the protocol 'full'"):
        drawn(part, 8)


def test_the_authors_candidates_exclude_the_input_alone():
    """Their code does not exclude the test item: with 3 items, of which 2 are known, it is the only candidate left."""
    user = [("games", 0, 0), ("toys", 0, 0), ("toys", 1, 1), ("toys", 0, 2), ("toys", 2, 3)]
    part = AuthorsLeaveLastOut("toys").apply(world_of([user, user], {"toys": 3, "games": 1})).test
    assert drawn(part, 1).tolist() == [[3]]
    assert part.item_N.tolist() == [3]


def test_every_allowed_item_is_equally_likely():
    data = world_of([[("toys", 0, 0), ("toys", 1, 1), ("toys", 2, 2)]] * 4000, {"toys": 11})
    count_V = np.bincount(drawn(LeaveLastOut("toys").apply(data).test, 2).ravel(), minlength=12)
    assert count_V[:4].sum() == 0
    # 8,000 draws over 8 items: 1,000 each, standard deviation 27
    assert abs(count_V[4:] - 1000).max() < 130


def test_the_same_seed_draws_the_same_and_the_hash_says_so():
    part = LeaveLastOut("toys").apply(tiny_world()).test
    one, again, other = drawn(part, 9), drawn(part, 9), drawn(part, 9, seed=1)
    np.testing.assert_array_equal(one, again)
    assert digest(one) == digest(again) != digest(other)
    assert digest(np.array([[1, 2], [3, 4]])) == "73e200e2b048c86d"
