"""Worked examples of every split, and what each refuses."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.splits import (
    SPLITS,
    AuthorsLeaveLastOut,
    ColdUsers,
    GlobalTime,
    LeaveLastOut,
    Part,
    Ratio,
    Rows,
    Split,
    Windows,
    apply,
)
from crossrec.data.splits.leaks import leak_report
from crossrec.data.splits.parts import Events, order_ties
from crossrec.errors import DataError, InputError
from crossrec.testing.worlds import tiny_world, trained, world_of

DAY = 86_400
SECOND = 1 / DAY


def test_order_ties_puts_the_target_first_within_a_time_only():
    data = world_of(
        [[("games", 0, 1), ("toys", 0, 1), ("games", 1, 1), ("toys", 1, 2)], [("games", 2, 2), ("toys", 2, 2)]],
        {"toys": 3, "games": 3},
    )
    strict, published = order_ties(data, "toys", "strict"), order_ties(data, "toys", "order")
    np.testing.assert_array_equal(strict.item_E, [1, 4, 5, 2, 3, 6])
    np.testing.assert_array_equal(published.item_E, data.item_E)
    with pytest.raises(DataError, match="'strict' or 'order', not 'loose'"):
        order_ties(data, "toys", "loose")


def test_leave_last_out_by_hand():
    data = world_of(
        [
            [
                ("toys", 0, 1),
                ("games", 0, 2),
                ("toys", 1, 3),
                ("games", 1, 4),
                ("games", 2, 5),
                ("toys", 2, 5),
                ("games", 3, 6),
            ],
            [("toys", 3, 1), ("toys", 0, 2), ("games", 0, 3)],
        ],
        {"toys": 4, "games": 4},
    )
    split = LeaveLastOut("toys").apply(data)
    assert rows(split.train) == [(0, 0, 2), (1, 7, 10)]
    assert instances(split.valid) == [(0, 0, 2, 2)]
    assert inputs(split.test) == [(["toys0", "games0", "toys1", "games1"], "toys2")]
    assert inputs(LeaveLastOut("toys", ties="order").apply(data).test)[0][0][-1] == "games2"
    assert split.report == {"users": 2, "held_out": 1, "only_train": 1}
    with pytest.raises(DataError, match="No user has 6 events in 'toys'"):
        LeaveLastOut("toys", min_history=4).apply(data)


def timeline(text: str) -> list[tuple[str, int, int]]:
    """Events such as ``T3@25``: the domain's letter, the number of the item, the day."""
    names = {"T": "toys", "G": "games"}
    found = [word.partition("@") for word in text.split()]
    return [(names[item[0]], int(item[1:]), int(day) * DAY) for item, _, day in found]


@pytest.fixture(scope="module")
def periods() -> Dataset:
    """Four users; under windows of ten days the first has four, of which the second lacks events."""
    return world_of(
        [
            timeline("T0@0 G0@3 T1@9 G1@9 T2@10 G2@12 T3@25 G3@26 T4@27 G4@28 G5@34 T5@34 G6@35 T6@36 G7@37 T7@44"),
            timeline("T0@0 G0@1 T1@2 G1@3 T4@20 G4@21 T8@22 G8@23"),
            timeline("T2@100 G2@100 T3@100 G3@100"),
            timeline("T2@100 G2@100 G3@105 T3@111"),
        ],
        {"toys": 9, "games": 9},
    )


def test_windows_by_hand(periods):
    split = Windows("toys", days=10, min_per_domain=2).apply(periods)
    assert inputs_of_rows(split) == [["toys0", "games0", "toys1", "games1"]] * 2 + [
        ["toys2", "toys3", "games2", "games3"]
    ]
    assert inputs(split.valid) == [(["toys3", "games3", "toys4", "games4"], "toys5")]
    assert inputs(split.test) == [(["games6", "toys6", "games7"], "toys7"), (["toys4", "games4"], "toys8")]
    assert split.report == {
        "users": 4,
        "users_outside": 1,
        "windows": 6,
        "windows_dropped": 3,
        "mean_length": 26 / 6,
        "items": {"toys": 9, "games": 9},
        "items_never_trained": {"toys": 5, "games": 5},
        "train": 3,
        "valid": 1,
        "test": 2,
        "leaks": {"target_in_training": 0.0, "later_training_window": 0.0, "overlap": 0.0},
    }
    assert split.leak is None
    assert split.test.leak is None
    published = Windows("toys", days=10, min_per_domain=2, ties="order").apply(periods)
    assert inputs(published.valid) == [(["toys3", "games3", "toys4", "games4", "games5"], "toys5")]


