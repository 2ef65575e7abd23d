"""What holds of any split of any data: nothing held out is trained on or given away."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossrec.data.dataset import Dataset
from crossrec.data.splits import ColdUsers, GlobalTime, LastMerged, LeaveLastOut, Ratio, Split, Windows, apply
from crossrec.errors import DataError
from crossrec.samplers.uniform import Uniform
from crossrec.testing.worlds import tiny_world, trained, worlds

SECOND = 1 / 86_400
"""In days."""

STRICT = (
    LeaveLastOut("toys"),
    LastMerged("toys"),
    Windows("toys", days=4 * SECOND, min_per_domain=2),
    Ratio("toys", 0.2, 0.2, by="time"),
    GlobalTime("toys", 0.4, 0.7),
    GlobalTime("toys", 3, 8, per_user="all"),
    ColdUsers("toys", 0.3, 0.3),
    ColdUsers("toys", 0.3, 0.3, keep=1),
)
"""Splits under which a tie in time gives nothing away."""
HONEST = (
    *STRICT,
    LeaveLastOut("toys", min_history=2, ties="order"),
    LastMerged("toys", ties="order"),
    Windows("toys", days=4 * SECOND, min_per_domain=2, assign="paper", ties="order"),
    Ratio("toys", 0.2, 0.2, seed=1),
)


def made(split: object, data: Dataset) -> Split:
    """The split of the data; a world in which nobody can be held out is passed over."""
    try:
        return split.apply(data)
    except DataError:
        assume(False)
        raise


def owner(split: Split) -> np.ndarray:
    return np.repeat(np.arange(split.data.num_users), np.diff(split.data.offset_U1))


any_split = st.sampled_from(HONEST)
# three domains and windows need long histories
any_world = st.one_of(
    worlds(domains=2, events=20), worlds(), st.builds(tiny_world, st.just(10), seed=st.integers(0, 999))
)


@given(any_world, any_split)
@settings(max_examples=150, deadline=None)
def test_held_out_events_are_neither_trained_on_nor_given(data, kind):
    split = made(kind, data)
    inside, user_E = trained(split), owner(split)
    assert (np.diff(split.train.start_N) > 0).all()
    assert (user_E[split.train.start_N] == split.train.user_N).all()
    assert (user_E[split.train.stop_N - 1] == split.train.user_N).all()
    for part in (split.valid, split.test):
        assert len(part)
        assert not inside[part.at_N].any()
        assert (split.events.domain_E[part.at_N] == data.domains.index("toys")).all()
        assert (user_E[part.at_N] == part.user_N).all()
        assert (data.offset_U1[part.user_N] <= part.start_N).all()
        assert (part.start_N < part.stop_N).all()
        assert (part.stop_N <= part.at_N).all()
    held = np.concatenate([split.valid.at_N, split.test.at_N])
    assert len(np.unique(held)) == len(held)


@given(any_world, any_split)
@settings(max_examples=60, deadline=None)
def test_events_only_change_places_within_a_user(data, kind):
    split = made(kind, data)
    for a, b in zip(data.offset_U1[:-1], data.offset_U1[1:], strict=True):
        before = sorted(zip(data.item_E[a:b], data.time_E[a:b], strict=True))
        assert sorted(zip(split.events.item_E[a:b], split.events.time_E[a:b], strict=True)) == before


@given(any_world, st.sampled_from(STRICT))
@settings(max_examples=120, deadline=None)
def test_strict_ties_give_nothing_away(data, kind):
    """Every event of another domain in an input is strictly earlier than the one asked for, those of the domain not later."""
    split = made(kind, data)
    time_E, domain_E = split.events.time_E, split.events.domain_E
    for part in (split.valid, split.test):
        for start, stop, at in zip(part.start_N, part.stop_N, part.at_N, strict=True):
            other = domain_E[start:stop] != domain_E[at]
            assert (time_E[start:stop][other] < time_E[at]).all()
            assert (time_E[start:stop] <= time_E[at]).all()
            if kind.name == "global-time":
                assert (time_E[start:stop] < time_E[at]).all()


@given(any_world, st.sampled_from([kind for kind in HONEST if kind.name in ("leave-last-out", "ratio", "global-time")]))
@settings(max_examples=80, deadline=None)
def test_the_validation_input_is_a_prefix_of_the_test_input(data, kind):
    split = made(kind, data)
    stretch = {u: (a, b) for u, a, b in zip(split.test.user_N, split.test.start_N, split.test.stop_N, strict=True)}
    for user, start, stop in zip(split.valid.user_N, split.valid.start_N, split.valid.stop_N, strict=True):
        if user in stretch:
            assert start == stretch[user][0]
            assert stop <= stretch[user][1]


@given(any_world, st.sampled_from(STRICT))
@settings(max_examples=120, deadline=None)
def test_training_ends_before_the_test_begins(data, kind):
    """Nothing that trains of a tested user is later than what is asked of the user, and no source event is as late."""
    split = made(kind, data)
    inside, user_E = trained(split), owner(split)
    time_E, domain_E = split.events.time_E, split.events.domain_E
    for part in (split.valid, split.test):
        for user, at in zip(part.user_N, part.at_N, strict=True):
            mine = inside & (user_E == user)
            assert (time_E[mine] <= time_E[at]).all()
            assert (time_E[mine & (domain_E != domain_E[at])] < time_E[at]).all()


@given(any_world, st.sampled_from([GlobalTime("toys", 0.4, 0.7), GlobalTime("toys", 3, 8, per_user="all")]))
@settings(max_examples=60, deadline=None)
def test_global_time_holds_for_all_users_at_once(data, kind):
    split = made(kind, data)
    time_E = split.events.time_E
    latest = time_E[trained(split)].max()
    assert latest < time_E[split.valid.at_N].min()
    assert time_E[split.valid.at_N].max() < time_E[split.test.at_N].min()


@given(any_world, st.sampled_from(HONEST))
@settings(max_examples=60, deadline=None)
def test_a_split_is_made_again_from_its_settings(data, kind):
    split = made(kind, data)
    again = apply(split.spec, data)
    assert again.hash == split.hash
    for one, other in ((split.valid, again.valid), (split.test, again.test)):
        np.testing.assert_array_equal(one.at_N, other.at_N)
        np.testing.assert_array_equal(one.item_N, other.item_N)
        np.testing.assert_array_equal(one.stop_N, other.stop_N)
    np.testing.assert_array_equal(split.events.item_E, again.events.item_E)


@given(any_world, st.sampled_from(HONEST), st.sampled_from(["toys", "games"]))
@settings(max_examples=60, deadline=None)
def test_seen_is_what_trains(data, kind, domain):
    """The samplers' table of seen items agrees with a look at every training row."""
    split = made(kind, data)
    block = data.catalogue.block(domain)
    table = np.zeros((data.num_users, len(block)), dtype=bool)
    for user, start, stop in zip(split.train.user_N, split.train.start_N, split.train.stop_N, strict=True):
        for item in split.events.item_E[start:stop]:
            if item in block:
                table[user, item - block.start] = True
    sampler = Uniform()
    sampler.prepare(split, domain, torch.device("cpu"))
    ids = torch.arange(block.start, block.stop).expand(data.num_users, -1)
    np.testing.assert_array_equal(sampler.seen.contains(torch.arange(data.num_users), ids).numpy(), table)
