"""One vector of several views of a user: the mean over those that there are of what one network makes of each.

N users, X views, D width. Source: specs of DIAGAE, 2.3 (equation 5) and 2.12; MvDGAE (Zheng et al. 2021), equation 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ViewFusion(nn.Module):
    """H = mean of MLP(z_x) over the views x that are there; one MLP of two layers for all views."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        """``dropout``: probability that a view is left out in training; somebody who would lose all of them keeps all."""
        super().__init__()
        self.inner, self.outer = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.p = dropout
        for layer in (self.inner, self.outer):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z_ND: Tensor) -> Tensor:
        """What the network makes of views."""
        made: Tensor = self.outer(self.inner(z_ND).relu())
        return made

    def kept(self, there_NX: Tensor) -> Tensor:
        """Which views count: in training without those that are left out."""
        if not (self.training and self.p):
            return there_NX
        kept_NX = there_NX & (torch.rand(there_NX.shape, device=there_NX.device) >= self.p)
        return torch.where(kept_NX.any(1, keepdim=True), kept_NX, there_NX)


def mean_of_views(made: Sequence[Tensor], there_NX: Tensor) -> Tensor:
    """Mean over the views that are there, (N, D); 0 for somebody without any."""
    there_NX = there_NX.to(made[0].dtype)
    total = sum(one * there_NX[:, x, None] for x, one in enumerate(made))
    return torch.as_tensor(total) / there_NX.sum(1).clamp(min=1)[:, None]
