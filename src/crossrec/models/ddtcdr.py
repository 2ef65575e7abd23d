"""DDTCDR: a rating network per domain, and an orthogonal map that carries a user's vector between them (Li and Tuzhilin 2020).

Source: specs of DDGHM, section 5.3, and of DIAGAE, section 10. P queries, V items, D width, H width of the first layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.errors import InputError
from crossrec.models.users import TRAINING, UNIFORM, UserModel
from crossrec.nn.by_domain import by_domain
from crossrec.nn.pair_perceptron import PairPerceptron, in_blocks


@dataclass(frozen=True)
class DDTCDRConfig:
    """Settings of DDTCDR."""

    dim: int = 64
    """Width of user and item vectors (ours; published code: 8)."""
    layers: tuple[int, ...] = (64, 8)
    """Widths of the hidden layers of every rating network (published code)."""
    alpha: float = 0.03
    """Share of the other domains' networks in a score (published code)."""
    penalty: float = 1e-3
    """Weight of the sum of the absolute values of Phi Phi^T - I (ours; published: 1e-6, too little for a map that learns)."""
    dropout: float = 0.1
    """Dropout behind every hidden layer, in training alone (published code, where it is never off)."""


class DDTCDR(UserModel):
    """DDTCDR, ID adaptation: the score mixes the own domain's network with the others' on a mapped vector of the user.

    s_X(u, i) = (1 - alpha) RS_X([p_u; q_i]) + alpha RS_Y([Phi p_u; q_i]), where Phi is orthogonal and leads back as Phi^T.

    The published model eats vectors made beforehand of what is known about people and items; here they are learned with the
    rest, from their numbers alone, the user's being the same in all domains (a reconstruction that rests on the published
    networks; logistic loss with 4 negatives in place of squared error, Adam in place of plain gradient descent). What the other
    network says takes part in the gradient, and there is one Phi for both directions; in the published program neither is so.

    For any number of domains (ours; published: two): a Phi for each two of them, and the mean of all other networks. People
    without a training event: see :class:`~crossrec.nn.users.UserTable`.
    """

    name = "ddtcdr"
    Config = DDTCDRConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": TRAINING, "sampler": UNIFORM},
        "paper": {
            "model": {"dim": 8, "penalty": 1e-6},
            "train": {**TRAINING, "betas": (0.9, 0.999), "epochs": 100, "eval_every": 1, "patience": 10},
            "sampler": UNIFORM,
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        config: DDTCDRConfig = self.config
        if not 0 <= config.alpha <= 1:
            raise InputError(f"alpha={config.alpha}: it is a share, from 0 to 1.")
        self.towers = nn.ModuleList(PairPerceptron(config.dim, config.layers, config.dropout) for _ in self.reads)
        self.pairs = list(combinations(range(len(self.reads)), 2))
        self.maps = nn.ParameterList(nn.init.orthogonal_(torch.empty(config.dim, config.dim)) for _ in self.pairs)

    def order(self, x: int) -> list[int]:
        """Numbers of all domains, this one first."""
        return [x, *(y for y in range(len(self.reads)) if y != x)]

    def tower(self, x: int) -> PairPerceptron:
        """The rating network of the domain of this number."""
        found = self.towers[x]
        assert isinstance(found, PairPerceptron)
        return found

    def mapped(self, x: int, y: int, p_ND: Tensor) -> Tensor:
        """Users' vectors as the network of domain y takes them, where domain x is asked for."""
        if x == y:
            return p_ND
        phi_DD = self.maps[self.pairs.index((min(x, y), max(x, y)))]
        mapped_ND: Tensor = p_ND @ (phi_DD.T if x < y else phi_DD)
        return mapped_ND

    def queries(self, batch: Batch) -> Tensor:
        """The user's shares of the first layers of all networks, that of the domain asked for first: (P, domains H)."""
        p_PD = self.people(batch)

        def asking(x: int, chosen: Tensor) -> Tensor:
            p_CD = p_PD[chosen]
            return torch.cat([self.tower(y).user(self.mapped(x, y, p_CD)) for y in self.order(x)], -1)

        return by_domain(self.asked(batch), asking)

    def items(self, ids: Tensor) -> Tensor:
        """The items' shares of the first layers of all networks, in the same order: (..., domains H)."""
        return self.shares(ids, self._items)

    def item_block(self, domain: str) -> Tensor:
        return self._items(self.reads.index(domain), self.table.block(domain))

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        """What the rest of all networks make of the sums of the shares, mixed."""
        order, width = self.order(self.reads.index(domain)), self.config.layers[0]
        others = len(order) - 1
        alpha = self.config.alpha if others else 0.0

        def score(user: Tensor, item: Tensor) -> Tensor:
            total = torch.zeros((), device=user.device)
            for place, y in enumerate(order):
                weight = alpha / others if place else 1 - alpha
                if weight:
                    part = slice(place * width, (place + 1) * width)
                    total = total + weight * self.tower(y)(user[..., part] + item[..., part])
            return total

        return in_blocks(score, query_PD, vectors, width)

    def auxiliary(self, batch: Batch) -> Tensor | None:
        """The penalty that keeps the maps orthogonal."""
        if not self.pairs or not self.config.penalty:
            return None
        identity_DD = torch.eye(self.config.dim, device=self.device, dtype=self.table.weight.dtype)
        away = [(phi_DD @ phi_DD.T - identity_DD).abs().sum() for phi_DD in self.maps]
        return float(self.config.penalty) * torch.stack(away).sum()

    def _items(self, x: int, q_ND: Tensor) -> Tensor:
        return torch.cat([self.tower(y).item(q_ND) for y in self.order(x)], -1)
