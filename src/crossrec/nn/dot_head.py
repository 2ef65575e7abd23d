"""Two linear maps whose product is a score: vectors that an index can search. N users or items, D width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DotHead(nn.Module):
    """s = <A x + a, B v> + b. The number b is one more column, with a one in the user's vector, so that the score is a product;
    the vector a lets an item be liked by all (ours).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_user = nn.Linear(dim, dim)
        self.of_item = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(1))
        for half in (self.of_user, self.of_item):
            nn.init.xavier_uniform_(half.weight)
        nn.init.zeros_(self.of_user.bias)

    def user(self, x: Tensor) -> Tensor:
        """Vectors (..., D + 1) of users."""
        return F.pad(self.of_user(x), (0, 1), value=1.0)

    def item(self, v: Tensor) -> Tensor:
        """Vectors (..., D + 1) of items."""
        y: Tensor = self.of_item(v)
        return torch.cat([y, self.bias.to(y.dtype).expand(*y.shape[:-1], 1)], -1)

    def distance(self, x_PD: Tensor, v_KD: Tensor, score_PK: Tensor) -> Tensor:
        """Mean squared distance of the products from scores, of which all but the products count as given: ().

        Both are taken about their means over the items of a query: what a search needs is their order for each user.
        """
        apart_PK = self.user(x_PD.detach()) @ self.item(v_KD.detach()).T - score_PK.detach()
        return (apart_PK - apart_PK.mean(1, keepdim=True)).square().mean()
