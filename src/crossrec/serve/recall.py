"""What is known of somebody who asks: the run's own history of them, and behind it what the store has taken in since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossrec.data.askers import Askers, by_number
from crossrec.data.splits import Events
from crossrec.data.vocabulary import Ints
from crossrec.serve.asked import AWAY, Past
from crossrec.serve.bundle import Bundle
from crossrec.serve.events import Event
from crossrec.serve.keeper import Keeper
from crossrec.serve.store import StoreError

Pairs = list[tuple[str, str]]
"""(domain, own item id), oldest first."""


@dataclass(frozen=True, eq=False)
class Known:
    """Somebody's history as the model is told it."""

    user: int
    """Number of a user whom the run knows; -1: a stranger."""
    ids: Ints
    """Global ids of the items, oldest first."""
    own: bool
    """Whether that is the history in the run, as it is."""
    passed_over: int = 0
    """Events of items that the run does not know."""
    fallback: str | None = None


def told(bundle: Bundle, history: Sequence[tuple[str, str]], user: str | None) -> Known:
    """Of somebody whose history is given. Raises InputError for a domain that the run has not."""
    ids = ids_of(bundle, history, strict=True)
    return Known(-1 if user is None else bundle.user(user), ids[ids >= 0], False, int((ids < 0).sum()))


def of_user(bundle: Bundle, keeper: Keeper, user: str) -> Known:
    """Of a user: without the store, what the run knows."""
    number = bundle.user(user)
    try:
        stored, fallback = keeper.ask(lambda store: store.history(user)), None
    except StoreError:
        stored, fallback = [], AWAY
    ids = ids_of(bundle, [(each.domain, each.item) for each in newer(bundle, number, stored)])
    known, unknown = ids[ids >= 0], int((ids < 0).sum())
    if number < 0:
        return Known(-1, known, False, unknown, fallback)
    own = bundle.own_history(number)[0]
    return Known(number, np.concatenate([own, known]) if len(known) else own, not len(known), unknown, fallback)


def askers_of(bundle: Bundle, known: Sequence[Known]) -> Askers:
    """Those of whom this is known; either all are users of the run, or none is."""
    data, users = bundle.recommender.data, [each.user for each in known]
    user_N = np.array(users)
    if all(each.own for each in known):
        return by_number(data, user_N, users)
    stop_N = np.cumsum([len(each.ids) for each in known])
    start_N = np.concatenate([[0], stop_N[:-1]])
    events = Events(data.catalogue, np.concatenate([each.ids for each in known]).astype(np.int32))
    return Askers(users, user_N, events, start_N, stop_N)


def pairs_of(bundle: Bundle, known: Known) -> Pairs:
    """The history of somebody by names."""
    named = [bundle.named(item) for item in known.ids.tolist()]
    return [(shelf.domain, shelf.id(place)) for shelf, place in named]


def ids_of(bundle: Bundle, history: Sequence[tuple[str, str]], strict: bool = False) -> Ints:
    """Global ids of the items of events; -1 where the run does not know the item.

    Of a domain that the run does not have, too, unless ``strict``: then InputError.
    """
    id_L = np.full(len(history), -1, dtype=np.int64)
    for domain in dict.fromkeys(domain for domain, _ in history):
        if not strict and domain not in bundle.shelves:
            continue
        at = [n for n, (name, _) in enumerate(history) if name == domain]
        places = bundle.places(domain, [history[n][1] for n in at])
        id_L[at] = np.where(places >= 0, bundle.shelf(domain).first + places, -1)
    return id_L


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


def _placed(bundle: Bundle, domain: str, events: Sequence[Event]) -> list[tuple[Event, int]]:
    inside = [each for each in events if each.domain == domain]
    places = bundle.places(domain, [each.item for each in inside]).tolist()
    return [(each, place) for each, place in zip(inside, places, strict=True) if place >= 0]
