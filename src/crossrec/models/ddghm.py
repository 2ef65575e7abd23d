"""DDGHM: dual dynamic graphs, a fuse attentive gate between them, and hybrid metric training (Zheng et al. 2022).

Source: specs of DDGHM, section 7. R rows, P queries, V items, D width; b rows and n nodes of a walk, l events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import TableModel
from crossrec.nn import hybrid_metric
from crossrec.nn.by_domain import numbers
from crossrec.nn.dynamic_graphs import DynamicGraphs, Trace
from crossrec.nn.full_softmax import full_softmax
from crossrec.nn.items import ItemTable
from crossrec.nn.journeys import Journey, Rows
from crossrec.nn.untraced import untraced

STATES = 1 << 17
"""States of merged graphs that are computed together: a bound of the memory where no gradient is wanted (ours)."""

TRAINING: Mapping[str, Any] = {
    "loss": "own",
    "first": "domain",
    "batch": 100,
    "lr": 1e-3,
    "betas": (0.9, 0.999),
    "weight_decay": 1e-5,
    "clip": 5.0,
    "epochs": 100,
    "eval_every": 1,
    "patience": 10,
}
"""How the published model is trained, or where that is not said, what is recommended (specs of DDGHM, 7.6)."""

PAPER: Mapping[str, Any] = {"dim": 256, "lambda_col": 1.0, "lambda_con": 0.7}
"""Settings of the published model (paper, sections 3.4 and 4.4; for Food & Kitchen ``lambda_con`` is 0.5)."""

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "paper-literal": {"readout": "literal"},
    "paper-l": {"variant": "local"},
    "paper-g": {"variant": "global"},
    "paper-ga": {"variant": "gru"},
    "paper-col": {"lambda_con": 0.0},
    "paper-con": {"lambda_col": 0.0},
    "paper-cc": {"lambda_col": 0.0, "lambda_con": 0.0},
}
"""The published model, its Algorithm 1 to the letter, and the ablations of its tables: -L, -G, -GA; -col keeps the collaborative
metric alone, -con the contrastive one, -cc neither (specs of DDGHM, 7.8)."""


@dataclass(frozen=True)
class DDGHMConfig:
    """Settings of DDGHM."""

    dim: int = 64
    """Width of states and item vectors (ours; paper, section 4.4: 256)."""
    steps: int = 1
    """Steps of the gated graph networks after every event (specs: 1, "a fixed number" in the paper)."""
    max_len: int = 50
    """Latest events of all domains that are looked at (ours; the paper says none)."""
    variant: Literal["full", "local", "global", "gru"] = "full"
    """Whole model, or an ablation of the paper: local graphs alone (-L), the merged graph alone (-G), a plain gated recurrent
    unit in place of the fuse attentive gate (-GA)."""
    readout: Literal["post_gate", "literal"] = "post_gate"
    """Whether a sequence embedding is read after the gate has looked at all events so far, or before, as the paper's Algorithm 1
    says to the letter."""
    coefficients: Literal["raw", "softmax"] = "raw"
    """With which the gate sums a node's states in both graphs: as the paper's equation 1 has them, of any size, or a softmax over
    the two, with which no state can grow from event to event (ours)."""
    lambda_col: float = 0.1
    """Weight of the collaborative metric (ours; paper, section 4.4: 1)."""
    lambda_con: float = 0.1
    """Weight of the contrastive metric (ours; paper, section 4.4: 0.7 for Movie & Book, 0.5 for Food & Kitchen)."""
    margin: float = 1.5
    """Margin of the collaborative metric (paper, section 3.4)."""
    col_negatives: int = 20
    """Negatives of every item in the collaborative metric (specs: 20)."""
    gamma: float = 0.3
    """Share of every domain's events that the masked view hides (specs: 0.3, "a proportion" in the paper)."""
    checkpoint: bool = False
    """Compute every step again for its gradients instead of keeping what it made: less memory, for long histories (ours)."""


