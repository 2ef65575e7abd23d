"""The parameters of a simulated world: domains, users, items and how much of an interest carries over between domains."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossrec.errors import InputError, nearest

NAMES = ("toys", "games", "books", "music", "films", "food", "news", "travel")
"""Names of the domains where only their number is given; further ones are called domain9, domain10, ..."""
FEWEST_EVENTS = 3
"""No history of a user in one of the user's domains is shorter."""


@dataclass(frozen=True)
class World:
    """A planted cross-domain world. Equal worlds give equal logs; worlds that differ in ``transfer`` share items and times.

    Raises :class:`~crossrec.errors.InputError` for parameters that no world can have.
    """

    domains: int | Sequence[str] = 2
    """Number of domains, or their names."""
    users: int = 2000
    """Users in all. Each has one home domain; the homes are shared out evenly."""
    items: int | Mapping[str, int] = 1000
    """Items of each domain: one number, or one per domain name."""
    events: float | Mapping[str, float] = 10.0
    """Mean history length of a user in a domain (3 or more, long-tailed): one number, or one per domain name."""
    overlap: float = 0.6
    """Share of users who are also in each domain that is not their home: 0 shares nobody, 1 has everybody everywhere."""
    transfer: float | Mapping[str | tuple[str, str], float] = 0.9
    """Rank correlation (Kendall) of a user's interests between domains: one for all pairs, or ``{("toys", "games"): 0.8}``
    (also ``{"toys:games": 0.8}``; pairs not named have 0). At strength s, a user who prefers one interest to another in
    one domain does so in the other with probability (1 + s) / 2."""
    interests: int = 20
    """Kinds of items, the same kinds in every domain."""
    tail: float = 1.0
    """Exponent of the popularity of items within an interest: the item of rank r is taken in proportion to r ** -tail."""
    drift: float = 0.7
    """Share of a user's interests that is of the moment and passes, in [0, 1]; the rest lasts."""
    outliers: float = 0.0
    """Share of the users of two or more domains whose interests in one of their domains have nothing to do with the others."""
    sequence: float = 0.2
    """Share of events that follow from the item before in that domain (a law from item to item), in [0, 1)."""
    opinions: float = 0.0
    """Standard deviation, in stars, of a user's opinion of each interest: it moves the user's ratings and nothing else, and
    carries over between domains as interests do. At 0 ratings follow liking, quality of the item, and noise alone."""
    days: int = 365
    """Time that the logs cover, in days."""
    resolution: Literal["second", "day"] = "second"
    """How exactly time is published; ``day`` gives many ties, and only the order of the rows within a domain breaks them."""
    seed: int = 0
    """Seed of everything that is drawn."""

    def __post_init__(self) -> None:
        self._check_names()
        count = len(self.names)
        _whole("users", self.users, count, "one for each domain at least")
        _whole("interests", self.interests, 2)
        _whole("days", self.days, 1)
        _whole("seed", self.seed, 0)
        for name in ("overlap", "drift", "outliers", "sequence"):
            _share(name, getattr(self, name))
        if self.sequence == 1:
            raise InputError("sequence=1 leaves no event to the user's interests; give a share below 1.")
        if count > 1 and self.overlap > 0 and round(self.overlap * (self.users // count)) < 1:
            raise InputError(
                f"overlap={self.overlap:g} of {self.users} users in {count} domains is less than one user; "
                "give more users, a larger overlap, or overlap=0."
            )
        if self.resolution not in ("second", "day"):
            raise InputError(f"resolution={self.resolution!r} is not known; give 'second' or 'day'.")
        for domain, mean in self.mean_events.items():
            if not (isinstance(mean, Real) and FEWEST_EVENTS <= mean < math.inf):
                raise InputError(f"events={mean!r} for {domain!r}: give a mean of {FEWEST_EVENTS} or more.")
        if not (isinstance(self.opinions, Real) and 0 <= self.opinions < math.inf):
            raise InputError(f"opinions={self.opinions!r}: give a standard deviation in stars, 0 or more.")
        self._check_popularity()
        _ = self.correlations

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains."""
        if isinstance(self.domains, Integral):
            return tuple(NAMES[d] if d < len(NAMES) else f"domain{d + 1}" for d in range(int(self.domains)))
        return tuple(self.domains)  # type: ignore[arg-type]  # mypy does not know that an int is an Integral

    @property
    def sizes(self) -> dict[str, int]:
        """Items per domain."""
        return self._per_domain("items", self.items)

    @property
    def mean_events(self) -> dict[str, float]:
        """Mean history length per domain."""
        return self._per_domain("events", self.events)

    @property
    def strengths(self) -> npt.NDArray[np.float64]:
        """The strength of every pair of domains, shape (domains, domains), 1 on the diagonal."""
        matrix = np.eye(len(self.names))
        if not isinstance(self.transfer, Mapping):
            _share("transfer", self.transfer)
            matrix[matrix == 0] = self.transfer
            return matrix
        seen: set[frozenset[int]] = set()
        for key, strength in self.transfer.items():
            a, b = self._pair(key)
            if frozenset((a, b)) in seen:
                raise InputError(f"transfer names the pair {self.names[a]}, {self.names[b]} twice; leave one.")
            seen.add(frozenset((a, b)))
            _share(f"transfer of {self.names[a]}, {self.names[b]}", strength)
            matrix[a, b] = matrix[b, a] = strength
        return matrix

    @property
    def correlations(self) -> npt.NDArray[np.float64]:
        """The strengths as correlations of standard normals: shape (domains, domains), positive semi-definite."""
        matrix = np.sin(np.pi / 2 * self.strengths)
        lowest = float(np.linalg.eigvalsh(matrix)[0])
        if lowest < -1e-9:
            names, at = self.names, zip(*np.triu_indices(len(self.names), 1), strict=True)
            pairs = ", ".join(f"{names[a]}:{names[b]}={self.strengths[a, b]:g}" for a, b in at)
            raise InputError(
                f"transfer ({pairs}) is impossible: the strengths contradict each other (smallest eigenvalue "
                f"{lowest:.3f} of their correlations). Two domains that are both close to a third must be close to each "
                "other: give the pairs not named a strength, or weaken the strongest."
            )
        return matrix

    def parameters(self) -> dict[str, Any]:
        """Every field as plain JSON values; ``World(**parameters)`` gives the same logs."""
        values = {name: _plain(value) for name, value in asdict(self).items()}
        values["domains"] = list(self.names)
        if isinstance(self.transfer, Mapping):
            values["transfer"] = _plain(_text_keys(self.transfer))
        return values

    def _check_names(self) -> None:
        if isinstance(self.domains, Integral):
            _whole("domains", self.domains, 1)
            return
        if isinstance(self.domains, str) or not isinstance(self.domains, Sequence):
            raise InputError(f"domains={self.domains!r}: give a number or a list of names.")
        if not self.domains:
            raise InputError("domains is empty: give a number or a list of names.")
        for name in self.domains:
            if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)) or name == "items":
                raise InputError(
                    f"{name!r} cannot name a domain: give letters, digits, '-' or '_' "
                    "(and not 'items', the name of another file)."
                )
        if len({name.lower() for name in self.domains}) < len(self.domains):
            raise InputError(f"domains={list(self.domains)}: two domains share a name.")

    def _check_popularity(self) -> None:
        if not (isinstance(self.tail, Real) and 0 <= self.tail < math.inf):
            raise InputError(f"tail={self.tail!r}: give an exponent of 0 or more.")
        for domain, size in self.sizes.items():
            _whole(f"items of {domain!r}", size, 2 * self.interests, "two for each interest at least")
            each = size // self.interests
            head = float(1 / np.sum(np.arange(1, each + 1) ** -float(self.tail)))
            if head > 0.5:
                raise InputError(
                    f"tail={self.tail:g} with {each} items for each interest of {domain!r} makes one item {head:.0%} "
                    "of its interest, so that users would have to take it twice in a row; "
                    "give a smaller tail, more items or fewer interests."
                )

    def _per_domain(self, field: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            return dict.fromkeys(self.names, value)
        for name in value:
            self._number(str(name), field)
        missing = [name for name in self.names if name not in value]
        if missing:
            raise InputError(
                f"{field} says nothing of {', '.join(missing)}; name every domain, or give one number for all."
            )
        return {name: value[name] for name in self.names}

    def _pair(self, key: object) -> tuple[int, int]:
        names = key.split(":") if isinstance(key, str) else key
        if not isinstance(names, tuple | list) or len(names) != 2 or names[0] == names[1]:
            raise InputError(
                f"transfer has the key {key!r}; a key is a pair of two domains, such as ('toys', 'games') or 'toys:games'."
            )
        return self._number(str(names[0]), "transfer"), self._number(str(names[1]), "transfer")

    def _number(self, name: str, field: str) -> int:
        if name not in self.names:
            raise InputError(
                f"{field} names the domain {name!r}, which this world does not have.{nearest(name, self.names)}"
            )
        return self.names.index(name)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _text_keys(transfer: Mapping[str | tuple[str, str], float]) -> dict[str, float]:
    return {key if isinstance(key, str) else ":".join(key): value for key, value in transfer.items()}


def _whole(name: str, value: object, least: int, why: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        reason = f" ({why})" if why else ""
        raise InputError(f"{name}={value!r}: give a whole number, {least} or more{reason}.")


def _share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InputError(f"{name}={value!r}: give a share between 0 and 1.")
