"""The held-out items that several runs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa

from crossrec.data.arrow import to_numpy
from crossrec.errors import InputError
from crossrec.evaluation.statistics import Ints
from crossrec.experiments.results import Results


def align(results: Sequence[Results]) -> tuple[list[Ints], Ints]:
    """Per run the places of the held-out items that all runs have, in one order; and the user number of each.

    A user may hold out one item twice (in two periods): the first of one run is then the first of another.
    """
    users, items = _codes([r.user_N for r in results]), _codes([r.item_N for r in results])
    width = 1 + max(int(item_N.max()) for item_N in items)
    keys = [user_N * width + item_N for user_N, item_N in zip(users, items, strict=True)]
    repeats = [_occurrence(key_N) for key_N in keys]
    depth = 1 + max(int(repeat_N.max()) for repeat_N in repeats)
    keys = [key_N * depth + repeat_N for key_N, repeat_N in zip(keys, repeats, strict=True)]
    common = reduce(lambda left, right: np.intersect1d(left, right, assume_unique=True), keys[1:], np.sort(keys[0]))
    if len(common) == 0:
        raise InputError("The runs share no held-out item: evaluate them on one prepared folder and one split.")
    index = []
    for key_N in keys:
        order = np.argsort(key_N, kind="stable")
        index.append(order[np.searchsorted(key_N[order], common)])
    return index, common // (width * depth)


def _codes(columns: Sequence[pa.ChunkedArray]) -> list[Ints]:
    """One number per distinct id over all columns; where any column has text, all are read as text.

    Runs of one split mostly have the very same column: it is encoded once.
    """
    integer = all(pa.types.is_integer(column.type) for column in columns)
    columns = [column.cast(pa.int64() if integer else pa.large_string()) for column in columns]
    others = [column for column in columns if not column.equals(columns[0])]
    chunks = [chunk for column in (columns[0], *others) for chunk in column.chunks]
    encoded = pa.chunked_array(chunks).dictionary_encode(null_encoding="encode").unify_dictionaries()
    code = np.concatenate([to_numpy(chunk.indices).astype(np.int64) for chunk in encoded.chunks])
    first_N, *rest = np.split(code, np.cumsum([len(column) for column in (columns[0], *others)])[:-1])
    parts = iter(rest)
    return [first_N if column.equals(columns[0]) else next(parts) for column in columns]


def _occurrence(key_N: Ints) -> Ints:
    """How many times each key came up before its row."""
    order = np.argsort(key_N, kind="stable")
    sorted_N = key_N[order]
    start = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))
    occurrence = np.empty(len(key_N), dtype=np.int64)
    occurrence[order] = np.arange(len(key_N)) - np.repeat(start, np.diff(start, append=len(key_N)))
    return occurrence
