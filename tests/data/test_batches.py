"""Batches against a look at every row, one by one: queries, positives, users and what each query knows in every view."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossrec.data.batches import Batch, Batcher, TrainingRows, Views, deliveries
from crossrec.data.splits import Events, LeaveLastOut, Rows
from crossrec.errors import DataError
from crossrec.testing.worlds import tiny_world, world_of, worlds

VIEWS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {"history": ("toys",)},
    {"history": ("toys", "games", "books")},
    {"own": ("toys",), "others": ("games", "books")},
    {"others": ("games",)},
    {},
)
Query = tuple[int, int, dict[str, list[int]]]
"""User, positive, and what is known in each view."""
Placed = tuple[int, int, dict[str, list[int]]]
"""The same by places among the events."""


def listed(batch: Batch) -> list[Query]:
    """The queries of a batch."""
    found: list[Query] = [
        (user, item, {}) for user, item in zip(batch.user_P.tolist(), batch.positive_P.tolist(), strict=True)
    ]
    for name, history in batch.histories.items():
        query_M, item_M = history.events()
        for query in range(len(batch)):
            found[query][2][name] = item_M[query_M == query].tolist()
    return found


def of_view(events: Events, domains: tuple[str, ...], start: int, stop: int) -> list[int]:
    numbers = [events.catalogue.domains.index(name) for name in domains]
    return [at for at in range(start, stop) if events.domain_E[at] in numbers]


def naive_rows(events: Events, rows: Rows, views: Views, domains: tuple[str, ...], first: str) -> list[list[Placed]]:
    """The queries of every training row that has one, before the row is cut: user, place, places known in each view."""
    everything = []
    for user, start, stop in zip(rows.user_N.tolist(), rows.start_N.tolist(), rows.stop_N.tolist(), strict=True):
        row = []
        for at in of_view(events, domains, start, stop):
            inputs = {name: of_view(events, view, start, at) for name, view in views.domains.items()}
            own = events.catalogue.domains[events.domain_E[at]]
            is_known = {
                "any": not views.domains or any(inputs.values()),
                "domain": bool(of_view(events, (own,), start, at)),
                "all": True,
            }[first]
            if is_known:
                row.append((user, at, inputs))
        if row:
            everything.append(row)
    return everything


def cut(row: list[Placed], views: Views, first: str) -> list[Placed]:
    """The row's queries with the latest ``max_len`` events of every view before the last; those that lose all go."""
    latest = {name: row[-1][2][name][-views.max_len :] for name in views.domains}
    shown = [
        (user, at, {name: [i for i in known[name] if i in latest[name]] for name in known}) for user, at, known in row
    ]
    lost = [any(before[2].values()) and not any(after[2].values()) for before, after in zip(row, shown, strict=True)]
    return [query for query, gone in zip(shown, lost, strict=True) if first == "all" or not gone]


@given(
    worlds(users=6, events=18),
    st.sampled_from(VIEWS),
    st.sampled_from([1, 3, 200]),
    st.sampled_from([("toys",), ("toys", "games")]),
    st.sampled_from(["any", "domain", "all"]),
    st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_training_batches_agree_with_a_look_at_every_row(world, domains_of, max_len, domains, first, seed):
    events, views = Events(world.catalogue, world.item_E), Views(domains_of, max_len)
    low, high = world.offset_U1[:-1], world.offset_U1[1:]
    users = np.flatnonzero(high > low)
    rows = Rows(users, low[users], high[users])
    expected = naive_rows(events, rows, views, domains, first)
    assume(expected)
    training = TrainingRows(Batcher(events, views), rows, domains, first)
    assert len(training) == len(expected)
    assert training.num_positives == sum(map(len, expected))
    for index in deliveries(len(training), 2, 1, torch.Generator().manual_seed(seed)):
        batch = training.batch(index)
        wanted = [query for row in index.tolist() for query in cut(expected[row], views, first)]
        named = [
            (user, int(events.item_E[at]), {name: events.item_E[known].tolist() for name, known in inputs.items()})
            for user, at, inputs in wanted
        ]
        assert listed(batch) == named
        assert batch.domain == "toys"


@given(
    worlds(users=8, domains=2),
    st.sampled_from([VIEWS[0], VIEWS[4], {"both": ("games", "toys")}]),
    st.sampled_from([2, 200]),
)
@settings(max_examples=80, deadline=None)
def test_held_out_batches_follow_the_part(world, domains_of, max_len):
    try:
        part = LeaveLastOut("toys").apply(world).test
    except DataError:
        assume(False)
    batches = list(Batcher(part.events, Views(domains_of, max_len)).queries(part, 3))
    assert [len(batch) for batch in batches] == [min(3, len(part) - a) for a in range(0, len(part), 3)]
    found = [query for batch in batches for query in listed(batch)]
    item_E = part.events.item_E
    for n, (user, positive, inputs) in enumerate(found):
        assert (user, positive) == (part.user_N[n], item_E[part.at_N[n]])
        for name, domains in domains_of.items():
            known = of_view(part.events, domains, part.start_N[n], part.stop_N[n])[-max_len:]
            assert inputs[name] == item_E[known].tolist()


def test_without_a_place_nothing_is_known_to_come_next():
    world = world_of([[("toys", 1, 0), ("toys", 0, 1)]], {"toys": 2})
    batcher = Batcher(Events(world.catalogue, world.item_E), Views({"history": ("toys",)}))
    batch = batcher.batch("toys", torch.tensor([-1]), torch.tensor([0]), torch.tensor([0]), torch.tensor([2]), None)
    assert listed(batch) == [(-1, 0, {"history": [2, 1]})]


def test_asking_takes_some_queries_for_one_domain():
    world = tiny_world(users=6)
    rows = LeaveLastOut("toys").apply(world)
    batch = TrainingRows(Batcher(rows.events, Views({})), rows.train, ("toys", "games")).batch(torch.arange(3))
    block = world.catalogue.block("games")
    chosen = ((batch.positive_P >= block.start) & (batch.positive_P < block.stop)).nonzero()[:, 0]
    part = batch.asking("games", chosen)
    assert 0 < len(part) < len(batch)
    assert part.domain == "games"
    assert all(int(item) in block for item in part.positive_P)
    assert part.user_P.tolist() == batch.user_P[chosen].tolist()


def test_deliveries_is_a_permutation_that_follows_its_generator():
    orders = [deliveries(10, 4, 1, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert [len(index) for index in orders[0]] == [4, 4, 2]
    whole = [torch.cat(list(order)).tolist() for order in orders]
    assert sorted(whole[0]) == list(range(10))
    assert whole[0] == whole[1] != whole[2]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_last_batch_may_be_smaller(size):
    assert sum(len(index) for index in deliveries(7, size, 1, torch.Generator())) == 7


def test_copies_deliver_a_drawn_batch_several_times_in_as_many_steps():
    batches = [index.tolist() for index in deliveries(100, 8, 3, torch.Generator().manual_seed(1))]
    assert [len(batch) for batch in batches] == [8] * 13
    assert batches[0] == batches[1] == batches[2] != batches[3]
    assert len({tuple(batch) for batch in batches}) == 5
