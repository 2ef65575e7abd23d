"""ETL: a user's rows of all domains are auto-encoded together, and each is drawn from the others' codes too, by way of an
orthogonal map (Chen et al. 2020, equivalent transformation learner).

Source: specs of DIAGAE, section 11. P queries, R rows, X domains, M items that rows hold, V items, D width of a code, H width of
a hidden layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.scale import Scale
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.errors import InputError
from crossrec.models.base import Phase
from crossrec.models.every_domain import EveryDomain
from crossrec.models.users import LONGEST
from crossrec.nn.by_domain import by_domain, numbers
from crossrec.nn.gradient_reversal import reversed_gradient
from crossrec.nn.items import ItemTable
from crossrec.nn.users import UserTable


@dataclass(frozen=True)
class ETLConfig:
    """Settings of ETL."""

    dim: int = 64
    """Width of a code, and of the hidden layers (ours; published code: 200)."""
    dropout: float = 0.5
    """Share of a row's items that the encoder is not shown in training (published code)."""
    cross: float = 1.0
    """Weight of drawing a domain from another one's code (published code)."""
    adversarial: float = 1.0
    """Weight of the codes' likeness to the prior N(0, 1) (published code)."""
    orthogonal: float = 1.0
    """Weight of the maps' orthogonality, where it matters to codes (published code: 0.5 to 5, by the pair of domains). They are
    orthogonal at first (ours; published code: Xavier's)."""
    feedback: Literal["events", "ratings"] = "events"
    """What is drawn: every item of a domain, as there or not, or the ratings of the items that are rated (specs, 3)."""
    scale: tuple[float, ...] = (1.0, 5.0)
    """The lowest and the highest rating (ours)."""


class Known(NamedTuple):
    """Binary rows, without their zeros: sorted by row, each item once. ``row_P``: the row of every query."""

    row_P: Tensor
    row_M: Tensor
    item_M: Tensor
    user_R: Tensor


class Coder(nn.Module):
    """A domain's encoder, decoder, and what tells its codes from the prior."""

    def __init__(self, catalogue: Catalogue, domain: str, dim: int) -> None:
        super().__init__()
        self.inward = ItemTable(catalogue, [domain], dim)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.code = nn.Linear(dim, dim)
        self.hidden = nn.Linear(dim, dim)
        self.judge = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, row_M: Tensor, item_M: Tensor, rows: int, drop: float) -> Tensor:
        """Codes (R, D), without the users' vectors; ``drop``: share of the items that are left out, the others scaled up."""
        if drop and self.training:
            kept_M = torch.rand(len(item_M), device=item_M.device) >= drop
            row_M, item_M = row_M[kept_M], item_M[kept_M]
        first_R = torch.searchsorted(row_M, torch.arange(rows, device=row_M.device))
        place_M = self.inward.row_V[item_M]
        sum_RH = F.embedding_bag(place_M, self.inward.weight, first_R, mode="sum", sparse=True)
        code_RD: Tensor = self.code(F.relu(sum_RH / (1 - drop * self.training) + self.bias))
        return code_RD

    def drawn(self, z_RD: Tensor) -> Tensor:
        """[h, 1] of codes: its product with an item's vector is the logit of the item, (R, H + 1)."""
        return F.pad(F.relu(self.hidden(z_RD)), (0, 1), value=1.0)


