"""Work that is asked for at the same time is done together: one thread takes all that waits and does it in one go.

Nobody waits for a batch to fill: where one request comes at a time, each is a batch of its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
MOST = 32
"""Requests that are worked on together."""


class Gather(Generic[A, B]):
    """One worker for many threads that wait."""

    def __init__(self, work: Callable[[Sequence[A]], Sequence[B | Exception]], most: int = MOST) -> None:
        """``work``: answers of some requests, each an outcome or the error to raise for it."""
        self._work, self._most = work, most
        self._waiting: queue.SimpleQueue[tuple[A, Future[B]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="gather", daemon=True)
        self._thread.start()

    def __call__(self, asked: A) -> B:
        """The answer of one request; raises what the work found wrong with it."""
        return self.together([asked])[0]

    def together(self, asked: Sequence[A]) -> list[B]:
        """The answers of several requests of one caller."""
        answers: list[Future[B]] = [Future() for _ in asked]
        for one, answer in zip(asked, answers, strict=True):
            self._waiting.put((one, answer))
        return [answer.result() for answer in answers]

    def close(self) -> None:
        """Answer what waits, and stop."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            taken = [self._waiting.get()]
            while len(taken) < self._most and not self._waiting.empty():
                taken.append(self._waiting.get())
            going = None not in taken
            self._answer([one for one in taken if one is not None])

    def _answer(self, taken: Sequence[tuple[A, Future[B]]]) -> None:
        if not taken:
            return
        try:
            outcomes: Sequence[B | Exception] = self._work([asked for asked, _ in taken])
        except Exception as error:
            outcomes = [error] * len(taken)
        for (_, answer), outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
