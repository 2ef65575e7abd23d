"""What models share that make the vectors of all users and items at once, of the graph of who has what.

P queries, U users, X domains in which users have vectors of their own, R rows of items, N users of all X domains, D width.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch, Views
from crossrec.data.graphs import Adjacency, build
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue
from crossrec.models.every_domain import EveryDomain
from crossrec.models.users import LONGEST
from crossrec.nn.graph_users import Made, Nodes, met, state_key
from crossrec.nn.propagation import Propagation, normalised

TRAINING: Mapping[str, Any] = {"loss": "bpr", "negatives": 4, "first": "all", "batch": 256}
"""How models that compare an edge with others are trained: every event is a positive (ours)."""


class GraphUserModel(EveryDomain):
    """Base of the models whose vectors of users and items come out of a graph as a whole, the training rows'.

    The graph is gone through once in every training step, and once for a whole evaluation: what was made is kept until a
    parameter changes. The positive that is asked for is an edge of the graph as well, as in these models' papers.

    Strangers, and users without an edge, are placed among the others (ours): an item stands for the mean vector of its users,
    weighted as the graph weighs them, and such a person is the mean over the items of the history; without any, the mean of
    all users.
    """

    trained_U: Tensor
    """Who has an edge."""

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self._made: dict[bool, Made] = {}

    def make(self, catalogue: Catalogue) -> None:
        self.nodes = Nodes(catalogue, self.reads, self.copies)
        self.register_buffer("trained_U", torch.zeros(catalogue.num_users, dtype=torch.bool))

    def propagated(self) -> tuple[Tensor, Tensor]:
        """Vectors of users, X times U of them, and of items, (R, D)."""
        raise NotImplementedError

    def fill(self, users: Adjacency) -> None:
        """Take the graph of the training rows."""
        raise NotImplementedError

    def readers(self, x_UD: Tensor) -> Tensor:
        """Of every row of items the weighted sum of what its users have: (R, D)."""
        raise NotImplementedError

    @property
    def copies(self) -> int:
        """X: in how many domains a user has a vector of its own; 1 where it is the same in all."""
        return 1

    def views(self) -> Views:
        return Views({"history": self.reads}, LONGEST)

    def learn(self, split: Split) -> None:
        users = self.edges(build(split, self.reads).users)
        self.trained_U.copy_(torch.as_tensor(users.degree_N > 0))
        self.fill(users)

    def edges(self, users: Adjacency) -> Adjacency:
        """The edges that the model takes of a graph: all of them."""
        return users

    def vectors(self) -> Made:
        """What the parameters make of all users and items now."""
        graded, key = torch.is_grad_enabled(), state_key(self)
        found = self._made.get(self.training)
        if found is None or found.key != key or (graded and not found.graded):
            user_ND, item_RD = self.propagated()
            found = Made(key, graded, user_ND, item_RD)
            self._made[self.training] = found
            for each in (user_ND, item_RD):
                if graded and each.requires_grad:
                    each.register_hook(self._spent(self.training))
        return found

    def _spent(self, training: bool) -> Callable[[Tensor], None]:
        """Forgets what was made once a gradient has come back for it: the next thing to happen is a step, which some
        optimisers take without telling autograd that a weight has changed.
        """
        model = weakref.ref(self)

        def forget(gradient: Tensor) -> None:
            found = model()
            if found is not None:
                found._made.pop(training, None)

        return forget

    def queries(self, batch: Batch) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self._made.pop(True, None)
        return self.people(batch, self.vectors())

    def people(self, batch: Batch, made: Made) -> Tensor:
        """Vector of every query's user in the domain that is asked for: (P, D)."""
        number_P: Tensor | int = 0
        if self.copies > 1:
            number_P = self.asked(batch)
        user_P = batch.user_P.clamp(min=0)
        p_PD = F.embedding(user_P + number_P * self.nodes.users, made.user_ND)
        if self.training:
            return p_PD
        strange = ((batch.user_P < 0) | ~self.trained_U[user_P]).nonzero()[:, 0]
        if not len(strange):
            return p_PD
        row_S = self.nodes.rows * (number_P[strange] if isinstance(number_P, Tensor) else torch.zeros_like(strange))
        return p_PD.index_copy(0, strange, self._placed(batch, strange, row_S, made).to(p_PD.dtype))

    def items(self, ids: Tensor) -> Tensor:
        return F.embedding(self.nodes.row_V[ids], self.vectors().item_RD)

    def item_block(self, domain: str) -> Tensor:
        return self.vectors().item_RD[self.nodes.rows_of(domain)]

    def penalty(self, user_PD: Tensor, item_PD: Tensor) -> Tensor | None:
        """Setting ``l2`` times half the squared norm of the vectors of a query's user and positive, in the mean: ().

        Published, the negative's is added: here negatives are not the model's.
        """
        if not self.config.l2:
            return None
        norm_P = user_PD.square().sum(-1) + item_PD.square().sum(-1)
        return norm_P.mean() * (float(self.config.l2) / 2)

    def _placed(self, batch: Batch, strange: Tensor, row_S: Tensor, made: Made) -> Tensor:
        """Vectors of the queries at these places by their histories alone: (S, D). ``row``: the first of their domain."""
        if made.met_ND is None:
            made.met_ND = torch.cat(
                [
                    met(user_UD, self.trained_U, self.readers(F.pad(user_UD, (0, 1), value=1.0)))
                    for user_UD in made.user_ND.split(self.nodes.users)
                ]
            )
        history = batch.histories["history"]
        query_M, item_M = replace(history, at_P=history.at_P[strange]).events()
        count_S1 = torch.bincount(query_M, minlength=len(strange))[:, None]
        met_MD = made.met_ND[row_S[query_M] + self.nodes.row_V[item_M]]
        sum_SD = met_MD.new_zeros(len(strange), met_MD.shape[1]).index_add(0, query_M, met_MD)
        return torch.where(count_S1 > 0, sum_SD / count_S1.clamp(min=1), made.met_ND[row_S])

    def train(self, mode: bool = True) -> Self:
        """As always; where training stops, what was made for asking is made anew."""
        if self.training and not mode:
            self._made.pop(False, None)
        return super().train(mode)

    def _apply(self, *given: Any, **named: Any) -> Self:
        self._made = {}
        super()._apply(*given, **named)  # type: ignore[no-untyped-call]  # torch has no types here
        return self

    def _load_from_state_dict(self, *given: Any) -> None:
        self._made = {}
        super()._load_from_state_dict(*given)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_made": {}}


class OneGraphModel(GraphUserModel):
    """Base of the models in which all nodes start with a vector of one width and all layers read by one square matrix L."""

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        self.weight = self.nodes.empty(self.config.dim)
        self.draw(self.weight)
        self.nodes.clear(self.weight)
        self.graph = Propagation(self.nodes.count)

    def draw(self, weight: Tensor) -> None:
        """Draw the nodes' first vectors: Xavier-uniform."""
        nn.init.xavier_uniform_(weight)

    def fill(self, users: Adjacency) -> None:
        """L = D^(-1/2) A D^(-1/2), or a subclass's."""
        self.graph.fill(normalised(self.nodes.square(users)))

    def readers(self, x_UD: Tensor) -> Tensor:
        return self.nodes.parted(self.graph(self.nodes.of_users(x_UD)))[1]
