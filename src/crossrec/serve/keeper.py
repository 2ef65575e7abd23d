"""A store that may be away: who finds it so lets it rest for a moment, so that a dead store costs no request its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from crossrec.serve.store import Store, StoreError

T = TypeVar("T")
REST = 1.0
"""Seconds for which a store that failed is not asked again."""


class Meter(Protocol):
    """Counts what happens."""

    def store_error(self) -> None:
        """The store did not answer."""

    def fallback(self, kind: str) -> None:
        """An answer was a fallback."""

    def candidates(self, channel: str, count: int) -> None:
        """A channel has given so many of the items of an answer."""

    def events(self, new: int, known: int) -> None:
        """Events came in."""

    def batch(self, size: int) -> None:
        """So many requests were answered together."""

    def dropped(self, exposures: int) -> None:
        """So many exposures could not be kept."""


class Keeper:
    """A store behind a fuse: after a failure, the next second's calls fail at once, and the first one after that tries."""

    def __init__(self, store: Store, meter: Meter | None = None) -> None:
        self.store, self._meter = store, meter
        self._rests_until = 0.0
        self._why = ""

    @property
    def away(self) -> bool:
        """Whether the last call failed, less than a moment ago."""
        return time.monotonic() < self._rests_until

    def ask(self, call: Callable[[Store], T]) -> T:
        """What the store answers. Raises StoreError where it does not, or did not a moment ago."""
        now = time.monotonic()
        if now < self._rests_until:
            raise StoreError(self._why)
        tried = self._rests_until > 0
        if tried:
            self._rests_until = now + REST  # this call tries; the others go on resting
        try:
            answer = call(self.store)
        except StoreError as error:
            self._why = str(error)
            self._rests_until = time.monotonic() + REST
            if self._meter is not None:
                self._meter.store_error()
            raise
        if tried:
            self._rests_until = 0.0
        return answer
