"""Biased matrix factorisation: the mean, what user and item add to it, and a product (Koren 2008).

P queries, N items, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.users import TRAINING, UNIFORM, UserModel
from crossrec.nn.items import ItemTable
from crossrec.nn.users import UserTable


@dataclass(frozen=True)
class BiasMFConfig:
    """Settings of biased matrix factorisation."""

    dim: int = 64
    """Width of user and item vectors (specs of DIAGAE, 3: as the other models)."""
    domains: Literal["target", "merged"] = "target"
    """Items: those of the target domain alone, or of all domains over the union of their users (specs of DIAGAE, 3)."""
    l2: float = 0.005
    """Weight of the squared norms of user and item (ours; paper: 0.02, of ratings from 1 to 5)."""
    std: float = 0.05
    """Deviation of the normal distribution that vectors are drawn from; biases start at 0 (ours)."""


class BiasMF(UserModel):
    """Score b_u + b_i + p_u q_i. A rating is the mean plus the score, both as shares of the scale, by squared error.

    Clicks and what comes next are trained by the logistic loss of the score. The biases are columns of the tables, so that the
    score is a product: [p_u, b_u, 1] · [q_i, 1, b_i]. People without a training event: see
    :class:`~crossrec.nn.users.UserTable`.
    """

    name = "biasmf"
    Config = BiasMFConfig
    product = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "lr": 5e-3, "batch": 128}, "sampler": UNIFORM},
        "paper": {
            "model": {"dim": 100, "l2": 0.02, "std": 0.1},
            "train": {
                **TRAINING,
                "negatives": 1,
                "lr": 5e-3,
                "betas": (0.9, 0.999),
                "epochs": 30,
                "eval_every": 1,
                "patience": 5,
            },
            "sampler": UNIFORM,
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        config: BiasMFConfig = self.config
        self.table = ItemTable(catalogue, self.reads, config.dim + 1)
        self.users = UserTable(catalogue, self.reads, config.dim + 1, config.std)
        nn.init.normal_(self.table.weight, std=config.std)
        self.table.clear(bias=True)
        with torch.no_grad():
            self.users.weight[:, -1] = 0

    def queries(self, batch: Batch) -> Tensor:
        """[p_u, b_u, 1]: (P, D + 2)."""
        p_PD = self.people(batch)
        return torch.cat([p_PD, p_PD.new_ones(len(p_PD), 1)], 1)

    def items(self, ids: Tensor) -> Tensor:
        """[q_i, 1, b_i]: (..., D + 2)."""
        return _compared(self.table(ids))

    def item_block(self, domain: str) -> Tensor:
        return _compared(self.table.block(domain))

    def rating(self, logits: Tensor, offset: float) -> Tensor:
        """The share of the mean rating, whose logit the offset is, plus the score."""
        return logits + 1 / (1 + math.exp(-offset))

    def auxiliary(self, batch: Batch) -> Tensor | None:
        if not self.config.l2:
            return None
        norm_P = self.people(batch).square().sum(-1) + self.table(batch.positive_P).square().sum(-1)
        penalty: Tensor = norm_P.mean() * float(self.config.l2)
        return penalty


def _compared(q_ND: Tensor) -> Tensor:
    """Rows [q_i, b_i] with a 1 before the bias."""
    return torch.cat([q_ND[..., :-1], torch.ones_like(q_ND[..., :1]), q_ND[..., -1:]], -1)
