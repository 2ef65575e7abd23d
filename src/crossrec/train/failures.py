"""Training that cannot go on: numbers that are no numbers any more, and the sentence that says where."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.data.vocabulary import Vocabulary
from crossrec.models.base import Model

REMEDY = "Lower the learning rate or the scale, or set clip; the last checkpoint is kept."


class TrainingError(RuntimeError):
    """Training cannot go on (the loss is not a number); the message names the batch that caused it."""


def check_loss(loss: Tensor, where: str, users: Vocabulary, user_P: Tensor) -> None:
    """Raise TrainingError unless a batch's loss is a finite number. ``user_P``: whose queries the batch has."""
    if not torch.isfinite(loss):
        named = users.ids(torch.unique(user_P).cpu().numpy()).to_pylist()
        shown = ", ".join(map(str, named[:20])) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
        raise TrainingError(f"The loss is not a finite number in {where} (users {shown}). {REMEDY}")


def check_weights(model: Model, where: str) -> None:
    """Raise TrainingError unless all weights are finite numbers."""
    if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
        raise TrainingError(f"The weights are not finite numbers after {where}. {REMEDY}")
