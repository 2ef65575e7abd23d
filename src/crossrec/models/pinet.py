"""π-Net: a recurrent network per domain, and between them filters for accounts that people share (Ma et al. 2019).

Source: specs of DDGHM, section 6.1. P queries, D width; Q width of a query, C queries of one domain, N events of one.
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
from crossrec.nn.shared_account import GatedUnit, SharedAccountFilter
from crossrec.nn.timelines import latest, timelines

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
"""How it is trained here: batch and Adam's betas of the published code (specs of DDGHM, 6.1), the other settings ours."""

PAPER: Mapping[str, Any] = {
    "model": {"dim": 100, "dropout": 0.2},
    "train": {**TRAINING, "first": "domain", "lr": 1e-3, "epochs": 50},
}
"""Settings of the published code (specs of DDGHM, 6.1). Not its own: validation chooses the epoch, and the gradient's norm
is clipped, where published code clips every element."""


@dataclass(frozen=True)
class PiNetConfig:
    """Settings of π-Net."""

    dim: int = 64
    """Width of states and item vectors (ours; published code: 100)."""
    members: int = 4
    """People who may share an account (published code: 4; 1 for accounts that nobody shares)."""
    dropout: float = 0.2
    """Dropout on input, output and state of every cell and before the output layer (published code)."""
    max_len: int = 50
    """Latest events of all domains that are looked at (ours)."""


class PiNet(EveryDomain):
    """A gated recurrent unit per domain, and per ordered pair of domains a filter and a second unit that reads it.

    At each event of a source the filter decides, member by member, what to pass on, given the state of the other domain that
    is known by then; a second unit turns that stream into a transfer state. A query is the transfer state and its own domain's
    state, both after the latest event that it knows: score [t, h, 1] · [w_v, c_v]. The output layer is not tied to the vectors
    that the units read. Where nothing is known of a domain, states are zero.

    It is trained on every next item of every domain by a full softmax over that domain. Published code trains on the last item
    of each domain alone, of which the input may know later events of the other; here no query does.

    For any number of domains (ours; published: two): a query adds up the transfer states of all other domains. Of a single
    domain there is nothing to pass on: a query is the unit's state.
    """

    name = "pinet"
    Config = PiNetConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {"train": TRAINING}, "paper": PAPER}

    def make(self, catalogue: Catalogue) -> None:
        config: PiNetConfig = self.config
        names = range(len(self.reads))
        self.table = ItemTable(catalogue, self.reads, config.dim)
        self.units = nn.ModuleList(GatedUnit(config.dim, config.dropout) for _ in names)
        self.transfers = nn.ModuleDict(
            {
                f"{x}-{y}": SharedAccountFilter(config.dim, config.members, config.dropout)
                for x in names
                for y in names
                if x != y
            }
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
        """[t, h, 1] of the domain of every query's positive, else of the batch's: (P, Q)."""
        lines = timelines(batch.histories["history"], self.blocks)
        states = [unit(self.table(line.item_N), line.sizes) for unit, line in zip(self.units, lines, strict=True)]
        domain_P = self.asked(batch)
        query_PQ = self.output.weight.new_zeros(len(batch), self.output.weight.shape[1] - 1)
        for y in torch.unique(domain_P).tolist():
            chosen = (domain_P == y).nonzero()[:, 0]
            streams = []
            for x, line in enumerate(lines):
                if x != y:
                    known_ND = latest(states[y], line.known_XN[y])
                    t_ND = self.transfers[f"{x}-{y}"](states[x], known_ND, line.sizes)
                    streams.append(latest(t_ND, line.last_P[chosen]))
            passed = [torch.stack(streams).sum(0)] if streams else []
            query_CQ = torch.cat([*passed, latest(states[y], lines[y].last_P[chosen])], 1)
            query_PQ = query_PQ.index_copy(0, chosen, query_CQ.to(query_PQ.dtype))
        return F.pad(dropout(query_PQ, self.config.dropout, self.training), (0, 1), value=1.0)
