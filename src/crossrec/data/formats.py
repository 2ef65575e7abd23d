"""Files that hold a log or an items table, opened as a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.data.place import no_lines
from crossrec.errors import DataError

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
"""Suffix of a compressed text file, and what Arrow calls the compression."""
DELIMITED = {".csv": ",", ".tsv": "\t", ".inter": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
KNOWN = f".parquet, {', '.join((*DELIMITED, *JSON_LINES))} (the text formats also with {' or '.join(COMPRESSED)})"
BATCH_ROWS = 1 << 18
BATCH_BYTES = 8 << 20


@dataclass(frozen=True)
class Source:
    """One log: where it is, its columns, and its batches when asked."""

    where: str
    """Path or name of the frame: the start of every message about it."""
    columns: tuple[str, ...]
    batches: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    """Streams the named columns."""
    rows: int | None = None
    """Number of rows, where it is known beforehand."""
    line_of: Callable[[int], int | None] = no_lines
    """Line of a data row (1-based) in a text file."""


def split_name(path: Path) -> tuple[str, str, str | None] | None:
    """(stem, format suffix, compression) of a file name; None where the suffix is not one of ``KNOWN``."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if not suffixes:
        return None
    packed = suffixes[-1] in COMPRESSED and len(suffixes) == 2
    kind = suffixes[0] if packed else suffixes[-1]
    if kind not in (*DELIMITED, *JSON_LINES) and (kind != ".parquet" or packed):
        return None
    stem = path.name[: -len("".join(path.suffixes[-2:] if packed else path.suffixes[-1:]))]
    return (stem, kind, COMPRESSED[suffixes[-1]] if packed else None) if stem else None


def open_file(path: Path) -> Source:
    """The log in a file, its format told by the suffix.

    Raises:
        DataError: if the suffix is unknown, the file is empty, or it cannot be read as what its suffix says.
    """
    from crossrec.data import text  # noqa: PLC0415 - text builds Sources: it imports this module

    named = split_name(path)
    if named is None:
        raise DataError(f"{path}: unknown suffix. Known: {KNOWN}. Convert or rename the file.")
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty. Write the log again, or take the file away.")
    _, kind, compression = named
    with readable(path, kind):
        if kind == ".parquet":
            return _parquet(path)
        if kind in DELIMITED:
            return text.delimited(path, kind, compression)
        return text.json_lines(path, kind, compression)


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Errors of reading become a DataError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
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


def _parquet(path: Path) -> Source:
    with pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        coded = [name for name in columns if _is_text(schema.field(name).type)]
        with pq.ParquetFile(path, read_dictionary=coded, pre_buffer=False, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False):
                yield batch
                pa.default_memory_pool().release_unused()

    return Source(str(path), tuple(schema.names), lambda columns: guarded(path, ".parquet", batches(columns)), rows)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
