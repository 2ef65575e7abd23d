"""What users saw and did in an experiment, per user, arm and day: from a store, a file or a frame. R rows."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.formats import open_file
from crossrec.data.frames import open_frame
from crossrec.data.source import Source
from crossrec.errors import DataError, InputError
from crossrec.serve.events import Event
from crossrec.serve.ratios import Floats, Ints, sums
from crossrec.serve.store import PAGE, Store

NAMES = ("user", "arm", "day")
NEEDED = ("impressions", "clicks")
COUNTS = (*NEEDED, "page_views", "page_clicks", "active")


@dataclass(frozen=True)
class Rows:
    """One row per user and day; every user is in one arm."""

    arms: tuple[str, ...]
    days: tuple[str, ...]
    users: tuple[str, ...]
    arm_U: Ints
    """Number of every user's arm."""
    user_R: Ints
    day_R: Ints
    counts: Mapping[str, Floats]
    """The columns of ``COUNTS`` that there are, each of shape (R,); ``active`` always, 0 or 1."""


def table_of(store: Store, experiment: str, *, domain: str | None = None, page: str | None = None) -> pa.Table:
    """Exposures and clicks of an experiment, summed per user, arm and day (UTC).

    One exposure is one page view and as many impressions as it has items. A click is an event of the kind ``click`` whose
    request, user and item are those of an exposure; it counts on the day of that exposure, once per event. Who was shown
    something on a day was active on it.

    Args:
        store: the log.
        experiment: the exposures that count.
        domain, page: the exposures of these alone.
    """
    sums: dict[tuple[str, str, str], list[int]] = {}
    shown: dict[str, tuple[str, tuple[str, ...], list[int]]] = {}
    cursor = None
    while exposures := (answer := store.exposures(cursor, PAGE))[0]:
        cursor = answer[1]
        for each in exposures:
            if each.experiment == experiment and domain in (None, each.domain) and page in (None, each.page):
                day = datetime.datetime.fromtimestamp(each.time, datetime.UTC).date().isoformat()
                row = sums.setdefault((each.user, each.arm, day), [0, 0, 0, 0, 1])
                row[0] += len(each.items)
                row[2] += 1
                shown[each.request] = (each.user, each.items, row)
    if not shown:
        raise InputError(
            f"The store has no exposure of an experiment {experiment!r} in this domain and on this page. Check the names."
        )
    _count_clicks(store, shown)
    names = list(zip(*sums, strict=True))
    counts = list(zip(*sums.values(), strict=True))
    return pa.table(dict(zip((*NAMES, *COUNTS), [pa.array(column) for column in (*names, *counts)], strict=True)))


def _count_clicks(store: Store, shown: Mapping[str, tuple[str, tuple[str, ...], list[int]]]) -> None:
    clicked: set[str] = set()
    cursor = None
    while events := (answer := store.since(cursor, PAGE))[0]:
        cursor = answer[1]
        for each in events:
            found = shown.get(each.request) if each.request is not None else None
            if found is not None and _is_click(each, found[0], found[1]):
                found[2][1] += 1
                found[2][3] += each.request not in clicked
                clicked.add(str(each.request))


def _is_click(event: Event, user: str, items: Sequence[str]) -> bool:
    return event.kind == "click" and event.user == user and event.item in items


