"""A graph holds the pairs of the training rows and nothing else, both ways, in time order; files give back what they took."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossrec.data.graphs as graphs
from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.graph_files import HEADER, kept, load, save
from crossrec.data.graphs import Adjacency, Graph, adjacency, build, transposed
from crossrec.data.splits import GlobalTime, LeaveLastOut, Ratio, Split, Windows
from crossrec.errors import DataError, InputError
from crossrec.testing.worlds import tiny_world, trained, world_of, worlds

SPLITS = (
    LeaveLastOut("toys", min_history=2, ties="order"),
    LeaveLastOut("toys"),
    Ratio("toys", 0.2, 0.2),
    GlobalTime("toys", 0.4, 0.7),
    Windows("toys", days=4 / 86_400, min_per_domain=2),
)


def rated(data: Dataset, missing: float = 0.3) -> Dataset:
    """The same data with ratings, some of them missing."""
    rng = np.random.default_rng(0)
    rating_E = rng.integers(1, 6, data.num_interactions).astype(np.float32)
    rating_E[rng.random(data.num_interactions) < missing] = np.nan
    vars(data)["rating_E"] = rating_E
    return data


def pairs_of(split: Split, domains: tuple[str, ...]) -> dict[tuple[int, int], list[tuple[int, float]]]:
    """Per pair of user and item of the training rows the (time, rating) of its events, in order: one by one."""
    found: dict[tuple[int, int], list[tuple[int, float]]] = {}
    events, owner = split.events, np.repeat(np.arange(split.data.num_users), np.diff(split.data.offset_U1))
    for at in np.flatnonzero(trained(split)):
        if events.catalogue.domains[events.domain_E[at]] in domains:
            rating = np.nan if events.rating_E is None else float(events.rating_E[at])
            pair = int(owner[at]), int(events.item_E[at])
            found.setdefault(pair, []).append((int(events.time_E[at]), rating))
    return found


def rows_of(side: Adjacency) -> np.ndarray:
    return np.repeat(np.arange(len(side)), side.degree_N)


@given(worlds(events=20), st.sampled_from(SPLITS), st.sampled_from([None, ("toys",), ("games", "toys")]))
@settings(max_examples=60, deadline=None)
def test_a_graph_holds_exactly_the_training_pairs_with_what_they_carry(data, kind, domains):
    try:
        split = kind.apply(rated(data))
    except DataError:
        return
    graph = build(split, domains)
    expected = pairs_of(split, domains or data.domains)
    side = graph.users
    pairs = list(zip(rows_of(side).tolist(), side.column_E.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == set(expected)
    for edge, pair in enumerate(pairs):
        events = expected[pair]
        assert side.time_E[edge] == events[-1][0]
        assert (1 if side.count_E is None else side.count_E[edge]) == len(events)
        ratings = [rating for _, rating in events if not np.isnan(rating)]
        got = np.nan if side.rating_E is None else side.rating_E[edge]
        np.testing.assert_equal(float(got), ratings[-1] if ratings else np.nan)


@given(worlds(events=20), st.sampled_from(SPLITS))
@settings(max_examples=40, deadline=None)
def test_both_directions_are_each_other_turned_and_both_in_time_order(data, kind):
    try:
        graph = build(kind.apply(rated(data)))
    except DataError:
        return
    sides = []
    for side, turn in ((graph.users, False), (graph.items, True)):
        time_E, same_E = side.time_E, np.diff(rows_of(side)) == 0
        assert (np.diff(time_E)[same_E] >= 0).all()
        rows, columns = rows_of(side), side.column_E
        order = np.lexsort((rows, columns) if turn else (columns, rows))
        kept = [array for name, array in side.arrays().items() if name not in ("offset", "column")]
        sides.append([array[order] for array in ((columns, rows) if turn else (rows, columns), *kept)[1:]])
        pairs = (columns, rows) if turn else (rows, columns)
        sides[-1] += [each[order] for each in pairs]
    for one, other in zip(*sides, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", SPLITS[:4], ids=lambda kind: kind.name)
def test_no_held_out_event_is_an_edge(kind):
    data = tiny_world(60, sizes={"toys": 5000, "games": 5000}, seed=3)  # hardly any repeats
    split = kind.apply(data)
    matrix = build(split).users.matrix()
    trained_pairs = pairs_of(split, data.domains)
    for part in (split.valid, split.test):
        held = [p for p in zip(part.user_N.tolist(), part.item_N.tolist(), strict=True) if p not in trained_pairs]
        assert len(held) > 10
        assert all(matrix[pair] == 0 for pair in held)


def test_the_chunks_change_nothing(monkeypatch):
    split = SPLITS[0].apply(rated(tiny_world(50)))
    whole = build(split)
    chunks = graphs.user_chunks
    monkeypatch.setattr(graphs, "user_chunks", lambda offset, size=0: chunks(offset, 5))
    assert build(split).hash == whole.hash


def test_without_times_the_order_is_that_of_the_histories():
    history = [("toys", 3, 0), ("games", 1, 0), ("toys", 1, 0), ("toys", 3, 0), ("toys", 0, 0), ("toys", 2, 0)]
    data = world_of([history, history], {"toys": 5, "games": 3}, timed=False)
    graph = build(Ratio("toys", 0.2, 0.2).apply(data), ("toys",))
    assert graph.users.time_E is None
    rows = [
        graph.users.column_E[a:b].tolist()
        for a, b in zip(graph.users.offset_N1, graph.users.offset_N1[1:], strict=False)
    ]
    assert all(row and row == [i for i in (2, 4, 1, 3) if i in row] for row in rows)


def test_a_domain_without_times_leaves_a_merged_graph_without_them():
    data = tiny_world(20)
    games_E = data.catalogue.domain_of(data.item_E) == data.domains.index("games")
    vars(data)["time_E"] = np.where(games_E, UNKNOWN_TIME, data.time_E)
    split = SPLITS[0].apply(data)
    assert build(split, ["toys"]).users.time_E is not None
    assert build(split, ["toys", "games"]).users.time_E is None


def test_an_unknown_domain_is_refused():
    with pytest.raises(InputError, match="'toy'"):
        build(SPLITS[0].apply(tiny_world(20)), ["toy"])


def test_a_domain_nobody_trains_on_is_an_empty_graph():
    history = [("toys", i, i) for i in range(5)]
    split = SPLITS[0].apply(world_of([history, history], {"toys": 5, "games": 3}))
    graph = build(split, ["games"])
    assert graph.num_edges == 0
    assert (len(graph.users), len(graph.items)) == (2, 9)
    assert graph.users.matrix().nnz == 0


def test_the_catalogue_orders_domains_and_a_name_alone_is_a_list_of_one():
    split = SPLITS[0].apply(tiny_world(20))
    assert build(split, ("games", "toys")).domains == ("toys", "games")
    assert build(split, "games").hash == build(split, ["games"]).hash != build(split).hash


def test_files_give_back_what_they_took(tmp_path):
    graph = build(SPLITS[0].apply(rated(tiny_world(30))))
    found = load(save(graph, tmp_path / "graph"), verify=True)
    assert found.hash == graph.hash
    assert (found.domains, found.split_hash) == (graph.domains, graph.split_hash)
    for side in ("users", "items"):
        one, other = getattr(found, side), getattr(graph, side)
        assert one.columns == other.columns
        assert one.arrays().keys() == other.arrays().keys()
        for name, array in one.arrays().items():
            assert isinstance(array, np.memmap)
            np.testing.assert_array_equal(array, other.arrays()[name])


def test_an_empty_graph_goes_through_files(tmp_path):
    none = adjacency(1, {"offset": np.zeros(3, np.int64), "column": np.zeros(0, np.int32)})
    graph = Graph((), none, transposed(none))
    assert load(save(graph, tmp_path / "graph"), verify=True).num_edges == 0


def test_writing_into_what_was_loaded_changes_no_file(tmp_path):
    place = save(build(SPLITS[0].apply(tiny_world(20))), tmp_path / "graph")
    load(place).users.column_E[:] = 0
    load(place, verify=True)


def test_a_changed_or_cut_folder_is_refused(tmp_path):
    place = save(build(SPLITS[0].apply(tiny_world(20))), tmp_path / "graph")
    column = place / "users-column.npy"
    whole = column.read_bytes()
    column.write_bytes(whole[:-4] + b"\x01\x00\x00\x00")
    with pytest.raises(DataError, match="content"):
        load(place, verify=True)
    column.write_bytes(whole[:-4])
    with pytest.raises(DataError, match="cut"):
        load(place)
    (place / HEADER).write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        load(place)
    with pytest.raises(DataError, match="not the folder of a graph"):
        load(tmp_path)


def test_a_graph_is_built_once_and_kept_beside_the_prepared_folder(tmp_path, monkeypatch):
    tiny_world(20).save(tmp_path / "prepared")
    split = SPLITS[0].apply(Dataset.load(tmp_path / "prepared"))
    first = kept(split, ["toys"])
    assert (tmp_path / "prepared-graphs").is_dir()
    monkeypatch.setattr("crossrec.data.graph_files.build", None)
    assert kept(split, ["toys"]).hash == first.hash == build(split, ["toys"]).hash
    with pytest.raises(TypeError):
        kept(split, ["games"])
    with pytest.raises(TypeError):
        kept(SPLITS[2].apply(Dataset.load(tmp_path / "prepared")), ["toys"])


def test_data_that_was_never_prepared_is_kept_nowhere_or_where_asked(tmp_path):
    split = SPLITS[0].apply(tiny_world(20))
    assert not isinstance(kept(split).users.column_E, np.memmap)
    assert isinstance(kept(split, folder=tmp_path / "graphs").users.column_E, np.memmap)
