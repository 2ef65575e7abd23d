"""How a model is trained: the settings that are not the model's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """Settings of training."""

    loss: Literal["bce", "bpr", "softmax", "sampled_softmax", "own"] = "sampled_softmax"
    """Objective; ``softmax`` is over the whole domain and needs no negatives; ``own`` is that of a model that has one."""
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
    """Validation metric that chooses the epoch."""
    protocol: str = "full"
    """Validation protocol: ``full``, ``sampled:N`` or ``authors``."""
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
