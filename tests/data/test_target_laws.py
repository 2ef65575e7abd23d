"""What holds of any split of several targets: each is held out as if it were alone, and none gives another away."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossrec.data.dataset import Dataset
from crossrec.data.splits import Held, LastMerged, LeaveLastOut, Part, Split, Windows, apply
from crossrec.errors import DataError
from crossrec.testing.worlds import tiny_world, trained, worlds

SECOND = 1 / 86_400
"""In days."""
PERIOD = {"days": 4 * SECOND, "min_per_domain": 2}

LAST = LeaveLastOut("toys", also=("games",)), LastMerged("toys", also=("games",))
"""Splits under which a user trains on nothing that is as late as a held-out event."""
KINDS = (*LAST, LeaveLastOut("toys", also=("games",), min_history=2), Windows("toys", also=("games",), **PERIOD))
TIES = ("strict", "order")

any_kind = st.builds(
    lambda kind, ties: dataclasses.replace(kind, ties=ties), st.sampled_from(KINDS), st.sampled_from(TIES)
)
busy_world = st.builds(
    tiny_world,
    st.integers(12, 20),
    st.sampled_from([{"toys": 30, "games": 20}, {"games": 6, "books": 4, "toys": 5}]),
    events=st.just(30),
    step=st.integers(2, 4),
    seed=st.integers(0, 999),
)
"""Two domains or three, many ties, and users enough for any split."""
any_world = st.one_of(worlds(domains=2, events=20), worlds(), busy_world, busy_world)


def made(kind: object, data: Dataset) -> Split:
    """The split of the data, whose events carry their number as rating; a world without enough events is passed over."""
    numbered = dataclasses.replace(data, rating_E=np.arange(data.num_interactions, dtype=np.float32))
    try:
        return kind.apply(numbered)
    except DataError:
        assume(False)
        raise


def numbers(part: Part, start_N: np.ndarray, stop_N: np.ndarray) -> list[list[int]]:
    """Per instance, the numbers of the events in a stretch of the part's own order."""
    return [part.events.rating_E[a:b].astype(int).tolist() for a, b in zip(start_N, stop_N, strict=True)]


def inputs(part: Part) -> list[list[int]]:
    return numbers(part, part.start_N, part.stop_N)


def asked(part: Part) -> list[int]:
    return part.events.rating_E[part.at_N].astype(int).tolist()


def trains(split: Split) -> set[int]:
    return set(split.events.rating_E[trained(split)].astype(int).tolist())


def every(split: Split) -> dict[str, Held]:
    return {name: split.held(name) for name in split.targets}


@given(any_world, any_kind)
@settings(max_examples=90, deadline=None)
def test_no_held_out_event_of_any_target_trains(data, kind):
    split = made(kind, data)
    learnt = trains(split)
    for name, held in every(split).items():
        for part in (held.valid, held.test):
            assert len(part)
            assert part.target == name
            assert (split.data.catalogue.domain_of(part.item_N) == data.domains.index(name)).all()
            assert not learnt & set(asked(part))
            assert (part.start_N < part.stop_N).all()


@given(any_world, any_kind)
@settings(max_examples=90, deadline=None)
def test_no_test_event_of_any_target_is_known_before_the_test(data, kind):
    """Neither training nor a validation input holds one: whatever the tests are, the same model comes out."""
    split = made(kind, data)
    tests = {number for held in every(split).values() for number in asked(held.test)}
    assert not trains(split) & tests
    for held in every(split).values():
        assert not tests & {number for known in inputs(held.valid) for number in known}
        assert not tests & set(asked(held.valid))


def comes_before(data: Dataset, number: int, at: int, ties: str) -> bool:
    """Whether an event is known when another is asked for: strictly earlier, or of its domain and published before it."""
    if ties == "order":
        return number < at
    time_E, domain_E = np.asarray(data.time_E), data.catalogue.domain_of(data.item_E)
    return time_E[number] < time_E[at] or (number < at and domain_E[number] == domain_E[at])


@given(any_world, any_kind)
@settings(max_examples=90, deadline=None)
def test_no_input_holds_an_event_that_does_not_come_before(data, kind):
    split = made(kind, data)
    for held in every(split).values():
        for part in (held.valid, held.test):
            for known, at in zip(inputs(part), asked(part), strict=True):
                assert all(comes_before(data, number, at, kind.ties) for number in known)


