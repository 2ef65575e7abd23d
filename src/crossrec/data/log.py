"""The interactions of all domains as they stand in the logs: columns that grow while the logs stream past."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crossrec.data.coding import Coder
from crossrec.data.columns import Columns
from crossrec.data.dataset import UNKNOWN_TIME
from crossrec.data.place import Place
from crossrec.data.rows import Rows
from crossrec.data.scale import Scale
from crossrec.data.source import Source
from crossrec.errors import DataError

UNKNOWN: dict[str, Any] = {"time": UNKNOWN_TIME, "nanosecond": 0, "rating": np.nan, "position": -1}
"""What stands in a column for the rows of a domain that does not have it."""
_TYPES = {"user": np.int32, "item": np.int32, "time": np.int64, "nanosecond": np.int32, "rating": np.float32}


class Log:
    """All rows read so far, domain after domain. A column exists from the first domain on that has it.

    Columns: ``user`` and ``item`` (codes, the items' counted within their domain), ``time`` (unix seconds),
    ``nanosecond`` (above the second), ``rating``, ``position``.
    """

    def __init__(self, rows: int = 0, scale: Scale | None = None) -> None:
        """Args:
        rows: how many rows are expected in all, where known; room is made for them at once.
        scale: what no rating may lie outside of.
        """
        self.rows = 0
        self.scale = scale
        self.ends: dict[str, int] = {}
        """Rows up to the end of every domain."""
        self.users = Coder()
        self.items: dict[str, Coder] = {}
        self.roles: dict[str, tuple[str, ...]] = {}
        """What every domain has: user, item, and of time, rating and position those that it gives."""
        self.notes: list[str] = []
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._room = rows

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def take(self, name: str) -> npt.NDArray[Any]:
        """A whole column, shape (rows,). It leaves the log, so that its memory goes when the caller lets go of it."""
        return self._columns.pop(name)[: self.rows]

    def read(self, domain: str, source: Source, columns: Columns) -> None:
        """Adds one domain.

        Raises:
            DataError: at whatever cannot be used in it.
        """
        found = columns.present(source.columns, source.where)
        places = {role: Place(source.where, name, 0, source.line_of) for role, name in found.items()}
        first, rows = self.rows, Rows(self.users, places, self.scale)
        for batch in source.batches(list(found.values())):
            columns_of = dict(zip(found, batch.columns, strict=True))
            self._add(rows.read(columns_of, self.rows - first, self.rows), batch.num_rows)
            for name, coder in (("user", self.users), ("item", rows.items)):
                if coder.due:
                    coder.settle(self._columns[name])
        if self.rows == first:
            raise DataError(f"{source.where}: it has no row. Leave the domain out, or write its log again.")
        self.users.settle(self._columns["user"])
        rows.items.settle(self._columns["item"])
        pa.default_memory_pool().release_unused()
        self.ends[domain], self.items[domain], self.roles[domain] = self.rows, rows.items, tuple(found)
        self.notes += [f"{domain}: {note}" for note in rows.notes()]

    def _add(self, batch: dict[str, npt.NDArray[Any]], count: int) -> None:
        end = self.rows + count
        if end > self._room:
            self._room = max(end, 2 * self.rows)
            self._columns = {name: self._moved(column) for name, column in self._columns.items()}
        for name, values in batch.items():
            if name not in self._columns:
                self._columns[name] = np.empty(self._room, _TYPES.get(name, values.dtype))
                self._columns[name][: self.rows] = UNKNOWN.get(name, 0)
        for name, column in self._columns.items():
            column[self.rows : end] = batch[name] if name in batch else UNKNOWN[name]
        self.rows = end

    def _moved(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        larger = np.empty(self._room, column.dtype)
        larger[: self.rows] = column[: self.rows]
        return larger
