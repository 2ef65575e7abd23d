"""How a state and an item are compared: both are made ready so that their dot product is the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Kind = Literal["cosine", "dot"]


@dataclass(frozen=True)
class SimilarityConfig:
    """Settings of the comparison."""

    similarity: Literal["cosine", "dot"] = "cosine"
    """How a state and an item are compared (published RealHNS and PDRec code: cosine)."""
    scale: float = 12.0
    """Factor on the similarity, the inverse temperature (ours: 12 with sampled softmax; published code, Amazon: 5)."""


def query(h: Tensor, kind: Kind, scale: float) -> Tensor:
    """States (..., D) as query vectors: ``scale`` times the unit vector for cosine, else ``scale`` times the state."""
    return scale * (F.normalize(h, dim=-1, eps=1e-12) if kind == "cosine" else h)


def item(e: Tensor, kind: Kind) -> Tensor:
    """Item vectors (..., D) ready for the dot product with a query: unit vectors for cosine."""
    return F.normalize(e, dim=-1, eps=1e-12) if kind == "cosine" else e
