"""Data frames (pandas, polars, Arrow) as sources: they go in through Arrow, neither library is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from crossrec.data.source import BATCH_ROWS, Source
from crossrec.errors import DataError


def open_frame(frame: Any, where: str) -> Source:
    """A frame as a source: an Arrow table, batch or reader, what exports itself to Arrow, or a mapping of columns.

    Raises:
        DataError: if it is no frame, or a wanted column has no Arrow type.
    """
    if isinstance(frame, pa.RecordBatchReader):
        frame = frame.read_all()
    names = _names(frame, where)

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        table = _table(frame, names, list(columns), where)
        yield from table.to_batches(BATCH_ROWS)

    return Source(where, "frame", tuple(names), batches, _length(frame))


def _length(frame: Any) -> int | None:
    if isinstance(frame, Mapping):
        return len(next(iter(frame.values()))) if frame else 0
    return int(frame.shape[0]) if hasattr(frame, "shape") else None


def _names(frame: Any, where: str) -> list[str]:
    if isinstance(frame, pa.Table | pa.RecordBatch):
        return list(frame.schema.names)
    if isinstance(frame, Mapping):
        return [str(name) for name in frame]
    if hasattr(frame, "collect_schema") and not hasattr(frame, "to_arrow"):
        raise DataError(f"{where}: this is a lazy frame. Call .collect() on it first.")
    if hasattr(frame, "columns") and (hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "to_numpy")):
        return [str(name) for name in frame.columns]
    if hasattr(frame, "__arrow_c_schema__"):
        return list(pa.schema(frame).names)
    raise DataError(
        f"{where}: found {type(frame).__name__} where a frame belongs. Give a pandas, polars or Arrow table."
    )


def _table(frame: Any, names: list[str], columns: list[str], where: str) -> pa.Table:
    """The wanted columns alone, so that a column that nobody asked for cannot fail."""
    try:
        if isinstance(frame, pa.RecordBatch):
            return pa.Table.from_batches([frame]).select(columns)
        if isinstance(frame, pa.Table):
            return frame.select(columns)
        if isinstance(frame, Mapping):
            return pa.table({name: frame[name] for name in columns})
        own = [frame.columns[names.index(name)] for name in columns] if hasattr(frame, "columns") else columns
        part = frame[own] if hasattr(frame, "columns") else frame
        if hasattr(part, "to_arrow"):
            return part.to_arrow().rename_columns(columns)
        if hasattr(part, "__arrow_c_stream__"):
            return (
                pa.RecordBatchReader.from_stream(part)
                .read_all()
                .select([str(name) for name in own])
                .rename_columns(columns)
            )
        return pa.Table.from_pandas(part, preserve_index=False).rename_columns(columns)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{where}: the columns {', '.join(columns)} cannot go to Arrow ({'; '.join(map(str, error.args))}). "
            "Give every column one type: ids as text or whole numbers, times and ratings as numbers."
        ) from error
