"""What π-Net and PSJNet-II share: a recurrent unit per domain, and for every other domain something that is passed on.

Source: specs of DDGHM, sections 6.1 and 6.2. P queries, D width; Q width of a query, C queries of one domain, N events of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import EveryDomain
from crossrec.nn.dropout import dropout
from crossrec.nn.items import ItemTable
from crossrec.nn.shared_account import GatedUnit
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
"""How both are trained here: batch and Adam's betas of π-Net's published code (specs of DDGHM, 6.1), the other settings ours."""

PAPER: Mapping[str, Any] = {
    "model": {"dim": 100, "dropout": 0.2},
    "train": {**TRAINING, "first": "domain", "lr": 1e-3, "epochs": 50},
}
"""Settings of π-Net's published code (specs of DDGHM, 6.1); those of PSJNet-II are not known (6.2). Not its own: validation
chooses the epoch, and the gradient's norm is clipped, where published code clips every element."""


class UnitPerDomain(EveryDomain):
    """Base of the models that keep a state h per domain and add to the asked one what is passed on from every other, t.

    Score [t, h, 1] · [w_v, c_v], both states after the latest event that a query knows. The output layer is not tied to the
    vectors that the units read. Where nothing is known of a domain, states are zero.

    They are trained on every next item of every domain by a full softmax over that domain. Published code of π-Net trains on
    the last item of each domain alone, of which the input may know later events of the other; here no query does.

    For any number of domains (ours; published: two): a query adds up what all other domains pass on. Of a single domain
    there is nothing to pass on: a query is the unit's state.
    """

    def transfer(self) -> nn.Module:
        """A new module that passes on from one domain to another: every ordered pair has its own."""
        raise NotImplementedError

    def passed(
        self, transfer: Any, h_ND: Tensor, g_ND: Tensor, line: Timeline, chosen_C: Tensor, own_CD: Tensor
    ) -> Tensor:
        """What a domain passes on to the chosen queries of another: (C, D).

        Args:
            transfer: the pair's module.
            h_ND: the domain's states after each of its events.
            g_ND: the other domain's states that are known by then.
            line: the domain's events.
            chosen_C: numbers of the queries.
            own_CD: their own domain's latest states.
        """
        raise NotImplementedError

    def make(self, catalogue: Catalogue) -> None:
        dim, names = self.config.dim, range(len(self.reads))
        self.table = ItemTable(catalogue, self.reads, dim)
        self.units = nn.ModuleList(GatedUnit(dim, self.config.dropout) for _ in names)
        self.transfers = nn.ModuleDict({f"{x}-{y}": self.transfer() for x in names for y in names if x != y})
        self.output = ItemTable(catalogue, self.reads, dim * min(2, len(self.reads)) + 1)
        self.output.clear(bias=True)

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
            own_CD = latest(states[y], lines[y].last_P[chosen])
            streams = []
            for x, line in enumerate(lines):
                if x != y:
                    known_ND = latest(states[y], line.known_XN[y])
                    streams.append(self.passed(self.transfers[f"{x}-{y}"], states[x], known_ND, line, chosen, own_CD))
            passed = [torch.stack(streams).sum(0)] if streams else []
            query_CQ = torch.cat([*passed, own_CD], 1)
            query_PQ = query_PQ.index_copy(0, chosen, query_CQ.to(query_PQ.dtype))
        return F.pad(dropout(query_PQ, self.config.dropout, self.training), (0, 1), value=1.0)
