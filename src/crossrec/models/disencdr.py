"""DisenCDR: variational graph encoders tell what of a user all domains share from what is specific to one (Cao et al. 2022).

Source: specs of DIAGAE, section 12. P queries, U users, X domains, V items of one, R rows of items, N nodes of one side, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.graphs import build
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Phase
from crossrec.models.graph_users import GraphUserModel
from crossrec.models.users import TRAINING, UNIFORM
from crossrec.nn.dropout import dropout
from crossrec.nn.propagation import Propagation, normalised

SLOPE = 0.1
"""Of the leaky ReLU (published code)."""


@dataclass(frozen=True)
class DisenCDRConfig:
    """Settings of DisenCDR."""

    dim: int = 64
    """Width of all vectors (ours; published code: 128)."""
    layers: int = 2
    """Blocks of every encoder, each of which reads to the other side of the graph and back (published code)."""
    dropout: float = 0.1
    """Dropout of what a block is given (ours; published code: 0.3)."""
    beta: float = 0.9
    """How far what is shared is to be inferred from one domain, rather than to be near the prior (published code)."""
    kl: float = 0.001
    """Weight of the divergences (ours; published code: 1)."""
    warmup: int = 0
    """Epochs at first without what is shared (ours; published code: 9)."""


class Reading(nn.Module):
    """One block: nodes read what the other side has read of them, and join it with what they are."""

    def __init__(self, dim: int, outputs: int) -> None:
        """``outputs``: vectors that are made of what the other side has read, one after the other."""
        super().__init__()
        self.there = nn.Linear(dim, dim)
        self.back = nn.ModuleList(nn.Linear(dim, dim) for _ in range(outputs))
        self.join = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(outputs))

    def forward(self, x_ND: Tensor, there: Propagation, back: Propagation) -> list[Tensor]:
        """Lin(LReLU(back(m W) + b) ‖ x) with m = LReLU(there(x W) + b), once for every output: (N, D)."""
        m_ND = _convolved(x_ND, self.there, there)
        pairs = zip(self.back, self.join, strict=True)
        return [join(torch.cat([_convolved(m_ND, layer, back), x_ND], 1)) for layer, join in pairs]


class Encoder(nn.ModuleList):
    """Blocks, the last of which makes a mean and what a deviation is made of."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__(Reading(dim, 1 if layer < layers - 1 else 2) for layer in range(layers))


