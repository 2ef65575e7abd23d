"""What a model is: a typed Config, parameters made for a catalogue, and vectors whose dot product is the score."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from crossrec.config import from_settings
from crossrec.data.batches import Batch, Views
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Catalogue


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Within, the model computes without dropout and gradient; after, it is in the mode that it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


@dataclass(frozen=True)
class Needs:
    """What a model cannot do without; checked before it is trained."""

    min_domains: int = 1
    overlap: bool = False
    """Users shared by the target and a source domain."""
    timestamps: bool = False
    ratings: bool = False


@dataclass(frozen=True)
class Phase:
    """One stretch of training: what is trained, on whose next items, until when."""

    name: str
    domain: str
    """The domain whose next items are predicted; validated where it is the target."""
    also: tuple[str, ...] = ()
    """Further domains whose next items are predicted as well."""
    modules: tuple[str, ...] = ("",)
    """Names of the sub-modules that learn; the empty name is the whole model."""
    choices: tuple[float, ...] = ()
    """Instead of training: values of which validation chooses the best (see :meth:`Model.choose`)."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that hold in this phase alone: ``{"lr": 5e-4, "epochs": 20}``."""
    sampler: Mapping[str, Any] | None = None
    """Name and settings of the sampler of this phase; None: the run's. A hard negative needs a model that knows something."""
    plugin: bool = True
    """Whether the run's plug-in takes part; not where one part of a model is only given a start."""
    whole: bool = False
    """Whether a query is a training row as a whole, of which nothing comes next, rather than every next item."""


class Model(nn.Module):
    """Base of every model. A subclass names its ``Config`` and fills ``build``, ``views``, ``states`` and ``items``.

    ``Model(dim=32)`` and ``Model(Config(dim=32))`` are the same. Parameters exist after :meth:`build`, which ``fit``
    calls once it knows the catalogue.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    needs: ClassVar[Needs] = Needs()
    product: ClassVar[bool] = True
    """Whether the score is the dot product of a query and an item vector; if not, ``logits`` is overridden, or ``scores``."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """Settings of model and training under one name: keys ``model``, ``train`` and ``sampler``."""
    own_loss: ClassVar[bool] = False
    """Whether the model is trained by its own objective (:meth:`loss`), and by no other."""
    own_tasks: ClassVar[tuple[str, ...]] = ("ranking",)
    """The tasks that a model with its own objective can be trained for (any other model can be for all)."""
    by_task: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    """Settings of ``model`` and ``train`` that a task (``ratings``, ``clicks``) changes, on top of the preset."""

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__()
        self.config = from_settings(self.Config, settings, base=config)
        self.catalogue: Catalogue | None = None
        self.target = ""
        self.sources: tuple[str, ...] = ()

    def build(self, catalogue: Catalogue, target: str, sources: Sequence[str] = ()) -> Self:
        """Make the parameters for a catalogue, a target domain and the source domains to learn from."""
        catalogue.block(target)
        for name in sources:
            catalogue.block(name)
        self.catalogue, self.target, self.sources = catalogue, target, tuple(sources)
        self.make(catalogue)
        return self

    def make(self, catalogue: Catalogue) -> None:
        """Create the sub-modules and parameters (drawn from torch's generator, which ``fit`` has set)."""
        raise NotImplementedError

    def views(self) -> Views:
        """The histories that the model looks at."""
        raise NotImplementedError

    def asks(self) -> Views:
        """Those of the histories that :meth:`queries` looks at: all, unless something that the model has learnt counts for
        nothing."""
        return self.views()

    def phases(self) -> tuple[Phase, ...]:
        """The stretches of training in order; none for a model that only counts (see :meth:`learn`)."""
        return (Phase("train", self.target),)

    def serves(self) -> tuple[str, ...]:
        """The domains that the model can recommend in."""
        return (self.target,)

    def learn(self, split: Split) -> None:
        """Learn whatever is counted rather than trained, from the training rows alone."""

    def counted(self) -> dict[str, Any]:
        """What of that a run's record is to tell, as plain data."""
        return {}

    def begin(self, phase: Phase) -> None:
        """Called before a phase starts (and when it is resumed); from here on ``views`` and vectors may be the phase's."""

    def choose(self, value: float) -> None:
        """Take one of the values of a phase with choices; it must be part of the model's state."""
        raise NotImplementedError

    def queries(self, batch: Batch) -> Tensor:
        """Query vectors q_PD: the score of an item is their dot product with its vector."""
        raise NotImplementedError

    def items(self, ids: Tensor) -> Tensor:
        """Item vectors (..., D) by global id, ready for the dot product."""
        raise NotImplementedError

    def selection_queries(self, batch: Batch) -> Tensor:
        """Query vectors q_PD by which a sampler selects: compared as in training, but without dropout and gradient."""
        with still(self):
            return self.queries(batch)

    def item_block(self, domain: str) -> Tensor:
        """Vectors e_VD of all items of a domain in the order of their ids, ready for the dot product."""
        block = self.block(domain)
        return self.items(torch.arange(block.start, block.stop, device=self.device))

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        """Scores of a domain's items by their vectors: (P, V) of shared ones (V, D), (P, K) of each query's own (P, K, D).

        Override where two vectors are compared by something else than their product.
        """
        if vectors.ndim == 2:
            return query_PD @ vectors.T
        return torch.einsum("pd,pkd->pk", query_PD, vectors)

    def rating(self, logits: Tensor, offset: float) -> Tensor:
        """What scores say of ratings, as a share of the scale: 0 is the lowest, 1 the highest; ``offset`` is the logit of the
        mean rating. Override where the model regresses ratings rather than a logit; beyond the ends counts as the end when a
        rating is predicted.
        """
        return (logits + offset).sigmoid()

    def scores(self, batch: Batch, domain: str) -> Tensor:
        """Scores s_PV of all items of a domain. Override where the score is made of no two vectors."""
        return self.logits(self.queries(batch), self.item_block(domain), domain)

    def candidate_scores(self, batch: Batch, ids_PC: Tensor) -> Tensor:
        """Scores s_PC of some items of the batch's domain."""
        if type(self).scores is not Model.scores:
            return self.scores(batch, batch.domain).gather(1, ids_PC - self.block(batch.domain).start)
        return self.logits(self.queries(batch), self.items(ids_PC), batch.domain)

    def loss(self, batch: Batch) -> Tensor:
        """Losses of the queries, (P,), of a model that is trained by its own objective (setting ``loss="own"``)."""
        raise NotImplementedError

    def auxiliary(self, batch: Batch) -> Tensor | None:
        """A term that the model adds to the objective (a contrast, a penalty); None: nothing."""
        return None

    def block(self, domain: str) -> range:
        """The ids that a domain owns."""
        assert self.catalogue is not None, "build() comes first"
        return self.catalogue.block(domain)

    @property
    def device(self) -> torch.device:
        """Where the parameters and buffers are."""
        return next(itertools.chain(self.parameters(), self.buffers()), torch.empty(0)).device

    def settings(self) -> dict[str, Any]:
        """The config as plain data."""
        return dataclasses.asdict(self.config)


class CrossDomainModel(Model):
    """A model that has one state per domain for every query, and fuses them: what cross-domain samplers look into."""

    def domain_states(self, batch: Batch) -> dict[str, Tensor]:
        """States h_PD of every domain before they are fused, by domain; the target's last."""
        raise NotImplementedError

    def fused(self, states: Mapping[str, Tensor]) -> Tensor:
        """Query vectors q_PD of one state per domain, whosever they are."""
        raise NotImplementedError
