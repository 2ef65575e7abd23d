"""Own ids to numbers while a log streams past: batches are numbered by themselves and brought together at times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import from_numpy, is_valid, text_array, to_numpy
from crossrec.data.place import Place, words
from crossrec.data.vocabulary import Vocabulary

Codes = npt.NDArray[np.int32]
_MEND = "Every row needs an id; remove such rows or mend the log."
_WAITING = 1 << 17
"""Distinct ids of batches that may wait, at least, before they are brought together with those known."""


@dataclass
class _Batch:
    """Rows whose ids are numbered by themselves so far: consecutive batches with the same dictionary are one."""

    rows: slice
    places: list[tuple[int, Place]]
    """(first row, place) of every batch."""
    distinct: list[pa.Array]
    dictionary: pa.Array | None = None
    number_D: Codes | None = None
    """Number of every entry of the dictionary; -1 where no row has had it yet."""
    count: int = 0

    def code(self, indices: pa.Array) -> Codes:
        """Numbers of a batch's rows, given the places of their ids in the dictionary."""
        assert self.dictionary is not None
        assert self.number_D is not None
        index = to_numpy(indices)
        fresh = index[self.number_D[index] < 0]
        if len(fresh):
            first = from_numpy(fresh).dictionary_encode().dictionary
            self.number_D[to_numpy(first)] = np.arange(self.count, self.count + len(first))
            self.count += len(first)
            self.distinct.append(self.dictionary.take(first))
        return np.asarray(self.number_D[index])


class Coder:
    """A vocabulary that grows: ids are numbered in the order of their first appearance.

    The rows of a batch first get numbers within the batch (:meth:`add`). Once many more ids wait than are known,
    :meth:`settle` turns these into the final numbers: the work stays linear, and no Python object is made per id.
    """

    def __init__(self) -> None:
        self.texts: pa.Array = text_array([])
        """The ids by their numbers, as far as settled."""
        self._kinds: set[str] = set()
        self._waiting: list[_Batch] = []

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def due(self) -> bool:
        """Whether it is time to settle."""
        return sum(batch.count for batch in self._waiting) >= max(4 * len(self.texts), _WAITING)

    def add(self, column: pa.Array, place: Place, first_row: int) -> Codes:
        """Numbers within the batch of its ids, shape (rows,); to be written from ``first_row`` on.

        Raises:
            DataError: at a null id, and at a column that cannot hold ids.
        """
        if column.null_count:
            raise place.error(int(np.argmin(is_valid(column))), words("no id (null)"), _MEND)
        rows = slice(first_row, first_row + len(column))
        if not pa.types.is_dictionary(column.type):
            encoded = _plain(column, place).dictionary_encode()
            self._waiting.append(
                _Batch(rows, [(first_row, place)], [encoded.dictionary], count=len(encoded.dictionary))
            )
            self._kinds.add(_kind(encoded.dictionary.type))
            return to_numpy(encoded.indices)
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.dictionary is not None and column.dictionary.equals(last.dictionary):
            last.rows = slice(last.rows.start, rows.stop)
            last.places.append((first_row, place))
        else:
            number_D = np.full(len(column.dictionary), -1, np.int32)
            last = _Batch(rows, [(first_row, place)], [], column.dictionary, number_D)
            self._waiting.append(last)
            self._kinds.add(_kind(column.type.value_type))
        return last.code(column.indices)

    def settle(self, codes_E: Codes) -> None:
        """Turns the numbers of the waiting batches into the final ones, in place.

        Raises:
            DataError: at a blank id.
        """
        known = len(self.texts)
        waiting = [
            _plain(part, batch.places[0][1]).cast(pa.large_string())
            for batch in self._waiting
            for part in batch.distinct
        ]
        merged = pa.concat_arrays([self.texts, *waiting]).dictionary_encode()
        number = to_numpy(merged.indices)[known:]
        self.texts = merged.dictionary
        for batch in self._waiting:
            codes_E[batch.rows] = number[: batch.count][codes_E[batch.rows]]
            number = number[batch.count :]
        self._refuse_blank(known, codes_E)
        self._waiting = []

    def _refuse_blank(self, known: int, codes_E: Codes) -> None:
        length = to_numpy(pc.binary_length(pc.utf8_trim_whitespace(self.texts.slice(known))))
        if length.all():
            return
        blank = known + int(np.argmin(length))
        batch = next(batch for batch in self._waiting if (codes_E[batch.rows] == blank).any())
        row = batch.rows.start + int(np.argmax(codes_E[batch.rows] == blank))
        first, place = max((start, place) for start, place in batch.places if start <= row)
        raise place.error(row - first, self.texts[blank].as_py(), f"A blank is no id. {_MEND}")

    def vocabulary(self) -> Vocabulary:
        """The ids in the order of their numbers; their kind is text where the logs did not agree on one."""
        assert not self._waiting, "settle first"
        return Vocabulary(self.texts, next(iter(self._kinds)) if len(self._kinds) == 1 else "string")


def _kind(kind: pa.DataType) -> str:
    return str(kind) if pa.types.is_integer(kind) else "int64" if pa.types.is_floating(kind) else "string"


def _plain(column: pa.Array, place: Place) -> pa.Array:
    """Ids as text or whole numbers. Whole numbers that stand among broken ones are taken as what they are."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column
    if pa.types.is_floating(kind):
        values = to_numpy(column.cast(pa.float64()))
        whole = np.floor(values) == values
        if not whole.all():
            row = int(np.argmin(whole))
            raise place.error(row, float(values[row]), "Ids are text or whole numbers: convert the column.")
        return column.cast(pa.int64())
    if str(kind) == "string_view":
        return column.cast(pa.large_string())
    raise place.column_error(f"its type is {kind}", "Ids are text or whole numbers: convert the column.")
