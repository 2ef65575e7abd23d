"""C2DSR: merged and own views of a history, items smoothed over graphs, and an infomax term between views (Cao et al. 2022).

Source: specs of DDGHM, section 8. P queries, C of them that ask for one domain, T places, R rows, V items, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.histories import History
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import EveryDomain
from crossrec.nn import similarity
from crossrec.nn.full_softmax import full_softmax
from crossrec.nn.infomax import Infomax, corrupted, joined, row_of
from crossrec.nn.items import ItemTable
from crossrec.nn.similarity import SimilarityConfig
from crossrec.nn.smoothed_items import SmoothedItems
from crossrec.nn.transformer import Transformer, TransformerConfig
from crossrec.nn.untraced import untraced

MERGED = "merged"

TRAINING: Mapping[str, Any] = {"loss": "own", "lr": 2e-3, "batch": 64, "eval_every": 1}

PAPER: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "dim": 256,
        "dropout": 0.2,
        "output": "untied",
        "similarity": "dot",
        "scale": 1.0,
        "std": 1.0,
        "max_len": 15,
    },
    "train": {"loss": "own", "first": "domain", "lr": 1e-3, "batch": 256, "epochs": 100, "eval_every": 5},
}
"""Settings of the published program (specs of DDGHM, 8.5). Not kept of it: losses of the latest ten places alone, and the
logit that its own padding has in training."""


@dataclass(frozen=True)
class C2DSRConfig(SimilarityConfig):
    """Settings of C2DSR."""

    dim: int = 64
    """Width of states and item vectors (ours; published code: 256)."""
    blocks: int = 2
    """Transformer layers of every encoder (published code)."""
    heads: int = 1
    """Attention heads (published code)."""
    dropout: float = 0.3
    """Dropout of the graph and of the encoders (ours; published code: .2)."""
    depth: int = 1
    """Steps over the graph (published code); 0: items are not smoothed."""
    weight: float = 0.7
    """Lambda: weight of the next-item losses; the infomax term has the rest (published code)."""
    output: Literal["tied", "untied"] = "tied"
    """Vectors that queries are compared with: those of the merged table, or some of their own (published: untied)."""
    std: float | None = None
    """Standard deviation that item vectors are drawn with (published code: 1); None: that of the item table (ours)."""
    max_len: int = 50
    """Latest events of every view that are looked at (ours; published code: 15)."""


class Stream(nn.Module):
    """One view: its item table, smoothed over the graph of its own next items, and its causal encoder."""

    def __init__(self, catalogue: Catalogue, domains: tuple[str, ...], config: C2DSRConfig) -> None:
        super().__init__()
        table = ItemTable(catalogue, domains, config.dim)
        if config.std is not None:
            nn.init.normal_(table.weight[1:].detach(), std=config.std)
        self.items = SmoothedItems(table, catalogue.num_ids, config.depth, config.dropout)
        settings = {name: getattr(config, name) for name in ("dim", "blocks", "heads", "dropout", "max_len")}
        self.encoder = Transformer(TransformerConfig(**settings))

    def forward(self, history: History) -> Tensor:
        """States h_PD of the queries, whatever comes after them: positions count from the start of a row."""
        full = tuple(torch.full_like(length, self.encoder.max_len) for length in history.lengths)
        h_PD: Tensor = self.encoder(replace(history, lengths=full), self.items)
        return h_PD


class C2DSR(EveryDomain):
    """A merged view of the history, and one of every domain alone: the query of a domain is the sum of the two states.

    Every view has item vectors of its own, smoothed over the graph of what came next in it, and a causal Transformer. A query
    sees the merged view, and its domain's own, up to the last event that it knows of each, when it is trained as when it is
    asked. It is trained by full softmax over its domain, from the merged state alone and from the sum; each of these losses
    is the mean over the queries of a domain. Beside them a critic of each domain must tell, from the mean of the domain's own
    states, the mean merged state of the queries of all other domains from that of a history in which the domain's items were
    exchanged for random ones.

    For any number of domains (ours; published: two, where "all other domains" is the other one). Score [h, 1] · [e_v, b_v].
    The layers of the house's Transformer are the published ones; positions count from the start of a row, as published.
    Faults of the published program that are mended: the merged state is taken at another place in training than when it is
    asked, losses weigh by how dense a domain is, pads are attended to, and one item is mislabelled (specs of DDGHM, 8.7).
    """

    name = "c2dsr"
    Config = C2DSRConfig
    own_loss = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {"train": TRAINING}, "paper": PAPER}

    def make(self, catalogue: Catalogue) -> None:
        config: C2DSRConfig = self.config
        self.merged = Stream(catalogue, self.reads, config)
        self.own = nn.ModuleList(Stream(catalogue, (name,), config) for name in self.reads)
        self.critics = nn.ModuleList(Infomax(config.dim) for _ in self.reads if len(self.reads) > 1)
        self.output = ItemTable(catalogue, self.reads, config.dim) if config.output == "untied" else None
        self.bias = ItemTable(catalogue, self.reads, 1)
        nn.init.zeros_(self.bias.weight)

    def views(self) -> Views:
        own = {f"own:{name}": (name,) for name in self.reads}
        return Views({MERGED: self.reads, **own}, self.config.max_len)

    def learn(self, split: Split) -> None:
        for part in self.modules():
            if isinstance(part, SmoothedItems):
                part.count(split)

    @property
    def table(self) -> ItemTable:
        """The vectors that queries are compared with."""
        return self.merged.items.table if self.output is None else self.output

    def items(self, ids: Tensor) -> Tensor:
        e = similarity.item(self.table(ids), self.config.similarity)
        return torch.cat([e, self.bias(ids)], -1)

    def item_block(self, domain: str) -> Tensor:
        e_VD = similarity.item(self.table.block(domain), self.config.similarity)
        return torch.cat([e_VD, self.bias.block(domain)], -1)

    def queries(self, batch: Batch) -> Tensor:
        """[h, 1] of the domain of every query's positive, else of the batch's: (P, D + 1)."""
        h_PD = self.merged(batch.histories[MERGED])
        for chosen, own_CD in self._own_states(batch).values():
            h_PD = h_PD.index_add(0, chosen, own_CD)
        return self._query(h_PD)

    @untraced
    def loss(self, batch: Batch) -> Tensor:
        """Losses of the queries, (P,), whose mean is 8.4, each cross entropy a mean over the queries of its domain, and 8.5."""
        weight, count = self.config.weight, len(self.critics) if self.config.weight < 1 else 0
        history = batch.histories[MERGED]
        false = [corrupted(history, self.block(name)) for name in self.reads[:count]]
        states = self.merged(joined([history, *false])).split(len(batch))
        own = self._own_states(batch)
        loss_P: Tensor = states[0].new_zeros(len(batch))
        for name, (chosen, own_CD) in own.items():
            merged_CD = states[0][chosen]
            query_2CD = self._query(torch.cat([merged_CD, merged_CD + own_CD]))
            place_C = batch.positive_P[chosen] - self.block(name).start
            alone_C, both_C = full_softmax(query_2CD, self.item_block(name), place_C.repeat(2)).chunk(2)
            loss_P = loss_P.index_copy(0, chosen, (weight * len(batch) / len(chosen)) * (alone_C + both_C))
        if count:
            loss_P = loss_P + (1 - weight) * self._infomax(batch, own, states)
        return loss_P

    def _query(self, h_PD: Tensor) -> Tensor:
        return F.pad(similarity.query(h_PD, self.config.similarity, self.config.scale), (0, 1), value=1.0)

    def _own_states(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """By domain the queries that ask for it, (C,), and what their own views of it say, (C, D)."""
        found = {}
        for x, name in enumerate(self.reads):
            block = self.block(name)
            asks_P = (batch.positive_P >= block.start) & (batch.positive_P < block.stop)
            if name == batch.domain:
                asks_P = asks_P | (batch.positive_P == 0)
            chosen = asks_P.nonzero()[:, 0]
            if len(chosen):
                history = batch.histories[f"own:{name}"]
                found[name] = chosen, self.own[x](replace(history, at_P=history.at_P[chosen]))
        return found

    def _infomax(self, batch: Batch, own: Mapping[str, tuple[Tensor, Tensor]], states: tuple[Tensor, ...]) -> Tensor:
        """8.5, summed over the domains: (). ``states``: merged ones, then those without the truth of each domain."""
        row_P = row_of(batch.histories[MERGED])
        total = states[0].new_zeros(())
        for x, name in enumerate(self.reads):
            if name in own:
                chosen, own_CD = own[name]
                history, others_P = batch.histories[f"own:{name}"], row_P >= 0
                others_P[chosen] = False
                knows_C, row_O = history.at_P[chosen] < history.total, row_P[others_P]
                views = own_CD[knows_C], row_P[chosen[knows_C]]
                total = total + self.critics[x](*views, states[0][others_P], states[1 + x][others_P], row_O)
        return total
