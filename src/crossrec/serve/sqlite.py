"""The store in one SQLite file: no server, for one machine and any number of its processes."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossrec.errors import InputError
from crossrec.serve.events import IMPRESSION, Event, Exposure, check_events, check_exposures, check_id
from crossrec.serve.sqlite_file import inode, open_database
from crossrec.serve.store import StoreError, check_page, check_time, place_of

WAIT = 5.0
"""Seconds that a writer waits for the writers of other processes."""
TAKE = (
    "INSERT INTO event (user, domain, item, time, id, kind, request) VALUES (?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING"
)
REMEMBER = f"""INSERT INTO history (user, time, seq, domain, item, id, kind, request)
    SELECT user, time, seq, domain, item, id, kind, request FROM event WHERE seq > ? AND kind <> '{IMPRESSION}'"""
FORGET = """DELETE FROM history WHERE user = ?1 AND (time, seq) <= (SELECT time, seq FROM history WHERE user = ?1
    ORDER BY time DESC, seq DESC LIMIT 1 OFFSET ?2)"""
LATEST = """SELECT user, domain, item, time, id, kind, request FROM history WHERE user = ?
    ORDER BY time DESC, seq DESC LIMIT ?"""
USERS = """WITH RECURSIVE next(user) AS (SELECT min(user) FROM history WHERE user > ?1 UNION ALL
    SELECT (SELECT min(user) FROM history WHERE history.user > next.user) FROM next WHERE user IS NOT NULL LIMIT ?2)
    SELECT user FROM next WHERE user IS NOT NULL"""
SHOW = """INSERT INTO exposure (request, user, arm, domain, items, time, experiment, page, first)
    VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (experiment, request) DO NOTHING"""

Job = Callable[[sqlite3.Connection], int]


class _Ticket:
    """One write that waits for a commit."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = False
        self.result = 0
        self.error: str | None = "The write was cut short."


