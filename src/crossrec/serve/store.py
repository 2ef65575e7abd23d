"""Where events, histories and exposures are kept: what every store does, and opening one by its URL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from crossrec.errors import InputError
from crossrec.serve.events import Event, Exposure

LIMIT = 500
"""Events of a history, where nothing else is said."""
MOST_LIMIT = 100_000
"""The longest history that a store keeps."""
PAGE = 10_000
"""Most users, events or exposures of one page."""
SCHEMES = "sqlite:PATH, redis://HOST:PORT/DB, rediss://, valkey://, unix://PATH?db=DB"


class StoreError(Exception):
    """The store cannot be reached or cannot answer; the same call may work a moment later."""


class Store(Protocol):
    """Events in order of arrival, the latest ones of every user by time, and what was shown to whom.

    Every method is safe from several threads and processes, and raises StoreError, soon, where the store is away.
    What ``append`` and ``expose`` have returned for is on the disk.
    """

    limit: int
    """Events that are kept of a history."""

    def append(self, events: Sequence[Event]) -> int:
        """Take events in, all or none; how many were new.

        An event whose id is known, or that is older than the last ``trim``, is not new and changes nothing.

        Raises:
            InputError: for an event that ``check_events`` refuses.
        """

    def history(self, user: str, count: int | None = None) -> list[Event]:
        """The latest events of a user by time, oldest first, ties in order of arrival: at most ``limit``, or ``count``."""

    def users(self, start: str = "", count: int = 100) -> list[str]:
        """Users with a history, in the order of their ids: the next ``count`` after ``start``."""

    def since(self, cursor: str | None = None, count: int = 1000) -> tuple[list[Event], str]:
        """The next events in order of arrival, and the cursor behind them; None is before the first.

        Whoever goes on from the last cursor meets every event once, whichever process it came from.
        """

    def expose(self, shown: Sequence[Exposure]) -> int:
        """Take exposures in, all or none; how many were new: one per experiment and request."""

    def exposures(self, cursor: str | None = None, count: int = 1000) -> tuple[list[Exposure], str]:
        """The next exposures in order of arrival, and the cursor behind them; as ``since``."""

    def trim(self, before: float) -> int:
        """Drop events and exposures older than a time (unix seconds), and their ids, from the log; how many.

        Histories stay. From then on an event or exposure from before that time counts as known.
        """

    def ping(self) -> None:
        """Raise StoreError unless the store can take an event in now."""

    def close(self) -> None:
        """Let go of files and connections."""


def open_store(url: str, *, limit: int = LIMIT) -> Store:
    """The store at a URL: ``sqlite:PATH`` or ``redis://HOST:PORT/DB`` (Redis or Valkey); made where it is not there.

    Args:
        url: where it is.
        limit: events that are kept of a history.

    Raises:
        InputError: for a URL that names no store.
        StoreError: if it cannot be reached.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_LIMIT:
        raise InputError(f"The limit of a history is {limit!r}; give a whole number from 1 to {MOST_LIMIT:,}.")
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "sqlite":
        from crossrec.serve.sqlite import SqliteStore  # noqa: PLC0415 - a store loads its own library alone

        return SqliteStore(rest, limit)
    if colon and scheme in ("redis", "rediss", "unix", "valkey", "valkeys"):
        from crossrec.serve.valkey import ValkeyStore  # noqa: PLC0415 - a store loads its own library alone

        return ValkeyStore(url.replace("valkey", "redis", 1) if scheme.startswith("valkey") else url, limit)
    raise InputError(f"{hidden(url)!r} names no store. Give one of {SCHEMES}.")


def hidden(url: str) -> str:
    """A URL without its password, for messages."""
    return re.sub(r"//[^/@]*@", "//***@", url)


def check_page(count: int) -> int:
    """The size of a page, or InputError."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= PAGE:
        raise InputError(f"A page of {count!r} cannot be given; ask for 1 to {PAGE:,}.")
    return count


def check_time(before: float) -> float:
    """The time of a trim, or InputError."""
    if isinstance(before, bool) or not isinstance(before, int | float) or not 0 <= before < 1e12:
        raise InputError(f"{before!r} is no time in unix seconds.")
    return float(before)


def place_of(cursor: str | None) -> int:
    """The number behind which a cursor stands, or InputError."""
    if cursor is None:
        return 0
    if not isinstance(cursor, str) or not re.fullmatch(r"[0-9]{1,15}", cursor):
        raise InputError(f"{str(cursor)[:40]!r} is no cursor. Give one that the store gave, or none to begin.")
    return int(cursor)
