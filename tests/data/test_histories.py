"""Views and histories against a look at every user's events, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data import histories
from crossrec.data.histories import History, View
from crossrec.data.splits import Events
from crossrec.testing.worlds import world_of, worlds

DOMAINS = (("toys",), ("games", "books"), ("books", "toys", "games"))


def known(history: History, query: int) -> list[int]:
    """What a query knows, read off the chunks: the row's items up to its place."""
    at, first = int(history.at_P[query]), 0
    if at == history.total:
        return []
    for chunk in history.chunks:
        if at < first + chunk.numel():
            row, place = divmod(at - first, chunk.shape[1])
            return chunk[row, : place + 1].tolist()
        first += chunk.numel()
    raise AssertionError("a query points behind the last state")


def naive(events: Events, domains: tuple[str, ...], start: int, stop: int, last: int, max_len: int) -> list[int]:
    """The events of the domains in [start, stop), of which those that are not among the latest before ``last`` are cut."""
    numbers = [events.catalogue.domains.index(name) for name in domains]
    inside = [at for at in range(start, last) if events.domain_E[at] in numbers]
    return [int(events.item_E[at]) for at in inside[-max_len:] if at < stop]


@given(
    st.data(), worlds(users=10), st.sampled_from(DOMAINS), st.sampled_from([1, 2, 3, 200]), st.sampled_from([0, 4, 256])
)
@settings(max_examples=150, deadline=None)
def test_history_agrees_with_a_look_at_every_row(data, world, domains, max_len, waste):
    """Rows are stretches of users, with any number of queries each, none included; several rows may be of one user."""
    events = Events(world.catalogue, world.item_E)
    spans = [(a, b) for a, b in zip(world.offset_U1[:-1].tolist(), world.offset_U1[1:].tolist(), strict=True)]
    start_B, row_P, at_P, last_B = [], [], [], []
    for _ in range(data.draw(st.integers(1, 8))):
        a, b = data.draw(st.sampled_from(spans))
        start = data.draw(st.integers(a, b))
        asked = sorted(data.draw(st.lists(st.integers(start, b), max_size=4)))
        row_P += [len(start_B)] * len(asked)
        at_P += asked
        start_B.append(start)
        last_B.append(asked[-1] if asked else start)
    view = View(events, domains, torch.device("cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "CHUNK_WASTE", waste)
        history = view.history(*(torch.tensor(x, dtype=torch.int64) for x in (start_B, row_P, at_P)), max_len)
    for query, (row, at) in enumerate(zip(row_P, at_P, strict=True)):
        assert known(history, query) == naive(events, domains, start_B[row], at, last_B[row], max_len)
    check_chunks(
        history, [len(naive(events, domains, a, z, z, max_len)) for a, z in zip(start_B, last_B, strict=True)], waste
    )
    query_M, item_M = history.events()
    for query in range(len(at_P)):
        assert item_M[query_M == query].tolist() == known(history, query)


def check_chunks(history: History, length_B: list[int], waste: int) -> None:
    """Every row with an event stands in one chunk, left-aligned, with nothing but padding behind; little is padded."""
    seen = torch.cat([*history.rows, torch.zeros(0, dtype=torch.int64)]).tolist()
    assert sorted(seen) == [row for row, length in enumerate(length_B) if length]
    assert history.total == sum(chunk.numel() for chunk in history.chunks)
    for chunk, lengths, rows in zip(history.chunks, history.lengths, history.rows, strict=True):
        assert lengths.tolist() == [length_B[row] for row in rows.tolist()]
        assert chunk.shape == (len(rows), int(lengths.max()))
        assert ((chunk > 0) == (torch.arange(chunk.shape[1]) < lengths[:, None])).all()
        assert int((chunk == 0).sum()) <= waste


def test_rows_of_like_length_share_a_chunk_and_others_do_not():
    lengths = [1, 1, 2, 300, 301]
    world = world_of([[("toys", 0, n) for n in range(length)] for length in lengths], {"toys": 1})
    view = View(Events(world.catalogue, world.item_E), ("toys",), torch.device("cpu"))
    start, stop = torch.tensor(world.offset_U1[:-1]), torch.tensor(world.offset_U1[1:])
    history = view.history(start, torch.arange(5), stop, 400)
    assert [chunk.shape for chunk in history.chunks] == [(3, 2), (2, 301)]


def test_a_batch_without_any_event():
    world = world_of([[("games", 0, 0)]], {"toys": 1, "games": 1})
    view = View(Events(world.catalogue, world.item_E), ("toys",), torch.device("cpu"))
    history = view.history(torch.tensor([0]), torch.tensor([0]), torch.tensor([1]), 5)
    assert (history.chunks, history.total, history.at_P.tolist()) == ((), 0, [0])
    assert [part.tolist() for part in history.events()] == [[], []]


def test_view_counts_its_own_events():
    world = world_of([[("toys", 0, 0), ("games", 1, 1), ("toys", 2, 2)]], {"toys": 3, "games": 2})
    view = View(Events(world.catalogue, world.item_E), ("games",), torch.device("cpu"))
    assert view.item_F.tolist() == [5]
    np.testing.assert_array_equal(view.before_E1, [0, 0, 1, 1])