class ETL(EveryDomain):
    """z_d = ReLU(Enc_d(row of domain d) + h_u); every domain is drawn from its own code and from each other one's, turned.

    Encoders and decoders have one hidden layer. A code of domain d is turned to domain e by W_d W_e', where W is the identity
    for the target and learned for each source: with one source it is W one way and its transpose the other, as published. The
    loss of a row is the logistic loss over all items, summed, of what is drawn from its own code and from others', plus
    ‖z_d - z_d W W'‖_1 and ‖z_t - z_t W' W‖_1, plus the adversarial term: a judge of each domain tells Enc_d + h_u from draws of
    N(0, 1), its gradient reversed for the encoder (ours; published: two optimisers in turn).

    A row is a training row as a whole, and when asked what is known before the asked place. Only domains of which a row holds
    something are drawn, and drawn from (ours, for users of one domain). A query asks the code of its domain; where nothing is
    known of that, the mean of the other domains' codes, turned to it. Losses are means over rows: ``orthogonal`` depends on
    the catalogue as published, but not on the batch. Any number of domains (ours; published: two), also one.

    Strangers, and users without a training event, have the h of :class:`~crossrec.nn.users.UserTable`. With
    ``feedback="ratings"`` the squared error of the share of the scale, over what is rated, is in place of the logistic loss;
    rows say what was rated, not how (ours: a history has no ratings).
    """

    name = "etl"
    Config = ETLConfig
    own_loss = True
    own_tasks = ("ranking", "ratings", "clicks")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {"loss": "own", "first": "all", "lr": 1e-3, "batch": 64}},
        "paper": {
            "model": {"dim": 200},
            "train": {
                "loss": "own",
                "first": "all",
                "lr": 1e-3,
                "betas": (0.9, 0.999),
                "weight_decay": 1e-3,
                "batch": 256,
                "epochs": 300,
                "eval_every": 1,
                "patience": 10,
            },
        },
    }
    by_task: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {"ratings": {"model": {"feedback": "ratings"}}}
    offset: Tensor
    """Logit of the mean share of the training ratings."""

    def make(self, catalogue: Catalogue) -> None:
        dim = self.config.dim
        self.users = UserTable(catalogue, self.reads, dim)
        self.coders = nn.ModuleList(Coder(catalogue, name, dim) for name in self.reads)
        self.outward = ItemTable(catalogue, self.reads, dim + 1)
        self.outward.weight.data[:, -1] = 0
        self.maps = nn.ParameterList(nn.init.orthogonal_(torch.empty(dim, dim)) for _ in self.sources)
        self.register_buffer("offset", torch.zeros(()))

    def coder(self, x: int) -> Coder:
        """Encoder and decoder of the domain of this number."""
        found = self.coders[x]
        assert isinstance(found, Coder)
        return found

    def views(self) -> Views:
        return Views({"history": self.reads}, LONGEST)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train", self.target, also=self.sources, whole=self.config.feedback == "events"),)

    def learn(self, split: Split) -> None:
        self.users.learn(split)
        if self.config.feedback == "ratings" and split.events.rating_E is not None:
            at = np.concatenate([split.events.within(split.train, name)[1] for name in self.reads])
            rating_N = np.asarray(split.events.rating_E)[at]
            share_N = Scale.of(self.config.scale).share(rating_N[~np.isnan(rating_N)])
            self.offset.fill_(torch.tensor(share_N.mean() if len(share_N) else 0.5).clamp(0.01, 0.99).logit())

    def queries(self, batch: Batch) -> Tensor:
        """[h, 1] of the decoder of the domain asked for: (P, H + 1)."""
        known = self._known(batch)
        f_RXD, there_RX = self._codes(batch, known)
        z_PXD, there_PX = F.relu(f_RXD)[known.row_P], there_RX[known.row_P]

        def asking(y: int, chosen: Tensor) -> Tensor:
            others = [self._turned(z_PXD[chosen, x], x, y) for x in range(len(self.reads))]
            own_CX = F.one_hot(torch.full_like(chosen, y), len(self.reads)).bool()
            there_CX = there_PX[chosen]
            lacks_C1 = ~there_CX[:, y, None] & there_CX.any(1, keepdim=True)
            of_CX = torch.where(lacks_C1, there_CX, own_CX).to(z_PXD.dtype)
            z_CD = torch.einsum("cx,cxd->cd", of_CX / of_CX.sum(1, keepdim=True), torch.stack(others, 1))
            return self.coder(y).drawn(z_CD)

        return by_domain(self.asked(batch), asking)

    def items(self, ids: Tensor) -> Tensor:
        row: Tensor = self.outward(ids)
        return row

    def item_block(self, domain: str) -> Tensor:
        return self.outward.block(domain)

    def rating(self, logits: Tensor, offset: float) -> Tensor:
        """By the offset of the ratings of all domains, which the model was trained with."""
        if self.config.feedback != "ratings":
            raise InputError("This ETL learned what is there, not how it is rated: give it feedback=ratings.")
        return (logits + self.offset).sigmoid()

    def loss(self, batch: Batch) -> Tensor:
        """Of every query that of its row, or of its rating and the mean of all rows: (P,)."""
        known = self._known(batch)
        f_RXD, there_RX = self._codes(batch, known)
        z_RXD = F.relu(f_RXD)
        loss_R = self._codes_loss(f_RXD, z_RXD, there_RX)
        if self.config.feedback == "ratings":
            return self._ratings_loss(batch, known, z_RXD, there_RX) + loss_R.mean()
        for x, y in self._pairs():
            weight = 1.0 if x == y else float(self.config.cross)
            row_N = (there_RX[:, x] & there_RX[:, y]).nonzero()[:, 0]
            if len(row_N) and weight:
                drawn_NH = self.coder(y).drawn(self._turned(z_RXD[row_N, x], x, y))
                loss_R = loss_R.index_add(0, row_N, weight * self._logistic(known, row_N, drawn_NH, y))
        return loss_R[known.row_P]

    def _pairs(self) -> list[tuple[int, int]]:
        """Which domain is drawn from which: the one whose code it is, and the one that is drawn."""
        return [(x, y) for x in range(len(self.reads)) for y in range(len(self.reads))]

    def _logistic(self, known: Known, row_N: Tensor, drawn_NH: Tensor, y: int) -> Tensor:
        """Logistic loss over all items of a domain of these rows: (N,)."""
        logit_NV = drawn_NH @ self.outward.block(self.reads[y]).T
        at_R = row_N.new_full((len(known.user_R),), -1).index_copy(0, row_N, torch.arange(len(row_N)).to(row_N))
        block = self.block(self.reads[y])
        own_M = (known.item_M >= block.start) & (known.item_M < block.stop) & (at_R[known.row_M] >= 0)
        at_M, item_M = at_R[known.row_M[own_M]], known.item_M[own_M] - block.start
        zeros_N: Tensor = F.softplus(logit_NV).sum(1)
        return zeros_N.index_add(0, at_M, -logit_NV[at_M, item_M])

    def _ratings_loss(self, batch: Batch, known: Known, z_RXD: Tensor, there_RX: Tensor) -> Tensor:
        """Squared errors of every query's rating, from its own code and in the mean over others: (P,)."""
        if batch.rating_P is None:
            raise InputError("feedback=ratings, and there are no ratings: leave it out, or take a log that has some.")
        share_P = Scale.of(self.config.scale).share(batch.rating_P)
        asked_P = self.asked(batch)
        item_PH, loss_P = self.items(batch.positive_P), torch.zeros_like(share_P)
        for x, y in self._pairs():
            weight = 1.0 if x == y else float(self.config.cross)
            place_C = ((asked_P == y) & there_RX[known.row_P, x]).nonzero()[:, 0]
            drawn_CH = self.coder(y).drawn(self._turned(z_RXD[known.row_P[place_C], x], x, y))
            share_C = ((drawn_CH * item_PH[place_C]).sum(1) + self.offset).sigmoid()
            loss_P = loss_P.index_add(0, place_C, weight * (share_C - share_P[place_C]).square())
        return loss_P

    def _codes_loss(self, f_RXD: Tensor, z_RXD: Tensor, there_RX: Tensor) -> Tensor:
        """What keeps the maps orthogonal and the codes near the prior: (R,)."""
        loss_R = f_RXD.new_zeros(len(f_RXD))
        for x, map_DD in enumerate(self.maps, start=1):
            for z_RD, product_DD, own in ((z_RXD[:, x], map_DD @ map_DD.T, x), (z_RXD[:, 0], map_DD.T @ map_DD, 0)):
                away_R = (z_RD - z_RD @ product_DD).abs().sum(1) * there_RX[:, own]
                loss_R = loss_R + float(self.config.orthogonal) * away_R
        if self.config.adversarial:
            for x in range(len(self.reads)):
                judge = self.coder(x).judge
                prior_R, code_R = (judge(v)[:, 0] for v in (torch.randn_like(f_RXD[:, x]), self._against(f_RXD[:, x])))
                judged_R = (F.softplus(-prior_R) + F.softplus(code_R)) * there_RX[:, x]
                loss_R = loss_R + float(self.config.adversarial) * judged_R
        return loss_R

    def _against(self, f_RD: Tensor) -> Tensor:
        return reversed_gradient(f_RD, 1.0)

    def _codes(self, batch: Batch, known: Known) -> tuple[Tensor, Tensor]:
        """Codes before the ReLU of every row and domain, (R, X, D), and of which there is anything in the row, (R, X)."""
        h_RD = self.users(known.user_R, () if self.training else batch.histories.values())
        number_M, codes, there = numbers(known.item_M, self.blocks), [], []
        for x in range(len(self.reads)):
            row_M, item_M = known.row_M[number_M == x], known.item_M[number_M == x]
            codes.append(self.coder(x)(row_M, item_M, len(known.user_R), self.config.dropout) + h_RD)
            there.append(torch.bincount(row_M, minlength=len(known.user_R)) > 0)
        return torch.stack(codes, 1), torch.stack(there, 1)

    def _turned(self, z_ND: Tensor, x: int, y: int) -> Tensor:
        """Codes of domain x as codes of domain y."""
        if x == y:
            return z_ND
        z_ND = z_ND @ self.maps[x - 1] if x else z_ND
        return z_ND @ self.maps[y - 1].T if y else z_ND

    def _known(self, batch: Batch) -> Known:
        """A row per query, of what it knows; in training on ratings a row per user, of all that the batch asks of them."""
        row_P, user_R = torch.arange(len(batch), device=batch.user_P.device), batch.user_P
        if self.training and self.config.feedback == "ratings":
            user_R, row_P = batch.user_P.unique(return_inverse=True)
            return Known(row_P, *self._once(row_P, batch.positive_P), user_R)
        return Known(row_P, *self._once(*batch.histories["history"].events()), user_R)

    def _once(self, row_M: Tensor, item_M: Tensor) -> tuple[Tensor, Tensor]:
        assert self.catalogue is not None
        key_M = (row_M * self.catalogue.num_ids + item_M)[item_M > 0].unique()
        return key_M // self.catalogue.num_ids, key_M % self.catalogue.num_ids
