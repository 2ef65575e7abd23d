"""How rows are laid out. The bookkeeping of the worked examples: specs of DDGHM, 11.1 and 11.2."""

from __future__ import annotations

import torch

from crossrec.data.histories import History
from crossrec.nn.journeys import Part, Rows, Sight

BLOCKS = [range(1, 4), range(4, 8)]
NONE = torch.zeros(0, dtype=torch.int64)
A1, A2, B1, B2, B3 = 1, 2, 4, 5, 6


def rows(*items: list[int]) -> Rows:
    """These rows, without queries."""
    longest = max(map(len, items))
    item_bl = torch.tensor([row + [0] * (longest - len(row)) for row in items])
    return Rows(item_bl, torch.tensor([len(row) for row in items]), NONE, NONE)


def seen(part: Part, sight: Sight) -> dict[int, set[int]]:
    """The neighbours of every node of the first row that a sight looks at, by the items they are of."""
    places, merged = {}, part.merged
    for time, nodes in enumerate(merged.nodes, 1):
        for slot in range(nodes):
            places[int(merged.first_places(part.row_b[:1], torch.tensor([time]))) + slot] = int(merged.item_bn[0, slot])
    found = {}
    for n, place in enumerate(sight.own_pn[0].tolist()):
        near, joined = (
            (sight.near[:, 0, n], sight.joined[:, 0, n]) if sight.path else (sight.near[0], sight.joined[0, n])
        )
        found[places[place]] = {places[at] for at in near[joined].tolist()}
    return found


def test_who_sees_whom_in_the_worked_example() -> None:
    (journey,) = rows([B1, A1, B2, A2, B3]).journeys(BLOCKS, 100)
    first, second = journey.parts
    assert first is not None
    assert second is not None
    assert first.time_bl.tolist() == [[3, 5]]
    assert second.time_bl.tolist() == [[2, 4, 5]]
    assert [seen(first, sight) for sight in first.sights()] == [{A1: {B1, B2}}, {A1: {B1, B2}, A2: {B2, B3}}]
    assert [seen(second, sight) for sight in second.sights()] == [
        {B1: {A1}},
        {B1: {A1}, B2: {A1, A2}},
        {B1: {A1}, B2: {A1, A2}, B3: {A2}},
    ]


def test_an_item_that_comes_again_is_no_new_node() -> None:
    (journey,) = rows([A1, B1, A2, A1, B2]).journeys(BLOCKS, 100)
    first, second = journey.parts
    assert first is not None
    assert second is not None
    assert journey.merged.item_bn.tolist() == [[A1, B1, A2, B2]]
    assert journey.merged.slot_bl.tolist() == [[0, 1, 2, 0, 3]]
    *_, last = first.sights()
    assert seen(first, last) == {A1: {B1, A2, B2}, A2: {B1, A1}}
    assert last.visits_pn is not None
    assert (last.visits_pn.tolist(), last.last_p) == ([[2, 1]], torch.tensor([0]))
    assert journey.known_Xbl[:, 0].tolist() == [[0, 1, 1, 2, 3, 3], [0, 0, 1, 1, 1, 2]]


def test_an_item_twice_in_a_row_is_no_neighbour_of_itself() -> None:
    (journey,) = rows([A1, A1, B1]).journeys(BLOCKS, 100)
    part = journey.parts[0]
    assert part is not None
    assert [seen(part, sight) for sight in part.sights()] == [{A1: set()}, {A1: {B1}}]


def test_rows_with_repeats_go_by_themselves_and_journeys_are_bounded() -> None:
    laid = rows([A1, B1, B2, A2], [A1, A1], [B1, B2, B3], [B1])
    assert [journey.row_b.tolist() for journey in laid.journeys(BLOCKS, 10**6)] == [[0, 2, 3], [1]]
    assert [journey.row_b.tolist() for journey in laid.journeys(BLOCKS, 10)] == [[0], [2, 3], [1]]
    assert [journey.merged.rows for journey in laid.journeys(BLOCKS, 10**6)] == [(3, 2, 2, 1), (1, 1)]


def test_queries_of_a_history_stand_where_it_says_and_rows_are_followed() -> None:
    chunks = torch.tensor([[A1, 0], [B1, B2]]), torch.tensor([[A2, B3, A1]])
    lengths, numbers = (torch.tensor([1, 2]), torch.tensor([3])), (torch.tensor([0, 1]), torch.tensor([2]))
    history = History(chunks, lengths, numbers, torch.tensor([6, 0, 2, 3, 7]), 7)
    laid = Rows.of(history)
    assert laid.item_bl.tolist() == [[A1, 0, 0], [B1, B2, 0], [A2, B3, A1]]
    assert (laid.row_P.tolist(), laid.time_P.tolist()) == ([2, 0, 1, 1, -1], [3, 1, 1, 2, 0])
    longer = laid.followed(torch.tensor([B2, B1, B2, A2, A1]))
    assert longer.item_bl.tolist() == [[A1, B1, 0, 0], [B1, B2, A2, 0], [A2, B3, A1, B2]]
    assert longer.length_b.tolist() == [2, 3, 4]
    assert longer.twice().item_bl.tolist() == 2 * longer.item_bl.tolist()


def test_a_batch_of_which_nothing_is_known_has_no_journeys() -> None:
    laid = Rows.of(History((), (), (), torch.tensor([0, 0]), 0))
    assert laid.row_P.tolist() == [-1, -1]
    assert laid.journeys(BLOCKS, 100) == []
    assert laid.followed(torch.tensor([A1, B1])).journeys(BLOCKS, 100) == []
