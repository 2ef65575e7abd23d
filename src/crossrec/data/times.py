"""Times of a log in whatever way they are written, as unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import to_numpy
from crossrec.data.numbers import as_numbers, first_failing, is_text, refuse_null
from crossrec.data.place import Place
from crossrec.data.vocabulary import Ints

MEND = "Give unix seconds (1406073600) or ISO dates (2014-07-23, 2014-07-23T10:00:00Z), one way for the whole column."
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_ARROW = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_BOUNDS = [10**power for power in (10, 11, 13, 14, 16, 17)]
"""Ends of: seconds, nothing likely, milliseconds, nothing likely, ..."""
_ISO = {"ISO dates": pa.timestamp("ns"), "ISO dates with a zone": pa.timestamp("ns", "UTC")}

Times = tuple[Ints, npt.NDArray[np.int32] | None]
"""Unix seconds of the rows, and the nanoseconds above where a time is no whole second; each of shape (rows,)."""


class Clock:
    """Reads the time column of one log, batch after batch, and remembers how it is written.

    Numbers below 10^10 are seconds (to 2286), from 10^11 to 10^13 milliseconds (from 1973), and so on by thousands. A
    number between has no likely unit, and two ways of writing in one column are an error; 0 is the same in all units.
    """

    def __init__(self) -> None:
        self.written: str | None = None
        """How the column is written; None until a row has told."""
        self._told_by = ""

    def read(self, column: pa.Array, place: Place) -> Times:
        """The times of a batch.

        Raises:
            DataError: at a null, at what is no time, NaN, infinite and negative times, and mixed units.
        """
        refuse_null(column, place, f"Every row needs a time. {MEND}")
        if not len(column):
            return np.zeros(0, np.int64), None
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_temporal(column.type):
            return self._dates(column, place)
        if is_text(column.type):
            column = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
            if self.written in _ISO or (self.written is None and "-" in column[0].as_py()[1:]):
                return self._iso(column, place)
        return self._numbers(as_numbers(column, place, f"A time belongs there. {MEND}"), place)

    def note(self) -> str | None:
        """What is to be said about the column; None where it is in plain unix seconds."""
        if self.written in (None, "seconds"):
            return None
        if self.written in UNITS:
            return f"times are in {self.written}, told by their size; kept as seconds"
        return f"times are {self.written}; read as UTC where they name no zone"

    def _tell(self, written: str, row: int, found: object, place: Place) -> None:
        if self.written is None:
            self.written, self._told_by = written, f"{place.row(row)} has {found!r}"
        elif self.written != written:
            raise place.error(row, found, f"This is in {written}, but {self._told_by} ({self.written}). {MEND}")

    def _dates(self, column: pa.Array, place: Place) -> Times:
        kind = column.type
        if pa.types.is_time(kind) or pa.types.is_duration(kind):
            raise place.column_error(f"its type is {kind}, which names no day", MEND)
        self._tell(f"of type {kind}", 0, str(column[0]), place)
        if pa.types.is_date(kind):
            column = column.cast(pa.timestamp("s"))
        return _split(to_numpy(column.cast(pa.int64())), _ARROW[column.type.unit], place)

    def _iso(self, column: pa.Array, place: Place) -> Times:
        for written, kind in _ISO.items():
            if _reads_as(column, kind):
                self._tell(written, 0, column[0].as_py(), place)
                return _split(to_numpy(column.cast(kind).cast(pa.int64())), "nanoseconds", place)
        row = max(first_failing(column, kind) for kind in _ISO.values())
        cell = column.slice(row, 1)
        mend = "A date belongs there."
        if any(_reads_as(cell, kind) for kind in _ISO.values()):
            mend = "Some dates of the column name a zone and some do not."
        elif _reads_as(cell, pa.float64()):
            mend = "That is a number, but earlier rows have dates."
        raise place.error(row, cell[0].as_py(), f"{mend} {MEND}")

    def _numbers(self, values: npt.NDArray[Any], place: Place) -> Times:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise place.error(row, float(values[row]), f"A time is a finite number: remove the row or mend it. {MEND}")
        _refuse_negative(values, "seconds", place)
        band_E = np.searchsorted(_BOUNDS, values, side="right")
        filled = values != 0
        firsts = {int(np.argmax(filled & (band_E == band))): band for band in np.unique(band_E[filled]).tolist()}
        for row, band in sorted(firsts.items()):
            if band % 2:
                raise place.error(row, values[row].item(), f"Seconds after 2286, or a finer unit before 1973? {MEND}")
            self._tell(list(UNITS)[band // 2], row, values[row].item(), place)
        return _split(values, self.written or "seconds", place)


def _reads_as(column: pa.Array, kind: pa.DataType) -> bool:
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _refuse_negative(values: npt.NDArray[Any], unit: str, place: Place) -> None:
    if values.min() >= 0:
        return
    row = int(np.argmax(values < 0))
    found = values[row].item()
    if unit != "seconds":
        found = datetime.fromtimestamp(found // UNITS[unit], UTC).date().isoformat()
    raise place.error(row, found, "A time before 1970 is negative and cannot be used: remove the row or mend it.")


def _split(values: npt.NDArray[Any], unit: str, place: Place) -> Times:
    """Whole seconds, and the nanoseconds above where there are any."""
    _refuse_negative(values, unit, place)
    per_second = UNITS[unit]
    if values.dtype.kind == "f":
        values = values / per_second
        seconds = np.floor(values)
        above = np.rint((values - seconds) * 10**9).clip(0, 10**9 - 1)
    elif per_second == 1:
        return values, None
    else:
        seconds, above = np.divmod(values, per_second)
        above *= 10**9 // per_second
    return seconds.astype(np.int64), above.astype(np.int32) if above.any() else None
