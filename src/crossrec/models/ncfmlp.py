"""NCF-MLP++: a perceptron over user and item per domain, which share the users' vectors (π-Net's baseline; NCF: He et al. 2017).

Source: specs of DDGHM, section 5.1. P queries, V items, K items of one query, D width, H width of the first layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.users import TRAINING, UNIFORM, UserModel
from crossrec.nn.by_domain import by_domain
from crossrec.nn.pair_perceptron import PairPerceptron, in_blocks


@dataclass(frozen=True)
class NCFMLPConfig:
    """Settings of NCF-MLP++."""

    dim: int = 64
    """Width of user and item vectors (ours; published code: 32)."""
    layers: tuple[int, ...] = (32, 16, 8)
    """Widths of the hidden layers of every domain's perceptron (published code)."""


class NCFMLP(UserModel):
    """A perceptron over [p_u; q_i] per domain; the users' vectors are the same in all of them, nothing else is shared.

    Every event of every domain is a positive in every epoch. The published program takes one per user and epoch, and as many
    of each domain; here a domain counts as much as it has events. Published, each of 4 negatives counts as much as a
    positive; here the four together do, which moves all scores alike.

    For any number of domains (ours; published: two): one perceptron each. People without a training event: see
    :class:`~crossrec.nn.users.UserTable`.
    """

    name = "ncfmlp"
    Config = NCFMLPConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": TRAINING, "sampler": UNIFORM},
        "paper": {
            "model": {"dim": 32},
            "train": {**TRAINING, "betas": (0.9, 0.999), "batch": 16, "epochs": 10, "eval_every": 1, "patience": 10},
            "sampler": UNIFORM,
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        config: NCFMLPConfig = self.config
        self.towers = nn.ModuleList(PairPerceptron(config.dim, config.layers) for _ in self.reads)

    def tower(self, x: int) -> PairPerceptron:
        """The perceptron of the domain of this number."""
        found = self.towers[x]
        assert isinstance(found, PairPerceptron)
        return found

    def queries(self, batch: Batch) -> Tensor:
        """The user's share of the first layer of the domain asked for: W_p p_u + b, (P, H)."""
        p_PD = self.people(batch)
        return by_domain(self.asked(batch), lambda x, chosen: self.tower(x).user(p_PD[chosen]))

    def items(self, ids: Tensor) -> Tensor:
        """The items' shares of the first layer of their domain: W_q q_i, (..., H)."""
        return self.shares(ids, lambda x, q_ND: self.tower(x).item(q_ND))

    def item_block(self, domain: str) -> Tensor:
        share_VH: Tensor = self.tower(self.reads.index(domain)).item(self.table.block(domain))
        return share_VH

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        """What the rest of the domain's perceptron makes of the sum of the two shares."""
        tower = self.tower(self.reads.index(domain))
        return in_blocks(lambda user, item: tower(user + item), query_PD, vectors, query_PD.shape[1])
