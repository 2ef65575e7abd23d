"""Splits of several targets, and last-merged, by hand; what they refuse; and that those of one target are what they were."""

from __future__ import annotations

import dataclasses

import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.splits import (
    AuthorsLeaveLastOut,
    ColdUsers,
    GlobalTime,
    LastMerged,
    LeaveLastOut,
    Part,
    Ratio,
    Split,
    Windows,
    apply,
)
from crossrec.errors import DataError, InputError
from crossrec.testing.worlds import tiny_world, world_of

SECOND = 1 / 86_400
"""In days."""


def world(*histories: str) -> Dataset:
    """Users of events such as ``T3@25``: the domain's letter, the number of the item, the time."""
    names = {"T": "toys", "G": "games", "B": "books"}
    found = [[word.partition("@") for word in history.split()] for history in histories]
    events = [[(names[item[0]], int(item[1:]), int(time)) for item, _, time in history] for history in found]
    return world_of(events, {"toys": 9, "games": 9, "books": 9})


def read(part: Part) -> list[tuple[str, str]]:
    """Per instance what is known, in its order, and what is asked for."""
    names = own_ids(part.data)
    return [
        (" ".join(names[i] for i in part.events.item_E[a:b]), names[part.events.item_E[at]])
        for a, b, at in zip(part.start_N, part.stop_N, part.at_N, strict=True)
    ]


def learnt(split: Split) -> list[str]:
    names = own_ids(split.data)
    item_E, train = split.events.item_E, split.train
    return [" ".join(names[i] for i in item_E[a:b]) for a, b in zip(train.start_N, train.stop_N, strict=True)]


def own_ids(data: Dataset) -> list[str]:
    return ["", *(name[0].upper() + name[-1] for ids in data.items.values() for name in ids.text.to_pylist())]


def test_leave_last_out_of_two_targets_by_hand():
    data = world(
        "T0@1 G0@2 B0@3 T1@4 G1@5 T2@6 G2@6 G3@7 T3@8",  # validated in both: G2 at the very time of T2
        "T0@1 T1@2 T2@3 G0@4 G1@5 G2@6 B1@7",  # whose games come after the tested toy
        "T0@1 G0@2 T1@3 T2@4 G1@5",  # asked for toys alone
        "G0@1 T0@2 G1@3",  # only trains
        "T0@1 G0@2 T1@3 G1@3 G2@3 T2@4 T3@5 G3@6",  # the first held out is G2: of its time G1 trains, T1 does not
    )
    split = LeaveLastOut("toys", also=("games",)).apply(data)
    assert split.targets == ("toys", "games")
    assert learnt(split) == ["T0 G0 B0 T1 G1", "T0", "T0 G0", "G0 T0 G1", "T0 G0 G1"]
    assert read(split.valid) == [("T0 G0 B0 T1 G1", "T2"), ("T0", "T1"), ("T0 G0", "T1"), ("T0 G0 T1 G1 G2", "T2")]
    assert [known for known, _ in read(split.test)] == [
        "T0 G0 B0 T1 G1 T2 G2 G3",
        "T0 T1",
        "T0 G0 T1",
        "T0 G0 T1 G1 G2 T2",
    ]
    games = split.held("games")
    assert read(games.valid) == [("T0 G0 B0 T1 G1", "G2"), ("T0 G0 G1", "G2")]
    assert [known for known, _ in read(games.test)] == [
        "T0 G0 B0 T1 G1 G2 T2",
        "T0 T1 T2 G0 G1",
        "T0 G0 G1 G2 T1 T2 T3",
    ]
    assert split.report == {
        "users": 5,
        "held_out": 4,
        "only_train": 1,
        "toys": {"valid": 4, "test": 4},
        "games": {"valid": 2, "test": 3},
    }
    published = LeaveLastOut("toys", ties="order", also=("games",)).apply(data)
    assert read(published.held("games").valid)[0] == ("T0 G0 B0 T1 G1 T2", "G2")
    assert learnt(published)[-1] == "T0 G0 T1 G1"


def test_a_target_that_nobody_validates():
    data = world("T0@1 T1@2 T2@3 G0@4 G1@5 G2@6")
    with pytest.raises(DataError, match=r"so nobody validates 'games'. Leave it out"):
        LeaveLastOut("toys", also=("games",)).apply(data)
    with pytest.raises(DataError, match="No user has 3 events in 'books'"):
        LeaveLastOut("toys", also=("books",)).apply(data)


def test_last_merged_by_hand():
    data = world(
        "T0@1 G0@2 T1@3 G1@4 T2@5",  # validates games, tests toys
        "G0@1 T0@2 T1@3 G2@3",  # T1 validates, G2 tests, both at one time
        "T0@1 B0@2 T3@3 B1@4",  # tests no target
        "G3@1 G4@1 T4@1",  # no event is earlier than the last two
        "T0@1 G0@2",  # only trains
    )
    split = LastMerged("toys", also=("games",)).apply(data)
    assert learnt(split) == ["T0 G0 T1", "G0 T0", "T0 B0", "T0 G0"]
    assert read(split.valid) == [("G0 T0", "T1"), ("T0 B0", "T3")]
    assert read(split.test) == [("T0 G0 T1 G1", "T2")]
    games = split.held("games")
    assert read(games.valid) == [("T0 G0 T1", "G1"), ("G3", "G4")]
    assert read(games.test) == [("G0 T0", "G2")]
    assert split.report == {
        "users": 5,
        "held_out": 4,
        "only_train": 1,
        "toys": {"valid": 2, "test": 1},
        "games": {"valid": 2, "test": 1},
    }
    published = LastMerged("toys", also=("games",), ties="order").apply(data)
    assert learnt(published) == ["T0 G0 T1", "G0 T0", "T0 B0", "G3", "T0 G0"]
    assert read(published.held("games").test) == [("G0 T0 T1", "G2")]
    assert read(published.test) == [("T0 G0 T1 G1", "T2"), ("G3 G4", "T4")]


