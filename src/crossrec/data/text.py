"""CSV, TSV, RecBole's ``.inter`` and JSON lines, plain or compressed, as streams of Arrow batches.

CSV cells stay text here: what they should be is known further on, where a wrong one can be named by its row.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson

from crossrec.data.place import Place
from crossrec.data.source import BATCH_BYTES, Source, guarded
from crossrec.errors import DataError

DELIMITED = {".csv": ",", ".tsv": "\t", ".inter": "\t"}
"""Suffix of a file of separated values, and the separator."""
Opener = Callable[[], Any]
FIRST_LINES = 1000
"""JSON lines looked at to learn the columns and their types."""


def delimited(path: Path, kind: str, compression: str | None) -> Source:
    """A file of separated values whose first line names the columns (``.inter``: ``name:type``)."""
    opened = _opener(path, compression)
    records = _Records(opened, DELIMITED[kind], quoted=kind != ".inter")
    header = next(iter(records), None)
    if header is None:
        raise DataError(f"{path}: the file is empty. Write the log again, or take the file away.")
    raw = header[1]
    names = tuple(name.split(":")[0] if kind == ".inter" else name for name in raw)

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        wanted = [raw[names.index(name)] for name in columns]
        with opened() as stream:
            try:
                for batch in pacsv.open_csv(
                    stream,
                    pacsv.ReadOptions(block_size=BATCH_BYTES),
                    pacsv.ParseOptions(
                        delimiter=records.delimiter,
                        quote_char='"' if records.quoted else False,
                        newlines_in_values=records.quoted,
                    ),
                    pacsv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.large_string())),
                ):
                    yield batch.rename_columns(list(columns))
            except pa.ArrowInvalid as error:
                _check_widths(path, records, len(raw))
                raise error

    return Source(
        str(path), path.name, names, lambda columns: guarded(path, kind, batches(columns)), None, records.line_of
    )


class _Records:
    """The records of a delimited file one by one: slow, for the header and for saying where something stands."""

    def __init__(self, opened: Opener, delimiter: str, quoted: bool) -> None:
        self.opened = opened
        self.delimiter = delimiter
        self.quoted = quoted

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        with self.opened() as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
            rows = csv.reader(text, delimiter=self.delimiter)
            plain = csv.reader(text, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
            reader = rows if self.quoted else plain
            at = 1
            for record in reader:
                if record:
                    yield at, record
                at = reader.line_num + 1

    def line_of(self, row: int) -> int | None:
        return next((line for number, (line, _) in enumerate(self) if number == row), None)


def _check_widths(path: Path, records: _Records, width: int) -> None:
    for row, (line, record) in enumerate(records):
        if len(record) != width:
            raise DataError(
                f"{path}, row {row:,} (line {line:,}): found {len(record)} values where the header has {width}. "
                "Mend that line; a value that holds the separator must stand in double quotes."
            )


def json_lines(path: Path, kind: str, compression: str | None) -> Source:
    """A file of one JSON object per line."""
    opened = _opener(path, compression)
    with opened() as stream:
        head = _objects(path, stream.read(BATCH_BYTES).split(b"\n")[:FIRST_LINES], last_may_be_cut=True)
    if not head:
        raise DataError(f"{path}: the file is empty. Write the log again, or take the file away.")
    names = tuple(dict.fromkeys(name for _, record in head for name in record))

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        kinds = {name: _kind(next((r[name] for _, r in head if r.get(name) is not None), None)) for name in columns}
        rows = lines = 0
        with opened() as stream:
            for block in _whole_lines(stream):
                if block.strip():
                    table = _parsed(path, block, kinds, rows, lines)
                    yield from table.to_batches()
                    rows += len(table)
                lines += block.count(b"\n")

    def line_of(row: int) -> int | None:
        with opened() as stream:
            filled = (line for line, text in enumerate(io.BufferedReader(stream), 1) if text.strip())
            return next((line for number, line in enumerate(filled, 1) if number == row), None)

    return Source(str(path), path.name, names, lambda columns: guarded(path, kind, batches(columns)), None, line_of)


def _parsed(path: Path, block: bytes, kinds: dict[str, pa.DataType], rows: int, lines: int) -> pa.Table:
    """One block as a table; where it needs that, ``kinds`` learn a type or widen from whole to broken numbers."""
    reading = pajson.ReadOptions(use_threads=False, block_size=len(block) + 1)
    for last_try in (False, True):
        parsing = pajson.ParseOptions(
            explicit_schema=pa.schema(list(kinds.items())), unexpected_field_behavior="ignore"
        )
        try:
            return pajson.read_json(pa.BufferReader(block), reading, parsing).select(list(kinds))
        except pa.ArrowInvalid:
            if last_try:
                raise
            _widen(path, _objects(path, block.split(b"\n"), lines), kinds, rows)
    raise AssertionError("unreachable")


def _widen(path: Path, records: list[tuple[int, dict[str, Any]]], kinds: dict[str, pa.DataType], rows: int) -> None:
    for row, (line, record) in enumerate(records):
        for name, kind in kinds.items():
            found = _kind(record.get(name))
            if (found in (kind, pa.null()) and found != _NESTED) or {found, kind} == {pa.int64(), pa.float64()}:
                kinds[name] = pa.float64() if found == pa.float64() else kind
            elif kind == pa.null() and found in _SAID:
                kinds[name] = found
            else:
                belongs = (
                    f"Earlier rows have {_SAID[kind]} there" if kind in _SAID else "Text or a number belongs there"
                )
                place = Place(str(path), name, rows, _always(line))
                raise place.error(row, record[name], f"{belongs}: write the whole column one way.")


def _objects(
    path: Path, lines: Sequence[bytes], before: int = 0, last_may_be_cut: bool = False
) -> list[tuple[int, dict[str, Any]]]:
    """(line, object) of every line that is not blank."""
    records: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            if last_may_be_cut and number == before + len(lines) and len(records) > 0:
                break
            record = error
        if not isinstance(record, dict):
            raise DataError(
                f"{path}, line {number:,}: found {line[:60].decode(errors='replace')!r} where one JSON object belongs. "
                'Write one object per line, such as {"user_id": "u1", "item_id": "i1"}.'
            )
        records.append((number, record))
    return records


def _whole_lines(stream: Any) -> Iterator[bytes]:
    """Blocks of about ``BATCH_BYTES`` that end with a line."""
    rest = b""
    while block := stream.read(BATCH_BYTES):
        whole, newline, tail = block.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = tail
        else:
            rest += tail
    if rest.strip():
        yield rest


_SAID = {pa.int64(): "whole numbers", pa.float64(): "numbers", pa.large_string(): "text", pa.bool_(): "true or false"}
_NESTED = pa.list_(pa.null())
"""Stands for what no column of ours can hold."""


def _kind(value: object) -> pa.DataType:
    """The Arrow type of a JSON value; null tells nothing."""
    if value is None:
        return pa.null()
    return {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.large_string()}.get(type(value), _NESTED)


def _always(line: int) -> Callable[[int], int | None]:
    return lambda row: line


def _opener(path: Path, compression: str | None) -> Opener:
    return lambda: pa.input_stream(str(path), compression=compression, buffer_size=1 << 20)
