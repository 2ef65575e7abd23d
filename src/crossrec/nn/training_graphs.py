"""The training edges of some domains on the device that trains, and what is counted in them before training.

X domains, the first of them the target; N users, M edges. Source: specs of DIAGAE, 2.9 and 2.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from crossrec.data import graphs
from crossrec.data.neighbours import Neighbours
from crossrec.data.splits import Split
from crossrec.nn.alignment import agreement
from crossrec.nn.user_links import densities

EACH = 8
"""Users of an item at most that are drawn together (ours)."""


class TrainingGraphs:
    """Who has which items in training, per domain by its number."""

    def __init__(self, split: Split, domains: Sequence[str], device: torch.device) -> None:
        both = [graphs.build(split, [name]) for name in domains]
        self.sides = [graph.users for graph in both]
        self.neighbours = [Neighbours(side, device=device) for side in self.sides]
        self.buyers = [Neighbours(graph.items, device=device) for graph in both]
        self.shared = [torch.as_tensor(np.flatnonzero(graph.items.degree_N > 1), device=device) for graph in both]
        self.degree_UX = torch.as_tensor(np.stack([side.degree_N for side in self.sides], 1), device=device)

    def edges(
        self, x: int, user_N: Tensor, most: int | None, how: Literal["uniform", "recent"] = "recent"
    ) -> tuple[Tensor, Tensor]:
        """Edges of users in a domain: the user's place (M,), sorted, and the item (M,); at most ``most`` of each.

        What is drawn is drawn from torch's generator, which the training loop has set.
        """
        generator = self._generator() if how == "uniform" and most is not None else None
        drawn = self.neighbours[x].sample(user_N, most, how, generator=generator)
        return drawn.mask_BK.nonzero()[:, 0], drawn.ids_BK[drawn.mask_BK]

    def sharing(self, x: int, count: int) -> Tensor:
        """Users, at most ``count``, who have items in common: items are drawn first, then users of each (specs, A33)."""
        shared = self.shared[x]
        if not len(shared):
            return shared
        item_B = shared[torch.randint(len(shared), (max(count // EACH, 1),), device=shared.device)]
        drawn = self.buyers[x].sample(item_B, min(EACH, max(count, 1)), generator=self._generator())
        users: Tensor = drawn.ids_BK[drawn.mask_BK].unique()
        return users

    def cold(self) -> Tensor:
        """Users with edges elsewhere alone, not in the first domain."""
        there_UX = self.degree_UX > 0
        return (~there_UX[:, 0] & there_UX[:, 1:].any(1)).nonzero()[:, 0]

    def agreements(self) -> list[float]:
        """How much every further domain agrees with the first on who is like whom."""
        return [agreement(side, self.sides[0]) for side in self.sides[1:]]

    def link_densities(self, steps: Sequence[int], cap: int | None) -> list[dict[int, float]]:
        """Per domain the share of linked pairs among the users of the first, by the common items that a link asks for."""
        who = np.flatnonzero(self.sides[0].degree_N)
        return [densities(side, who, steps, cap) for side in self.sides]

    def _generator(self) -> torch.Generator:
        """A generator that torch's own has seeded."""
        device = self.degree_UX.device
        generator = torch.Generator(device)
        generator.manual_seed(int(torch.randint(2**62, (), device=device)))
        return generator
