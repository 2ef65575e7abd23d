"""DARec: rows of each domain, squeezed by its AutoRec, go through one encoder that must not tell the domains apart
(Yuan, Yao and Benatallah 2019).

Source: specs of DDGHM, section 5.4, and of DIAGAE, section 8. P queries, R rows, X domains, M items that rows hold, N codes,
D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Model, Phase, still
from crossrec.models.users import LONGEST, TRAINING, UNIFORM
from crossrec.nn.autorec import AutoRec
from crossrec.nn.by_domain import asked, by_domain, numbers
from crossrec.nn.dropout import dropout
from crossrec.nn.gradient_reversal import reversed_gradient
from crossrec.nn.items import ItemTable


@dataclass(frozen=True)
class DARecConfig:
    """Settings of DARec."""

    code: int = 64
    """Width of a code of AutoRec (ours; author's program: 300 to 1000, for movies 500)."""
    encoder: tuple[int, ...] = (60, 32)
    """Widths of the layers of the encoder that all domains share (author's program)."""
    decoder: int = 64
    """Width of the hidden layer of every domain's decoder (ours; author's program: 500)."""
    classifier: tuple[int, ...] = (16, 8)
    """Widths of the hidden layers of what tells domains apart (author's program)."""
    dropout: float = 0.25
    """Dropout between the encoder's layers (author's program)."""
    reversal: float = 0.1
    """Factor of the reversed gradient (author's program)."""
    domain_weight: float = 1.0
    """Weight of the loss of telling domains apart (author's program)."""
    pretrain_epochs: int = 20
    """Epochs at most of each domain's AutoRec (ours)."""
    std: float | None = None
    """Deviation of the truncated normal distribution that all weights are drawn from; None: Glorot's (ours; author's program:
    0.01)."""


class Known(NamedTuple):
    """Binary rows, without their zeros: sorted by row, each item once. ``row_P``: the row of every query."""

    row_P: Tensor
    row_M: Tensor
    item_M: Tensor
    rows: int


class DARec(Model):
    """User rows, for implicit feedback (a reconstruction that rests on the author's program, which predicts ratings).

    First an AutoRec learns each domain's rows. Then these are kept as they are; one encoder takes codes of all domains,
    s = ReLU(W_b ReLU(W_a x + b_a) + b_b), and a decoder of each domain draws rows of that domain from s, with the logits
    W_o ReLU(W_d s + b) + b_o. What tells from s which domain it came from sends its gradient back reversed.

    In training a row is all that its user has in it, and is drawn again, as published: ones, and for each some sampled zeros
    (without zeros, 1 everywhere would be best), by logistic loss. Asked, a row is what is known before the asked place, so
    strangers are as good as anybody. A query is drawn from the code of the domain it asks for; where nothing is known of that,
    from the mean of s over the other domains.

    For any number of domains (ours; published: two), which count alike (author's program: the target a tenth).
    Score [h, 1] · [W_v, b_v], h the decoder's hidden layer.
    """

    name = "darec"
    Config = DARecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "negatives": 5}, "sampler": UNIFORM},
        "paper": {
            "model": {"code": 500, "decoder": 500, "std": 0.01},
            "train": {
                **TRAINING,
                "negatives": 5,
                "betas": (0.9, 0.999),
                "weight_decay": 1e-6,
                "batch": 128,
                "epochs": 1500,
                "eval_every": 1,
                "patience": 10,
            },
            "sampler": UNIFORM,
        },
    }

    def make(self, catalogue: Catalogue) -> None:
        config: DARecConfig = self.config
        self.alone: str | None = None
        self.autorecs = nn.ModuleList(AutoRec(catalogue, name, config.code) for name in self.reads)
        self.encoder = _layers((config.code, *config.encoder))
        self.decoders = nn.ModuleList(nn.Linear(config.encoder[-1], config.decoder) for _ in self.reads)
        self.classifier = _layers((config.encoder[-1], *config.classifier, len(self.reads)))
        self.outward = ItemTable(catalogue, self.reads, config.decoder + 1)
        for parameter in self.parameters():
            if parameter.ndim > 1 and config.std is not None:
                nn.init.trunc_normal_(parameter, std=config.std, a=-2 * config.std, b=2 * config.std)
        for layer in (*self.encoder, *self.decoders, *self.classifier):
            if config.std is None:
                nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.outward.weight.data[:, -1] = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """The domains that are learned, the target first: a domain's place here is its number."""
        return (self.target, *self.sources)

    def views(self) -> Views:
        return Views({"history": self.reads}, LONGEST)

    def phases(self) -> tuple[Phase, ...]:
        learned = [(f"autorec:{name}", name, f"autorecs.{x}") for x, name in enumerate(self.reads)]
        epochs = {"epochs": self.config.pretrain_epochs}
        alone = [Phase(name, of, modules=(module,), train=epochs, plugin=False) for name, of, module in learned]
        whole = ("encoder", "decoders", "classifier", "outward")
        return (*alone[1:], *alone[:1], Phase("whole", self.target, also=self.sources, modules=whole))

    def begin(self, phase: Phase) -> None:
        self.alone = None if phase.name == "whole" else phase.domain

    def serves(self) -> tuple[str, ...]:
        return self.reads

    def queries(self, batch: Batch) -> Tensor:
        """[h, 1] of the decoder of the domain asked for, or [x, 1] of the AutoRec that is trained alone: (P, D + 1)."""
        return self._queries(batch, self._trained(batch) if self.training else self._known(batch))

    def selection_queries(self, batch: Batch) -> Tensor:
        """Of the very rows that the loss draws, whoever is asking when served."""
        with still(self):
            return self._queries(batch, self._trained(batch))

    def items(self, ids: Tensor) -> Tensor:
        row: Tensor = (self.outward if self.alone is None else self.autorec(self.alone).outward)(ids)
        return row

    def item_block(self, domain: str) -> Tensor:
        table = self.outward if self.alone is None else self.autorec(self.alone).outward
        return table.block(domain)

    def autorec(self, domain: str) -> AutoRec:
        """The AutoRec of a domain."""
        found = self.autorecs[self.reads.index(domain)]
        assert isinstance(found, AutoRec)
        return found

    def auxiliary(self, batch: Batch) -> Tensor | None:
        """Cross entropy of telling from s whose row it was drawn from, its gradient reversed for the encoder."""
        if self.alone is not None or len(self.reads) == 1 or not self.config.domain_weight:
            return None
        s_RXD, there_RX = self._shared(self._trained(batch))
        row_N, x_N = there_RX.nonzero(as_tuple=True)
        logit_NX = reversed_gradient(s_RXD[row_N, x_N], self.config.reversal)
        for number, layer in enumerate(self.classifier):
            logit_NX = layer(logit_NX.sigmoid() if number else logit_NX)
        return float(self.config.domain_weight) * F.cross_entropy(logit_NX, x_N)

    def _trained(self, batch: Batch) -> Known:
        """A row per user: all that the batch asks of them, which is the whole training row."""
        _, row_P = batch.user_P.unique(return_inverse=True)
        return self._once(row_P, row_P, batch.positive_P)

    def _known(self, batch: Batch) -> Known:
        """A row per query: what it knows."""
        row_P = torch.arange(len(batch), device=batch.user_P.device)
        return self._once(row_P, *batch.histories["history"].events())

    def _once(self, row_P: Tensor, row_M: Tensor, item_M: Tensor) -> Known:
        assert self.catalogue is not None
        key_M = (row_M * self.catalogue.num_ids + item_M)[item_M > 0].unique()
        rows = int(row_P.max()) + 1 if len(row_P) else 0
        return Known(row_P, key_M // self.catalogue.num_ids, key_M % self.catalogue.num_ids, rows)

    def _code(self, known: Known, domain: str) -> tuple[Tensor, Tensor]:
        """Codes (R, D) of the rows in a domain, and whether there is anything in them, (R,)."""
        inside_M = numbers(known.item_M, [self.block(domain)]) == 0
        row_M, item_M = known.row_M[inside_M], known.item_M[inside_M]
        code_RD: Tensor = self.autorec(domain)(row_M, item_M, known.rows)
        return code_RD, torch.bincount(row_M, minlength=known.rows) > 0

    def _shared(self, known: Known) -> tuple[Tensor, Tensor]:
        """s of every row and domain, (R, X, D), and which of them are made of anything, (R, X)."""
        codes, there = zip(*(self._code(known, name) for name in self.reads), strict=True)
        s_RXD = torch.stack(codes, 1)
        for number, layer in enumerate(self.encoder):
            s_RXD = F.relu(layer(dropout(s_RXD, self.config.dropout, self.training and number > 0)))
        return s_RXD, torch.stack(there, 1)

    def _queries(self, batch: Batch, known: Known) -> Tensor:
        if self.alone is not None:
            code_RD, _ = self._code(known, self.alone)
            return F.pad(code_RD[known.row_P], (0, 1), value=1.0)
        s_RXD, there_RX = self._shared(known)
        asked_P = asked(batch, self.reads, [self.block(name) for name in self.reads])
        own_PX = F.one_hot(asked_P, len(self.reads)).bool()
        there_PX = there_RX[known.row_P]
        lacks_P1 = ~(there_PX & own_PX).any(1, keepdim=True) & there_PX.any(1, keepdim=True)
        of_PX = torch.where(lacks_P1, there_PX, own_PX).to(s_RXD.dtype)
        s_PD = torch.einsum("px,pxd->pd", of_PX / of_PX.sum(1, keepdim=True), s_RXD[known.row_P])
        h_PD = by_domain(asked_P, lambda x, chosen: F.relu(self.decoders[x](s_PD[chosen])))
        return F.pad(h_PD, (0, 1), value=1.0)


def _layers(widths: tuple[int, ...]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
