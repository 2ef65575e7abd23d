"""Work that is asked for at the same time is done together: whoever comes first works for all who wait by then.

Nobody waits for a batch to fill, and no thread for another where it is alone: then it does its own work itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
MOST = 16
"""Requests that are worked on together."""


class _Call(Generic[A, B]):
    """What one caller asked, and what came of it."""

    def __init__(self, asked: Sequence[A]) -> None:
        self.asked = asked
        self.outcomes: Sequence[B | Exception] | None = None
        self.woken = threading.Lock()
        """Held until the caller has its answers, or is the next to work."""
        self.woken.acquire()


class Gather(Generic[A, B]):
    """One piece of work at a time, for many threads that wait, in the order in which they came."""

    def __init__(self, work: Callable[[Sequence[A]], Sequence[B | Exception]], most: int = MOST) -> None:
        """``work``: answers of some requests, each an outcome or the error to raise for it."""
        self._work, self._most = work, most
        self._waiting: deque[_Call[A, B]] = deque()
        self._turn = threading.Lock()
        self._busy = False

    def __call__(self, asked: A) -> B:
        """The answer of one request; raises what the work found wrong with it."""
        return self.together([asked])[0]

    def together(self, asked: Sequence[A]) -> list[B]:
        """The answers of several requests of one caller."""
        call: _Call[A, B] = _Call(asked)
        with self._turn:
            self._waiting.append(call)
            waits, self._busy = self._busy, True
        if waits:
            call.woken.acquire()
        if call.outcomes is None:
            self._answer(self._taken(), call)
        found = []
        for outcome in call.outcomes or ():
            if isinstance(outcome, Exception):
                raise outcome
            found.append(outcome)
        return found

    def _taken(self) -> list[_Call[A, B]]:
        """The first who wait; one of them at least."""
        with self._turn:
            taken = [self._waiting.popleft()]
            count = len(taken[0].asked)
            while self._waiting and count + len(self._waiting[0].asked) <= self._most:
                taken.append(self._waiting.popleft())
                count += len(taken[-1].asked)
        return taken

    def _answer(self, taken: Sequence[_Call[A, B]], own: _Call[A, B]) -> None:
        """Work for some callers, wake them, and let the next one work."""
        asked = [one for call in taken for one in call.asked]
        try:
            outcomes = self._work(asked)
        except Exception as error:
            outcomes = [error] * len(asked)
        with self._turn:
            self._busy = bool(self._waiting)
            following = list(islice(self._waiting, 1))
        at = 0
        for call in taken:
            call.outcomes = outcomes[at : at + len(call.asked)]
            at += len(call.asked)
        for call in [*following, *taken]:
            if call is not own:
                call.woken.release()
