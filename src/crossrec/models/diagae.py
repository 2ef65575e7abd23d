"""DIAGAE: what a source domain knows of who is near whom guides the users of the target, and graphs of users are drawn from
both (Zheng et al. 2023, Dual Interests-Aligned Graph Auto-Encoders for Cross-domain Recommendation in WeChat).

Source: specs of DIAGAE, section 2. N users of a batch, P queries, M edges, X domains in use (the target is number 0), S
sources, V items, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.errors import InputError
from crossrec.models.base import Model, Phase
from crossrec.models.users import LONGEST, UNIFORM
from crossrec.nn.dot_head import DotHead
from crossrec.nn.dual_alignment import AlignmentConfig, Crowd, DualAlignment
from crossrec.nn.graph_attention import Aggregate, Attention, GraphAttention
from crossrec.nn.graph_encoder import GraphEncoder, Side
from crossrec.nn.pair_perceptron import in_blocks
from crossrec.nn.training_graphs import TrainingGraphs
from crossrec.nn.view_fusion import mean_of_views

OTHERS = 128
"""Items that the retrieval vectors are compared with in a step, half of them of the batch (ours)."""


@dataclass(frozen=True)
class DIAGAEConfig(AlignmentConfig):
    """Settings of DIAGAE."""

    dim: int = 64
    """Width of all vectors (section 4.1)."""
    attention: Attention = "gat"
    """How edges are weighed (section 2.3: ``gat``)."""
    aggregate: Aggregate = "raw"
    """Whether vectors are added up as they are (equation 2), or projected (specs, A4)."""
    hidden: tuple[int, ...] = (64, 32)
    """Widths of the hidden layers of the predictor (ours; the paper does not say)."""
    scorer: Literal["mlp", "dot", "both"] = "mlp"
    """What scores: the predictor (equation 3), the product of two projected vectors, or the predictor while such vectors are
    trained to say the same, for a search by products (specs, A45)."""
    predictor_input: Literal["fused", "target"] = "fused"
    """Whether the score is of the fused user or of the target's view alone (specs, A26)."""
    fan_out: int | None = 100
    """Items of a user that are read at most; None: all (specs, 2.5)."""
    drawn: Literal["uniform", "recent"] = "uniform"
    """Which ones in training; asked, always the latest (specs, A12)."""
    mask_target_edge: bool = True
    """Whether a training example is predicted without its own edge (specs, A11)."""
    pretrain_epochs: int = 20
    """Epochs of pre-training of each source (ours; the paper does not say); 0: none."""
    source_update: Literal["finetune", "frozen"] = "finetune"
    """Whether the sources go on learning in the joint training (specs, A16)."""
    table_std: float | None = 0.1
    """Deviation that tables are drawn with (specs, A36); None: Xavier's."""


class Step(NamedTuple):
    """What a training step has of its users: computed for the score, and used again by the alignments."""

    crowd: Crowd
    made: tuple[Tensor, ...]
    """What the fusion makes of the sources' views."""
    x_PD: Tensor
    """Vectors that are scored, one per query."""
    paired_N: Tensor | None
    """Between which of the users the alignments look; None: all."""


_TRAIN: Mapping[str, Any] = {"first": "all", "lr": 5e-3, "batch": 128, "weight_decay": 1e-5}
_PAPER: Mapping[str, Any] = {"betas": (0.9, 0.999), "epochs": 100, "eval_every": 1, "patience": 5}
_PUBLISHED: Mapping[str, Any] = {"loss": "bce", "negatives": 1, **_TRAIN, **_PAPER}
_ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "paper-literal": {"reduction": "sum", "link_relax": False, "mask_target_edge": False, "table_std": None},
    "without-inter": {"lambda_inter": 0.0},
    "without-intra": {"lambda_intra": 0.0},
    "without-both": {"lambda_inter": 0.0, "lambda_intra": 0.0},
    "without-fusion": {"predictor_input": "target"},
    "without-pretraining": {"pretrain_epochs": 0},
    "target-only": {"lambda_inter": 0.0, "lambda_intra": 0.0, "predictor_input": "target", "pretrain_epochs": 0},
}


