"""The law of a simulated world: who is where, when, what interests them then, and which item they take.

All domains know the same interests. A user has for every domain d, interest c and moment t a leaning

    x_dc(t) = sqrt(1 - drift) * lasting_dc + sqrt(drift) * mood_dc(t)

of standard normals. Between domains they are correlated by sin(pi / 2 * strength), which makes the strength their rank
correlation (Kendall's tau; Kruskal 1958): at 1 the same in both, at 0 independent. The mood changes as the user's time
goes by, in all domains alike. An event is of interest c with probability softmax(FOCUS * x)_c, unless it follows from
the event before it in its domain. Hence, given the times of the events, domains of strength 0 are independent: one log
tells nothing of the other.

Shapes: U users, D domains, C interests, S spells of a user's time, V items of a domain, E events of a domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crossrec.data.vocabulary import Ints
from crossrec.data.worlds import FEWEST_EVENTS, World

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

FOCUS = 7.0
"""How peaked interests are."""
SPELLS = 6
"""Parts of a user's time within which the mood stays; neighbouring parts have half of it in common."""
LENGTH_SPREAD = 1.0
"""Standard deviation of the logarithm of history lengths: a log-normal tail."""
STEP = 0.381966
"""How far around its interest, by share of popularity, the item that follows from another lies."""
USERS_AT_ONCE = 4096
"""Users whose leanings are in memory at the same time."""


