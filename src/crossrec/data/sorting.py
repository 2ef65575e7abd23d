"""Sorting and finding repeats, in linear time where users bound the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from crossrec.data.vocabulary import Ints

Array = npt.NDArray[Any]
CHUNK = 1 << 18
"""Interactions worked on at a time: whole users, so that temporary arrays stay small and time stays linear."""


def by_user(user_E: npt.NDArray[np.int32], num_users: int) -> Array:
    """The rows in the order of their users, each user's in the order they had (a counting sort); shape (E,)."""
    rows = len(user_E)
    row_E = np.arange(rows, dtype=np.int32 if rows < 2**31 else np.int64)
    matrix = coo_array((np.ones(rows, np.int8), (user_E, row_E)), shape=(num_users, rows))
    matrix.has_canonical_format = True
    return np.asarray(matrix.tocsr().indices)


def user_chunks(offset_U1: Ints, size: int = CHUNK) -> Iterator[tuple[slice, slice]]:
    """(users, their interactions) in chunks of about ``size`` interactions; a user is never cut."""
    ends = np.searchsorted(offset_U1, np.arange(size, int(offset_U1[-1]) + size, size))
    first = 0
    for end in np.unique(np.minimum(ends, len(offset_U1) - 1)).tolist():
        yield slice(first, end), slice(int(offset_U1[first]), int(offset_U1[end]))
        first = end


def local_users(offset_U1: Ints, users: slice) -> npt.NDArray[np.int32]:
    """The user of every interaction of a chunk, counted from the chunk's first."""
    lengths = np.diff(offset_U1[users.start : users.stop + 1])
    return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)


def sort_order(keys: Sequence[Array]) -> Array:
    """The stable order of rows by the first key, then the second, ...; keys are whole numbers of shape (N,).

    Keys and row numbers are packed into one number of 64 bits where they fit: sorting plain numbers is several times
    faster than sorting an index.
    """
    rows = len(keys[0])
    spans = [_span(key) for key in keys]
    bits = [(high - low).bit_length() for low, high in spans]
    row_bits = max(rows - 1, 0).bit_length()
    if sum(bits) + row_bits > 63:
        return np.lexsort(tuple(reversed(keys)))
    packed = np.zeros(rows, np.int64)
    for key, (low, _), width in zip(keys, spans, bits, strict=True):
        packed <<= width
        packed |= key.astype(np.int64) - low
    packed <<= row_bits
    packed |= np.arange(rows)
    packed.sort()
    packed &= (1 << row_bits) - 1
    return packed


def _span(key: Array) -> tuple[int, int]:
    return (int(key.min()), int(key.max())) if len(key) else (0, 0)


def grouped(keys: Sequence[Array]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Rows ordered so that those with equal keys stand together, and whether each equals the one before; both (N,)."""
    order = sort_order(keys)
    same = np.ones(len(order), bool)
    same[:1] = False
    for key in keys:
        ordered = key[order]
        same[1:] &= ordered[1:] == ordered[:-1]
    return order, same


def later_repeats(keys: Sequence[Array], also: Sequence[Array] = ()) -> npt.NDArray[np.bool_]:
    """True at every row whose keys all equal those of an earlier row; shape (N,).

    Args:
        keys: Whole numbers, each of shape (N,).
        also: More keys, looked at only where the first ones repeat.
    """
    order, same = grouped(keys)
    repeat = np.zeros(len(order), bool)
    if not also:
        repeat[order] = same
        return repeat
    in_group = same.copy()
    in_group[:-1] |= same[1:]
    among = order[in_group]
    group = np.cumsum(~same)[in_group]
    repeat[among] = later_repeats([group, *(key[among] for key in also)])
    return repeat
