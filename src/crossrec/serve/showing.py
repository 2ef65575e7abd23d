"""What was shown is written down behind the answer, in a thread: nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from crossrec.serve.events import MOST, Exposure
from crossrec.serve.keeper import Keeper, Meter
from crossrec.serve.store import Store, StoreError

LOG = logging.getLogger("crossrec.serve")
ROOM = 20_000
"""Exposures that wait for the store at most; beyond, the oldest are dropped, and counted."""
Asking = Callable[[Callable[[Store], int]], int]
PAUSE = 0.1
"""Seconds between two writes."""


class Showing:
    """Takes exposures and gives them to the store, many in a write; those that it does not take it is given again."""

    def __init__(self, keeper: Keeper, meter: Meter) -> None:
        self._keeper, self._meter = keeper, meter
        self._waiting: deque[Exposure] = deque()
        self._turn = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="showing", daemon=True)
        self._thread.start()

    def __call__(self, shown: Exposure) -> None:
        """Write it down soon."""
        if len(self._waiting) >= ROOM:
            self._waiting.popleft()
            self._meter.dropped(1)
        self._waiting.append(shown)

    def flush(self) -> None:
        """Write down what waits now. Raises StoreError where the store is away: then it waits on."""
        self._write(self._keeper.ask)

    def close(self) -> None:
        """Write down what waits, and stop."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(PAUSE):
            self._try(self._keeper.ask)
        self._try(lambda call: call(self._keeper.store))  # the last try is made even of a store that rests
        if self._waiting:
            LOG.error("%d exposures were lost: the store is away.", len(self._waiting))
            self._meter.dropped(len(self._waiting))

    def _try(self, ask: Asking) -> None:
        try:
            self._write(ask)
        except StoreError:
            pass
        except Exception:
            LOG.exception("exposures could not be written")

    def _write(self, ask: Asking) -> None:
        with self._turn:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
                try:
                    ask(partial(_expose, taken))
                except StoreError:
                    self._waiting.extendleft(reversed(taken))
                    raise


def _expose(taken: list[Exposure], store: Store) -> int:
    return store.expose(taken)
