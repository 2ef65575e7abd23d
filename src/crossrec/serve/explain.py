"""What many did and how wide a taste is: people with a like history, never fewer than ten, and categories side by side.

Source: specs of DIAGAE, section 14.7. P people of a sample, L their items, N items that are asked about, M chosen people.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from crossrec.data.dataset import Dataset
from crossrec.data.ragged import stretches
from crossrec.data.vocabulary import Ints
from crossrec.serve.bundle import Bundle
from crossrec.serve.recall import Pairs, ids_of

Floats = npt.NDArray[np.float64]
FEWEST = 10
"""People who stand behind every figure at least (specs of DIAGAE, 14.7.5)."""
MOST = 50
"""People whose taste is the most alike: so many are looked at (ours)."""
HIDDEN = 3
"""A count of people below this one, but for 0, is not told (ours)."""
SAMPLE = 20_000
"""Users of the run among whom they are looked for, evenly spread (ours)."""
LATEST = 50
"""Items of a history by which people are compared, in each domain the latest ones (ours)."""
WIDE = 0.05
"""A category with this share or more counts (specs of DIAGAE, 14.7.3)."""


@dataclass(frozen=True)
class Shares:
    """A distribution over categories."""

    items: int
    """Items that it is of."""
    known: int
    """Those of them whose category is known; the others do not count."""
    shares: dict[str, float]
    """Sums to 1 (or is empty), the largest first."""


@dataclass(frozen=True, eq=False)
class Alike:
    """People whose items of one domain are like somebody's, the most alike first."""

    domain: str
    person_M: Ints
    weight_M: Floats
    """Sums to 1."""


class Crowd:
    """A bounded sample of a run's users, by item. It has no names, and gives out nothing of fewer than ten people."""

    def __init__(self, data: Dataset, sample: int = SAMPLE) -> None:
        self.data = data
        offset = np.asarray(data.offset_U1)
        self._user_P = np.arange(0, data.num_users, max(1, math.ceil(data.num_users / sample)))
        first_P, self._count_P = offset[self._user_P], np.diff(offset)[self._user_P]
        person_L, at_L = stretches(first_P, self._count_P)
        people, domains = len(self._user_P), len(data.domains)
        pair_L = np.unique(data.item_E[at_L].astype(np.int64) * people + person_L)
        self._item_L, self._person_L = pair_L // people, pair_L % people
        domain_L = data.catalogue.domain_of(self._item_L)
        both_L = self._person_L * domains + domain_L
        self._size_PD = np.bincount(both_L, minlength=people * domains).reshape(people, domains)

    def alike(self, history: Ints, domain: str, target: str) -> Alike | None:
        """People with a like history in a domain who have something else in the target; None of fewer than ten.

        The weight of a shared item is log(1 + people / people who have it); of a person, their sum over the root of the
        number of the person's items.

        Args:
            history: global ids of somebody's items in all domains, oldest first.
            domain: where they are compared.
            target: where the others must have something that is not in this history. So nobody is like themselves.
        """
        block, wanted = self.data.catalogue.block(domain), self.data.catalogue.block(target)
        asked_N = np.unique(history[(history >= block.start) & (history < block.stop)][-LATEST:])
        person_L, count_N = self._who(asked_N)
        weight_N = np.log1p(len(self._user_P) / np.maximum(count_N, 1))
        shared_P = np.bincount(person_L, weights=np.repeat(weight_N, count_N), minlength=len(self._user_P))
        size_P = self._size_PD[:, self.data.domains.index(domain)]
        score_P = shared_P / np.sqrt(np.maximum(size_P, 1))
        score_P[~self._others(history, wanted)] = 0
        found_M = np.argsort(-score_P, kind="stable")[:MOST]
        found_M = found_M[score_P[found_M] > 0]
        if len(found_M) < FEWEST:
            return None
        return Alike(domain, found_M, score_P[found_M] / score_P[found_M].sum())

    def have(self, alike: Alike, item: int) -> int:
        """How many of these people have an item (its global id)."""
        return int(np.isin(alike.person_M, self._who(np.array([item]))[0]).sum())

    def share(self, item: int) -> float:
        """The share of all people of the item's domain who have it."""
        people = int((self._size_PD[:, int(self.data.catalogue.domain_of(item))] > 0).sum())
        return len(self._who(np.array([item]))[0]) / people if people else 0.0

    def events(self, alike: Alike, domain: str) -> tuple[Ints, Ints]:
        """Who of these people has what in a domain: places among them, and global ids, (L,) each."""
        user_M = self._user_P[alike.person_M]
        at_M, at_L = stretches(np.asarray(self.data.offset_U1)[user_M], self._count_P[alike.person_M])
        item_L, block = self.data.item_E[at_L].astype(np.int64), self.data.catalogue.block(domain)
        inside_L = (item_L >= block.start) & (item_L < block.stop)
        return at_M[inside_L], item_L[inside_L]

    def _who(self, item_N: Ints) -> tuple[Ints, Ints]:
        """The people who have each of some items, end to end, and how many they are."""
        low_N, high_N = (np.searchsorted(self._item_L, item_N, side) for side in ("left", "right"))
        return self._person_L[stretches(low_N, high_N - low_N)[1]], high_N - low_N

    def _others(self, history: Ints, wanted: range) -> npt.NDArray[np.bool_]:
        """Whether each of the people has an item of the target that is not in this history, (P,)."""
        own = np.unique(history[(history >= wanted.start) & (history < wanted.stop)])
        person_L = self._who(own)[0]
        target = int(self.data.catalogue.domain_of(wanted.start))
        left_P = self._size_PD[:, target] - np.bincount(person_L, minlength=len(self._user_P))
        return np.asarray(left_P > 0)


