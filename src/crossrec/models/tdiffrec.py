"""T-DiffRec: a user's row of the interaction matrix, weighted by the order of its events, is noised and predicted back.

Wang et al. 2023, as the PDRec paper runs it. Source: specs of PDRec, section 3.
P queries, M distinct items that queries know, D columns, H hidden width, T steps, V items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.histories import History
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Phase
from crossrec.models.every_domain import EveryDomain
from crossrec.nn.diffusion import ImportantSteps, Schedule, StepEmbedding, squared_norms
from crossrec.nn.dropout import dropout
from crossrec.nn.items import table_rows

LONGEST = 10_000
"""Latest events of a history that are looked at: more than anybody has, for a row of the matrix is not cut (ours)."""
BLOCK = 1 << 17
"""Elements of the noised input that are made at once on a CPU: they stay in the cache of one core."""
ROWS = 64
"""Queries whose candidates are scored at once: vectors are wide, and gathering those of all takes much memory."""

TRAINING: Mapping[str, Any] = {
    "loss": "own",
    "lr": 5e-5,
    "betas": (0.9, 0.999),
    "weight_decay": 0.5,
    "decay": 0.99,
    "batch": 400,
    "copies": 3,
    "epochs": 1000,
    "first_eval": 1,
    "eval_every": 1,
    "patience": 10,
}
"""How the published diffusion recommender is trained (specs of PDRec, 3.4)."""


@dataclass(frozen=True)
class TDiffRecConfig:
    """Settings of T-DiffRec."""

    domains: Literal["target", "merged"] = "target"
    """Columns: the target domain's items alone, or those of target and sources, "(M)"."""
    hidden: int = 1000
    """Width of the hidden layer (published code, on Amazon)."""
    time_dim: int = 10
    """Width of the embedding of a step (published code, on Amazon)."""
    steps: int = 10
    """Steps of the diffusion, in training and when asked (published code)."""
    noise_scale: float = 0.01
    """Factor of both bounds of the noise's variance (published code, on Amazon)."""
    noise_min: float = 0.0005
    """Variance of the noise at the first step, before it is scaled (published code)."""
    noise_max: float = 0.005
    """Variance of the noise at the last step, before it is scaled (published code, on Amazon)."""
    low: float = 0.5
    """Weight of the oldest event, w_min (published code, on Amazon)."""
    high: float = 1.0
    """Weight of the newest event, w_max (published code)."""
    dropout: float = 0.5
    """Dropout on the noised input (published code)."""
    source_weight: float = 0.5
    """Factor of the weights of source events in a merged row (published code)."""


class Known(NamedTuple):
    """What queries know, each item once, sorted by query and column."""

    query_M: Tensor
    column_M: Tensor
    weight_M: Tensor


