"""The input of π-Net and those who follow it: a window without the last event of every domain. W windows, E events."""

from __future__ import annotations

import numpy as np

from crossrec.data.splits.leaks import Bools
from crossrec.data.splits.parts import Events, Rows
from crossrec.data.vocabulary import Ints


def last_of(events: Events, domain: str, stop_W: Ints) -> Ints:
    """Place of the last event of a domain before each of these places: (W,)."""
    at_T = events.positions(domain)
    return at_T[np.searchsorted(at_T, stop_W) - 1]


def last_put_last(events: Events, windows: Rows, asked_W: Ints) -> tuple[Events, Ints, Ints, Bools]:
    """The events with the last one of every domain moved to the end of its window, so that the input is what lies before.

    Args:
        windows: with an event of every domain each; they share none.
        asked_W: the event that each window asks for, the last one of its domain.

    Returns the events in this order, the places (W,) up to which they are known, those of the asked events, and which
    windows know an event that does not come before the one they ask for. Source: specs of DDGHM, 2.4.
    """
    size, domains = len(events.item_E), events.catalogue.domains
    last_WC = np.stack([last_of(events, name, windows.stop_N) for name in domains], 1)
    edge_E1, moved_E = np.zeros(size + 1, dtype=np.int64), np.zeros(size, dtype=bool)
    np.add.at(edge_E1, windows.start_N, 1)
    np.add.at(edge_E1, windows.stop_N, 1)
    moved_E[last_WC] = True
    order = np.lexsort((moved_E, np.cumsum(edge_E1[:-1])))
    place_E = np.empty(size, dtype=np.int64)
    place_E[order] = np.arange(size)
    stop_W = windows.stop_N - len(domains)
    return events.take(order), stop_W, place_E[asked_W], order[stop_W - 1] > asked_W
