"""SR-GNN: a graph of items for every beginning of a history, and soft attention over it (Wu et al. 2019).

Source: specs of DDGHM, section 4.2. P queries, N states, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import TableModel
from crossrec.nn.items import ItemTable
from crossrec.nn.session_graphs import SessionGraphs, Sessions

FALL = 0.1 ** (1 / 3)
"""By this the learning rate falls in an epoch: to a tenth in three."""

PAPER: Mapping[str, Any] = {
    "loss": "softmax",
    "batch": 12,
    "lr": 3e-3 / (1 + FALL + FALL**2),
    "betas": (0.9, 0.999),
    "decay": FALL,
    "epochs": 30,
    "eval_every": 1,
    "patience": 10,
}
"""Published training (specs of DDGHM, 4.2), made for logs of millions of events: on small ones it ends before much is learned.
A step sees about 100 beginnings: those of 12 rows of some nine events. The published learning rate is 1e-3 for three epochs,
then a tenth for three, and so on; here it falls evenly, with the same sum over every three epochs."""


@dataclass(frozen=True)
class SRGNNConfig:
    """Settings of SR-GNN."""

    dim: int = 64
    """Width of states and item vectors (ours; published code: 100)."""
    steps: int = 1
    """Steps of the gated graph network (published code: 1)."""
    max_len: int = 50
    """Latest events that are looked at (ours; published code: all)."""
    domains: Literal["target", "merged"] = "target"
    """History: the target domain's events alone, or those of target and sources merged in time order, all of which are then
    predicted, each among its own domain's items (ours)."""
    l2: float = 0.0
    """Half the weight of the squared norm of all weights: what Adam takes for weight decay (ours; published code: 1e-5)."""


class SRGNN(TableModel):
    """A directed graph of the visited items, a gated graph network on it, attention over the events asked by the last one.

    Every beginning of a row is an instance: a graph of its own, whose states start from the items' vectors. Edges are as
    heavy as they are often taken, and both adjacency matrices have normalised rows. Attention sums over events, so that an
    item that comes twice counts twice, without softmax. Score SE · e_v, over all items of the domain.

    Kept as the paper has it, not as its code: no bias in the last layer, the gated unit's reset before the product, counted
    edges. Where nothing is known SE is 0, and all items are equal (ours).
    """

    name = "srgnn"
    Config = SRGNNConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {"loss": "softmax", "batch": 32, "lr": 3e-3}},
        "paper": {"model": {"dim": 100, "l2": 1e-5}, "train": PAPER},
    }

    def make(self, catalogue: Catalogue) -> None:
        config: SRGNNConfig = self.config
        self.table = ItemTable(catalogue, self.reads, config.dim)
        self.graphs = SessionGraphs(config.dim, config.steps)
        nn.init.uniform_(self.table.weight, -(config.dim**-0.5), config.dim**-0.5)
        self.table.clear()

    def queries(self, batch: Batch) -> Tensor:
        sessions = Sessions.of(batch.histories["history"], self.config.steps)
        vector_UD = self.graphs(sessions, self.table(sessions.item_N))
        return F.embedding(sessions.session_P, F.pad(vector_UD, (0, 0, 0, 1)))

    def auxiliary(self, batch: Batch) -> Tensor | None:
        if not self.config.l2:
            return None
        return torch.stack([weight.square().sum() for weight in self.parameters()]).sum() * float(self.config.l2 / 2)