class TDiffRec(EveryDomain):
    """A network of one hidden layer that predicts a row of weights from its noised self.

    A row is w_min at the oldest item, w_max at the newest, evenly spaced between them in order, and 0 elsewhere; of an
    item that occurs again the last event counts. Asked, it runs the reverse chain from the row as it is, without noise;
    that is done in the hidden space, which is exact: a row is touched at its few items alone. The score is
    [h, 1] · [W_v, b_v].

    The published rows have columns for both domains even where one domain alone is learned; here they are those of the
    domains read, and a padding column that is always 0 (its row is ``items(0)``).
    """

    name = "tdiffrec"
    Config = TDiffRecConfig
    own_loss = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "copies": 1, "lr": 5e-4}},
        "authors": {"train": TRAINING},
    }
    row_V: Tensor
    _linked: tuple[Any, Tensor] | None = None

    def make(self, catalogue: Catalogue) -> None:
        config: TDiffRecConfig = self.config
        row_V, self.first = table_rows(catalogue, self.reads)
        self.register_buffer("row_V", row_V, persistent=False)
        columns, hidden = 1 + int(row_V.max()), config.hidden
        self.schedule = Schedule(config.steps, config.noise_scale, config.noise_min, config.noise_max)
        self.important = ImportantSteps(config.steps)
        self.embedding = StepEmbedding(config.steps, config.time_dim)
        self.from_step = nn.Linear(config.time_dim, hidden)
        self.inward = nn.Parameter(torch.empty(columns, hidden))
        self.outward = nn.Parameter(torch.empty(columns, hidden + 1))
        for weight in (self.inward, self.from_step.weight):
            nn.init.normal_(weight, std=(2 / (columns + config.time_dim + hidden)) ** 0.5)
        nn.init.normal_(self.from_step.bias, std=0.001)
        with torch.no_grad():
            self.outward[:, :-1].normal_(std=(2 / (hidden + columns)) ** 0.5)
            self.outward[:, -1].normal_(std=0.001)

    def views(self) -> Views:
        return Views({"history": self.reads}, LONGEST)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train", self.target, also=self.reads[1:], whole=True),)

    def shares(self, history: History, query_M: Tensor, count_P: Tensor) -> Tensor:
        """Where every known event stands between its query's oldest, 0, and newest, 1: (M,), in double precision."""
        within_M = torch.arange(len(query_M), device=query_M.device) - (count_P.cumsum(0) - count_P)[query_M]
        before_M = count_P[query_M] - 1
        return torch.where(before_M > 0, within_M.double() / before_M.clamp(min=1), 1.0)

    def known(self, batch: Batch) -> Known:
        """The items of every query and their weights: its row of the matrix, without the zeros."""
        history = batch.histories["history"]
        query_M, item_M = history.events()
        share_M = self.shares(history, query_M, torch.bincount(query_M, minlength=len(batch)))
        weight_M = self.config.low + share_M * (self.config.high - self.config.low)
        block = self.block(self.target)
        own_M = (item_M >= block.start) & (item_M < block.stop)
        weight_M = torch.where(own_M, weight_M, weight_M * self.config.source_weight).to(self.inward.dtype)
        key_M, order_M = (query_M * len(self.inward) + self.row_V[item_M]).sort(stable=True)
        last_M = torch.ones_like(key_M, dtype=torch.bool)
        last_M[:-1] = key_M[1:] != key_M[:-1]
        key_M = key_M[last_M]
        return Known(key_M // len(self.inward), key_M % len(self.inward), weight_M[order_M][last_M])

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean squares between rows and what is predicted of them noised, divided by the chance of the step: (P,)."""
        self._linked = None
        known = self.known(batch)
        step_P, chance_P = self.important.draw(len(batch))
        x_PD = self._noised(known, step_P, len(batch))
        h_PH = torch.tanh(x_PD @ self.inward + self._drive()[step_P])
        error_PD = F.linear(F.pad(h_PH, (0, 1), value=1.0), self.outward)
        error_PD.index_put_((known.query_M, known.column_M), -known.weight_M.to(error_PD.dtype), accumulate=True)
        weight_P = self.schedule.weight_T[step_P] / len(self.inward)
        loss_P = squared_norms(error_PD) * weight_P.to(self.inward.dtype)
        self.important.record(step_P, loss_P)
        divisor_P: Tensor = self.config.steps * chance_P
        return loss_P / divisor_P.to(loss_P.dtype)

    @torch.no_grad()
    def queries(self, batch: Batch) -> Tensor:
        """[h, 1] of the last step of the reverse chain, never with dropout: (P, H + 1)."""
        known, linked_GH, drive_TH = self.known(batch), self._links(), self._drive()
        start_P = torch.searchsorted(known.query_M, torch.arange(len(batch), device=known.query_M.device))
        z_PH = F.embedding_bag(known.column_M, self.inward, start_P, mode="sum", per_sample_weights=known.weight_M)
        c1_T, c2_T = self.schedule.c1_T.tolist(), self.schedule.c2_T.tolist()
        for t in range(self.config.steps - 1, 0, -1):
            h_PH = torch.tanh(z_PH + drive_TH[t])
            z_PH.mul_(c2_T[t]).add_(linked_GH[-1], alpha=c1_T[t]).addmm_(h_PH, linked_GH[:-1], alpha=c1_T[t])
        return F.pad(torch.tanh(z_PH + drive_TH[0]), (0, 1), value=1.0)

    def items(self, ids: Tensor) -> Tensor:
        return F.embedding(self.row_V[ids], self.outward)

    def item_block(self, domain: str) -> Tensor:
        first = self.first[domain]
        block_VG: Tensor = self.outward[first : first + len(self.block(domain))]
        return block_VG

    def candidate_scores(self, batch: Batch, ids_PC: Tensor) -> Tensor:
        parts = zip(self.queries(batch).split(ROWS), ids_PC.split(ROWS), strict=True)
        return torch.cat([torch.einsum("pd,pcd->pc", query, self.items(ids)) for query, ids in parts])

    def _noised(self, known: Known, step_P: Tensor, queries: int) -> Tensor:
        """The rows at these steps, after dropout: (P, D), in the precision of the product that comes next."""
        device, columns = self.device, len(self.inward)
        dtype = self.inward.dtype
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
        noise_P1 = self.schedule.noise_T[step_P].to(self.inward.dtype)[:, None]
        signal_M = known.weight_M * self.schedule.signal_T[step_P].to(self.inward.dtype)[known.query_M]
        x_PD = torch.empty(queries, columns, dtype=dtype, device=device)
        size = max(1, BLOCK // columns) if device.type == "cpu" else queries
        edges = torch.arange(0, queries + size, size, device=device)
        edge_M = torch.searchsorted(known.query_M, edges).tolist()
        for number, x_BD in enumerate(x_PD.split(size)):
            inside, first = slice(*edge_M[number : number + 2]), number * size
            noisy_BD = torch.randn(x_BD.shape, dtype=self.inward.dtype, device=device)
            noisy_BD.mul_(noise_P1[first : first + size])
            place_M = known.query_M[inside] - first, known.column_M[inside]
            noisy_BD.index_put_(place_M, signal_M[inside], accumulate=True)
            x_BD.copy_(dropout(noisy_BD, self.config.dropout, training=True))
        return x_PD

    def _drive(self) -> Tensor:
        """What every step adds to the hidden layer's input: (T, H)."""
        drive_TH: Tensor = self.from_step(self.embedding())
        return drive_TH

    def _links(self) -> Tensor:
        """The output layer followed by the input layer, (H + 1, H): all that the chain needs of either.

        Computed once per state of the weights. While training it is computed every time: the optimiser changes weights
        without a trace.
        """
        weights = (self.inward.detach(), self.outward.detach())
        state = [(weight.data_ptr(), weight._version, weight.device, weight.dtype) for weight in weights]
        if self._linked is not None and self._linked[0] == state:
            return self._linked[1]
        linked_GH = weights[1].T @ weights[0]
        self._linked = None if self.training else (state, linked_GH)
        return linked_GH