def test_windows_exclude_all_that_the_user_has_from_the_candidates(periods):
    test = Windows("toys", days=10, min_per_domain=2).apply(periods).test
    assert list(zip(test.seen.start_N, test.seen.stop_N, strict=True)) == [(0, 16), (16, 24)]


def test_windows_of_the_paper_are_shuffled_and_say_what_leaks():
    data = tiny_world(users=90, events=30, step=3)
    split = Windows("toys", days=5 * SECOND, min_per_domain=2, assign="paper", seed=3).apply(data)
    count = split.report["windows"]
    assert len(split.train) == int(0.75 * count)
    assert len(split.valid) == round(0.15 * count)
    assert len(split.train) + len(split.valid) + len(split.test) == count
    start_N = np.concatenate([split.valid.start_N, split.test.start_N])
    user_N = np.concatenate([split.valid.user_N, split.test.user_N])
    later = [
        ((split.train.user_N == u) & (split.train.start_N > s)).any() for u, s in zip(user_N, start_N, strict=True)
    ]
    assert 0 < np.mean(later) == split.report["leaks"]["later_training_window"]
    assert split.report["leaks"]["overlap"] == 0
    assert f"{np.mean(later):.1%}" in split.leak
    assert split.valid.leak == split.test.leak == split.leak
    other = Windows("toys", days=5 * SECOND, min_per_domain=2, assign="paper", seed=4).apply(data)
    assert other.hash != split.hash


def test_leaks_of_overlapping_windows():
    """User 0: windows [0, 3) trains, [2, 5) and [5, 7) are asked; [4, 6) trains; user 1 repeats an event at one time."""
    data = world_of(
        [[("toys", n, n) for n in range(7)], [("toys", 0, 1), ("toys", 0, 1), ("toys", 1, 2), ("toys", 0, 2)]],
        {"toys": 7},
    )
    events = Events(data.catalogue, data.item_E, data.time_E)
    windows = Rows(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 2, 4, 5, 7, 8]), np.array([3, 5, 6, 7, 8, 11]))
    held = np.array([False, True, False, True, False, True])
    report = leak_report(events, windows, np.array([2, 4, 5, 6, 7, 8]), ~held, held)
    # asked: event 4 (in [4, 6), which starts later than 2), event 6 (in none), event 8 (the same as 7, which trains)
    assert report == {"target_in_training": 2 / 3, "later_training_window": 1 / 3, "overlap": 2 / 3}


