"""What users did and what they were shown, as a service takes it in; and what of it is valid."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from crossrec.errors import InputError

IMPRESSION = "impression"
"""The kind of event that is logged but belongs to no history."""
LONGEST = 256
"""Characters of the longest id, of a user, an item, a domain, an event, a request, an experiment, an arm or a page."""
LONGEST_KIND = 32
"""Characters of the longest kind."""
MOST = 1000
"""Events or exposures of one call, and items of one exposure."""
AHEAD = 86_400.0
"""Seconds that a time may lie in the future: clocks differ, and so do their zones."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a user did with an item."""

    user: str
    domain: str
    item: str
    time: float
    """Unix seconds."""
    id: str
    """Of this event: the same id twice is one event."""
    kind: str = "click"
    """click, view, buy, ...; every kind is history but ``impression``."""
    request: str | None = None
    """The request whose answer showed the item, where one did: it joins a click with its exposure."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What one request showed to a user: one page view, and one impression per item."""

    request: str
    """The same request twice in one experiment is one exposure."""
    user: str
    arm: str
    domain: str
    items: tuple[str, ...]
    """In the order shown: the item in place i had the rank ``first + i``."""
    time: float
    """Unix seconds."""
    experiment: str = ""
    page: str = ""
    """The place where it was shown (``home``, ``basket``): an analysis may take one alone."""
    first: int = 1
    """Rank of the first item: 11 on the second page of ten."""


def check_events(events: Sequence[Event], now: float | None = None) -> None:
    """Raise InputError for the first event that no store takes.

    Args:
        events: of one call.
        now: unix seconds against which times are held (default: the clock).
    """
    limit = _last(now)
    _check_count(events, "events")
    for event in events:
        where = f"Event {_shown(event.id)}"
        _check_ids(where, id=event.id, user=event.user, domain=event.domain, item=event.item)
        _check_text(where, "kind", event.kind, LONGEST_KIND)
        if event.request is not None:
            _check_text(where, "request", event.request)
        _check_time(where, event.time, limit)


def check_exposures(shown: Sequence[Exposure], now: float | None = None) -> None:
    """Raise InputError for the first exposure that no store takes; ``now`` as of ``check_events``."""
    limit = _last(now)
    _check_count(shown, "exposures")
    for each in shown:
        where = f"Exposure {_shown(each.request)}"
        _check_ids(where, request=each.request, user=each.user, domain=each.domain, arm=each.arm)
        for name in ("experiment", "page"):
            if getattr(each, name) != "":
                _check_text(where, name, getattr(each, name))
        if not isinstance(each.items, tuple | list) or not 1 <= len(each.items) <= MOST:
            raise InputError(f"{where}: give between 1 and {MOST} items, as a tuple of ids.")
        for item in each.items:
            _check_text(where, "item", item)
        if isinstance(each.first, bool) or not isinstance(each.first, int) or not 1 <= each.first <= 1_000_000:
            raise InputError(f"{where}: first is the rank of the first item, a whole number from 1 on.")
        _check_time(where, each.time, limit)


def check_id(name: str, value: str) -> str:
    """The id of a user, an item or the like, or InputError."""
    _check_text("Asked for", name, value)
    return value


def _last(now: float | None) -> float:
    return (time.time() if now is None else now) + AHEAD


def _check_count(given: Sequence[object], what: str) -> None:
    if len(given) > MOST:
        raise InputError(f"{len(given):,} {what} in one call; at most {MOST:,} are taken. Send them in parts.")


def _check_ids(where: str, **ids: object) -> None:
    for name, value in ids.items():
        _check_text(where, name, value)


def _check_text(where: str, name: str, value: object, longest: int = LONGEST) -> None:
    if not isinstance(value, str):
        raise InputError(f"{where}: {name} is {type(value).__name__}; give text.")
    if not 1 <= len(value) <= longest:
        raise InputError(f"{where}: {name} has {len(value):,} characters; give 1 to {longest}.")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"{where}: {name} holds half a character (a lone surrogate), which no UTF-8 text has.")


def _check_time(where: str, value: object, limit: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: time is {type(value).__name__}; give unix seconds.")
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{where}: time is {value!r}; give unix seconds, from 0 on.")
    if value > limit:
        raise InputError(f"{where}: time {value!r} is more than a day ahead. Give unix seconds, not milliseconds.")


def _shown(value: object) -> str:
    """An id for a message: never long."""
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
