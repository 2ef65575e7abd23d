"""The store in Redis or Valkey: for several machines that serve the same users."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from crossrec.errors import InputError
from crossrec.serve.events import IMPRESSION, Event, Exposure, check_events, check_exposures, check_id
from crossrec.serve.store import StoreError, check_page, check_time, hidden, place_of

CONNECT = 0.5
"""Seconds that a connection may take."""
ANSWER = 2.0
"""Seconds that an answer may take."""
NAME = "crossrec"
"""What every key begins with."""
TRIMMED, USERS, PINGED = f"{NAME}:trimmed", f"{NAME}:users", f"{NAME}:pinged"
EVENTS, SHOWN = f"{NAME}:events", f"{NAME}:shown"
"""Streams: what arrived, in order; beside each a hash of its ids and the number of its last entry."""
HISTORY = f"{NAME}:history:"
"""Before a user id: a sorted set, time as score, number of arrival and event as member."""
DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""Settings of a server that loses nothing it has answered for."""

TAKE = """
local before = tonumber(redis.call('GET', KEYS[1]) or '0')
local limit, new = tonumber(ARGV[1]), 0
for i = 0, (#ARGV - 1) / 4 - 1 do
  local id, time, user, entry = ARGV[4 * i + 2], ARGV[4 * i + 3], ARGV[4 * i + 4], ARGV[4 * i + 5]
  if tonumber(time) >= before and redis.call('HSETNX', KEYS[3], id, '') == 1 then
    local place = redis.call('INCR', KEYS[4])
    redis.call('XADD', KEYS[2], place .. '-0', 't', time, 'e', entry, 'i', id)
    if user ~= '' then
      local history = KEYS[6] .. user
      redis.call('ZADD', history, time, string.format('%015d', place) .. entry)
      redis.call('ZREMRANGEBYRANK', history, 0, -limit - 1)
      redis.call('ZADD', KEYS[5], 0, user)
    end
    new = new + 1
  end
end
return new
"""
"""One atomic step: ids seen, the log, histories and their bound. An empty user: what belongs to no history."""

LATEST = """
local members = redis.call('ZRANGE', KEYS[1], ARGV[1], -1)
for i = 1, #members do members[i] = string.sub(members[i], 16) end
return '[' .. table.concat(members, ',') .. ']'
"""
"""A history as one text, which costs the client less than half the time of one text per event."""

MARK = """
local before = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) > before then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""

DROP = """
local before, dropped = tonumber(ARGV[1]), 0
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', 1000)
for _, entry in ipairs(entries) do
  if tonumber(entry[2][2]) < before then
    redis.call('XDEL', KEYS[1], entry[1])
    redis.call('HDEL', KEYS[2], entry[2][6])
    dropped = dropped + 1
  end
