"""What answers are made of: one version of a run, loaded and checked; and its holder, which switches under load."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.recommender import Recommender
from crossrec.retrieve.channels import Channels
from crossrec.serve import versions

LOG = logging.getLogger("crossrec.serve")
LOOK = 0.25
"""Seconds between two looks at the pointer."""
AHEAD, PAUSE = 64, 0.05
"""Items whose neighbours are searched for ahead of being asked of, at once, and seconds between two such searches."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """One domain of a bundle: the names of its items, and the channels where the run recommends in it."""

    domain: str
    first: int
    """Global id of its first item."""
    ids: pa.Array
    titles: pa.ChunkedArray | None
    categories: pa.ChunkedArray | None
    channels: Channels | None

    def __len__(self) -> int:
        return len(self.ids)

    def id(self, place: int) -> str:
        """Own id of an item."""
        return str(self.ids[place])

    def title(self, place: int) -> str | None:
        """Its title, where one is known."""
        return None if self.titles is None else self.titles[place].as_py()

    def category(self, place: int) -> str | None:
        """Its category, where one is known."""
        return None if self.categories is None else self.categories[place].as_py()


class Bundle:
    """One version of a run: model, indexes, counts and names belong together, and never change."""

    def __init__(self, recommender: Recommender, *, name: str = "", version: str = "") -> None:
        self.recommender, self.name, self.version = recommender, name, version
        self.loaded = time.time()
        data, serves = recommender.data, recommender.model.serves()
        self.shelves = {domain: self._shelf(domain, domain in serves) for domain in data.domains}

    @classmethod
    def load(cls, folder: Path, name: str = "") -> Bundle:
        """A version from its folder, checked.

        Raises:
            InputError: one clear error for whatever is missing, changed, cut or does not fit.
        """
        try:
            versions.verify(folder)
            bundle = cls(Recommender.load(folder), name=name, version=versions.fingerprint(folder))
            bundle._check()
        except InputError:
            raise
        except Exception as error:  # whatever a broken file does to a reader must not reach who is served
            raise InputError(f"{folder} cannot be served ({type(error).__name__}: {error}).") from error
        return bundle

    @property
    def target(self) -> str:
        """The domain that is recommended in where nobody says which."""
        return self.recommender.target

    @property
    def serves(self) -> tuple[str, ...]:
        """The domains that it recommends in."""
        return self.recommender.model.serves()

    def shelf(self, domain: str) -> Shelf:
        """A domain of the run. Raises InputError for one that is not there."""
        if domain not in self.shelves:
            self.recommender.data.catalogue.block(domain)
        return self.shelves[domain]

    def channels(self, domain: str) -> Channels:
        """The channels of a domain. Raises InputError where the run does not recommend in it."""
        channels = self.shelf(domain).channels
        if channels is None:
            raise InputError(f"This run recommends in {', '.join(map(repr, self.serves))}, not in {domain!r}.")
        return channels

    def ahead(self) -> bool:
        """Search for the neighbours of some more items, those with the most events first; whether any were left."""
        found = False
        for shelf in self.shelves.values():
            if shelf.channels is not None and (neighbours := shelf.channels.neighbours) is not None:
                ids = neighbours.unknown(self._by_events)[:AHEAD]
                neighbours.precompute(ids)
                found |= len(ids) > 0
        return found

    def user(self, label: str) -> int:
        """Number of a user whom the run knows; -1 of a stranger."""
        return int(self.recommender.data.users.index([label])[0])

    def places(self, domain: str, ids: list[str]) -> Ints:
        """Places of items by their own ids; -1 for those that the run does not know."""
        shelf = self.shelf(domain)
        return self.recommender.data.items[shelf.domain].index(ids)

    def own_history(self, user: int) -> tuple[Ints, Ints | None]:
        """Global ids and times of a user's events in the run, oldest first."""
        data = self.recommender.data
        rows = slice(int(data.offset_U1[user]), int(data.offset_U1[user + 1]))
        times = None if data.time_E is None else np.asarray(data.time_E[rows])
        return np.asarray(data.item_E[rows], dtype=np.int64), times

    def named(self, item: int) -> tuple[Shelf, int]:
        """The domain and the place of an item by its global id."""
        shelf = self.shelves[self._domains[int(self.recommender.data.catalogue.domain_of(item))]]
        return shelf, item - shelf.first

    def users_after(self, start: str, count: int) -> list[str]:
        """The next users of the run in the order of their ids."""
        low, high = 0, len(self._users)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._users[middle].as_py() <= start else (low, middle)
        return list(self._users.slice(low, count).to_pylist())

    @cached_property
    def _users(self) -> pa.Array:
        text = self.recommender.data.users.text
        return text.take(pc.array_sort_indices(text))

    @cached_property
    def _by_events(self) -> Ints:
        """Global ids of all items, those with the most events first."""
        data = self.recommender.data
        counts = np.bincount(data.item_E, minlength=data.catalogue.num_ids)
        return np.argsort(-counts, kind="stable")

    @cached_property
    def event_counts(self) -> dict[str, int]:
        """Events of every domain in the run's data."""
        data = self.recommender.data
        counts = np.bincount(data.catalogue.domain_of(data.item_E), minlength=len(data.domains))
        return dict(zip(data.domains, counts.tolist(), strict=True))

    @cached_property
    def _domains(self) -> tuple[str, ...]:
        return self.recommender.data.domains

    def _shelf(self, domain: str, served: bool) -> Shelf:
        data = self.recommender.data
        texts = data.titles.get(domain)
        columns = {} if texts is None else {name: texts.column(name) for name in texts.column_names}
        return Shelf(
            domain,
            data.catalogue.block(domain).start,
            data.items[domain].text,
            columns.get("title"),
            columns.get("category"),
            Channels(self.recommender, domain) if served else None,
        )

    def _check(self) -> None:
        """Answers once in every domain, so that what does not fit is found now, and what is looked up is remembered."""
        told = self.recommender.recipe.get("data_hash")
        if told is not None and told != self.recommender.data.hash:
            raise InputError(
                f"Model and data do not fit: trained on {told}, its data are {self.recommender.data.hash}."
            )
        wrong = [
            name
            for name, value in self.recommender.model.state_dict().items()
            if value.is_floating_point() and not torch.isfinite(value).all()
        ]
        if wrong:
            raise InputError(f"The weights are broken: {wrong[0]} holds what is no number.")
        users = self.recommender.data.users.text.slice(0, 2).to_pylist()
        for _ in range(2):
            self.user("")
            for domain in self.shelves:
                self.places(domain, [""])
        for domain in self.serves:
            for pool in self.channels(domain).candidates(users, keep_seen=True) if users else ():
                if not np.isfinite(pool.score_C).all():
                    raise InputError(f"The model gives scores in {domain!r} that are no numbers.")