def test_windows_refuse_what_they_cannot_cut(periods):
    with pytest.raises(DataError, match=r"No window is left to test: 0 of .* windows of 10 days have 5 events"):
        Windows("toys", days=10).apply(periods)
    with pytest.raises(DataError, match="No window is left to validate"):
        Windows("toys", days=15, min_per_domain=2).apply(
            world_of([timeline("T0@0 G0@1 T1@2 G1@3 T0@20 G0@21 T1@22 G1@23")], {"toys": 2, "games": 2})
        )
    for wrong in ({"days": 0}, {"min_per_domain": 1}, {"assign": "random"}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            Windows("toys", **wrong)


@pytest.mark.parametrize("kind", [Windows("toys"), GlobalTime("toys")])
def test_splits_by_time_need_times_in_order(kind):
    timeless = world_of([[("toys", 0, 0), ("games", 0, 0)]], {"toys": 1, "games": 1}, timed=False)
    with pytest.raises(DataError, match="'toys', 'games' has none"):
        kind.apply(timeless)
    half = world_of([[("games", 0, UNKNOWN_TIME), ("toys", 0, 5)]], {"toys": 1, "games": 1})
    with pytest.raises(DataError, match="and 'games' has none"):
        kind.apply(half)
    unordered = world_of([[("games", 0, 9), ("toys", 0, 5)]], {"toys": 1, "games": 1})
    with pytest.raises(DataError, match="read with order='time'"):
        kind.apply(unordered)


@pytest.mark.parametrize(
    "count, shares, expected",
    [(2, (0.1, 0.1), (2, 0, 0)), (3, (0.1, 0.1), (1, 1, 1)), (3, (0.4, 0.5), (1, 1, 1)), (25, (0.1, 0.2), (18, 2, 5))],
)
def test_ratio_counts(count, shares, expected):
    """Shares are rounded down, but one event of each kind is held out and one is left to train."""
    many = [("toys", n, n) for n in range(30)]
    data = world_of([many[:count], many], {"toys": 30})
    split = Ratio("toys", *shares).apply(data)
    train, valid, test = (
        int(np.sum(x)) for x in (trained(split)[:count], split.valid.user_N == 0, split.test.user_N == 0)
    )
    assert (train, valid, test) == expected


def test_ratio_by_time_by_hand():
    data = world_of(
        [
            [
                ("toys", 0, 0),
                ("games", 0, 1),
                ("toys", 1, 2),
                ("games", 1, 3),
                ("toys", 2, 3),
                ("games", 2, 4),
                ("toys", 3, 5),
            ]
        ],
        {"toys": 4, "games": 3},
    )
    split = Ratio("toys", 0.25, 0.25, by="time").apply(data)
    known = ["toys0", "games0", "toys1"]
    assert inputs_of_rows(split) == [known]
    assert inputs(split.valid) == [(known, "toys2")]
    assert inputs(split.test) == [(known, "toys3")]
    assert split.report["source_events_left_out"] == 2


def test_ratio_at_random_trains_on_all_source_events_and_follows_its_seed():
    data = tiny_world(users=60)
    splits = [Ratio("toys", seed=seed).apply(data) for seed in (0, 0, 1)]
    asked = [sorted(zip(s.test.user_N, s.test.item_N, strict=True)) for s in splits]
    assert asked[0] == asked[1] != asked[2]
    domain_E = splits[0].events.domain_E
    assert trained(splits[0])[domain_E == data.domains.index("games")].all()


def test_moments_by_quantile_date_and_seconds():
    data = world_of([[("toys", n % 5, n * DAY) for n in range(10)]], {"toys": 5})
    by_quantile = GlobalTime("toys", 0.55, 0.8).apply(data)
    assert (by_quantile.report["valid_from"], by_quantile.report["test_from"]) == (
        "1970-01-06T00:00:00Z",
        "1970-01-09T00:00:00Z",
    )
    assert rows(by_quantile.train) == [(0, 0, 5)]
    assert instances(by_quantile.valid) == [(0, 0, 5, 5)]
    assert instances(by_quantile.test) == [(0, 0, 8, 8)]
    for moments in (("1970-01-06", "1970-01-09T02:00:00+02:00"), (5 * DAY, 8 * DAY)):
        assert instances(GlobalTime("toys", *moments).apply(data).test) == [(0, 0, 8, 8)]
    everything = GlobalTime("toys", 0.55, 0.8, per_user="all").apply(data)
    assert instances(everything.test) == [(0, 0, 8, 8), (0, 0, 9, 9)]


def test_global_time_asks_from_strictly_earlier_events():
    data = world_of(
        [
            [("toys", 0, 1), ("games", 0, 5), ("toys", 1, 5), ("toys", 2, 5), ("games", 1, 9), ("toys", 3, 9)],
            [("toys", 0, 9), ("toys", 1, 10)],
        ],
        {"toys": 4, "games": 2},
    )
    split = GlobalTime("toys", 5, 9, per_user="all").apply(data)
    assert inputs(split.valid) == [(["toys0"], "toys1"), (["toys0"], "toys2")]
    assert inputs(split.test) == [(["toys0", "toys1", "toys2", "games0"], "toys3"), (["toys0"], "toys1")]


def test_global_time_refuses_moments_without_sense():
    data = world_of([[("toys", n % 5, n * DAY) for n in range(10)]], {"toys": 5})
    for valid, test, message in (
        ("yesterday", 0.9, "valid='yesterday' is no date"),
        (0.5, 1e12, "test=1000000000000.0 is no moment"),
        (0.9, 0.5, "would end"),
        ("1960-01-01", "1970-01-03", "nothing of 'toys' to train on"),
        ("1970-01-03", "2030-01-01", "to test"),
    ):
        with pytest.raises(DataError, match=message):
            GlobalTime("toys", valid, test).apply(data)


def test_cold_users_by_hand():
    """Of ten users alike but one without an earlier source event and one with a single toy."""
    usual = [("games", 0, 0), ("toys", 1, 1), ("games", 1, 2), ("games", 2, 3), ("toys", 2, 3)]
    late = [("toys", 1, 1), ("games", 0, 1), ("games", 1, 2), ("toys", 2, 3)]
    data = world_of([usual] * 8 + [late, usual[:3]], {"toys": 3, "games": 3})
    cold = [ColdUsers("toys", 0.5, 0.4, keep=keep).apply(data) for keep in (0, 1)]
    held = [np.union1d(split.valid.user_N, split.test.user_N) for split in cold]
    free = [set(split.train.user_N) for split in cold]
    assert free[0] == free[1]
    assert len(free[0]) == 1
    out = set(range(10)) - free[0]
    assert set(held[0]) == out - {8}
    assert set(held[1]) == out - {9}
    report = cold[0].report
    assert report["valid"] + report["test"] == len(held[0])
    assert report["valid_without_source"] + report["test_without_source"] == int(8 in out)
    assert cold[1].report["valid_too_few_events"] + cold[1].report["test_too_few_events"] == int(9 in out)
    assert {(tuple(known), asked) for known, asked in inputs(cold[0].test)} <= {(("games0",), "toys1")}
    usual_input = ("games0", "toys1", "games1")
    assert {(tuple(known), asked) for known, asked in inputs(cold[1].test)} <= {
        (usual_input, "toys2"),
        (("toys1", "games0", "games1"), "toys2"),
    }


def test_cold_users_refuse_when_nobody_is_left():
    alone = world_of([[("toys", 0, 0), ("toys", 1, 1)]] * 10, {"toys": 2, "games": 1})
    with pytest.raises(DataError, match="1 have no event of another domain before the one asked for: nobody"):
        ColdUsers("toys").apply(alone)
    with pytest.raises(DataError, match="none is left to train on"):
        ColdUsers("toys", 0.5, 0.45).apply(world_of([[("games", 0, 0), ("toys", 0, 1)]] * 3, {"toys": 1, "games": 1}))
    with pytest.raises(DataError, match="keep=-1"):
        ColdUsers("toys", keep=-1)


@pytest.mark.parametrize("kind", [Ratio, ColdUsers])
def test_shares_that_leave_nothing(kind):
    for shares in ((0.5, 0.5), (0, 0.1), (0.1, 1.2)):
        with pytest.raises(DataError, match="must be shares above 0"):
            kind("toys", *shares)


def test_the_authors_split_leaves_out_the_last_user_and_validates_on_the_test_events():
    usual = [("games", 0, 0), *(("toys", n, n) for n in range(4))]
    data = world_of([usual, usual[1:], usual[:4], usual, usual], {"toys": 4, "games": 1})
    split = AuthorsLeaveLastOut("toys").apply(data)
    assert list(split.test.user_N) == [0, 3]
    np.testing.assert_array_equal(split.valid.at_N, split.test.at_N)
    assert "test events" in split.leak
    with pytest.raises(DataError, match="there is none"):
        AuthorsLeaveLastOut("games").apply(data)


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_refuses_an_unknown_domain_and_setting(name):
    data = tiny_world(users=3)
    with pytest.raises(DataError, match=r"no domain 'toy' here. Did you mean 'toys'"):
        apply({"split": name, "target": "toy"}, data)
    with pytest.raises(InputError, match=r"has no setting 'tagret'. Did you mean 'target'"):
        apply({"split": name, "tagret": "toys"}, data)


def test_unknown_split():
    with pytest.raises(InputError, match="Did you mean 'leave-last-out'"):
        apply({"split": "leave-one-out", "target": "toys"}, tiny_world(users=3))


def rows(found: Rows) -> list[tuple[int, ...]]:
    return list(zip(found.user_N, found.start_N, found.stop_N, strict=True))


def instances(part: Part) -> list[tuple[int, ...]]:
    return list(zip(part.user_N, part.start_N, part.stop_N, part.at_N, strict=True))


def inputs(part: Part) -> list[tuple[list[str], str]]:
    """Per instance, what is known and what is asked for, in own ids."""
    names = own_ids(part.data)
    item_E = part.events.item_E
    return [
        ([names[i] for i in item_E[start:stop]], names[item_E[at]])
        for start, stop, at in zip(part.start_N, part.stop_N, part.at_N, strict=True)
    ]


def inputs_of_rows(split: Split) -> list[list[str]]:
    names = own_ids(split.data)
    return [[names[i] for i in split.events.item_E[a:b]] for _, a, b in rows(split.train)]


def own_ids(data: Dataset) -> list[str]:
    return ["", *(name for ids in data.items.values() for name in ids.text.to_pylist())]