def rows_of(frame: Any, first: str | None = None, last: str | None = None, experiment: str | None = None) -> Rows:
    """The rows of a file or a frame with the columns user, arm, day, impressions, clicks and, where known, page_views,
    page_clicks and active; several rows of one user and day are summed.

    Args:
        frame: path of a log, or anything that ``Dataset.from_frames`` takes.
        first, last: days to keep, both included, written as in the table.
        experiment: the rows to keep, where there is a column ``experiment``.

    Raises:
        DataError: for a column that is missing or no count, or a user in two arms.
    """
    source = open_file(frame) if isinstance(frame, Path) else open_frame(frame, "The table of the experiment")
    table = _read(source)
    where = source.where
    if experiment is not None and "experiment" in table.column_names:
        table = table.filter(pc.equal(table["experiment"], experiment))
    names = {name: table[name].combine_chunks() for name in NAMES}
    day_R, days = _numbered(names["day"])
    kept_R = np.array([_within(day, first, last) for day in days], bool)[day_R] if days else np.zeros(0, bool)
    if not kept_R.any():
        raise DataError(f"{where}: there is no row{' of these days or this experiment' if len(names['day']) else ''}.")
    kept = pa.array(kept_R)
    user_R, users = _numbered(names["user"].filter(kept))
    arm_R, arms = _numbered(names["arm"].filter(kept))
    day_R, days = _numbered(names["day"].filter(kept))
    counts = {name: _counts(table[name], name, where)[kept_R] for name in COUNTS if name in table.column_names}
    counts.setdefault("active", (counts["impressions"] > 0).astype(np.float64))
    arm_U = np.zeros(len(users), np.int64)
    arm_U[user_R] = arm_R
    if (arm_U[user_R] != arm_R).any():
        moved = np.unique(user_R[arm_U[user_R] != arm_R])
        raise DataError(
            f"{where}: {len(moved):,} users are in more than one arm, such as {users[moved[0]]!r}. "
            "Take the days on which the weights stayed the same."
        )
    key_G, group_R = np.unique(user_R * len(days) + day_R, return_inverse=True)
    summed = {name: sums(group_R, column, len(key_G)) for name, column in counts.items()}
    summed["active"] = np.minimum(summed["active"], 1.0)
    _check(summed, where)
    return Rows(arms, days, users, arm_U, key_G // len(days), key_G % len(days), summed)


def _read(source: Source) -> pa.Table:
    missing = [name for name in (*NAMES, *NEEDED) if name not in source.columns]
    if missing:
        raise DataError(
            f"{source.where}: there is no column {missing[0]!r}. Needed: {', '.join((*NAMES, *NEEDED))}; known: "
            f"{', '.join(COUNTS[2:])}, experiment. Columns found: {', '.join(source.columns)}."
        )
    texts = [name for name in (*NAMES, "experiment") if name in source.columns]
    wanted = [*texts, *(name for name in COUNTS if name in source.columns)]
    parts = [pa.Table.from_batches([batch]) for batch in source.batches(wanted)]
    for at, part in enumerate(parts):
        for name in texts:
            parts[at] = parts[at].set_column(wanted.index(name), name, _as_text(part[name], name, source.where))
    if not parts:
        raise DataError(f"{source.where}: there is no row.")
    return pa.concat_tables(parts, promote_options="permissive")


def _as_text(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.date32(), safe=False)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count or pa.types.is_null(column.type):
        raise DataError(f"{where}: a row has no {name}. Fill it in, or leave the row out.")
    return column.cast(pa.string())


def _counts(column: pa.ChunkedArray, name: str, where: str) -> Floats:
    try:
        count_R = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: the column {name!r} is no number ({error}).") from error
    wrong = np.flatnonzero(~(count_R >= 0) | (count_R != np.floor(count_R)) | ~np.isfinite(count_R))
    if len(wrong):
        raise DataError(
            f"{where}, row {wrong[0] + 1}: {name} is {count_R[wrong[0]]:g}; give a whole number, 0 or more."
        )
    return count_R


def _check(counts: Mapping[str, Floats], where: str) -> None:
    for more, less in (("clicks", "impressions"), ("clicks", "page_views"), ("page_clicks", "page_views")):
        if more in counts and less in counts:
            wrong = int(np.count_nonzero((counts[more] > 0) & (counts[less] == 0)))
            if wrong:
                raise DataError(f"{where}: {wrong:,} rows of a user and day have {more} without {less}. Mend the log.")


def _numbered(column: pa.Array) -> tuple[Ints, tuple[str, ...]]:
    """Numbers of the distinct values in their order: whole numbers as such, all else as text."""
    values = column.unique().to_pylist()
    values.sort(key=_order)
    return np.asarray(pc.index_in(column, pa.array(values, pa.string())), np.int64), tuple(values)


def _within(day: str, first: str | None, last: str | None) -> bool:
    if {day.isdecimal()} != {each.isdecimal() for each in (day, first, last) if each is not None}:
        raise InputError(f"The days of the table are written as {day!r}; write those to keep in the same way.")
    return (first is None or _order(first) <= _order(day)) and (last is None or _order(day) <= _order(last))


def _order(day: str) -> tuple[int, str]:
    return (int(day), "") if day.isdecimal() else (0, day)
