"""Answers of a running service: it knows versions of runs and a store, and nothing of HTTP. Safe from many threads."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from crossrec.errors import InputError, nearest
from crossrec.retrieve.asking import Screen
from crossrec.retrieve.pools import Pool
from crossrec.serve import recall
from crossrec.serve.arms import Experiment
from crossrec.serve.asked import COLD, Answer, Ask, Explanation, Item, Past
from crossrec.serve.bundle import Bundle, Bundles
from crossrec.serve.events import Event, Exposure, check_events
from crossrec.serve.explaining import effects, weights
from crossrec.serve.gather import Gather
from crossrec.serve.keeper import Keeper, Meter
from crossrec.serve.showing import Showing
from crossrec.serve.silent import Silent
from crossrec.serve.store import Store, StoreError

MAIN = "main"
"""The name of the run that answers where nothing else is said."""


class Evidence(Protocol):
    """Works out what people with like histories did; never over fewer than ten of them."""

    def __call__(self, bundle: Bundle, history: recall.Pairs, domain: str, item: str) -> dict[str, object] | None:
        """Plain data for an answer; None where too few people stand behind it."""


@dataclass(frozen=True, eq=False)
class Job:
    """What the model is asked of one person."""

    bundle: Bundle
    domain: str
    known: recall.Known
    k: int | None = None
    """Only the k best are wanted; None: all candidates."""
    keep_seen: bool = False
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()

    @property
    def kind(self) -> tuple[object, ...]:
        """Jobs of one kind are done together."""
        here = (id(self.bundle), self.domain, self.k is None, self.keep_seen, self.allow)
        return (*here, self.known.user < 0)


class Engine:
    """Recommends, explains and takes events in."""

    def __init__(
        self,
        runs: Mapping[str, Bundles],
        store: Store,
        *,
        experiment: Experiment | None = None,
        meter: Meter | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """``runs``: what is served, by name; ``main`` must be among them. An arm of that name is answered by that run,
        any other by the main one."""
        self.runs, self.experiment, self.evidence = runs, experiment, evidence
        self.meter: Meter = meter or Silent()
        self.keeper = Keeper(store, self.meter)
        self._gather: Gather[Job, Pool] = Gather(self._work)
        self._showing = Showing(self.keeper, self.meter)

    def recommend(self, ask: Ask) -> Answer:
        """The k best items for somebody. Raises InputError for what cannot be asked."""
        arm = None
        if self.experiment is not None and ask.user is not None and ask.model is None:
            arm = self.experiment.arm(ask.user)
        model = ask.model or (arm if arm is not None and arm in self.runs else MAIN)
        bundle = self.bundle(model)
        domain = ask.domain or bundle.target
        bundle.channels(domain)
        known = self._known(bundle, ask.user, ask.history)
        allow = None if ask.filters.allow is None else tuple(sorted(set(ask.filters.allow)))
        pool = self._gather(Job(bundle, domain, known, ask.k, not ask.filters.seen, allow, tuple(ask.filters.deny)))
        fallback = known.fallback or (COLD if pool.cold else None)
        items = self._items(bundle, domain, pool, ask.k)
        if fallback is not None:
            self.meter.fallback(fallback)
        if arm is not None and self.experiment is not None and ask.user is not None and items:
            shown = tuple(each.item for each in items)
            about = (ask.request, ask.user, arm, domain, shown, time.time())
            self._showing(Exposure(*about, self.experiment.name, ask.page))
        counts = (len(known.ids), known.passed_over)
        return Answer(ask.request, model, bundle.version, domain, ask.user, arm, fallback, *counts, items)

    def similar(
        self, domain: str | None, item: str, k: int, model: str | None = None
    ) -> tuple[Bundle, str, list[Item]]:
        """The items of a domain whose vectors point most alike. Raises InputError where there are none."""
        bundle = self.bundle(model or MAIN)
        domain = domain or bundle.target
        channels, place = bundle.channels(domain), self._place(bundle, domain, item)
        if channels.neighbours is None:
            raise InputError(f"{bundle.recommender.model.name} has no item vectors that could be compared.")
        shelf = bundle.shelf(domain)
        places, scores = channels.neighbours.search(np.array([shelf.first + place]), k)
        found = [(p, s) for p, s in zip(places[0].tolist(), scores[0].tolist(), strict=True) if p >= 0]
        named = [(shelf.id(p), shelf.title(p), shelf.category(p), s) for p, s in found]
        return (
            bundle,
            domain,
            [Item(own, 1 + at, s, ("similar",), title, kind) for at, (own, title, kind, s) in enumerate(named)],
        )

    def explain(self, ask: Ask, item: str) -> Explanation:
        """Why an item would be recommended to somebody, or how near it is to it."""
        model = ask.model or MAIN
        bundle = self.bundle(model)
        domain = ask.domain or bundle.target
        bundle.channels(domain)
        shelf, place = bundle.shelf(domain), self._place(bundle, domain, item)
        known = self._known(bundle, ask.user, ask.history)
        pool = self._gather(Job(bundle, domain, known))
        at = np.flatnonzero(pool.item_C == place)
        rank: int | None = None
        channels: tuple[str, ...] = ()
        if len(at):
            candidate = pool.candidates(at)[0]
            by_C = pool.fused_C if pool.cold else pool.score_C
            rank, channels = int((by_C > by_C[at[0]]).sum()) + 1, candidate.channel
        history = recall.pairs_of(bundle, known)
        asked = Job(bundle, domain, known, keep_seen=True, allow=(item,))
        score, parts = effects(self._gather.together, asked)
        triggers = weights(bundle, domain, place, history, parts)
        fallback = known.fallback or (COLD if pool.cold else None)
        evidence = None if self.evidence is None else self.evidence(bundle, history, domain, item)
        named = (item, shelf.title(place), shelf.category(place))
        about = (ask.request, model, bundle.version, domain, ask.user, *named)
        return Explanation(*about, score, rank, channels, fallback, triggers, evidence)

    def record(self, events: Sequence[Event]) -> int:
        """Take events in, all or none, durably; how many were new.

        Raises:
            InputError: for an event that no store takes, or of a domain that no run has.
            StoreError: where the store is away: nothing was taken, send them again.
        """
        check_events(events)
        domains = {domain for run in self.runs.values() for domain in run.now.shelves}
        for each in events:
            if each.domain not in domains:
                raise InputError(f"There is no domain {each.domain[:80]!r} here.{nearest(each.domain, domains)}")
        new = self.keeper.ask(lambda store: store.append(events))
        self.meter.events(new, len(events) - new)
        return new

    def history(
        self, user: str, count: int, model: str | None = None
    ) -> tuple[dict[str, list[Past]], str | None] | None:
        """The latest events of a user per domain, and the fallback; None of a user of whom nobody knows anything."""
        return recall.past(self.bundle(model or MAIN), self.keeper, user, count)

    def users(self, start: str, count: int, model: str | None = None) -> tuple[list[tuple[str, bool]], str | None]:
        """The next users after ``start`` in the order of their ids, whether the run knows each, and the fallback."""
        bundle, fallback = self.bundle(model or MAIN), None
        own = bundle.users_after(start, count)
        try:
            stored = self.keeper.ask(lambda store: store.users(start, count))
        except StoreError:
            stored, fallback = [], "store"
        names = list(dict.fromkeys(heapq.merge(own, stored)))[:count]
        known = set(own)
        return [(name, name in known or bundle.user(name) >= 0) for name in names], fallback

    def bundle(self, model: str) -> Bundle:
        """The version of a run that is current: whoever asks keeps it. Raises InputError for an unknown name."""
        if model not in self.runs:
            raise InputError(f"There is no model {model[:80]!r} here.{nearest(model, self.runs)}")
        return self.runs[model].now

    def close(self) -> None:
        """Finish what was begun and let go of the store."""
        for run in self.runs.values():
            run.close()
        self._showing.close()
        self.keeper.store.close()

    def flush(self) -> None:
        """Write down the exposures that wait."""
        self._showing.flush()

    def _known(self, bundle: Bundle, user: str | None, history: Sequence[tuple[str, str]] | None) -> recall.Known:
        if history is not None:
            return recall.told(bundle, history, user)
        if user is None:
            raise InputError("Say for whom: a user, or a history.")
        return recall.of_user(bundle, self.keeper, user)

    def _place(self, bundle: Bundle, domain: str, item: str) -> int:
        place = int(bundle.places(domain, [item])[0])
        if place < 0:
            raise InputError(f"Unknown item {item[:80]!r} in {domain!r}.")
        return place

    def _items(self, bundle: Bundle, domain: str, pool: Pool, k: int) -> list[Item]:
        shelf = bundle.shelf(domain)
        found = pool.best(k)
        for channel in {name for each in found for name in each.channel}:
            self.meter.candidates(channel, sum(channel in each.channel for each in found))
        return [
            Item(shelf.id(p), 1 + at, each.score, each.channel, shelf.title(p), shelf.category(p))
            for at, each in enumerate(found)
            for p in (each.item,)
        ]

    def _work(self, jobs: Sequence[Job]) -> Sequence[Pool | Exception]:
        """Pools of some jobs; those of one kind are made together."""
        self.meter.batch(len(jobs))
        kinds: dict[tuple[object, ...], list[int]] = {}
        for at, job in enumerate(jobs):
            kinds.setdefault(job.kind, []).append(at)
        found: list[Pool | Exception] = [RuntimeError("not worked on")] * len(jobs)
        for places in kinds.values():
            group = [jobs[at] for at in places]
            try:
                pools: list[Pool | Exception] = list(_pools(group))
            except Exception as error:
                pools = [error] if len(group) == 1 else [_alone(job) for job in group]
            for at, pool in zip(places, pools, strict=True):
                found[at] = pool
        return found


def _alone(job: Job) -> Pool | Exception:
    try:
        return _pools([job])[0]
    except Exception as error:
        return error


def _pools(jobs: Sequence[Job]) -> list[Pool]:
    """Candidates of jobs of one kind."""
    first = jobs[0]
    bundle, channels = first.bundle, first.bundle.channels(first.domain)
    allowed_V = None
    if first.allow is not None:
        places = bundle.places(first.domain, list(first.allow))
        allowed_V = np.zeros(len(bundle.shelf(first.domain)), dtype=bool)
        allowed_V[places[places >= 0]] = True
    denied = None
    if any(job.deny for job in jobs):
        all_places = [bundle.places(first.domain, list(job.deny)) for job in jobs]
        denied = [places[places >= 0] for places in all_places]
    screen = Screen(allowed_V, denied, first.keep_seen)
    with torch.inference_mode():
        who = recall.askers_of(bundle, [job.known for job in jobs])
        if first.k is None:
            return channels.pools(who, screen)
        return channels.top(who, max(job.k or 0 for job in jobs), screen)
