"""What training rows say of items, against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np

from crossrec.data.item_graphs import frequent_neighbours, holders, transitions
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.testing.worlds import tiny_world, world_of


def rows(split: Split, domain: str) -> list[list[int]]:
    """Ids of a domain in every training row."""
    block = split.data.catalogue.block(domain)
    found = zip(split.train.start_N, split.train.stop_N, strict=True)
    return [[i for i in split.events.item_E[a:b].tolist() if i in block] for a, b in found]


def worked() -> Split:
    """Two users whose training rows are toys 0 1 2 0 and games 0, and toys 1 2; toys 3 4 and 5 6 are held out."""
    toys = [[0, 1, 2, 0, 3, 4], [1, 2, 5, 6]]
    histories = [[("toys", i, 2 * t) for t, i in enumerate(row)] for row in toys]
    histories[0].insert(1, ("games", 0, 1))
    return LeaveLastOut("toys").apply(world_of(histories, {"toys": 7, "games": 1}))


def test_pairs_of_the_worked_rows() -> None:
    split = worked()
    toys, games = (split.data.catalogue.block(name).start for name in ("toys", "games"))
    assert [list(pair) for pair in zip(*transitions(split, "toys"), strict=True)] == [
        [toys + a, toys + b] for a, b in ((0, 1), (1, 2), (2, 0), (1, 2))
    ]
    assert {*zip(*(a.tolist() for a in holders(split, "toys")), strict=True)} == {
        (user, toys + i) for user, i in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))
    }
    assert [a.tolist() for a in holders(split, "games")] == [[0], [games]]
    assert [len(a) for a in transitions(split, "games")] == [0, 0]


def test_neighbours_of_the_worked_rows() -> None:
    """Within two events: 0 meets 1 once, 2 twice (both ways round), never itself; 1 meets 2 twice, 0 twice."""
    split = worked()
    toys = split.data.catalogue.block("toys").start
    ids_VK, count_VK = frequent_neighbours(split, "toys", hops=2, keep=2)
    assert (ids_VK[:3] - toys).tolist() == [[1, 2], [0, 2], [0, 1]]
    assert count_VK[:3].tolist() == [[2, 2], [2, 2], [2, 2]]
    assert not ids_VK[3:].any()
    assert not count_VK[3:].any()


def test_neighbours_are_the_most_frequent_of_the_training_rows() -> None:
    """No held-out event counts: the tally is over the training rows alone."""
    split = LeaveLastOut("toys").apply(tiny_world(users=30))
    ids_VK, count_VK = frequent_neighbours(split, "toys", hops=3, keep=4)
    tally: dict[int, Counter[int]] = {item: Counter() for item in split.data.catalogue.block("toys")}
    for row in rows(split, "toys"):
        for t, item in enumerate(row):
            for other in row[t + 1 : t + 4]:
                if other != item:
                    tally[item][other] += 1
                    tally[other][item] += 1
    for place, found in enumerate(tally.values()):
        best = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
        assert [*zip(ids_VK[place].tolist(), count_VK[place].tolist(), strict=True)][: len(best)] == best
        assert not np.any(count_VK[place, len(best) :])
