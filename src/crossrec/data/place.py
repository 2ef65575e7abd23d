"""Where in a log something stands: the start of every message about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from crossrec.errors import DataError


def no_lines(row: int) -> int | None:
    """For logs that are not text: a row has no line."""
    return None


@dataclass(frozen=True)
class Place:
    """A column of one log, from a given row on."""

    where: str
    """Path of the file, or the name of the frame."""
    column: str
    first_row: int = 0
    """Rows of the log before the batch at hand."""
    line_of: Callable[[int], int | None] = no_lines
    """Line of a data row (1-based) in a text file."""

    def at(self, first_row: int) -> Place:
        """The same column in a later batch."""
        return replace(self, first_row=first_row)

    def row(self, row: int) -> str:
        """``row 3 (line 4)``: the place of a row of the batch, counted from 1 over the whole log."""
        number = self.first_row + row + 1
        line = self.line_of(number)
        return f"row {number:,}" if line is None else f"row {number:,} (line {line:,})"

    def error(self, row: int, found: object, mend: str) -> DataError:
        """The error for one cell of the batch.

        Args:
            row: Row in the batch, from 0.
            found: What stands there (shown shortened), or words for it.
            mend: What belongs there and what would mend it.
        """
        shown = found if isinstance(found, _Words) else _shortened(repr(found))
        return DataError(f"{self.where}, {self.row(row)}, column {self.column!r}: found {shown}. {mend}")

    def column_error(self, found: str, mend: str) -> DataError:
        """The error for the column as a whole."""
        return DataError(f"{self.where}, column {self.column!r}: {found}. {mend}")


class _Words(str):
    __slots__ = ()


def words(text: str) -> str:
    """Marks a description (``nothing``, ``a blank``), which a message shows without quotes."""
    return _Words(text)


def _shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[:most] + "…"