class SqliteStore:
    """Events in a SQLite file with a write-ahead log.

    Writes that wait at the same time share one commit, and so one wait for the disk: whoever gets the writer first
    commits for all. Reads never wait for writes.
    """

    def __init__(self, path: str, limit: int) -> None:
        if path in ("", ":memory:") or "\0" in path:
            raise InputError(f"sqlite:{path!r}: give the path of a file, as in sqlite:events.db; memory keeps nothing.")
        self.limit = limit
        self.path = Path(path).absolute()
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise InputError(f"sqlite:{path}: give the path of a file in a folder that is there.")
        self._writer: sqlite3.Connection | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._waiting: deque[_Ticket] = deque()
        self._turn = threading.Lock()
        self._process = os.getpid()
        with self._turn, self._failing():
            self._writer = self._opened()

    def append(self, events: Sequence[Event]) -> int:
        """Take events in; how many were new."""
        check_events(events)
        rows = [
            (each.user, each.domain, each.item, float(each.time), each.id, each.kind, each.request) for each in events
        ]

        def job(db: sqlite3.Connection) -> int:
            (before,) = db.execute("SELECT before FROM trimmed").fetchone()
            (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()
            new = db.executemany(TAKE, [row for row in rows if row[3] >= before]).rowcount
            if new > 0:
                db.execute(REMEMBER, (last,))
                db.executemany(FORGET, [(user, self.limit) for user in {row[0] for row in rows}])
            return max(new, 0)

        return self._write(job) if rows else 0

    def history(self, user: str, count: int | None = None) -> list[Event]:
        """The latest events of a user by time, oldest first."""
        most = self.limit if count is None else min(check_page(count), self.limit)
        rows = self._read(LATEST, (check_id("user", user), most))
        return [Event(*row) for row in reversed(rows)]

    def users(self, start: str = "", count: int = 100) -> list[str]:
        """The next users with a history after ``start``."""
        return [user for (user,) in self._read(USERS, (start and check_id("start", start), check_page(count)))]

    def since(self, cursor: str | None = None, count: int = 1000) -> tuple[list[Event], str]:
        """The next events in order of arrival, and the cursor behind them."""
        rows = self._page("event", "user, domain, item, time, id, kind, request", cursor, count)
        return [Event(*row[1:]) for row in rows], str(rows[-1][0] if rows else place_of(cursor))

    def expose(self, shown: Sequence[Exposure]) -> int:
        """Take exposures in; how many were new."""
        check_exposures(shown)
        rows = [
            (
                *(each.request, each.user, each.arm, each.domain, json.dumps(each.items, ensure_ascii=False)),
                *(float(each.time), each.experiment, each.page, each.first),
            )
            for each in shown
        ]

        def job(db: sqlite3.Connection) -> int:
            (before,) = db.execute("SELECT before FROM trimmed").fetchone()
            return max(db.executemany(SHOW, [row for row in rows if row[5] >= before]).rowcount, 0)

        return self._write(job) if rows else 0

    def exposures(self, cursor: str | None = None, count: int = 1000) -> tuple[list[Exposure], str]:
        """The next exposures in order of arrival, and the cursor behind them."""
        columns = "request, user, arm, domain, items, time, experiment, page, first"
        rows = self._page("exposure", columns, cursor, count)
        shown = [_exposure(*row[1:]) for row in rows]
        return shown, str(rows[-1][0] if rows else place_of(cursor))

    def trim(self, before: float) -> int:
        """Drop the log from before a time; histories stay."""
        before = check_time(before)

        def job(db: sqlite3.Connection) -> int:
            db.execute("UPDATE trimmed SET before = max(before, ?)", (before,))
            return sum(
                db.execute(f"DELETE FROM {name} WHERE time < ?", (before,)).rowcount for name in ("event", "exposure")
            )

        return self._write(job)

    def ping(self) -> None:
        """Raise StoreError unless the file can be written to now."""
        self._write(lambda db: 0)

    def close(self) -> None:
        """Close every connection."""
        with self._turn:
            self._drop()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _page(self, name: str, columns: str, cursor: str | None, count: int) -> list[tuple[Any, ...]]:
        query = f"SELECT seq, {columns} FROM {name} WHERE seq > ? ORDER BY seq LIMIT ?"
        return self._read(query, (place_of(cursor), check_page(count)))

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._failing():
            try:
                db = self._readers.pop()
            except IndexError:
                db = self._opened()
            rows = db.execute(query, values).fetchall()
            self._readers.append(db)
            return rows

    def _write(self, job: Job) -> int:
        ticket = _Ticket(job)
        self._waiting.append(ticket)
        with self._turn:
            if not ticket.done:
                tickets = [self._waiting.popleft() for _ in range(len(self._waiting))]
                self._commit(tickets)
        if ticket.error is not None:
            raise StoreError(ticket.error)
        return ticket.result

    def _commit(self, tickets: Sequence[_Ticket]) -> None:
        """Run all jobs in one transaction; on failure none has happened and every ticket has the error."""
        try:
            with self._failing():
                if self._writer is None:
                    self._writer = self._opened()
                elif self._inode != inode(self.path):
                    raise sqlite3.OperationalError("the file was taken away; the next call opens what is there")
                self._writer.execute("BEGIN IMMEDIATE")
                for ticket in tickets:
                    ticket.result = ticket.job(self._writer)
                self._writer.execute("COMMIT")
            for ticket in tickets:
                ticket.error = None
        except StoreError as error:
            for ticket in tickets:
                ticket.error = str(error)
        finally:
            for ticket in tickets:
                ticket.done = True
            if tickets and tickets[0].error is not None:
                self._drop()

    def _opened(self) -> sqlite3.Connection:
        """A new connection to a file that has the tables."""
        db = open_database(self.path, WAIT)
        self._inode = inode(self.path)
        return db

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What SQLite cannot do becomes a StoreError; a connection does not live through a fork."""
        if os.getpid() != self._process:
            raise StoreError(f"The store {self.path} was opened by another process; open it again in this one.")
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
                raise InputError(f"{self.path} is no SQLite file. Give another path.") from error
            raise StoreError(f"The store {self.path} does not answer ({error}).") from error

    def _drop(self) -> None:
        """Close what is open, so that the next call opens anew; closing rolls back."""
        if os.getpid() != self._process:
            return
        while self._readers:
            self._readers.pop().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _exposure(request: str, user: str, arm: str, domain: str, items: str, *rest: Any) -> Exposure:
    return Exposure(request, user, arm, domain, tuple(json.loads(items)), *rest)