class Evidence:
    """What people with like histories did, for :class:`~crossrec.serve.engine.Engine`: worked out when first asked for."""

    def __init__(self) -> None:
        self._crowds: WeakKeyDictionary[Bundle, Crowd] = WeakKeyDictionary()
        self._turn = threading.Lock()

    def __call__(self, bundle: Bundle, history: Pairs, domain: str, item: str) -> dict[str, object] | None:
        """Per domain of the history: how many people are most alike there, and how many of them have the item.

        None where there are fewer than ten such people in every domain. ``have`` is None for 1 or 2: then it would tell of
        single people.
        """
        crowd = self.crowd(bundle)
        wanted = bundle.shelf(domain).first + int(bundle.places(domain, [item])[0])
        told = []
        for alike in self.people(bundle, history, domain):
            have = crowd.have(alike, wanted)
            people = len(alike.person_M)
            hidden = 0 < have < HIDDEN
            told.append(
                {
                    "domain": alike.domain,
                    "people": people,
                    "have": None if hidden else have,
                    "share": None if hidden else have / people,
                }
            )
        if not told:
            return None
        return {"domains": told, "everybody": round(crowd.share(wanted), 3), "fewest": FEWEST}

    def people(self, bundle: Bundle, history: Pairs, domain: str) -> list[Alike]:
        """The people who are most alike in each domain of a history; domains with fewer than ten are not there."""
        crowd, ids = self.crowd(bundle), ids_of(bundle, history, strict=True)
        names = [name for name in bundle.shelves if any(where == name for where, _ in history)]
        found = [crowd.alike(ids[ids >= 0], name, domain) for name in names]
        return [each for each in found if each is not None]

    def crowd(self, bundle: Bundle) -> Crowd:
        """The sample of a bundle."""
        with self._turn:
            if bundle not in self._crowds:
                self._crowds[bundle] = Crowd(bundle.recommender.data)
            return self._crowds[bundle]


def categories_of(text: str | None) -> list[str]:
    """The categories of an item: several stand apart by "|"; of a path ("Toys > Building > Bricks") the second level counts."""
    if text is None:
        return []
    paths = [[part.strip() for part in path.split(">") if part.strip()] for path in text.split("|")]
    return list(dict.fromkeys(path[min(1, len(path) - 1)] for path in paths if path))


def shares_of(texts: Sequence[str | None], weights: Sequence[float] | None = None) -> Shares:
    """The distribution of items over categories; an item of several categories splits its mass equally.

    Args:
        texts: the categories of each item, as :func:`categories_of` reads them.
        weights: mass of each item; None: 1.
    """
    mass: dict[str, float] = {}
    known = 0
    for text, weight in zip(texts, weights or [1.0] * len(texts), strict=True):
        names = categories_of(text)
        known += bool(names)
        for name in names:
            mass[name] = mass.get(name, 0.0) + weight / len(names)
    total = sum(mass.values())
    ordered = sorted(mass.items(), key=lambda pair: (-pair[1], pair[0]))
    return Shares(len(texts), known, {name: one / total for name, one in ordered if one > 0})


def shares_of_people(bundle: Bundle, crowd: Crowd, alike: Alike, domain: str) -> Shares:
    """What these people have in a domain: the mean of their own distributions, the more alike counting more."""
    at_L, item_L = crowd.events(alike, domain)
    shelf = bundle.shelf(domain)
    texts = [shelf.category(place) for place in (item_L - shelf.first).tolist()]
    known_L = np.array([bool(categories_of(text)) for text in texts], dtype=bool)
    count_M = np.bincount(at_L[known_L], minlength=len(alike.person_M))
    if (count_M > 0).sum() < FEWEST:
        return Shares(len(item_L), 0, {})
    weight_L = alike.weight_M[at_L] / np.maximum(count_M[at_L], 1)
    return shares_of(texts, weight_L.tolist())


def entropy(shares: Mapping[str, float]) -> float:
    """Of a distribution, in bits: 0 where all is one category."""
    return -sum(share * math.log2(share) for share in shares.values() if share > 0)


def cocoon(shares: Mapping[str, float]) -> float:
    """The share of the largest category, the "cocoon index"; 0 of nothing."""
    return max(shares.values(), default=0.0)


def wide(shares: Mapping[str, float]) -> int:
    """How many categories have 5% or more."""
    return sum(share >= WIDE for share in shares.values())


def divergence(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Jensen-Shannon divergence of two distributions, in bits: 0 of equal ones, 1 of those with nothing in common."""
    mean = {name: (one.get(name, 0.0) + other.get(name, 0.0)) / 2 for name in {*one, *other}}
    return max(0.0, entropy(mean) - (entropy(one) + entropy(other)) / 2)