class DisenCDR(GraphUserModel):
    """A user is z_shared + z_d in domain d, an item z_i; the score is a product.

    Every z is Gaussian, with deviation 0.1 + 0.9 softplus(l); its mean stands for it when asked. The specific ones are encoded
    on their domain's graph. What is shared is encoded on all of them, with the domains' vectors mixed in every block in the
    user's own proportion of training edges, rho_d = n_d / n.

    ``auxiliary`` holds the divergences: of specific users and items from N(0, 1), of what is shared from N(0, 1) (1 - beta),
    and from what a domain alone says of it (beta, every domain), means over nodes and sums over widths.

    Not rebuilt of the published code: one user's proportion for all users, a deviation that is exponentiated twice, and a
    prior that is not the standard one.

    For any number of domains (ours; published: two, of the same users): a divergence of a domain is over the users with a
    training edge in it, and where a user has none the specific vector is the prior's mean, 0. Everybody without an edge
    anywhere: see :class:`~crossrec.models.graph_users.GraphUserModel`. Every event of
    every domain is a positive in every epoch.
    """

    name = "disencdr"
    Config = DisenCDRConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {**TRAINING, "lr": 5e-3, "batch": 256}, "sampler": UNIFORM},
        "paper": {
            "model": {"dim": 128, "dropout": 0.3, "kl": 1.0, "warmup": 9},
            "train": {
                **TRAINING,
                "negatives": 1,
                "betas": (0.9, 0.999),
                "epochs": 50,
                "eval_every": 10,
                "patience": 10,
            },
            "sampler": UNIFORM,
        },
    }
    degree_XU: Tensor
    """Training edges of every user in every domain."""

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self._divergence: Tensor | None = None
        self._sharing = True

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        config: DisenCDRConfig = self.config

        def tables(sizes: list[int]) -> nn.ParameterList:
            return nn.ParameterList(torch.empty(size, config.dim).normal_(std=0.1) for size in sizes)

        def encoders() -> nn.ModuleList:
            return nn.ModuleList(Encoder(config.dim, config.layers) for _ in self.reads)

        users = [catalogue.num_users for _ in self.reads]
        items = [catalogue.sizes[name] for name in self.reads]
        self.user_tables, self.item_tables, self.shared_tables = tables(users), tables(items), tables(users)
        self.user_encoders, self.item_encoders = encoders(), encoders()
        self.alone_encoders, self.shared_encoders = encoders(), encoders()
        pairs = list(zip(users, items, strict=True))
        self.to_items = nn.ModuleList(Propagation(v, u) for u, v in pairs)
        self.to_users = nn.ModuleList(Propagation(u, v) for u, v in pairs)
        self.register_buffer("degree_XU", torch.zeros(self.copies, catalogue.num_users, dtype=torch.int64))

    @property
    def copies(self) -> int:
        return len(self.reads)

    def phases(self) -> tuple[Phase, ...]:
        (whole,) = super().phases()
        if not self.config.warmup:
            return (whole,)
        return (Phase("warmup", whole.domain, whole.also, train={"epochs": self.config.warmup}), whole)

    def begin(self, phase: Phase) -> None:
        self._sharing = phase.name != "warmup"
        self._made = {}

    def learn(self, split: Split) -> None:
        for x, name in enumerate(self.reads):
            users, block = build(split, [name]).users, self.block(name)
            matrix = users.matrix()[:, block.start : block.stop]
            self.degree_XU[x] = torch.as_tensor(users.degree_N)
            for graph, found in ((self.to_users[x], matrix), (self.to_items[x], matrix.T.tocsr())):
                assert isinstance(graph, Propagation)
                graph.fill(normalised(found, "row"))
        self.trained_U.copy_(self.degree_XU.sum(0) > 0)

    @property
    def proportion_XU1(self) -> Tensor:
        """Share of every user's training edges that is in each domain."""
        n_XU = self.degree_XU.to(self.item_tables[0].dtype)
        return (n_XU / n_XU.sum(0).clamp(min=1))[..., None]

    def readers(self, x_UD: Tensor) -> Tensor:
        return torch.cat([x_UD.new_zeros(1, x_UD.shape[1]), *(graph(x_UD) for graph in self.to_items)])

    def propagated(self) -> tuple[Tensor, Tensor]:
        users, items, terms = [], [], []
        for x in range(self.copies):
            there_U = self.degree_XU[x] > 0
            user_UD, deviation_UD = self._encoded(self.user_encoders, self.user_tables[x], x)
            item_VD, deviation_VD = self._encoded(self.item_encoders, self.item_tables[x], x, users=False)
            users.append(self._drawn(user_UD, deviation_UD) * there_U[:, None])
            items.append(self._drawn(item_VD, deviation_VD))
            terms += [_mean(divergence(user_UD, deviation_UD), there_U), divergence(item_VD, deviation_VD).mean()]
        if self._sharing:
            z_UD, shared = self._shared()
            users, terms = [z_UD + user_UD for user_UD in users], terms + shared
        if self.training:
            self._divergence = torch.stack(terms).sum()
        return torch.cat(users), torch.cat([items[0].new_zeros(1, items[0].shape[1]), *items])

    def auxiliary(self, batch: Batch) -> Tensor | None:
        if not self.config.kl:
            return None
        self.vectors()
        assert self._divergence is not None, "the vectors were made in training"
        return float(self.config.kl) * self._divergence

    def _shared(self) -> tuple[Tensor, list[Tensor]]:
        """What domains share of every user, (U, D), and the divergences that belong to it."""
        weight_XU1 = self.proportion_XU1
        inputs = list(self.shared_tables)
        for layer in range(self.config.layers - 1):
            outputs = [self._block(self.shared_encoders, layer, inputs[x], x) for x in range(self.copies)]
            mixed_UD = (weight_XU1 * torch.stack([F.relu(output[0]) for output in outputs])).sum(0)
            inputs = [mixed_UD] * self.copies
        last = [self._block(self.shared_encoders, -1, inputs[x], x) for x in range(self.copies)]
        mean_UD, raw_UD = ((weight_XU1 * torch.stack(parts)).sum(0) for parts in zip(*last, strict=True))
        deviation_UD = _deviation(raw_UD)
        if not self.training:
            return mean_UD, []
        beta = float(self.config.beta)
        terms = [(1 - beta) * _mean(divergence(mean_UD, deviation_UD), self.trained_U)]
        for x in range(self.copies):
            alone = self._encoded(self.alone_encoders, self.shared_tables[x], x)
            terms.append(beta * _mean(divergence(mean_UD, deviation_UD, *alone), self.degree_XU[x] > 0))
        return self._drawn(mean_UD, deviation_UD), terms

    def _encoded(self, encoders: nn.ModuleList, x_ND: Tensor, x: int, users: bool = True) -> tuple[Tensor, Tensor]:
        """Means and deviations (N, D) of a domain's users or items."""
        for layer in range(self.config.layers - 1):
            x_ND = F.relu(self._block(encoders, layer, x_ND, x, users)[0])
        mean_ND, raw_ND = self._block(encoders, -1, x_ND, x, users)
        return mean_ND, _deviation(raw_ND)

    def _block(self, encoders: nn.ModuleList, layer: int, x_ND: Tensor, x: int, users: bool = True) -> list[Tensor]:
        """What a block of the encoder of a domain makes of its users or items."""
        graphs = (self.to_items[x], self.to_users[x]) if users else (self.to_users[x], self.to_items[x])
        encoder = encoders[x]
        assert isinstance(encoder, Encoder)
        made: list[Tensor] = encoder[layer](dropout(x_ND, self.config.dropout, self.training), *graphs)
        return made

    def _drawn(self, mean_ND: Tensor, deviation_ND: Tensor) -> Tensor:
        return mean_ND + torch.randn_like(mean_ND) * deviation_ND if self.training else mean_ND

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_divergence": None}


def divergence(mean_ND: Tensor, deviation_ND: Tensor, other_ND: Any = 0.0, beside_ND: Any = 1.0) -> Tensor:
    """KL of diagonal Gaussians from others of this mean and deviation, or from the standard one: (N,)."""
    apart_ND = (deviation_ND.square() + (mean_ND - other_ND).square()) / (2 * torch.as_tensor(beside_ND).square())
    divergence_N: Tensor = (torch.log(beside_ND / deviation_ND) + apart_ND - 0.5).sum(1)
    return divergence_N


def _deviation(raw_ND: Tensor) -> Tensor:
    return 0.1 + 0.9 * F.softplus(raw_ND)


def _mean(x_N: Tensor, chosen_N: Tensor) -> Tensor:
    mean: Tensor = (x_N * chosen_N).sum() / chosen_N.sum().clamp(min=1)
    return mean


def _convolved(x_ND: Tensor, layer: nn.Module, graph: Propagation) -> Tensor:
    """LReLU(A (x W) + b), with the product of the graph and the vectors first."""
    assert isinstance(layer, nn.Linear)
    return F.leaky_relu(layer(graph(x_ND)), SLOPE)
