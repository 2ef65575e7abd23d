"""Files that hold a log or an items table, their format told by the suffix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crossrec.data import source
from crossrec.data.source import Source, guarded, readable
from crossrec.data.text import DELIMITED, delimited, json_lines
from crossrec.errors import DataError

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
"""Suffix of a compressed text file, and what Arrow calls the compression."""
JSON_LINES = (".jsonl", ".ndjson")
KNOWN = f".parquet, {', '.join((*DELIMITED, *JSON_LINES))} (the text formats also with {' or '.join(COMPRESSED)})"


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
            return delimited(path, kind, compression)
        return json_lines(path, kind, compression)


def _parquet(path: Path) -> Source:
    with pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        coded = [name for name in columns if _is_text(schema.field(name).type)]
        with pq.ParquetFile(path, read_dictionary=coded, pre_buffer=False, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(source.BATCH_ROWS, columns=list(columns), use_threads=False):
                yield batch
                pa.default_memory_pool().release_unused()

    return Source(
        str(path), path.name, tuple(schema.names), lambda columns: guarded(path, ".parquet", batches(columns)), rows
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
