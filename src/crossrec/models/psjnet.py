"""PSJNet-II: domains' states split by role, and all parts joined into what another domain learns of them (Sun et al. 2021).

Source: specs of DDGHM, section 6.2. P queries, D width; Q width of a query, C queries of one domain, N events of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import EveryDomain
from crossrec.nn.dropout import dropout
from crossrec.nn.items import ItemTable
from crossrec.nn.shared_account import GatedUnit, SplitAndJoin
from crossrec.nn.timelines import Timeline, latest, timelines

TRAINING: Mapping[str, Any] = {
    "loss": "softmax",
    "first": "any",
    "batch": 128,
    "lr": 3e-3,
    "betas": (0.9, 0.999),
    "clip": 5.0,
    "epochs": 100,
    "eval_every": 1,
    "patience": 10,
}
"""How it is trained here: batch and Adam's betas of π-Net's published code (specs of DDGHM, 6.2), the other settings ours."""

PAPER: Mapping[str, Any] = {
    "model": {"dim": 100, "dropout": 0.2},
    "train": {**TRAINING, "first": "domain", "lr": 1e-3, "epochs": 50},
}
"""Settings of π-Net's published code: those of PSJNet-II are not known (specs of DDGHM, 6.2). Validation chooses the epoch."""


@dataclass(frozen=True)
class PSJNetConfig:
    """Settings of PSJNet-II."""

    dim: int = 64
    """Width of states and item vectors (ours; published code of π-Net: 100)."""
    roles: int = 4
    """Roles that a state is split into (specs of DDGHM, 6.2: 4, as members of π-Net)."""
    dropout: float = 0.2
    """Dropout on input, output and state of the recurrent units and before the output layer (published code of π-Net)."""
    max_len: int = 50
    """Latest events of all domains that are looked at (ours)."""


class PSJNet(EveryDomain):
    """PSJNet-II (reconstruction): a gated recurrent unit per domain; what a domain learns of another is split and then joined.

    A reconstruction. It rests on the paper's abstract, which says that states are split by role at each time step and that the
    parts of all time steps and all roles are then joined, and on π-Net, which is the paper's first variant and whose units,
    gates and output layer are taken over. The attention that joins is ours.

    Each event's state is split into parts by role, gated by the other domain's state that is known by then. A query joins the
    parts of all events that it knows by an attention that its own domain's latest state asks: score [j, h, 1] · [w_v, c_v].
    The output layer is not tied to the vectors that the units read. Where nothing is known of a domain, states are zero.

    It is trained on every next item of every domain by a full softmax over that domain. Published code of π-Net trains on the
    last item of each domain alone, of which the input may know later events of the other; here no query does.

    For any number of domains (ours; published: two): a query adds up what it joins of all other domains. Of a single domain
    there is nothing to join: a query is the unit's state.
    """

    name = "psjnet"
    Config = PSJNetConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {"train": TRAINING}, "paper": PAPER}

    def make(self, catalogue: Catalogue) -> None:
        config: PSJNetConfig = self.config
        names = range(len(self.reads))
        self.table = ItemTable(catalogue, self.reads, config.dim)
        self.units = nn.ModuleList(GatedUnit(config.dim, config.dropout) for _ in names)
        self.transfers = nn.ModuleDict(
            {f"{x}-{y}": SplitAndJoin(config.dim, config.roles) for x in names for y in names if x != y}
        )
        self.output = ItemTable(catalogue, self.reads, config.dim * min(2, len(self.reads)) + 1)
        with torch.no_grad():
            self.output.weight[:, -1] = 0

    def items(self, ids: Tensor) -> Tensor:
        w: Tensor = self.output(ids)
        return w

    def item_block(self, domain: str) -> Tensor:
        return self.output.block(domain)

    def queries(self, batch: Batch) -> Tensor:
        """[j, h, 1] of the domain of every query's positive, else of the batch's: (P, Q)."""
        lines = timelines(batch.histories["history"], self.blocks)
        states = [unit(self.table(line.item_N), line.sizes) for unit, line in zip(self.units, lines, strict=True)]
        domain_P = self.asked(batch)
        query_PQ = self.output.weight.new_zeros(len(batch), self.output.weight.shape[1] - 1)
        for y in torch.unique(domain_P).tolist():
            chosen = (domain_P == y).nonzero()[:, 0]
            own_CD = latest(states[y], lines[y].last_P[chosen])
            joined = [self._joined(x, y, lines[x], states, chosen, own_CD) for x in range(len(lines)) if x != y]
            passed = [torch.stack(joined).sum(0)] if joined else []
            query_CQ = torch.cat([*passed, own_CD], 1)
            query_PQ = query_PQ.index_copy(0, chosen, query_CQ.to(query_PQ.dtype))
        return F.pad(dropout(query_PQ, self.config.dropout, self.training), (0, 1), value=1.0)

    def _joined(self, x: int, y: int, line: Timeline, states: list[Tensor], chosen: Tensor, own_CD: Tensor) -> Tensor:
        """What the chosen queries of domain y make of all that they know of domain x: (C, D)."""
        transfer: SplitAndJoin = self.transfers[f"{x}-{y}"]  # type: ignore[assignment]  # all of them are
        p_NMD = transfer.split(states[x], latest(states[y], line.known_XN[y]))
        return transfer.join(p_NMD, own_CD, *line.prefixes(chosen))