@dataclass(frozen=True, eq=False)
class People:
    """Who there is, and in which domains."""

    present_UD: npt.NDArray[np.bool_]
    outlier_U: Ints
    """Number of the domain in which an outlier's interests stand alone; -1 for everybody else."""
    joined_U: Floats
    """When the user first appears, as a share of the world's time."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """The items of one domain."""

    interest_V: Ints
    weight_V: Floats
    """Popularity within the interest; sums to 1 in each."""
    quality_V: Floats
    """What an item adds to all its ratings."""

    @cached_property
    def order(self) -> Ints:
        """The items by interest, and in each from the most popular on."""
        return np.asarray(np.lexsort((-self.weight_V, self.interest_V)), dtype=np.int64)

    @cached_property
    def edges(self) -> tuple[Floats, Ints]:
        """Where each item of that order ends (its interest's number, plus the share of popularity up to it), and the
        place of each interest's last item."""
        interest_V, weight_V = self.interest_V[self.order], self.weight_V[self.order]
        last_C = np.searchsorted(interest_V, np.arange(interest_V[-1] + 1), side="right") - 1
        total_V = np.cumsum(weight_V)
        before_C = np.concatenate([[0.0], total_V[last_C[:-1]]])
        end_V = interest_V + (total_V - before_C[interest_V])
        end_V[last_C] = 1.0 + np.arange(len(last_C))  # whatever was rounded on the way
        return end_V, last_C

    def take(self, interest_E: Ints, place_E: Floats) -> Ints:
        """The item at this place, in [0, 1), of the items of an interest laid side by side by their weights."""
        end_V, last_C = self.edges
        at_E = np.searchsorted(end_V, interest_E + place_E, side="right")
        return np.asarray(self.order[np.minimum(at_E, last_C[interest_E])], dtype=np.int64)


@dataclass(eq=False)
class Log:
    """The events of one domain, by user and then by time."""

    user_E: Ints
    when_E: Floats
    """As a share of the world's time."""
    spell_E: Ints
    """In which part of the user's time."""
    base_E: Ints
    """The last event, this one included, that does not follow from the one before it."""
    interest_E: Ints
    liking_E: Singles
    """Probability of the interest for this user at this moment."""
    item_E: Ints


def people(world: World, rng: np.random.Generator) -> People:
    """Homes are shared out evenly; an exact share of each home's users is in each other domain."""
    count = len(world.names)
    home_U = rng.permutation(np.arange(world.users) % count)
    present_UD = home_U[:, None] == np.arange(count)
    for home in range(count):
        members = np.flatnonzero(home_U == home)
        for other in set(range(count)) - {home}:
            present_UD[rng.permutation(members)[: round(world.overlap * len(members))], other] = True
    several = rng.permutation(np.flatnonzero(present_UD.sum(1) > 1))
    chosen = np.sort(several[: round(world.outliers * len(several))])
    outlier_U = np.full(world.users, -1, dtype=np.int64)
    outlier_U[chosen] = (rng.random((len(chosen), count)) * present_UD[chosen]).argmax(1)
    return People(present_UD, outlier_U, 0.5 * rng.random(world.users))


def shelf(size: int, world: World, rng: np.random.Generator) -> Shelf:
    """Items dealt out evenly to the interests, with a Zipf popularity within each."""
    interest_V = rng.permutation(np.arange(size) % world.interests)
    order = np.argsort(interest_V, kind="stable")
    sizes = np.bincount(interest_V, minlength=world.interests)
    rank = np.arange(size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    weight_V = np.empty(size)
    weight_V[order] = (1.0 + rank) ** -world.tail
    weight_V /= np.bincount(interest_V, weights=weight_V)[interest_V]
    return Shelf(interest_V, weight_V, 0.4 * rng.standard_normal(size))


def timeline(
    mean: float, present_U: npt.NDArray[np.bool_], crowd: People, world: World, rng: np.random.Generator
) -> Log:
    """How many events each user has in one domain and when; what they are is not drawn yet."""
    extra_U = np.exp(LENGTH_SPREAD * rng.standard_normal(world.users) - LENGTH_SPREAD**2 / 2) * (mean - FEWEST_EVENTS)
    length_U = np.where(present_U, FEWEST_EVENTS + np.floor(extra_U + rng.random(world.users)), 0).astype(np.int64)
    user_E = np.repeat(np.arange(world.users), length_U)
    age_E = np.sort(user_E + rng.random(len(user_E))) - user_E
    joined_E = crowd.joined_U[user_E]
    index_E = np.arange(len(user_E))
    follows_E = rng.random(len(user_E)) < world.sequence
    follows_E[(np.cumsum(length_U) - length_U)[length_U > 0]] = False
    return Log(
        user_E=user_E,
        when_E=joined_E + (1 - joined_E) * age_E,
        spell_E=np.minimum((age_E * SPELLS).astype(np.int64), SPELLS - 1),
        base_E=np.maximum.accumulate(np.where(follows_E, 0, index_E)),
        interest_E=np.zeros(len(user_E), dtype=np.int64),
        liking_E=np.zeros(len(user_E), dtype=np.float32),
        item_E=np.zeros(len(user_E), dtype=np.int64),
    )


def mixtures(world: World, crowd: People, rng: np.random.Generator) -> Iterator[tuple[int, Singles]]:
    """For some users at a time: the number of the first, and the probability of each interest, shape (users, S, D, C)."""
    shape = (len(world.names), world.interests)
    root_DD = _root(world)
    for first in range(0, world.users, USERS_AT_ONCE):
        alone_U = crowd.outlier_U[first : first + USERS_AT_ONCE]
        noise = rng.standard_normal((len(alone_U), SPELLS + 2, *shape), dtype=np.float32)
        leaning = np.matmul(root_DD, noise)
        odd = np.flatnonzero(alone_U >= 0)
        leaning[odd, :, alone_U[odd]] = rng.standard_normal((len(odd), SPELLS + 2, world.interests), dtype=np.float32)
        mood = (leaning[:, 1:-1] + leaning[:, 2:]) * np.float32(np.sqrt(world.drift / 2))
        mood += leaning[:, :1] * np.float32(np.sqrt(1 - world.drift))
        mood *= np.float32(FOCUS)
        chance = np.exp(mood - mood.max(-1, keepdims=True))
        yield first, chance / chance.sum(-1, keepdims=True)


def opinions(world: World, crowd: People, rng: np.random.Generator) -> Singles:
    """What every user adds to the ratings of each interest in every domain, in stars: (U, D, C)."""
    shape = (world.users, len(world.names), world.interests)
    opinion_UDC = np.matmul(_root(world), rng.standard_normal(shape, dtype=np.float32))
    odd = np.flatnonzero(crowd.outlier_U >= 0)
    opinion_UDC[odd, crowd.outlier_U[odd]] = rng.standard_normal((len(odd), world.interests), dtype=np.float32)
    return np.asarray(opinion_UDC * np.float32(world.opinions))


def _root(world: World) -> Singles:
    """What makes independent standard normals, one per domain, as correlated as the world's domains."""
    values, vectors = np.linalg.eigh(world.correlations)
    # The one symmetric root: another machine's choice of eigenvectors gives the same world.
    root_DD: Singles = ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(np.float32)
    return root_DD


def choose_interests(log: Log, domain: int, first: int, chance: Singles, rng: np.random.Generator) -> None:
    """Fill in the interests of the events of these users in one domain."""
    lo, hi = np.searchsorted(log.user_E, [first, first + len(chance)])
    user_E, spell_E = log.user_E[lo:hi] - first, log.spell_E[lo:hi]
    chance_EC = chance[user_E, spell_E, domain]
    upto_EC = np.cumsum(chance_EC, axis=1)
    draw_E = rng.random(hi - lo, dtype=np.float32) * upto_EC[:, -1]
    interest_E = (upto_EC[:, :-1] <= draw_E[:, None]).sum(1)[log.base_E[lo:hi] - lo]
    log.interest_E[lo:hi] = interest_E
    log.liking_E[lo:hi] = chance_EC[np.arange(hi - lo), interest_E]


def choose_items(log: Log, stock: Shelf, rng: np.random.Generator) -> None:
    """Fill in the items: by popularity within the interest, or a step on from the item before; never the same twice in a row."""
    head = float(stock.weight_V.max())
    step = max(STEP, min(head, 0.5))
    index_E = np.arange(len(log.user_E))
    place_E = rng.random(len(index_E))
    again = index_E
    while len(again):
        place_E[again] = rng.random(len(again))
        log.item_E[:] = stock.take(log.interest_E, (place_E[log.base_E] + step * (index_E - log.base_E)) % 1)
        same = (log.item_E[1:] == log.item_E[:-1]) & (log.user_E[1:] == log.user_E[:-1])
        again = log.base_E[1 + np.flatnonzero(same)]


def stars(
    log: Log, stock: Shelf, interests: int, rng: np.random.Generator, opinion_UC: Singles | None = None
) -> npt.NDArray[np.int8]:
    """Ratings of 1 to 5: the user's liking of the interest at that moment, the quality of the item, noise, and the user's
    opinion of the interest where there are any.
    """
    liking_E = np.clip(np.log(log.liking_E * interests + 1e-6), -2.0, 2.5)
    score_E = 3.3 + 0.4 * liking_E + stock.quality_V[log.item_E] + 0.7 * rng.standard_normal(len(liking_E))
    if opinion_UC is not None:
        score_E += opinion_UC[log.user_E, log.interest_E]
    return np.asarray(np.clip(np.rint(score_E), 1, 5), dtype=np.int8)
