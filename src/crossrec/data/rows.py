"""One domain's batches to columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import from_numpy, to_numpy
from crossrec.data.coding import Coder
from crossrec.data.numbers import as_numbers, is_text, refuse_null
from crossrec.data.place import Place
from crossrec.data.scale import Scale
from crossrec.data.times import Clock

Values = npt.NDArray[Any]
_RATING = "A rating is a finite number, or left empty where there is none."
_POSITION = "A position is a whole number from 0 on: the place in the order as published."


class Rows:
    """Reads the batches of one domain, and keeps what must be known from batch to batch."""

    def __init__(self, users: Coder, places: Mapping[str, Place], scale: Scale | None = None) -> None:
        """``scale``: what no rating may lie outside of; None: any finite number is one."""
        self.users = users
        self.scale = scale
        self.items = Coder()
        self.places = places
        self._clock = Clock()
        self._without_rating = 0

    def read(self, columns: Mapping[str, pa.Array], before: int, first_row: int) -> dict[str, Values]:
        """Codes, seconds (and nanoseconds above), ratings and positions of a batch, each of shape (rows,).

        Args:
            columns: The batch, by role.
            before: Rows of the domain before it.
            first_row: Rows of all domains before it.
        """
        place = {role: self.places[role].at(before) for role in columns}
        values: dict[str, Values] = {
            "user": self.users.add(columns["user"], place["user"], first_row),
            "item": self.items.add(columns["item"], place["item"], first_row),
        }
        if "time" in columns:
            values["time"], above = self._clock.read(columns["time"], place["time"])
            if above is not None:
                values["nanosecond"] = above
        if "rating" in columns:
            values["rating"] = self._ratings(columns["rating"], place["rating"])
        if "position" in columns:
            values["position"] = _positions(columns["position"], place["position"])
        return values

    def notes(self) -> list[str]:
        """What is to be said about the columns read."""
        unrated = (
            f"{self._without_rating:,} rows have no rating; they are kept without" if self._without_rating else None
        )
        return [note for note in (self._clock.note(), unrated) if note]

    def _ratings(self, column: pa.Array, place: Place) -> Values:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if is_text(column.type):
            column = _blank_as_null(column.cast(pa.large_string()))
        values = as_numbers(column, place, _RATING).astype(np.float32)
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise place.error(row, float(values[row]), _RATING)
        if self.scale is not None:
            beyond = (values < self.scale.low) | (values > self.scale.high)
            if beyond.any():
                row = int(np.argmax(beyond))
                mend = f"The scale of these ratings was said to be {self.scale}: mend the log, or name another scale."
                raise place.error(row, float(values[row]), mend)
        self._without_rating += int(np.isnan(values).sum())
        return values


def _blank_as_null(column: pa.Array) -> pa.Array:
    length = to_numpy(pc.binary_length(pc.utf8_trim_whitespace(column)).cast(pa.float64()))
    blanks = int((length == 0).sum())
    return pc.replace_with_mask(column, from_numpy(length == 0), pa.nulls(blanks, column.type)) if blanks else column


def _positions(column: pa.Array, place: Place) -> Values:
    refuse_null(column, place, _POSITION)
    values = as_numbers(column, place, _POSITION)
    wrong = (
        values < 0 if values.dtype.kind != "f" else ~((values >= 0) & (values == np.floor(values)) & (values < 2**53))
    )
    if wrong.any():
        row = int(np.argmax(wrong))
        raise place.error(row, values[row].item(), _POSITION)
    return values.astype(np.int64)
