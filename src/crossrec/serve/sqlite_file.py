"""The SQLite file of a store: its tables, and connections whose commits are on the disk when they return."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from crossrec.errors import InputError
from crossrec.serve.store import StoreError

APPLICATION = 0x43525354
LAYOUT = 1
SCHEMA = """
CREATE TABLE event (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL,
    domain TEXT NOT NULL, item TEXT NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL, request TEXT);
CREATE TABLE history (user TEXT NOT NULL, time REAL NOT NULL, seq INTEGER NOT NULL, domain TEXT NOT NULL,
    item TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, request TEXT, PRIMARY KEY (user, time, seq)) WITHOUT ROWID;
CREATE TABLE exposure (seq INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT NOT NULL, user TEXT NOT NULL,
    arm TEXT NOT NULL, domain TEXT NOT NULL, items TEXT NOT NULL, time REAL NOT NULL, experiment TEXT NOT NULL,
    page TEXT NOT NULL, first INTEGER NOT NULL, UNIQUE (experiment, request));
CREATE TABLE trimmed (before REAL NOT NULL);
INSERT INTO trimmed VALUES (0.0);
"""
SETTINGS = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON", "journal_size_limit = 67108864")
"""A commit is on the disk when it returns; ``fullfsync`` says the same to macOS."""


def open_database(path: Path, wait: float) -> sqlite3.Connection:
    """A connection that any thread may use, to a file that has the tables; made where it is not there.

    Args:
        path: of the file.
        wait: seconds that a call waits for other writers.

    Raises:
        InputError: if the file belongs to another program.
    """
    db = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
    try:
        _log_ahead(db, wait)
        for setting in SETTINGS:
            db.execute(f"PRAGMA {setting}").close()
        if _number(db, "user_version") == 0:
            _make(db)
            _sync_folder(path.parent)
        if _number(db, "application_id") != APPLICATION or _number(db, "user_version") != LAYOUT:
            raise InputError(f"{path} is a SQLite file of another program or layout. Give another path.")
    except BaseException:
        db.close()
        raise
    return db


def _make(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file, once among several processes."""
    db.execute("BEGIN IMMEDIATE")
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0:
        for statement in SCHEMA.split(";")[:-1]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {LAYOUT}")
    db.execute("COMMIT")


def _log_ahead(db: sqlite3.Connection, wait: float) -> None:
    """Switch to the write-ahead log; SQLite does not wait by itself where others do the same."""
    end = time.monotonic() + wait
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreError("SQLite cannot keep a write-ahead log there; put the store on a local disk.")


def _number(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def inode(path: Path) -> tuple[int, int] | None:
    """What tells one file from another that took its name."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sync_folder(folder: Path) -> None:
    """The name of a new file is on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
