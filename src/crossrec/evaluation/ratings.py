"""The protocol ``ratings``: how far predicted ratings are from those that users gave, beside two constant baselines.

Source: specs of DIAGAE, 13.1 and 13.3. Shapes: N held-out ratings, T training ratings of the target.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crossrec.data.batches import Batcher
from crossrec.data.scale import Scale
from crossrec.data.splits import Part, Split
from crossrec.errors import InputError
from crossrec.evaluation import kinds, ranks
from crossrec.evaluation.metrics import Floats
from crossrec.evaluation.outcome import Outcome, said
from crossrec.models.base import Model

DAMPING = 10.0
"""Ratings that a bias is pulled to zero by (specs of DIAGAE, 13.1)."""
NAME = "ratings"


@dataclass(frozen=True, eq=False)
class Ratings(Outcome):
    """Held-out ratings and what was predicted for them."""

    rating_N: Floats
    predicted_N: Floats
    known_N: npt.NDArray[np.bool_] | None = None
    """Whether the item has a training rating; None where nobody looked."""
    fallback_N: Floats | None = None
    """What is predicted of an item that nobody has rated, the same by every model: the mean and the user's bias."""
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    """The figures of ``mean`` (of the training ratings) and ``biases`` (damped, of users and items)."""

    @property
    def kind(self) -> kinds.Kind:
        return kinds.RATINGS

    @property
    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        known = {} if self.known_N is None else {"known": self.known_N.astype(np.int8)}
        fallback = {} if self.fallback_N is None else {"fallback": self.fallback_N}
        return {"rating": self.rating_N, "predicted": self.predicted_N, **known, **fallback}

    @property
    def shown(self) -> tuple[str, ...]:
        new = self.known_N is not None and not self.known_N.all()
        further = ("mae/known", "rmse/known", "mae/fallback", "rmse/fallback") if new else ()
        return (*(name for name in self.kind.shown if self.ordered or not name.startswith("ndcg")), *further)

    @cached_property
    def ordered(self) -> int:
        """Users whose held-out ratings differ, so that they have an order."""
        return int((~np.isnan(self.kind.users("ndcg@1/rated", *self._by_user))).sum())

    def summary(self, names: tuple[str, ...] | None = None) -> dict[str, float]:
        """Every metric, the number of ratings, of them those of items without a training rating, and of users, in all and
        with ratings that can be ordered (``ndcg@K/rated`` is of these alone).
        """
        counts: dict[str, float] = {"ratings": len(self.rating_N), "users_ordered": self.ordered}
        if self.known_N is not None:
            counts["ratings_of_new_items"] = int((~self.known_N).sum())
        figures = super().summary(names)
        users = figures.pop("users")
        return {**figures, **counts, "users": users}

    def __str__(self) -> str:
        told = [
            f"  {name}: {', '.join(f'{metric} {said(value)}' for metric, value in figures.items())}"
            for name, figures in self.baselines.items()
        ]
        return "\n".join([super().__str__(), *told])

    def beside(self, split: Split, scale: Scale) -> Ratings:
        """The same with what the training ratings of a split alone would predict, and which items they know."""
        trained = Biases(split, self.part.target, scale)
        found = {}
        for name, predicted_N in trained.predict(self.part).items():
            one = replace(self, predicted_N=predicted_N)
            found[name] = {metric: one.value(metric) for metric in one.shown}
        known_N = trained.count_V[trained.places(self.part)] > 0
        return replace(self, known_N=known_N, fallback_N=trained.of_users(self.part), baselines=found)


class RatingProtocol:
    """Asks for the rating of every held-out event that has one, given what its query knows."""

    def __init__(self, part: Part, scale: Scale, offset: float = 0.0) -> None:
        """``offset``: what was added to scores before they became ratings.

        Raises InputError where nothing held out has a rating (an empty part has none to have).
        """
        rated_N = part.events.rated(part.at_N)
        if len(part) and not rated_N.any():
            raise InputError(
                f"No held-out event of {part.target!r} ({part.name}) has a rating: prepare the logs with theirs "
                "(--rating-column), or take another protocol."
            )
        self.name, self.scale, self.offset = NAME, scale, offset
        self.part = part if rated_N.all() else part.take(np.flatnonzero(rated_N))

    def measure(self, model: Model, batcher: Batcher, draw: int = 0) -> Ratings:
        """Predict the held-out ratings; what lies beyond the scale is put on its end."""
        told = ranks.scored(model, batcher, self.part, None, lambda score_PC: model.rating(score_PC, self.offset))
        share_N = told[:, 0].clip(0.0, 1.0)
        assert self.part.events.rating_E is not None
        rating_N = self.part.events.rating_E[self.part.at_N].astype(np.float64)
        return Ratings(self.name, self.part, rating_N, self.scale.rating(share_N))


class Biases:
    """What the training ratings of a domain say without any taste: their mean, and how users and items lie above it.

    An item's bias is the sum of what its ratings have above the mean, over their number plus ``DAMPING``; a user's likewise
    of what is left after the items' biases.
    """

    def __init__(self, split: Split, domain: str, scale: Scale) -> None:
        events, rows = split.events, split.train
        row_T, at_T = events.within(rows, domain)
        rated_T = events.rated(at_T)
        row_T, at_T = row_T[rated_T], at_T[rated_T]
        self.scale, self.block = scale, split.data.catalogue.block(domain)
        rating_T = np.zeros(0) if events.rating_E is None else events.rating_E[at_T].astype(np.float64)
        user_T, item_T = rows.user_N[row_T], events.item_E[at_T] - self.block.start
        self.mean = float(rating_T.mean()) if len(rating_T) else (scale.low + scale.high) / 2
        self.count_V = np.bincount(item_T, minlength=len(self.block))
        self.item_V = np.bincount(item_T, rating_T - self.mean, len(self.block)) / (DAMPING + self.count_V)
        left_T = rating_T - self.mean - self.item_V[item_T]
        count_U = np.bincount(user_T, minlength=split.data.num_users)
        self.user_U = np.bincount(user_T, left_T, split.data.num_users) / (DAMPING + count_U)

    def places(self, part: Part) -> npt.NDArray[np.int64]:
        """The held-out items, counted within the domain."""
        return part.item_N - self.block.start

    def predict(self, part: Part) -> dict[str, Floats]:
        """The ratings that the two baselines predict: (N,) each."""
        mean_N = np.full(len(part), self.mean)
        biased_N = mean_N + self.user_U[part.user_N] + self.item_V[self.places(part)]
        return {"mean": mean_N, "biases": biased_N.clip(self.scale.low, self.scale.high)}

    def of_users(self, part: Part) -> Floats:
        """What they predict of items that nobody has rated: (N,)."""
        predicted_N: Floats = (self.mean + self.user_U[part.user_N]).clip(self.scale.low, self.scale.high)
        return predicted_N
