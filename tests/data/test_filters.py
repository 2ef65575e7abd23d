"""Filters against plain loops over rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossrec.data.dataset import Dataset
from crossrec.data.filters import Filters
from crossrec.errors import DataError, InputError

Row = tuple[str, str, str, int, float]
"""(domain, user, item, time, rating)"""


def dataset(rows: list[Row]) -> Dataset:
    frames: dict[str, Any] = {}
    for name in sorted({row[0] for row in rows}):
        columns = zip(*(row[1:] for row in rows if row[0] == name), strict=True)
        frames[name] = pa.table(dict(zip(("user_id", "item_id", "t", "r"), map(list, columns), strict=True)))
    return Dataset.from_frames(frames, time="t", rating="r")


def rows_of(data: Dataset) -> list[Row]:
    """The rows of a dataset in the order of the histories."""
    users = data.users.ids(np.repeat(np.arange(data.num_users), np.diff(data.offset_U1))).to_pylist()
    domain_E = data.catalogue.domain_of(data.item_E)
    assert data.time_E is not None
    rows = []
    for e, (user, d) in enumerate(zip(users, domain_E.tolist(), strict=True)):
        name = data.domains[d]
        item = data.items[name].ids([int(data.item_E[e]) - data.catalogue.block(name).start])[0].as_py()
        rating = float("nan") if data.rating_E is None else float(data.rating_E[e])
        rows.append((name, user, item, int(data.time_E[e]), rating))
    return rows


def cored(rows: list[Row], user_core: int, item_core: int, total: bool, once: bool, need: int, least: int) -> list[Row]:
    """The same filters, row by row."""
    while True:
        before = len(rows)
        per_domain = Counter((row[1], row[0]) for row in rows)
        spread = Counter(user for (user, _), count in per_domain.items() if count >= least)
        rows = [row for row in rows if spread[row[1]] >= need]
        users = Counter(row[1] if total else (row[1], row[0]) for row in rows)
        items = Counter((row[0], row[2]) for row in rows)
        judged = [(row, users[row[1] if total else (row[1], row[0])], items[row[0], row[2]]) for row in rows]
        if once:
            return [row for row, of_user, of_item in judged if of_user >= user_core and of_item >= item_core]
        rows = [row for row, of_user, _ in judged if of_user >= user_core]
        items = Counter((row[0], row[2]) for row in rows)
        rows = [row for row in rows if items[row[0], row[2]] >= item_core]
        if len(rows) == before:
            return rows


some_rows = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("uvwxyz"),
        st.sampled_from("ijkl"),
        st.integers(0, 9),
        st.integers(1, 5).map(float),
    ),
    min_size=1,
    max_size=80,
)


@settings(max_examples=80, deadline=None)
@given(
    some_rows, st.integers(0, 4), st.integers(0, 4), st.booleans(), st.booleans(), st.integers(0, 3), st.integers(0, 3)
)
def test_cores_and_overlap_equal_loops(
    rows: list[Row], user_core: int, item_core: int, total: bool, once: bool, overlap: int, least: int
) -> None:
    data = dataset(rows)
    need = min(overlap, len(data.domains))
    filters = Filters(
        overlap_only=need if need else False,
        min_per_domain=least,
        user_core=user_core,
        item_core=item_core,
        user_count="total" if total else "per_domain",
        core="one-pass" if once else "fixed-point",
    )
    needed = need or (len(data.domains) if least else 0)
    expected = cored(rows_of(data), user_core, item_core, total, once, needed, max(least, 1))
    left = filters.run(data)
    assert [rows_of(data)[row] for row in left.row_S] == expected
    gone = sum(sizes["interactions"] for account in left.report.values() for sizes in account.values())
    assert gone == len(rows) - len(expected)
    if {row[0] for row in expected} == set(data.domains):
        result = filters.apply(data)
        assert rows_of(result) == expected
        order = {user: at for at, user in enumerate(data.users.text.to_pylist())}
        assert result.users.text.to_pylist() == sorted({row[1] for row in expected}, key=order.__getitem__)
        assert sum(len(ids) for ids in result.items.values()) == len({(row[0], row[2]) for row in expected})
    else:
        with pytest.raises(DataError, match="Nothing is left of the domain"):
            filters.apply(data)


@settings(max_examples=40, deadline=None)
@given(some_rows, st.integers(1, 5), st.integers(0, 9))
def test_window_ratings_and_repeats_equal_loops(rows: list[Row], least: int, since: int) -> None:
    data = dataset(rows)
    expected = [row for row in rows_of(data) if row[3] >= since and row[3] < since + 5]
    expected = [row for row in expected if row[4] >= least]
    first: dict[Any, Row] = {}
    for row in expected:
        first.setdefault(row[:3], row)
    filters = Filters(since=since, until=since + 5, binarise=least, earliest_of_repeats=True)
    assert [rows_of(data)[row] for row in filters.run(data).row_S] == list(first.values())
    assume({row[0] for row in expected} == set(data.domains))
    assert filters.apply(data).rating_E is None


def test_the_card_says_what_each_filter_dropped_in_order() -> None:
    rows: list[Row] = [
        ("a", "u", "i", 1, 5.0),
        ("a", "u", "i", 2, 5.0),
        ("a", "v", "j", 3, 1.0),
        ("b", "u", "g", 9, 5.0),
    ]
    data = dataset(rows)
    result = Filters(binarise=3.0, earliest_of_repeats=True, overlap_only=True).apply(data)
    entry = result.card["filters"][0]
    assert entry["set"] == {"binarise": 3.0, "earliest_of_repeats": True, "overlap_only": True}
    assert list(entry["dropped"]) == ["binarise", "earliest_of_repeats", "overlap_only"]
    assert entry["dropped"]["binarise"]["a"] == {"users": 1, "items": 1, "interactions": 1}
    assert entry["dropped"]["earliest_of_repeats"]["a"] == {"users": 0, "items": 0, "interactions": 1}
    assert entry["dropped"]["overlap_only"]["a"] == {"users": 0, "items": 0, "interactions": 0}
    again = Filters(user_core=1).apply(result)
    assert [entry["set"] for entry in again.card["filters"]][1] == {"user_core": 1}
    assert data.card["filters"] == []


def test_titles_follow_their_items() -> None:
    toys = pa.table({"user_id": list("uvv"), "item_id": list("abc")})
    data = Dataset.from_frames({"toys": toys}, items={"item_id": list("abc"), "title": ["A", "B", "C"]})
    assert Filters(user_core=2).apply(data).titles["toys"]["title"].to_pylist() == ["B", "C"]


def test_dates_are_moments() -> None:
    rows: list[Row] = [("a", "u", "i", 86399, 1.0), ("a", "u", "j", 86400, 1.0), ("a", "u", "k", 2 * 86400, 1.0)]
    result = Filters(since="1970-01-02", until="1970-01-03").apply(dataset(rows))
    assert [row[2] for row in rows_of(result)] == ["j"]


def test_filters_go_with_reading() -> None:
    toys = pa.table({"user_id": list("uvv"), "item_id": list("abc")})
    assert Dataset.from_frames({"toys": toys}, filters=Filters(user_core=2)).num_users == 1


@pytest.mark.parametrize(
    "arguments",
    [{"core": "twice"}, {"user_count": "mean"}, {"user_core": -1}, {"since": "soon"}, {"since": 5, "until": 5}],
)
def test_settings_that_make_no_sense(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=str(next(iter(arguments.values())))):
        Filters(**arguments)


def test_filters_that_the_data_cannot_serve() -> None:
    timed = {"user_id": ["u"], "item_id": ["a"], "t": [1], "p": [0]}
    untimed = {"user_id": ["u"], "item_id": ["b"], "p": [1]}
    data = Dataset.from_frames({"book": timed, "music": untimed}, time="t", position="p")
    with pytest.raises(DataError, match="since: music has no times"):
        Filters(since=0).apply(data)
    with pytest.raises(DataError, match="binarise: no domain has ratings"):
        Filters(binarise=4).apply(data)
    with pytest.raises(InputError, match="overlap_only: found 3, but there are 2 domains"):
        Filters(overlap_only=3).apply(data)


def test_a_domain_of_clicks_passes_binarise() -> None:
    rated = {"user_id": ["u", "u"], "item_id": ["a", "b"], "r": [5.0, 1.0], "p": [0, 1]}
    clicked = {"user_id": ["u"], "item_id": ["c"], "p": [2]}
    data = Dataset.from_frames({"rated": rated, "clicked": clicked}, rating="r", position="p")
    result = Filters(binarise=4).apply(data)
    assert {name: len(ids) for name, ids in result.items.items()} == {"rated": 1, "clicked": 1}


@pytest.mark.real
def test_users_of_all_three_domains(real_data: Path) -> None:
    data = Dataset.from_folder(real_data / "amazon14-beauty-toys-clothing-timed")
    assert Filters(overlap_only=True).apply(data).num_users == 755
    assert Filters(overlap_only=2).apply(data).num_users == 7128