def test_last_merged_refuses_a_target_without_users():
    data = world("T0@1 G0@2 T1@3 G1@4 T2@5", "B0@1 G0@2 B1@3")
    with pytest.raises(DataError, match=r"one of 'toys' as the second to last.*nobody to validate in 'toys'"):
        LastMerged("toys").apply(data)
    with pytest.raises(DataError, match=r"one of 'games' as the last.*nobody to test in 'games'"):
        LastMerged("games").apply(data)
    with pytest.raises(DataError, match="No user of 3 events"):
        LastMerged("toys").apply(world("T0@1 T1@2"))
    with pytest.raises(DataError, match="ties must be 'strict' or 'order'"):
        LastMerged("toys", ties="loose")


def test_windows_of_two_targets_by_hand():
    data = world(
        "T0@0 G0@1 B0@1 T1@2 G1@2 B1@2 "
        "T2@10 B2@11 G2@12 T3@13 B3@14 G3@14 "
        "G4@20 B4@20 T4@21 T5@22 G5@22 B5@23 G6@24 B6@24"
    )
    kind = Windows("toys", days=9 * SECOND, min_per_domain=2, also=("games",))
    split = kind.apply(data)
    games = split.held("games")
    assert learnt(split) == ["T0 G0 B0 T1 G1 B1"]
    assert read(split.valid) == [("T2 B2 G2", "T3")]
    assert read(games.valid) == [("T2 B2 G2 T3", "G3")]
    assert read(split.test) == [("G4 B4 T4", "T5")]
    assert read(games.test) == [("G4 B4 T4 G5 T5 B5", "G6")]
    assert split.leak is None
    pinet = dataclasses.replace(kind, known="pinet").apply(data)
    assert read(pinet.valid) == [("T2 B2 G2", "T3")]
    assert read(pinet.held("games").valid) == [("T2 B2 G2", "G3")]
    assert read(pinet.test) == [("G4 B4 T4 G5 B5", "T5")]
    assert read(pinet.held("games").test) == [("G4 B4 T4 G5 B5", "G6")]
    assert "in 1 of 2 held-out windows for toys, 0 of 2 held-out windows for games." in pinet.leak
    assert pinet.test.leak == pinet.held("games").test.leak == pinet.leak


@pytest.mark.parametrize("kind", [LeaveLastOut, LastMerged, Windows])
def test_targets_that_cannot_be(kind):
    data = tiny_world(users=30)
    with pytest.raises(DataError, match=r"no domain 'gamez' here. Did you mean 'games'"):
        kind("toys", also=("gamez",)).apply(data)
    for also in (("toys",), ("games", "games")):
        with pytest.raises(DataError, match=f"{also[0]!r} is a target already"):
            kind("toys", also=also).apply(data)
    with pytest.raises(DataError, match=r"also='games' is one name: give a list of domains, \[games\]"):
        kind("toys", also="games").apply(data)
    with pytest.raises(InputError, match="Nothing of 'games' is held out here: the targets are 'toys'"):
        LeaveLastOut("toys").apply(data).held("games")
    with pytest.raises(InputError, match="has no setting 'also'"):
        apply({"split": "ratio", "target": "toys", "also": ["games"]}, data)


def test_the_hash_tells_what_is_held_out_of_further_targets():
    split = LeaveLastOut("toys", also=("games",)).apply(tiny_world(users=30))
    games = split.further["games"]
    fewer = dataclasses.replace(split, further={"games": dataclasses.replace(games, valid=games.valid.take([0]))})
    assert fewer.hash != split.hash


def test_what_is_not_set_is_not_recorded():
    data = tiny_world(users=60, events=30)
    windows = Windows("toys", days=6 * SECOND, min_per_domain=2)
    for kind in (LeaveLastOut("toys"), LastMerged("toys"), windows):
        assert kind.apply(data).spec.keys().isdisjoint({"also", "known"})
    assert LastMerged("toys", also=["games"]).apply(data).spec["also"] == ["games"]
    assert dataclasses.replace(windows, known="pinet").apply(data).spec["known"] == "pinet"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (LeaveLastOut("toys"), "88bf876d140cde69"),
        (LeaveLastOut("games", min_history=2, ties="order"), "7a803f80731ca311"),
        (AuthorsLeaveLastOut("toys"), "a8fcf34dd3a50a6e"),
        (Windows("toys", days=6 * SECOND, min_per_domain=2), "b288c960db2b59dd"),
        (Windows("games", 6 * SECOND, 2, assign="paper", ties="order", seed=2), "dc51cdd969efb1ca"),
        (Ratio("toys", seed=1), "38bf005fb8d970f9"),
        (Ratio("toys", 0.2, 0.2, by="time"), "0274a772167f90ea"),
        (GlobalTime("toys", 0.5, 0.7), "2b9f3d893d7180f4"),
        (ColdUsers("toys", 0.2, 0.2, keep=1), "d4c689f55023a04f"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_splits_of_one_target_have_the_hash_that_runs_have_recorded(kind, expected):
    data = tiny_world(users=60, events=30)
    assert data.hash == "1e07340ea8e45311"
    assert kind.apply(data).hash == expected
