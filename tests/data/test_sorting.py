"""Sorting by packed numbers against sorting tuples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.data.sorting import by_user, later_repeats, local_users, sort_order, user_chunks

small, large = st.integers(-3, 3), st.integers(-(2**62), 2**62)
keys = st.lists(st.tuples(small | large, small, small | large), max_size=30)


def columns(rows: list[tuple[int, ...]]) -> list[np.ndarray]:
    return [np.array([row[at] for row in rows], np.int64) for at in range(3)]


@given(keys)
def test_order_is_that_of_tuples(rows: list[tuple[int, ...]]) -> None:
    assert sort_order(columns(rows)).tolist() == sorted(range(len(rows)), key=rows.__getitem__)


@given(keys)
def test_repeats_are_rows_seen_before(rows: list[tuple[int, ...]]) -> None:
    expected = [row in rows[:at] for at, row in enumerate(rows)]
    assert later_repeats(columns(rows)).tolist() == expected
    first, *others = columns(rows)
    assert later_repeats([first], others).tolist() == expected


@given(st.lists(st.integers(0, 6), max_size=50))
def test_by_user_is_stable(users: list[int]) -> None:
    expected = sorted(range(len(users)), key=users.__getitem__)
    assert by_user(np.array(users, np.int32), 7).tolist() == expected


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 12))
def test_chunks_cover_all_and_cut_no_user(lengths: list[int], size: int) -> None:
    offset = np.concatenate([[0], np.cumsum(lengths)])
    chunks = list(user_chunks(offset, size))
    rows = [row for _, part in chunks for row in range(part.start, part.stop)]
    assert rows == list(range(int(offset[-1])))
    user_E = np.repeat(np.arange(len(lengths)), lengths)
    for users, part in chunks:
        assert (local_users(offset, users) + users.start).tolist() == user_E[part].tolist()
        assert part.stop - part.start <= max(size + max(lengths), 1)


@pytest.mark.parametrize("shape", [0, 1])
def test_short_keys(shape: int) -> None:
    assert sort_order([np.zeros(shape, np.int64)]).tolist() == list(range(shape))
