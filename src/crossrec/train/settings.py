"""How a model is trained: the settings that are not the model's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

WHERE_SET = ("task", "rating_scale", "rating_offset")
"""Settings that are recorded only where they differ from their defaults: a run without them has the record, and a phase the
mark, that it had before they existed, so that it is resumed and taken over."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of training."""

    loss: Literal["bce", "bpr", "softmax", "sampled_softmax", "mse", "own"] = "sampled_softmax"
    """Objective; ``softmax`` is over the whole domain and needs no negatives; ``mse`` is the squared error of a rating (or of a
    click) as a share of its scale; ``own`` is that of a model that has one."""
    task: Literal["ranking", "ratings", "clicks"] = "ranking"
    """What is predicted: the item that comes next, the rating of an event (``loss=mse``), or whether it happened at all
    (``bce`` or ``mse`` against one negative). Loss, negatives and validation follow where they are not said (DIAGAE, 0.3)."""
    rating_scale: tuple[float, ...] = (1.0, 5.0)
    """Lowest and highest rating (DIAGAE, 0.3)."""
    rating_offset: float | None = None
    """Added to every score before it becomes a rating (``task=ratings``); None: the logit of the mean training rating of the
    target, so that who or what is unknown is rated so (ours; DIAGAE, 0.3: 0)."""
    negatives: int = 512
    """Negatives per positive (shared by the batch where the sampler shares)."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    betas: tuple[float, ...] = (0.9, 0.98)
    """Adam's betas (published RealHNS and PDRec code)."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW)."""
    decay: float = 1.0
    """The learning rate is multiplied by this after every epoch."""
    batch: int = 128
    """Rows (users) of a batch, over all processes."""
    copies: int = 1
    """Times that every batch is delivered in a row, with the same users and negatives; above 1 users are drawn with
    replacement (published PDRec code: 3, its worker processes share one random state; specs of PDRec, 1.4)."""
    epochs: int = 200
    """Epochs at most, per phase."""
    first_eval: int = 1
    """First epoch that is followed by a validation."""
    eval_every: int = 2
    """Epochs between validations."""
    patience: int = 5
    """Stop after this many validations without a better one."""
    min_epochs: int = 0
    """Never stop before this epoch."""
    metric: str = "ndcg@10"
    """Validation metric that chooses the epoch; the lowest where it is an error (``mae``, ``rmse``)."""
    protocol: str = "full"
    """Validation protocol: ``full``, ``unseen``, ``sampled:N``, ``authors``, ``ratings``, ``clicks``, ``liked``, ``liked:N``."""
    first: Literal["any", "domain", "all"] = "any"
    """Which first event of a row is predicted: with an event of any kind before it, of its own domain, or none needed."""
    clip: float | None = None
    """Largest norm of the gradient; None: not clipped."""
    autocast: bool = False
    """Compute the forward pass in bfloat16."""
    compile: bool = False
    """Run the training step through ``torch.compile``."""
    checkpoint_seconds: float = 30.0
    """At least this many seconds between checkpoints (one is written at an epoch's end); resume is exact from any."""

    @property
    def draws(self) -> bool:
        """Whether the objective needs negatives of a sampler."""
        return self.loss not in ("softmax", "own") and self.task != "ratings"

    def recorded(self) -> dict[str, Any]:
        """The settings as ``config.json`` has them."""
        plain = TrainConfig()
        return {k: v for k, v in asdict(self).items() if k not in WHERE_SET or v != getattr(plain, k)}