@given(any_world, st.sampled_from(LAST), st.sampled_from(TIES))
@settings(max_examples=70, deadline=None)
def test_nothing_trains_that_does_not_come_before_all_that_is_held_out(data, kind, ties):
    split = made(dataclasses.replace(kind, ties=ties), data)
    user_E = np.repeat(np.arange(data.num_users), np.diff(data.offset_U1))
    learnt = np.array(sorted(trains(split)), dtype=np.int64)
    for held in every(split).values():
        for part in (held.valid, held.test):
            for user, at in zip(part.user_N, asked(part), strict=True):
                assert all(comes_before(data, number, at, ties) for number in learnt[user_E[learnt] == user])


@given(any_world, any_kind)
@settings(max_examples=70, deadline=None)
def test_every_target_is_tested_as_if_it_were_alone(data, kind):
    """Windows and the last of the merged history also validate so; leave-last-out leaves validations out, adds none."""
    split = made(kind, data)
    for name, held in every(split).items():
        alone = made(dataclasses.replace(kind, target=name, also=()), data)
        assert same(held.test, alone.test)
        kept = np.isin(asked(alone.valid), asked(held.valid))
        assert same(held.valid, alone.valid.take(np.flatnonzero(kept)))
        if kind.name != "leave-last-out":
            assert kept.all()
            assert trains(split) == trains(alone)
        else:
            assert trains(split) <= trains(alone)


def same(one: Part, other: Part) -> bool:
    seen = [numbers(part, part.seen.start_N, part.seen.stop_N) for part in (one, other)]
    return (inputs(one), asked(one), *map(sorted, seen[0])) == (inputs(other), asked(other), *map(sorted, seen[1]))


@given(any_world, any_kind)
@settings(max_examples=50, deadline=None)
def test_which_target_is_the_first_changes_nothing_of_what_trains(data, kind):
    split = made(kind, data)
    turned = made(dataclasses.replace(kind, target="games", also=("toys",)), data)
    assert trains(split) == trains(turned)
    for name in split.targets:
        assert same(split.held(name).valid, turned.held(name).valid)
        assert same(split.held(name).test, turned.held(name).test)


@given(any_world, any_kind)
@settings(max_examples=50, deadline=None)
def test_a_split_of_several_targets_is_made_again_from_what_a_run_records(data, kind):
    split = made(kind, data)
    again = apply(json.loads(json.dumps(dict(split.spec))), split.data)
    assert again.hash == split.hash
    assert dict(again.spec) == dict(split.spec)
    assert again.targets == split.targets == ("toys", "games")
    assert split.hash != made(dataclasses.replace(kind, also=()), data).hash
    untested = split.untested()
    assert [len(untested.held(name).test) for name in split.targets] == [0, 0]
    assert all(untested.held(name).valid is split.held(name).valid for name in split.targets)


@given(busy_world, st.sampled_from(TIES), st.sampled_from(["user_temporal", "paper"]))
@settings(max_examples=50, deadline=None)
def test_windows_as_in_pinet_know_all_but_the_last_event_of_every_domain(data, ties, assign):
    kind = Windows("toys", also=("games",), ties=ties, assign=assign, known="pinet", **PERIOD)
    split, prefix = made(kind, data), made(dataclasses.replace(kind, known="prefix"), data)
    domain_E = data.catalogue.domain_of(data.item_E)
    assert trains(split) == trains(prefix)
    for name in split.targets:
        late = 0
        for part in ("valid", "test"):
            found, usual = (getattr(each.held(name), part) for each in (split, prefix))
            assert asked(found) == asked(usual)
            for known, before, start, at in zip(inputs(found), inputs(usual), found.start_N, asked(found), strict=True):
                stop = start + len(known) + len(data.domains)
                window = np.arange(start, stop)
                last = [window[domain_E[window] == d][-1] for d in range(len(data.domains))]
                assert sorted(known) == sorted(set(window) - set(last))
                assert at in last
                late += bool(set(known) - set(before))
        count = len(split.held(name).valid) + len(split.held(name).test)
        assert f"{late:,} of {count:,} held-out windows for {name}" in split.leak
    assert (assign == "paper") == ("shuffled" in split.leak)
    assert all(part.leak == split.leak for held in every(split).values() for part in (held.valid, held.test))