class DDGHM(TableModel):
    """Graphs of items that grow with every event: one per domain, and one of all domains merged.

    After an event the states of all nodes of the graphs that it belongs to are updated. When an event of a domain is due,
    the nodes of that domain's graph are refreshed from the merged one; a soft attention over them is the query. It is
    trained on every next item of every domain by a full softmax over that domain, with two metric terms.

    For any number of domains (ours; published: two). A query of a domain of which nothing is known yet is read off the
    merged graph as a whole (ours; in the paper there is no prediction): whether such queries are trained is the training
    setting ``first`` (``any``; the paper: ``domain``). Score [SE, 1] · [e_v, b_v].
    """

    name = "ddghm"
    Config = DDGHMConfig
    own_loss = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "first": "any"}},
        **{name: {"model": {**PAPER, **settings}, "train": TRAINING} for name, settings in PROFILES.items()},
    }

    def make(self, catalogue: Catalogue) -> None:
        config: DDGHMConfig = self.config
        self.table = ItemTable(catalogue, self.reads, config.dim + 1)
        self.masks = nn.Parameter(torch.empty(len(self.reads), config.dim))
        self.graphs = DynamicGraphs(
            len(self.reads),
            config.dim,
            steps=config.steps,
            variant=config.variant,
            literal=config.readout == "literal",
            checkpoint=config.checkpoint,
            convex=config.coefficients == "softmax",
        )
        bound = config.dim**-0.5
        for weight in (self.table.weight, self.masks):
            nn.init.uniform_(weight, -bound, bound)
        self.table.clear(bias=True)

    def queries(self, batch: Batch) -> Tensor:
        """[SE, 1] of the domain of every query's positive, else of the batch's: (P, D + 1)."""
        rows = Rows.of(batch.histories["history"])
        traces = [
            self.graphs(journey, self._start(journey, None), asked=False)
            for journey in rows.journeys(self.blocks, STATES)
        ]
        return self._read(rows, traces, self.asked(batch).cpu())

    @untraced
    def loss(self, batch: Batch) -> Tensor:
        """Losses of the queries, (P,), whose mean is equation 7.22: the mean cross entropy of every domain, summed, and the
        metric terms, spread evenly.

        Never traced: its loops differ from batch to batch. The steps within could be (on a CPU that gains a twentieth).
        """
        config, domain_P = self.config, self.asked(batch).cpu()
        rows = Rows.of(batch.histories["history"])
        count = len(rows.length_b)
        if config.lambda_col or config.lambda_con:
            rows = rows.followed(batch.positive_P.cpu())
        hidden_bl = self._hidden(rows) if config.lambda_con else None
        run = rows.twice() if config.lambda_con else rows
        traces = [
            self.graphs(journey, self._start(journey, hidden_bl), asked=True)
            for journey in run.journeys(self.blocks, STATES)
        ]
        query_PD = self._read(run, traces, domain_P)
        loss_P = query_PD.new_zeros(len(batch))
        for x, name in enumerate(self.reads):
            chosen = (domain_P == x).nonzero()[:, 0].to(query_PD.device)
            if len(chosen):
                place_C = batch.positive_P[chosen] - self.block(name).start
                loss_C = full_softmax(query_PD[chosen], self.item_block(name), place_C)
                loss_P = loss_P.index_copy(0, chosen, loss_C.to(loss_P.dtype) * (len(batch) / len(chosen)))
        return loss_P + torch.stack([self._metric(x, traces, count) for x in range(len(self.reads))]).sum()

    def _start(self, journey: Journey, hidden_bl: Tensor | None) -> Tensor:
        """First states of a walk's nodes: (b, n, D). ``hidden``: the events that the second half of the rows hides.

        A node starts from its domain's mask where the event that it appears with is hidden.
        """
        item_bn = journey.merged.item_bn.to(self.device)
        start_bnD = self.items(item_bn)[..., :-1]
        if hidden_bl is None:
            return start_bnD
        row_b = (journey.row_b - len(hidden_bl)).to(self.device)
        event_bn = journey.merged.born_bn.clamp(max=hidden_bl.shape[1]).to(self.device) - 1
        hidden_bn = hidden_bl[row_b.clamp(min=0)[:, None], event_bn] & (row_b >= 0)[:, None] & (item_bn > 0)
        return torch.where(hidden_bn[..., None], self.masks[numbers(item_bn, self.blocks)], start_bnD)

    def _hidden(self, rows: Rows) -> Tensor:
        """The events that the masked view of every row hides: (b, l)."""
        number_bl = numbers(rows.item_bl.to(self.device), self.blocks)
        hidden = [hybrid_metric.hidden(number_bl == x, self.config.gamma) for x in range(len(self.reads))]
        return torch.stack(hidden).any(0)

    def _read(self, rows: Rows, traces: Sequence[Trace], domain_P: Tensor) -> Tensor:
        """[SE, 1] of every query in the domain of its number; SE is 0 where nothing is known: (P, D + 1)."""
        vector_PD = self.table.weight.new_zeros(len(domain_P), self.config.dim)
        for trace in traces:
            place_R = torch.full((len(rows.length_b) + 1,), -1)
            place_R[trace.journey.row_b] = torch.arange(len(trace.journey.row_b))
            row_P = place_R[rows.row_P]
            for x in range(len(self.reads)):
                chosen = ((row_P >= 0) & (domain_P == x)).nonzero()[:, 0]
                if len(chosen):
                    vector_CD = trace.vectors(x, row_P[chosen], rows.time_P[chosen])
                    vector_PD = vector_PD.index_copy(0, chosen.to(self.device), vector_CD.to(vector_PD.dtype))
        return F.pad(vector_PD, (0, 1), value=1.0)

    def _metric(self, x: int, traces: Sequence[Trace], count: int) -> Tensor:
        """The metric terms of one domain, weighted: (). The first ``count`` rows are the windows, the others their views."""
        config, block = self.config, self.block(self.reads[x])
        total, pulls, terms = self.table.weight.new_zeros(()), [], 0
        if not config.lambda_col and not config.lambda_con:
            return total
        ends, numbers = [], []
        for trace in traces:
            part = trace.journey.parts[x]
            if part is None:
                continue
            number_b, end_bD = trace.journey.row_b[part.row_b], trace.last(x)
            numbers.append(number_b)
            ends.append(end_bD)
            window = (number_b < count).nonzero()[:, 0]
            if config.lambda_col and len(window):
                met_bn = (part.walk.item_bn[window] - block.start).clamp(min=-1).to(self.device)
                x_bD = end_bD[window.to(self.device)].to(self.table.weight.dtype)
                pull, some = hybrid_metric.collaborative(
                    x_bD,
                    met_bn,
                    len(block),
                    lambda column: self.items(column + block.start)[..., :-1],
                    config.col_negatives,
                    config.margin,
                )
                pulls.append(pull)
                terms += some
        if terms:
            total = total + config.lambda_col * torch.stack(pulls).sum() / terms
        if config.lambda_con and ends:
            order = torch.cat(numbers).argsort().to(self.device)
            total = total + config.lambda_con * hybrid_metric.contrastive(*torch.cat(ends)[order].chunk(2))
        return total
