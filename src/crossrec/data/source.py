"""A log before it is read: where it is, its columns, and its batches when asked."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from crossrec.data.place import no_lines
from crossrec.errors import DataError

BATCH_ROWS = 1 << 18
"""Rows of a batch, where the format knows rows."""
BATCH_BYTES = 8 << 20
"""Bytes of text that become a batch."""


@dataclass(frozen=True)
class Source:
    """One log: where it is, its columns, and its batches when asked."""

    where: str
    """Path or name of the frame: the start of every message about it."""
    origin: str
    """Name of the file, or ``frame``: for the card."""
    columns: tuple[str, ...]
    batches: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    """Streams the named columns."""
    rows: int | None = None
    """Number of rows, where it is known beforehand."""
    line_of: Callable[[int], int | None] = no_lines
    """Line of a data row (1-based) in a text file."""


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Errors of reading become a DataError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        said = str(error).strip().split("\n", 1)[0]
        raise DataError(
            f"{path}: cannot be read as {kind.lstrip('.')} ({said}). "
            "Is it cut short, in another format than its suffix says, or closed to this user? Write it again."
        ) from error


def guarded(path: Path, kind: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, with errors of reading turned into a DataError."""
    with readable(path, kind):
        yield from batches
