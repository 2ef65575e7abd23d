"""The protocol ``clicks``: is an event told from one that never happened? One frozen negative stands beside each.

Source: specs of DIAGAE, 13.2. N held-out events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crossrec.data.batches import Batcher
from crossrec.data.splits import Part
from crossrec.data.vocabulary import Ints
from crossrec.evaluation import candidates, kinds, ranks
from crossrec.evaluation.metrics import Floats
from crossrec.evaluation.outcome import Outcome
from crossrec.models.base import Model
from crossrec.streams import derive

NAME = "clicks"


@dataclass(frozen=True, eq=False)
class Clicks(Outcome):
    """Scores of held-out events and of their negatives: logits, so that a probability of 0.5 is a score of 0."""

    positive_N: Floats
    negative_N: Floats
    drawn_N: Ints
    """The negatives: global ids."""

    @property
    def negatives_hash(self) -> str:
        return candidates.digest(self.drawn_N[:, None])

    @property
    def kind(self) -> kinds.Kind:
        return kinds.CLICKS

    @property
    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        return {"positive": self.positive_N, "negative": self.negative_N}

    def summary(self, names: tuple[str, ...] | None = None) -> dict[str, float]:
        """Every metric, the number of pairs of a user and an item, half of them negatives, and of users."""
        figures = super().summary(names)
        users = figures.pop("users")
        return {**figures, "pairs": 2 * len(self.positive_N), "users": users}

    def table(self) -> pa.Table:
        """As any outcome's, and the own ids of the negatives (``negative_id``)."""
        data, target = self.part.data, self.part.target
        ids = data.items[target].ids(self.drawn_N - data.catalogue.block(target).start)
        return super().table().append_column("negative_id", ids)


class ClickProtocol:
    """Every held-out event against one item that the user never touched, drawn once per data, split and seed."""

    def __init__(self, part: Part, seed: int = 0) -> None:
        self.name, self.part, self.seed = NAME, part, seed
        self._drawn: Ints | None = None

    def candidates(self) -> Ints:
        """The negative of every instance: global ids (N, 1), those of ``sampled:1``."""
        if self._drawn is None:
            generator = np.random.default_rng(derive(self.seed, f"evaluation:{self.part.name}"))
            self._drawn = candidates.draw(self.part, 1, generator)
        return self._drawn

    def measure(self, model: Model, batcher: Batcher, draw: int = 0) -> Clicks:
        """Score the events and their negatives."""
        drawn = self.candidates()
        score_N2 = ranks.scored(model, batcher, self.part, drawn)
        return Clicks(self.name, self.part, score_N2[:, 0], score_N2[:, 1], drawn[:, 0])
