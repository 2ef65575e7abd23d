"""What a plug-in is: it changes the weights, positives and negatives of a training and never touches the encoder.

It looks into a frozen model that was trained before on the same split. Shapes: P queries, R rows, N negatives, M candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from crossrec.config import from_settings
from crossrec.data.batches import Batch, TrainingRows
from crossrec.data.splits import Split
from crossrec.models.base import Model


@dataclass(frozen=True)
class SoftPositives:
    """Items that R training rows probably like: of each row's candidates the loss takes those that the model likes best."""

    batch: Batch
    """One query per row, which knows all of the row."""
    ids_RM: Tensor
    """Candidates: global ids of the batch's domain."""
    known_RM: Tensor
    """Which of these places hold a candidate."""
    keep: int
    """How many of a row's candidates are taken: those of the highest score."""
    weight: float
    """Of the mean loss of what is taken."""


class Plugin:
    """Base of the plug-ins. A subclass fills ``prepare`` and any of ``weights``, ``positives`` and ``negatives``."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """Settings under a name, which goes with the model's preset of the same name."""

    def __init__(self, config: Any = None, **settings: Any) -> None:
        self.config = from_settings(self.Config, settings, base=config)

    @property
    def model(self) -> str:
        """Name of the model to train and look into, where none is given."""
        raise NotImplementedError

    def check(self, split: Split) -> None:
        """Called before anything is trained: raise InputError where the settings do not go with the split."""

    def prepare(self, split: Split, rows: TrainingRows, domain: str, frozen: Model) -> None:
        """Called once before a phase that predicts ``domain``: ask the model ``frozen`` all that the phase needs.

        ``rows`` are the phase's training rows; their batcher makes batches for the model that is trained.
        """
        raise NotImplementedError

    def weights(self, batch: Batch) -> Tensor | None:
        """Weights w_P of the positives; None: all 1."""
        return None

    def negatives(self, batch: Batch, generator: torch.Generator) -> Tensor | None:
        """Further negatives of every query: global ids (P, N); None: none."""
        return None

    def positives(self, batch: Batch) -> SoftPositives | None:
        """Further positives of the rows that the batch's queries stand in; None: none."""
        return None

    def facts(self) -> dict[str, float]:
        """What is worth recording of what was prepared; it goes into ``metrics.jsonl``."""
        return {}