end
return {dropped, #entries > 0 and entries[#entries][1] or ''}
"""


class ValkeyStore:
    """Events in a Redis or Valkey server; every write is one script, which the server runs as one step."""

    def __init__(self, url: str, limit: int) -> None:
        try:
            import redis  # noqa: PLC0415 - an extra
            from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
            from redis.retry import Retry  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise InputError("Redis and Valkey need an extra: pip install 'crossrec[serve]'.") from error
        self.limit = limit
        self.where = hidden(url)
        self._errors = (redis.RedisError, OSError)
        try:
            parts = urlsplit(url)
            if parts.scheme != "unix" and parts.path.strip("/"):
                int(parts.path.strip("/"))
            self._server: Any = redis.Redis.from_url(
                url, socket_connect_timeout=CONNECT, socket_timeout=ANSWER, retry=Retry(NoBackoff(), 0)
            )
            self._server.connection_pool.make_connection()
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.where}: this is no URL of a server. Give redis://HOST:PORT/DB.") from error
        self._take = self._server.register_script(TAKE)
        self._latest = self._server.register_script(LATEST)
        self._mark = self._server.register_script(MARK)
        self._drop = self._server.register_script(DROP)
        self.ping()
        self._check_durable()

    def append(self, events: Sequence[Event]) -> int:
        """Take events in; how many were new."""
        check_events(events)
        rows: list[str | bytes] = []
        for each in events:
            entry = _packed([each.user, each.domain, each.item, float(each.time), each.id, each.kind, each.request])
            rows += [each.id, repr(float(each.time)), "" if each.kind == IMPRESSION else each.user, entry]
        return self._taken(EVENTS, rows)

    def history(self, user: str, count: int | None = None) -> list[Event]:
        """The latest events of a user by time, oldest first."""
        most = self.limit if count is None else min(check_page(count), self.limit)
        key = HISTORY + check_id("user", user)
        with self._failing():
            return [Event(*row) for row in json.loads(self._latest(keys=[key], args=[-most]))]

    def users(self, start: str = "", count: int = 100) -> list[str]:
        """The next users with a history after ``start``."""
        begin = f"({check_id('start', start)}" if start else "-"
        count = check_page(count)
        with self._failing():
            found = self._server.zrangebylex(USERS, begin, "+", start=0, num=count)
            return [user.decode() for user in found]

    def since(self, cursor: str | None = None, count: int = 1000) -> tuple[list[Event], str]:
        """The next events in order of arrival, and the cursor behind them."""
        rows, cursor = self._page(EVENTS, cursor, count)
        return [Event(*row) for row in rows], cursor

    def expose(self, shown: Sequence[Exposure]) -> int:
        """Take exposures in; how many were new."""
        check_exposures(shown)
        rows: list[str | bytes] = []
        for each in shown:
            entry = _packed(
                [
                    *(each.request, each.user, each.arm, each.domain, list(each.items)),
                    *(float(each.time), each.experiment, each.page, each.first),
                ]
            )
            rows += [_packed([each.experiment, each.request]), repr(float(each.time)), "", entry]
        return self._taken(SHOWN, rows)

    def exposures(self, cursor: str | None = None, count: int = 1000) -> tuple[list[Exposure], str]:
        """The next exposures in order of arrival, and the cursor behind them."""
        rows, cursor = self._page(SHOWN, cursor, count)
        return [_exposure(*row) for row in rows], cursor

    def trim(self, before: float) -> int:
        """Drop the log from before a time; histories stay."""
        before = check_time(before)
        dropped = 0
        with self._failing():
            self._mark(keys=[TRIMMED], args=[repr(before)])
            for stream in (EVENTS, SHOWN):
                last = b"0-0"
                while last:
                    count, last = self._drop(keys=[stream, f"{stream}:ids"], args=[repr(before), last])
                    last = last and last.split(b"-")[0] + b"-1"
                    dropped += count
        return dropped

    def ping(self) -> None:
        """Raise StoreError unless the server answers and can be written to now."""
        with self._failing():
            self._server.set(PINGED, 1)

    def close(self) -> None:
        """Close every connection."""
        self._server.close()

    def __enter__(self) -> ValkeyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _taken(self, stream: str, rows: Sequence[str | bytes]) -> int:
        if not rows:
            return 0
        keys = [TRIMMED, stream, f"{stream}:ids", f"{stream}:last", USERS, HISTORY]
        with self._failing():
            return int(self._take(keys=keys, args=[self.limit, *rows]))

    def _page(self, stream: str, cursor: str | None, count: int) -> tuple[list[Any], str]:
        place, count = place_of(cursor), check_page(count)
        with self._failing():
            found = self._server.xrange(stream, f"{place}-1", "+", count)
            rows = _unpacked(fields[b"e"] for _, fields in found)
        return rows, found[-1][0].decode().split("-")[0] if found else str(place)

    def _check_durable(self) -> None:
        """Warn of a server that may lose what it has answered for."""
        try:
            found = self._server.config_get(*DURABLE)
        except self._errors:
            warnings.warn(
                f"{self.where} does not show its settings: see to it that it has {_said(DURABLE)}, or events can be lost.",
                stacklevel=4,
            )
            return
        wrong = {name: value for name, value in DURABLE.items() if found.get(name) != value}
        if wrong:
            warnings.warn(
                f"{self.where} can lose events that it has answered for: it needs {_said(wrong)}.", stacklevel=4
            )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What the server cannot do becomes a StoreError."""
        try:
            yield
        except self._errors as error:
            raise StoreError(f"The store {self.where} does not answer ({error}).") from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise StoreError(f"The store {self.where} holds what it did not write ({error}).") from error


def _exposure(request: str, user: str, arm: str, domain: str, items: list[str], *rest: Any) -> Exposure:
    return Exposure(request, user, arm, domain, tuple(items), *rest)


def _packed(values: list[Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _unpacked(entries: Iterable[bytes]) -> list[Any]:
    return list(json.loads(b"[" + b",".join(entries) + b"]"))


def _said(settings: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
