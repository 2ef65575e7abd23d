"""Perceptrons over pairs, one per domain, whose hidden layers also see each other's (Hu et al. 2018).

a_X^l = ReLU(W_X^l a_X^(l-1) + b_X^l + H^l a_Y^(l-1)) for l up to some layer, with the same H^l from X to Y and from Y to X,
and a^0 = [p; q]. Source: specs of DDGHM, section 5.2. The first layer is split, as in :mod:`crossrec.nn.pair_perceptron`.
C queries of one domain, Y other domains, K items, D width, H width of the first layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from crossrec.nn.pair_perceptron import PairPerceptron


class CrossedTowers(nn.Module):
    """A perceptron per domain, and cross connections between them in the first ``cross`` layers.

    A candidate is run through its domain's tower; beside it the same user with an item of each other domain, where one is
    given, through that domain's. For any number of domains (ours; published: two): a tower sees the mean of all others that
    are run, by one matrix per layer.
    """

    def __init__(self, domains: int, dim: int, widths: Sequence[int], cross: int) -> None:
        """Cross matrices are drawn Glorot-uniform."""
        super().__init__()
        assert 1 <= cross <= len(widths), "cross connections enter the first layer, and at most every one"
        self.towers = nn.ModuleList(PairPerceptron(dim, widths) for _ in range(domains))
        shapes = [(2 * dim, widths[0]), *pairwise(widths)][:cross]
        self.cross = nn.ParameterList(nn.init.xavier_uniform_(torch.empty(b, a)) for a, b in shapes)
        self.dim, self.width = dim, widths[0]

    def tower(self, x: int) -> PairPerceptron:
        """The perceptron of the domain of this number."""
        found = self.towers[x]
        assert isinstance(found, PairPerceptron)
        return found

    def others(self, x: int) -> list[int]:
        """Numbers of the other domains."""
        return [y for y in range(len(self.towers)) if y != x]

    def queries(self, x: int, p_CD: Tensor, partner_CYD: Tensor, there_CY: Tensor) -> Tensor:
        """All that the first layers of all towers get of what is known before the candidate is: (C, H + Y (H + 1)).

        ``partner``: the other domains' items, in the order of :meth:`others`, 0 where ``there`` says that there is none.
        Columns: the sums of domain x, those of the other domains, and what each of these weighs: one over their number.
        """
        count_C1 = there_CY.sum(1, keepdim=True)
        weight_C1 = count_C1.clamp(min=1).to(p_CD.dtype).reciprocal()
        user_CH, seen_CYH = p_CD @ self.cross[0][:, : self.dim].T, self._seen(partner_CYD)
        all_CH = weight_C1 * seen_CYH.sum(1)
        parts = [self.tower(x).user(p_CD) + torch.where(count_C1 > 0, user_CH, 0) + all_CH]
        for place, y in enumerate(self.others(x)):
            own_CH = self.tower(y).user(p_CD) + self.tower(y).item(partner_CYD[:, place])
            parts.append(own_CH + user_CH + all_CH - weight_C1 * seen_CYH[:, place])
        return torch.cat([*parts, weight_C1 * there_CY], 1)

    def items(self, x: int, q_ND: Tensor) -> Tensor:
        """What candidates of domain x add to the first layers, of their own tower and of any other: (N, 2 H)."""
        return torch.cat([self.tower(x).item(q_ND), self._seen(q_ND)], -1)

    def forward(self, x: int, query: Tensor, item: Tensor) -> Tensor:
        """Logits of pairs, from queries (C, 1, ...) and items (1 or C, K, 2 H): (C, K)."""
        width, own, others = self.width, self.tower(x), self.others(x)
        weights = [query[..., (1 + len(others)) * width + place, None] for place in range(len(others))]
        own_item, any_item = item[..., :width], item[..., width:]
        a = own.bent(query[..., :width] + own_item)
        beside = [
            own.bent(torch.addcmul(query[..., (1 + place) * width : (2 + place) * width], weight, any_item))
            for place, weight in enumerate(weights)
        ]
        for number, layer in enumerate(own.layers):
            if number + 1 >= len(self.cross) or not others:
                a = own.bent(layer(a))
                continue
            matrix = self.cross[number + 1]
            crossed = [weight * (b @ matrix.T) for weight, b in zip(weights, beside, strict=True)]
            total = torch.stack(crossed).sum(0) if len(crossed) > 1 else crossed[0]
            if number + 2 < len(self.cross):
                back = a @ matrix.T
                beside = [
                    own.bent(self.tower(y).layers[number](b) + weight * back + total - mine)
                    for y, b, weight, mine in zip(others, beside, weights, crossed, strict=True)
                ]
            a = own.bent(layer(a) + total)
        logit: Tensor = own.out(a)[..., 0]
        return logit

    def _seen(self, q_ND: Tensor) -> Tensor:
        """What the first layers of the other towers get of items: (N, H)."""
        seen_NH: Tensor = q_ND @ self.cross[0][:, self.dim :].T
        return seen_NH
