"""What is known of somebody who asks: the run's own history of them, and behind it what the store has taken in since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossrec.serve.asked import AWAY, Past
from crossrec.serve.bundle import Bundle
from crossrec.serve.events import Event
from crossrec.serve.keeper import Keeper
from crossrec.serve.store import StoreError

Pairs = list[tuple[str, str]]
"""(domain, own item id), oldest first."""


@dataclass(frozen=True)
class Known:
    """Somebody's history as the model is told it."""

    label: str | None
    """Own id of a user whom the run knows; None: a stranger."""
    pairs: Pairs | None
    """None: the history in the run, as it is."""
    events: int
    passed_over: int = 0
    fallback: str | None = None


def told(bundle: Bundle, history: Sequence[tuple[str, str]], user: str | None) -> Known:
    """Of somebody whose history is given. Raises InputError for a domain that the run has not."""
    pairs, unknown = _known_pairs(bundle, history, strict=True)
    label = user if user is not None and bundle.user(user) >= 0 else None
    return Known(label, pairs, len(pairs), unknown)


def of_user(bundle: Bundle, keeper: Keeper, user: str) -> Known:
    """Of a user: without the store, what the run knows."""
    number = bundle.user(user)
    label = user if number >= 0 else None
    try:
        stored, fallback = keeper.ask(lambda store: store.history(user)), None
    except StoreError:
        stored, fallback = [], AWAY
    pairs, unknown = _known_pairs(bundle, [(each.domain, each.item) for each in newer(bundle, number, stored)])
    if label is None:
        return Known(None, pairs, len(pairs), unknown, fallback)
    own = bundle.own_history(number)[0]
    if not pairs:
        return Known(label, None, len(own), unknown, fallback)
    return Known(label, own_pairs(bundle, number) + pairs, len(own) + len(pairs), unknown, fallback)


def pairs_of(bundle: Bundle, known: Known) -> Pairs:
    """The history of somebody, whether it was told or is the run's."""
    if known.pairs is not None:
        return known.pairs
    return [] if known.label is None else own_pairs(bundle, bundle.user(known.label))


def own_pairs(bundle: Bundle, user: int) -> Pairs:
    """The run's history of a user."""
    named = [bundle.named(int(item)) for item in bundle.own_history(user)[0]]
    return [(shelf.domain, shelf.id(place)) for shelf, place in named]


def newer(bundle: Bundle, user: int, stored: Sequence[Event]) -> list[Event]:
    """The stored events of a user that the run's data do not hold already (an update takes them in)."""
    if user < 0 or not stored:
        return list(stored)
    own, times = bundle.own_history(user)
    if times is None:
        return list(stored)
    there = set(zip(own.tolist(), times.tolist(), strict=True))
    known = [each for each in stored if each.domain in bundle.shelves]
    ids = {
        (each.domain, each.item): bundle.shelves[each.domain].first + int(place)
        for domain in {each.domain for each in known}
        for each, place in _placed(bundle, domain, known)
    }
    return [each for each in stored if (ids.get((each.domain, each.item)), int(each.time)) not in there]


def past(bundle: Bundle, keeper: Keeper, user: str, count: int) -> tuple[dict[str, list[Past]], str | None] | None:
    """The latest events of a user per domain, oldest first, and the fallback; None of somebody who has none.

    Raises:
        StoreError: where the store is away and the run does not know the user.
    """
    number, fallback = bundle.user(user), None
    try:
        stored = keeper.ask(lambda store: store.history(user))
    except StoreError:
        if number < 0:
            raise
        stored, fallback = [], AWAY
    found: dict[str, list[Past]] = {domain: [] for domain in bundle.shelves}
    if number >= 0:
        items, times = bundle.own_history(number)
        domains = bundle.recommender.data.catalogue.domain_of(items)
        for at in range(len(bundle.shelves)):
            for e in np.flatnonzero(domains == at)[-count:].tolist():
                shelf, place = bundle.named(int(items[e]))
                time = None if times is None or times[e] < 0 else float(times[e])
                named = (shelf.id(place), shelf.title(place), shelf.category(place))
                found[shelf.domain].append(Past(*named, time, known=True, stored=False))
    for each in newer(bundle, number, stored):
        if each.domain in bundle.shelves:
            found[each.domain].append(_stored(bundle, each))
    if number < 0 and not stored:
        return None
    return {domain: events[-count:] for domain, events in found.items()}, fallback


def _stored(bundle: Bundle, event: Event) -> Past:
    shelf, place = bundle.shelves[event.domain], int(bundle.places(event.domain, [event.item])[0])
    made = Past(event.item, None, None, event.time, known=place >= 0, stored=True)
    return replace(made, title=shelf.title(place), category=shelf.category(place)) if place >= 0 else made


def _known_pairs(bundle: Bundle, history: Sequence[tuple[str, str]], strict: bool = False) -> tuple[Pairs, int]:
    """The events of items that the run knows, and how many it does not."""
    known: dict[tuple[str, str], bool] = {}
    for domain in dict.fromkeys(domain for domain, _ in history):
        if not strict and domain not in bundle.shelves:
            continue
        items = list({item for name, item in history if name == domain})
        places = bundle.places(domain, items)
        known.update(((domain, item), place >= 0) for item, place in zip(items, places.tolist(), strict=True))
    pairs = [pair for pair in history if known.get(pair)]
    return pairs, len(history) - len(pairs)


def _placed(bundle: Bundle, domain: str, events: Sequence[Event]) -> list[tuple[Event, int]]:
    inside = [each for each in events if each.domain == domain]
    places = bundle.places(domain, [each.item for each in inside]).tolist()
    return [(each, place) for each, place in zip(inside, places, strict=True) if place >= 0]
