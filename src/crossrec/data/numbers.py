"""Columns of numbers: from whatever Arrow type they have, or from text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import is_valid, to_numpy
from crossrec.data.place import Place, words

Numbers = npt.NDArray[Any]


def is_text(kind: pa.DataType) -> bool:
    """True for the types that hold text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def as_numbers(column: pa.Array, place: Place, mend: str) -> Numbers:
    """A column as int64 where all its values are whole by type or by spelling, else as float64; shape (rows,).

    Raises:
        DataError: at text that is no number (with ``mend``), and at a type that holds none.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if is_text(kind):
        column = _parsed(column.cast(pa.large_string()), place, mend)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        column = _whole(column, place, mend)
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not pa.types.is_null(kind):
        raise place.column_error(f"its type is {kind}", mend)
    return to_numpy(column.cast(pa.float64()) if column.null_count else column)


def refuse_null(column: pa.Array, place: Place, mend: str) -> None:
    """A value must stand in every row."""
    if column.null_count:
        row = int(np.argmin(is_valid(column)))
        raise place.error(row, words("nothing (null)"), mend)


def _whole(column: pa.Array, place: Place, mend: str) -> pa.Array:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise place.column_error(f"found whole numbers beyond 64 bits with a sign ({error})", mend) from error


def _parsed(column: pa.Array, place: Place, mend: str) -> pa.Array:
    for attempt in (column, pc.utf8_trim_whitespace(column)):
        for kind in (pa.int64(), pa.float64()):
            try:
                return attempt.cast(kind)
            except pa.ArrowInvalid:
                continue
    row = first_failing(pc.utf8_trim_whitespace(column), pa.float64())
    found = column[row].as_py()
    raise place.error(row, found if found.strip() else words("a blank"), mend)


def first_failing(column: pa.Array, kind: pa.DataType) -> int:
    """The first row of a text column that cannot be cast; the column as a whole must be known not to be."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).cast(kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
