"""New events for an update: all that a store has taken in since the last one, or a log in any format that is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import text_array
from crossrec.data.columns import Columns
from crossrec.data.dataset import Dataset
from crossrec.data.formats import open_file, split_name
from crossrec.data.read import read_folder, read_sources
from crossrec.data.source import Source
from crossrec.errors import DataError, InputError, nearest
from crossrec.serve.events import IMPRESSION, Event
from crossrec.serve.store import PAGE, hidden, open_store

DOMAIN = "domain"
"""The column of a log of several domains that names them."""


@dataclass(frozen=True, eq=False)
class Arrivals:
    """New events, by domain."""

    data: Dataset | None
    """None: there are none."""
    origin: str
    """What a cursor is remembered by: the store's URL without its password, or the file's name."""
    cursor: str | None = None
    """Behind the last event that was read; None of a file, which has no cursor."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Events of a store that are no history here, by the reason."""


def is_store(events: str) -> bool:
    """Whether this names a store, not a file."""
    scheme, colon, _ = events.partition(":")
    return bool(colon) and len(scheme) > 1 and not Path(events).exists()


def arrivals(
    events: str, domains: Sequence[str], cursors: Mapping[str, str], columns: Columns | None = None
) -> Arrivals:
    """The events of a store that the last update has not read, or all of a log.

    Args:
        events: URL of a store; a folder with one log per domain; or one log, with a column ``domain`` or named after one.
        domains: those that the run knows.
        cursors: where the last update stopped, by the store.
        columns: names of a log's columns.

    Raises:
        InputError: for what cannot be read, a domain of a log that the run does not know, and a bad time.
        StoreError: where the store is away.
    """
    return _of_store(events, domains, cursors) if is_store(events) else _of_log(Path(events), domains, columns)


def _of_store(url: str, domains: Sequence[str], cursors: Mapping[str, str]) -> Arrivals:
    scheme, _, rest = url.partition(":")
    origin = f"sqlite:{Path(rest).resolve()}" if scheme == "sqlite" else hidden(url)
    if scheme == "sqlite" and not Path(rest).is_file():
        raise InputError(f"{url}: there is no such store. Give the one that events were posted to.")
    store, found, cursor = open_store(url), list[Event](), cursors.get(origin)
    try:
        while True:
            page, behind = store.since(cursor, PAGE)
            found += page
            if not page:
                break
            cursor = behind
    finally:
        store.close()
    history = [each for each in found if each.kind != IMPRESSION]
    known = [each for each in history if each.domain in domains]
    skipped = {"impressions": len(found) - len(history), "events of other domains": len(history) - len(known)}
    frames = {
        name: {
            "user_id": text_array([each.user for each in rows]),
            "item_id": text_array([each.item for each in rows]),
            "timestamp": [int(each.time) for each in rows],
        }
        for name in domains
        if (rows := [each for each in known if each.domain == name])
    }
    data = Dataset.from_frames(frames, time="timestamp") if frames else None
    return Arrivals(data, origin, cursor, {reason: count for reason, count in skipped.items() if count})


def _of_log(path: Path, domains: Sequence[str], columns: Columns | None) -> Arrivals:
    columns = columns or Columns()
    if path.is_dir():
        data = read_folder(path, None, columns)
        _check_known(path, data.domains, domains)
        return Arrivals(data, path.name)
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such log. Give a file, a folder with one log per domain, or the URL of a store."
        )
    source = open_file(path)
    if columns.time not in source.columns:
        raise DataError(
            f"{path}: there is no column {columns.time!r} for the times, and an update needs them. Columns found: "
            f"{', '.join(source.columns)}. Name the one that holds them (--time-column)."
        )
    if DOMAIN in source.columns:
        names = _domains(source)
        _check_known(path, names, domains)
        sources = {name: _within(source, name) for name in domains if name in names}
    else:
        named = split_name(path)
        stem = domains[0] if len(domains) == 1 or named is None else named[0]
        if stem not in domains:
            raise DataError(
                f"{path}: there is no column {DOMAIN!r}, and the file is named after no domain of the run "
                f"({', '.join(domains)}). Add the column, or name the file after its domain."
            )
        sources = {stem: source}
    return Arrivals(read_sources(sources, None, columns, "keep", "time") if sources else None, path.name)


def _check_known(path: Path, found: Sequence[str], domains: Sequence[str]) -> None:
    for name in found:
        if name not in domains:
            raise DataError(
                f"{path}: the run knows no domain {name!r}.{nearest(name, domains)} Leave its events out, or train a new run."
            )


def _domains(source: Source) -> list[str]:
    """The domains that a log names, in the order of their first rows."""
    found: dict[str, None] = {}
    for batch in source.batches([DOMAIN]):
        for name in _text(batch.column(0)).unique().to_pylist():
            if name is None:
                raise DataError(f"{source.where}, column {DOMAIN!r}: a row has none. Every row needs its domain.")
            found[name] = None
    return list(found)


def _within(source: Source, name: str) -> Source:
    """The rows of one domain; in messages they are counted by themselves."""

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in source.batches([*columns, DOMAIN]):
            inside = pc.equal(_text(batch.column(len(columns))), name)
            yield batch.select(list(columns)).filter(inside)

    kept = tuple(column for column in source.columns if column != DOMAIN)
    return Source(f"{source.where}, rows of {name!r}", source.origin, kept, batches)


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_string())
