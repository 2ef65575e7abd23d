"""CoNet: a perceptron over user and item per domain, with cross connections between their hidden layers (Hu et al. 2018).

Source: specs of DDGHM, section 5.2, and of DIAGAE, section 7. P queries, Y other domains, V items, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.histories import History
from crossrec.data.vocabulary import Catalogue
from crossrec.errors import InputError
from crossrec.models.users import LONGEST, TRAINING, UNIFORM, UserModel
from crossrec.nn.by_domain import by_domain
from crossrec.nn.crossed_towers import CrossedTowers
from crossrec.nn.pair_perceptron import in_blocks


@dataclass(frozen=True)
class CoNetConfig:
    """Settings of CoNet."""

    dim: int = 64
    """Width of user and item vectors (ours; published code: 32)."""
    layers: tuple[int, ...] = (32, 16, 8)
    """Widths of the hidden layers of every domain's tower (published code)."""
    cross: int = 2
    """Layers, from the first, that also see the other towers (published code)."""
    eval_partner: Literal["recent", "none"] = "recent"
    """Whom a candidate is run beside when asked: as in training, or nobody, as the published program does."""
    l1: float = 0.0
    """Weight of the sum of the cross matrices' absolute values, SCoNet (ours: 0, which is CoNet)."""
    std: float | None = None
    """Deviation of the normal distribution that all weights and biases are drawn from; None: Glorot's (ours; published: 0.01)."""


class CoNet(UserModel):
    """NCF-MLP++ with cross connections: a hidden layer of a domain's tower also sees the layer before it of the others.

    The other towers run on the same user with the latest item that is known of their domain before the asked place, when the
    model is trained as when it is asked; where none is known, there is no connection. The published program pairs users at
    random in training, and leaves the connections out when asked (``eval_partner="none"`` does the latter).

    The two-class softmax of the paper is the logistic loss of one output, the difference of its two. Every event of every
    domain is a positive in every epoch. For any number of domains: see :class:`~crossrec.nn.crossed_towers.CrossedTowers`;
    people without a training event: see :class:`~crossrec.nn.users.UserTable`.
    """

    name = "conet"
    Config = CoNetConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": TRAINING, "sampler": UNIFORM},
        "paper": {
            "model": {"dim": 32, "std": 0.01},
            "train": {
                **TRAINING,
                "negatives": 1,
                "betas": (0.9, 0.999),
                "batch": 8,
                "clip": 10.0,
                "epochs": 50,
                "eval_every": 1,
                "patience": 10,
            },
            "sampler": UNIFORM,
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        config: CoNetConfig = self.config
        if not 1 <= config.cross <= len(config.layers):
            raise InputError(f"cross={config.cross}: say 1 to {len(config.layers)} layers; without any, take ncfmlp.")
        self.towers = CrossedTowers(len(self.reads), config.dim, config.layers, config.cross)
        if config.std is not None:
            for parameter in self.towers.parameters():
                nn.init.normal_(parameter, std=config.std)

    def views(self) -> Views:
        return Views({name: (name,) for name in self.reads}, LONGEST)

    def partners(self, batch: Batch) -> dict[str, Tensor]:
        """Of every domain the latest item that each query knows, 0 for none: (P,)."""
        found = {name: latest(batch.histories[name]) for name in self.reads}
        if not self.training and self.config.eval_partner == "none":
            return {name: torch.zeros_like(ids_P) for name, ids_P in found.items()}
        return found

    def queries(self, batch: Batch) -> Tensor:
        """What the first layers of all towers get, but for the candidate: see :meth:`CrossedTowers.queries`."""
        p_PD, partners = self.people(batch), self.partners(batch)

        def asking(x: int, chosen: Tensor) -> Tensor:
            none = chosen.new_empty(len(chosen), 0)
            others = [partners[self.reads[y]][chosen, None] for y in self.towers.others(x)]
            ids_CY = torch.cat([none, *others], 1)
            return self.towers.queries(x, p_PD[chosen], self.table(ids_CY), ids_CY > 0)

        return by_domain(self.asked(batch), asking)

    def items(self, ids: Tensor) -> Tensor:
        """What candidates add to the first layers: (..., 2 H)."""
        return self.shares(ids, self.towers.items)

    def item_block(self, domain: str) -> Tensor:
        return self.towers.items(self.reads.index(domain), self.table.block(domain))

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        """What all towers together make of candidates of the domain."""
        x = self.reads.index(domain)
        width = self.towers.width * len(self.reads)
        return in_blocks(lambda query, item: self.towers(x, query, item), query_PD, vectors, width)

    def auxiliary(self, batch: Batch) -> Tensor | None:
        if not self.config.l1:
            return None
        return float(self.config.l1) * torch.stack([matrix.abs().sum() for matrix in self.towers.cross]).sum()


def latest(history: History) -> Tensor:
    """The last item that every query knows of a history, 0 for none: (P,)."""
    none = torch.zeros(1, dtype=torch.int64, device=history.at_P.device)
    return torch.cat([*(chunk.flatten() for chunk in history.chunks), none])[history.at_P]