class Bundles:
    """The current version of a run: a request takes :attr:`now` once and keeps it, whatever is switched meanwhile."""

    def __init__(self, run: Path, *, name: str = "main") -> None:
        """Load the current version. Raises InputError where it cannot be served."""
        self.run, self.name = run, name
        self.refused: str | None = None
        """Why the version that the pointer names is not served; None where it is."""
        self.switches = self.refusals = 0
        self._mark = versions.mark(run)
        wanted = versions.pointed(run)
        self.now = Bundle.load(versions.folder_of(run, wanted), wanted)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> bool:
        """Take up what the pointer names, if that has changed; whether another version is served now.

        What cannot be loaded is refused: the version that was served is served on.
        """
        found = versions.mark(self.run)
        if found == self._mark:
            return False
        self._mark = found
        try:
            wanted = versions.pointed(self.run)
            if wanted == self.now.name:
                self.refused = None
                return False
            bundle = Bundle.load(versions.folder_of(self.run, wanted), wanted)
            self._check_domains(bundle)
        except InputError as error:
            self.refused = str(error)
            self.refusals += 1
            LOG.error("A version of %s was refused: %s", self.name, error)
            return False
        self.now, self.refused = bundle, None
        self.switches += 1
        LOG.info("%s: now serves version %s %s", self.name, bundle.name or "of the run", bundle.version)
        return True

    def watch(self) -> None:
        """Look again and again, and work ahead while there is anything to do, in a thread, until :meth:`close`."""
        self._thread = threading.Thread(target=self._watch, name=f"watch-{self.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        busy = True
        while not self._end.wait(PAUSE if busy else LOOK):
            try:
                self.look()
                busy = self.now.ahead()
            except Exception:
                LOG.exception("%s: the pointer could not be looked at", self.name)

    def _check_domains(self, bundle: Bundle) -> None:
        missing = [domain for domain in self.now.serves if domain not in bundle.serves]
        if missing:
            raise InputError(
                f"Version {bundle.name!r} does not recommend in {missing[0]!r}, which is served now. Start a server of its own."
            )