class DIAGAE(Model):
    """Users read their items by attention, per domain; views of all domains are fused into H, which a perceptron scores.

    First each source's encoder learns to predict the source's interactions. Then the target learns, while (inter) whoever is
    near in a source shall be near in the target, the source's side of it given, and (intra) the graph of users who have many
    items in common is drawn from H, in every domain.

    In training a user's items are all training items of the user, for each example without its own; asked, those that the query
    knows, the latest first if there are too many. So nothing of the logs is kept with the model, a stranger is as good as
    anybody who has no vector, and a view without items does not count; where no view has any, the target's alone counts.

    The pre-training runs for a set number of epochs, for only a target is validated (specs, A15: until a hold-out of the source
    stops it). Any number of sources (ours; published: one).
    """

    name = "diagae"
    Config = DIAGAEConfig
    product = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {"loss": "bce", "negatives": 4, **_TRAIN}, "sampler": UNIFORM},
        **{name: {"model": own, "train": _PUBLISHED, "sampler": UNIFORM} for name, own in _ABLATIONS.items()},
    }
    by_task: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {"clicks": {"train": {"loss": "mse"}}}

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self.product = self.config.scorer == "dot"  # type: ignore[misc]  # of this object alone

    def make(self, catalogue: Catalogue) -> None:
        config: DIAGAEConfig = self.config
        self.alone: int | None = None
        self.graphs: TrainingGraphs | None = None
        self._last: tuple[Batch, Step] | None = None
        widths = None if config.scorer == "dot" else config.hidden
        self.sides = nn.ModuleList()
        for name in self.reads:
            read = GraphAttention(config.dim, config.attention, config.aggregate)
            self.sides.append(Side(GraphEncoder(catalogue, name, read, config.table_std), widths))
        self.alignment = DualAlignment(config.dim, len(self.sources), config)
        self.retrieval = DotHead(config.dim) if config.scorer == "both" else None

    @property
    def reads(self) -> tuple[str, ...]:
        """The domains there are, the target first: a domain's place here is its number."""
        return (self.target, *self.sources)

    @property
    def used(self) -> tuple[int, ...]:
        """Numbers of the domains that have a part in the joint training."""
        if self.config.predictor_input == "target" and not (self.config.lambda_inter or self.config.lambda_intra):
            return (0,)
        return (0, *(1 + s for s, kept in enumerate(self.alignment.kept_S.tolist()) if kept))

    @property
    def _aligned(self) -> bool:
        """Whether the joint training looks at pairs of users at all."""
        return bool(self.config.lambda_intra or (self.config.lambda_inter and len(self.used) > 1))

    @property
    def looked_at(self) -> tuple[int, ...]:
        """Numbers of the domains whose items a query is known by."""
        if self.alone is not None:
            return (self.alone,)
        return self.used if self.config.predictor_input == "fused" else (0,)

    def side(self, x: int) -> Side:
        """Encoder and predictor of the domain of this number."""
        found = self.sides[x]
        assert isinstance(found, Side)
        return found

    def views(self) -> Views:
        return Views({self.reads[x]: (self.reads[x],) for x in self.looked_at}, LONGEST)

    def phases(self) -> tuple[Phase, ...]:
        config: DIAGAEConfig = self.config
        sources = {x: self.reads[x] for x in self.used[1:]}
        first = sources if config.pretrain_epochs else {}
        own = {"epochs": config.pretrain_epochs}
        alone = [Phase(f"source:{n}", n, modules=(f"sides.{x}",), train=own, plugin=False) for x, n in first.items()]
        moved = [f"sides.{x}.encoder" for x in sources] if config.source_update == "finetune" else []
        return (
            *(alone if config.pretrain_epochs else []),
            Phase("joint", self.target, modules=("sides.0", "alignment", "retrieval", *moved)),
        )

    def begin(self, phase: Phase) -> None:
        self.alone = None if phase.name == "joint" else self.reads.index(phase.domain)
        self._last = None

    def learn(self, split: Split) -> None:
        config: DIAGAEConfig = self.config
        self.graphs = TrainingGraphs(split, self.reads, self.device)
        for x in range(len(self.reads)):
            self.side(x).encoder.known_U.copy_(self.graphs.degree_UX[:, x] > 0)
        self.cold_C = self.graphs.cold()
        if config.cold_in_inter:
            self.side(0).encoder.known_U[self.cold_C] = True
        self.alignment.learn(self.graphs)

    def counted(self) -> dict[str, Any]:
        """How far every source agrees with the target on who is like whom (rho), and what links users."""
        return self.alignment.facts(self.reads)

    def queries(self, batch: Batch) -> Tensor:
        """The users' share of the first layer of the predictor, (P, H); or their vectors, where the score is a product."""
        x_PD = self._trained(batch) if self.training else self.people(batch)
        share_PH: Tensor = self.side(self.alone or 0).predictor.user(x_PD)
        return share_PH

    def items(self, ids: Tensor) -> Tensor:
        """The items' share of that layer, (..., H), or their vectors."""
        side = self.side(self.alone or 0)
        share: Tensor = side.predictor.item(side.encoder.table(ids))
        return share

    def item_block(self, domain: str) -> Tensor:
        side = self.side(self.alone or 0)
        share_VH: Tensor = side.predictor.item(side.encoder.table.block(domain))
        return share_VH

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        """What the rest of the predictor makes of the sum of the two shares; or the product."""
        predictor = self.side(self.alone or 0).predictor
        if isinstance(predictor, DotHead):
            return super().logits(query_PD, vectors, domain)
        return in_blocks(lambda user, item: predictor(user + item), query_PD, vectors, query_PD.shape[1])

    def people(self, batch: Batch) -> Tensor:
        """Vectors that are scored, by what each query knows: (P, D)."""
        most = self.config.fan_out
        seen = [(self.side(x).encoder, batch.histories[self.reads[x]]) for x in self.looked_at]
        found = [encoder.asked(batch.user_P, history, most) for encoder, history in seen]
        if self.alone is not None or self.config.predictor_input == "target":
            return found[0][0]
        there_PX = torch.stack([there_P for _, there_P in found], 1)
        if self.config.cold_in_inter:
            there_PX[:, 0] |= self.side(0).encoder.knows(batch.user_P)
        there_PX[:, 0] |= ~there_PX.any(1)
        return mean_of_views([self.alignment.fusion(z_PD) for z_PD, _ in found], there_PX)

    def retrieval_queries(self, batch: Batch) -> Tensor:
        """Vectors of queries whose product with :meth:`retrieval_items` comes near the score (``scorer=both``)."""
        return self._retrieval().user(self.people(batch))

    def retrieval_items(self, domain: str) -> Tensor:
        """Vectors of all items of the target for a search by products."""
        return self._retrieval().item(self.side(0).encoder.table.block(domain))

    def auxiliary(self, batch: Batch) -> Tensor | None:
        """The weighted alignments of the users of the batch, and what trains the retrieval vectors."""
        config: DIAGAEConfig = self.config
        if self.alone is not None:
            return None
        before, self._last = self._last, None
        step = before[1] if before is not None and before[0] is batch else self._joint(batch)
        own_ND, fused = step.crowd.z[0], config.predictor_input == "fused"
        h_ND = self.alignment.fused(own_ND, step.made, step.crowd.kept_NX) if fused or config.lambda_intra else own_ND
        some = step.paired_N
        crowd, paired_ND = (step.crowd, h_ND) if some is None else (step.crowd.only(some), h_ND[some])
        terms = []
        if config.lambda_inter and len(self.used) > 1:
            terms.append(config.lambda_inter * self.alignment.inter(crowd))
        if config.lambda_intra:
            terms.append(config.lambda_intra * self.alignment.intra(crowd, paired_ND, self._edges()))
        if self.retrieval is not None:
            terms.append(self._distilled(h_ND if fused else own_ND, batch))
        return torch.stack(terms).sum() if terms else None

    def _trained(self, batch: Batch) -> Tensor:
        """Vectors that are scored in training: (P, D)."""
        if self.alone is None:
            step = self._joint(batch)
            self._last = batch, step
            return step.x_PD
        user_N, place_P = batch.user_P.unique(return_inverse=True)
        return self._read(self.alone, user_N, place_P, batch.positive_P)[1]

    def _joint(self, batch: Batch) -> Step:
        """The users of a batch, once each, in all domains; beside them cold ones, and some who share items, if wanted."""
        graphs, used = self._edges(), self.used
        user_N, place_P = batch.user_P.unique(return_inverse=True)
        count, paired_N = len(user_N), None
        sharing = self.alignment.sharing(used, count, graphs) if self._aligned else None
        if sharing is not None:
            user_N = torch.cat([user_N, sharing[~torch.isin(sharing, user_N)]])
            paired_N = torch.isin(user_N, sharing)
        if self.config.cold_in_inter and len(self.cold_C):
            chosen = torch.randint(len(self.cold_C), (count,), device=user_N.device).unique()
            cold = self.cold_C[chosen]
            cold = cold[~torch.isin(cold, user_N)]
            user_N = torch.cat([user_N, cold])
            paired_N = None if paired_N is None else torch.cat([paired_N, paired_N.new_ones(len(cold))])
        own_ND, own_PD = self._read(0, user_N, place_P, batch.positive_P)
        edges = [graphs.edges(x, user_N, self.config.fan_out, self.config.drawn) for x in used[1:]]
        z = [self.side(x).encoder(user_N, *of) for x, of in zip(used[1:], edges, strict=True)]
        crowd = self.alignment.crowd(user_N, used, (own_ND, *z), graphs, self.side(0).encoder.knows(user_N))
        made, x_PD = tuple(self.alignment.fusion(each) for each in z), own_PD
        if self.config.predictor_input == "fused":
            x_PD = self.alignment.fused(own_PD, [each[place_P] for each in made], crowd.kept_NX[place_P])
        return Step(crowd, made, x_PD, paired_N)

    def _read(self, x: int, user_N: Tensor, place_P: Tensor, item_P: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of users in a domain, (N, D), and for examples those of their users, (P, D), without their own edges."""
        edges = self._edges().edges(x, user_N, self.config.fan_out, self.config.drawn)
        if self.config.mask_target_edge:
            return self.side(x).encoder.without(user_N, *edges, place_P, item_P)
        z_ND: Tensor = self.side(x).encoder(user_N, *edges)
        return z_ND, z_ND[place_P]

    def _distilled(self, x_ND: Tensor, batch: Batch) -> Tensor:
        """Squared distance of the retrieval vectors' products from the scores of users with all their items: ()."""
        block, count = self.block(self.target), OTHERS // 2
        drawn = torch.randint(block.start, block.stop, (count,), device=self.device)
        own = batch.positive_P[torch.randint(len(batch), (count,), device=self.device)]
        v_KD, predictor = self.side(0).encoder.table(torch.cat([drawn, own])), self.side(0).predictor
        with torch.no_grad():
            score_PK = self.logits(predictor.user(x_ND), predictor.item(v_KD), self.target)
        return self._retrieval().distance(x_ND, v_KD, score_PK)

    def _retrieval(self) -> DotHead:
        if self.retrieval is None:
            raise InputError("There are no vectors for a search beside the score: train with scorer=both.")
        return self.retrieval

    def _edges(self) -> TrainingGraphs:
        assert self.graphs is not None, "learn() comes first"
        return self.graphs
